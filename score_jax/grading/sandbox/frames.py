"""JSON messages over a pipe or socket, each behind its length in four bytes."""

import json
import os
import struct
from typing import Any

# Largest message: arguments or result of one call, or one request.
MAX_BYTES = 16 * 2**20

_LENGTH = struct.Struct("<I")


class FrameError(Exception):
  """The other process sent something that is no message."""


def pack(message: Any) -> bytes:
  """The bytes of a message; ValueError when there are more than MAX_BYTES."""
  # ASCII escapes carry lone surrogates, which UTF-8 cannot.
  body = json.dumps(message, ensure_ascii=True).encode("ascii")
  if len(body) > MAX_BYTES:
    raise ValueError(
        f"{len(body)} bytes of data, at most {MAX_BYTES} can cross"
    )
  return _LENGTH.pack(len(body)) + body


def write_all(fd: int, data: bytes) -> None:
  """Writes all bytes; BrokenPipeError when the other side is gone."""
  view = memoryview(data)
  while view:
    view = view[os.write(fd, view) :]


def send(fd: int, message: Any) -> None:
  """Writes one message."""
  write_all(fd, pack(message))


def receive(fd: int) -> Any:
  """Reads one message; EOFError at the end, FrameError where it is none."""
  (length,) = _LENGTH.unpack(_read_exactly(fd, _LENGTH.size))
  if length > MAX_BYTES:
    raise FrameError(f"a message of {length} bytes, at most {MAX_BYTES}")
  try:
    return json.loads(_read_exactly(fd, length))
  except (ValueError, RecursionError) as error:
    raise FrameError(str(error)) from error


def _read_exactly(fd: int, count: int) -> bytes:
  chunks = []
  while count:
    chunk = os.read(fd, min(count, 2**20))
    if not chunk:
      raise EOFError
    chunks.append(chunk)
    count -= len(chunk)
  return b"".join(chunks)
