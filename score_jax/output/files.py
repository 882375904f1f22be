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
