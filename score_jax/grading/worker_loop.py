"""The worker's end of worker_pool: reads requests, writes replies.

A frame is four bytes that hold a length, and JSON of that length. A worker must
not import anything of score_jax that imports JAX.
"""

from collections.abc import Callable
import fcntl
import json
import os
import resource
import signal
import struct
import sys
import traceback
from typing import Any
from typing import BinaryIO

HEADER = struct.Struct(">I")
MAX_FRAME_BYTES = 1 << 20


def serve(
    handle: Callable[[Any], Any], *, memory_mb: int, warm_up: tuple[Any, Any]
) -> None:
  """Answers requests until the parent closes the pipe or dies.

  A reply is {'value': ...}, {'memory': true} when the request did not fit in
  memory, or {'error': traceback} when `handle` failed.

  Args:
    handle: makes a reply of a request, both JSON values.
    memory_mb: limit of this process's address space, in MB.
    warm_up: a first request and the reply that `handle` must give to it, so
      that no later request pays for lazy imports.
  """
  requests, replies = _take_pipes()
  # An interrupt from the keyboard is the parent's to handle.
  signal.signal(signal.SIGINT, signal.SIG_IGN)
  limit = memory_mb << 20
  resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
  resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
  if (value := handle(warm_up[0])) != warm_up[1]:
    raise RuntimeError(f"Expected {warm_up[1]} of {warm_up[0]}, got {value}.")
  write_frame(replies, {"ready": True})
  while (request := _read_frame(requests)) is not None:
    with _DyingWithParent(requests.fileno()):
      reply = _reply(handle, request)
    write_frame(replies, reply)


def write_frame(stream: BinaryIO, message: Any) -> None:
  body = json.dumps(message).encode("ascii")
  stream.write(HEADER.pack(len(body)) + body)
  stream.flush()


class _DyingWithParent:
  """Ends this process at once when the parent does, even in C code.

  While the worker is busy with a request, nothing can arrive on the pipe but
  its end. The kernel reports that by SIGIO, which kills. PR_SET_PDEATHSIG would
  follow the thread that started the worker, which may end long before the
  parent does.
  """

  def __init__(self, descriptor: int):
    self._descriptor = descriptor
    self._flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    fcntl.fcntl(descriptor, fcntl.F_SETOWN, os.getpid())

  def __enter__(self):
    fcntl.fcntl(self._descriptor, fcntl.F_SETFL, self._flags | os.O_ASYNC)

  def __exit__(self, *unused_exception):
    fcntl.fcntl(self._descriptor, fcntl.F_SETFL, self._flags)


def _take_pipes() -> tuple[BinaryIO, BinaryIO]:
  """The two pipes; what is printed from now on cannot get between frames."""
  replies = os.fdopen(os.dup(1), "wb")
  null = os.open(os.devnull, os.O_RDWR)
  requests = os.fdopen(os.dup(0), "rb")
  os.dup2(null, 0)
  os.dup2(null, 1)
  sys.stdout = sys.stderr
  return requests, replies


def _read_frame(stream: BinaryIO) -> Any:
  """The next message, None at the end of the pipe."""
  header = stream.read(HEADER.size)
  if len(header) < HEADER.size:
    return None
  body = stream.read(HEADER.unpack(header)[0])
  return json.loads(body)


def _reply(handle: Callable[[Any], Any], request: Any) -> Any:
  try:
    return {"value": handle(request)}
  except MemoryError:
    return {"memory": True}
  # The parent decides what an error means; this side only reports it.
  except Exception:
    return {"error": traceback.format_exc()[-4000:]}
