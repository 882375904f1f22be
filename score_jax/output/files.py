"""Files that are either whole or absent, whenever the process is killed."""

from collections.abc import Iterator
import contextlib
import json
import os
import shutil
from typing import Any


@contextlib.contextmanager
def atomic_directory(path: str | os.PathLike) -> Iterator[str]:
  """Yields a temporary directory that becomes `path` when the block ends well.

  Raises:
    ValueError: path exists already.
  """
  path = os.path.abspath(path)
  if os.path.exists(path):
    raise ValueError(f"{path} exists already; choose another or remove it")
  temporary = f"{path}.tmp-{os.getpid()}"
  shutil.rmtree(temporary, ignore_errors=True)
  os.makedirs(temporary)
  try:
    yield temporary
    os.rename(temporary, path)
  finally:
    shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: str | os.PathLike, text: str) -> None:
  """Writes a text file through a temporary one beside it."""
  temporary = f"{os.fspath(path)}.tmp-{os.getpid()}"
  with open(temporary, "w", encoding="utf-8") as f:
    f.write(text)
    f.flush()
    os.fsync(f.fileno())
  os.replace(temporary, path)


def write_json(path: str | os.PathLike, content: Any) -> None:
  """Writes a value as indented JSON; NaN is refused, not written."""
  write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def read_json(path: str | os.PathLike) -> Any:
  """Reads a JSON file."""
  with open(path, encoding="utf-8") as f:
    return json.load(f)


def read_object(path: str | os.PathLike) -> dict[str, Any]:
  """Reads a file that holds a JSON object.

  Raises:
    ValueError: it holds no JSON object; the message says what it holds.
  """
  try:
    content = read_json(path)
  except (json.JSONDecodeError, UnicodeDecodeError) as error:
    raise ValueError(
        f"{os.fspath(path)} is not valid JSON{diagnosis(path)}: {error}"
    ) from error
  if not isinstance(content, dict):
    raise ValueError(
        f"{os.fspath(path)} holds a {type(content).__name__}, no JSON object"
    )
  return content


def diagnosis(path: str | os.PathLike) -> str:
  """What a broken file seems to be, to follow "is not valid" in a sentence."""
  with open(path, "rb") as stream:
    start = stream.read(200)
  if start.startswith(b"\xef\xbb\xbf"):
    return " but starts with a byte order mark, save it as UTF-8 without one"
  start = start.lstrip()
  if not start:
    return " but empty"
  if start.startswith(b"version https://git-lfs"):
    return " but a Git LFS pointer: run `git lfs pull` in the clone"
  if start.startswith(b"<"):
    return (
        " but an HTML or XML page: a download that was answered with a web"
        " page, download it again"
    )
  if start.startswith((b"PK\x03\x04", b"\x80\x02")):
    return " but a pickle, which is never loaded"
  if os.fspath(path).endswith(".safetensors"):
    return "; it may be truncated, compare its size and copy it again"
  return "; correct it, or copy it again"
