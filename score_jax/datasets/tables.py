"""Reads rows from .jsonl, .json (a list of objects) and .parquet files.

Files may lie on a disk or on gs://.
"""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import decimal
import json
import math
import os
from typing import Any
from typing import NamedTuple

from etils import epath

_LFS_POINTER = b"version https://git-lfs.github.com/spec/"


class Record(NamedTuple):
  """One row of a file as it was found.

  Attributes:
    place: the file and the line or row in it, for error messages.
    values: the row's values by column. Numbers of JSON files are strings,
      written as they are in the file.
  """

  place: str
  values: Mapping[str, Any]


def read_table(
    path: str | os.PathLike,
    columns: Sequence[str],
    *,
    id_column: str = "id",
) -> list[dict[str, str]]:
  """Rows of the given columns, in the order of the file, all of them text.

  Numbers become text: in JSON as they are written, in parquet the shortest
  text that gives the same number back.

  Args:
    path: a .jsonl, .json or .parquet file, local or gs://.
    columns: names of the columns to read; there may be others.
    id_column: one of the columns, whose values must all be different.

  Raises:
    ValueError: there is no such file, its content is not of the form that its
      name says, it has no rows, a column is missing, a value is neither text
      nor a number, or an id is used twice.
  """
  if id_column not in columns:
    raise ValueError(
        f"{path}: the id column {id_column!r} is none of the columns to read:"
        f" {', '.join(columns)}"
    )
  rows, places = [], {}
  for record in read_records(path):
    row = {column: text_of(record, column) for column in columns}
    other = places.setdefault(row[id_column], record.place)
    if other is not record.place:
      raise ValueError(
          f"{record.place}: {id_column} {row[id_column]!r} is used twice, first"
          f" in {other}"
      )
    rows.append(row)
  return rows


def read_records(path: str | os.PathLike) -> list[Record]:
  """All rows of a .jsonl, .json or .parquet file, local or gs://.

  Raises:
    ValueError: there is no such file, its content is not of the form that its
      name says, or it has no rows.
  """
  file = epath.Path(path)
  readers = {
      ".jsonl": parse_json_lines,
      ".json": _read_json_list,
      ".parquet": _read_parquet,
  }
  if file.suffix not in readers:
    raise ValueError(
        f"{path}: expected a file that ends in {', '.join(readers)}"
    )
  records = list(readers[file.suffix](read_bytes(file), os.fspath(path)))
  if not records:
    raise ValueError(f"{path} has no rows")
  return records


def read_bytes(path: epath.Path) -> bytes:
  """Content of a file; ValueError where it is absent or out of reach."""
  with needs_gcsfs(path):
    if not path.is_file():
      raise ValueError(f"there is no file {path}")
    content = path.read_bytes()
  if content.startswith(_LFS_POINTER):
    raise ValueError(
        f"{path} only points to the file: run git lfs pull where it was cloned"
    )
  return content


def require_files(paths: Sequence[epath.Path], instructions: str) -> None:
  """Raises ValueError with instructions where one of the files is absent."""
  for path in paths:
    with needs_gcsfs(path):
      if not path.is_file():
        raise ValueError(f"there is no file {path}. {instructions}")


def text_of(record: Record, column: str) -> str:
  """A value as text; ValueError unless it is a text or a finite number."""
  value = value_of(record, column)
  # bool is an int, and True is no answer of any problem.
  if isinstance(value, bool) or not isinstance(
      value, str | int | float | decimal.Decimal
  ):
    raise ValueError(
        f"{record.place}: {column} is {value!r}, expected text or a number"
    )
  if isinstance(value, float) and not math.isfinite(value):
    raise ValueError(f"{record.place}: {column} is {value!r}, not a number")
  text = str(value)
  try:
    text.encode("utf-8")
  except UnicodeEncodeError as error:
    raise ValueError(f"{record.place}: {column} is no text: {error}") from error
  return text


def texts_of(record: Record, column: str) -> list[str]:
  """A list of strings; ValueError for anything else."""
  value = value_of(record, column)
  if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
    raise ValueError(
        f"{record.place}: {column} is {value!r}, expected a list of strings"
    )
  return value


def value_of(record: Record, column: str) -> Any:
  """A value as it was found; ValueError where there is no such column."""
  if column not in record.values:
    raise ValueError(
        f"{record.place}: there is no column {column!r}, only"
        f" {', '.join(record.values)}"
    )
  return record.values[column]


def parse_json_lines(content: bytes, name: str) -> Iterator[Record]:
  """Records of a file's content with one JSON object on each line."""
  # Not splitlines: U+2028 and its like may stand in a JSON string as they are.
  for number, line in enumerate(_decode(content, name).split("\n"), 1):
    if line.strip():
      place = f"{name}, line {number}"
      yield _record(_parse(line, place), place)


def parse_json_object(content: bytes, name: str) -> Record:
  """The record of a file whose content is one JSON object."""
  return _record(_parse(_decode(content, name), name), name)


@contextlib.contextmanager
def needs_gcsfs(path: str | os.PathLike) -> Iterator[None]:
  """Raises ValueError naming gcsfs where gs:// cannot be read without it."""
  try:
    yield
  except ImportError as error:
    raise ValueError(
        f"reading {path} needs the package gcsfs: pip install gcsfs"
    ) from error


def _read_json_list(content: bytes, name: str) -> Iterator[Record]:
  items = _parse(_decode(content, name), name)
  if not isinstance(items, list):
    raise ValueError(
        f"{name}: expected a list of objects, found {type(items).__name__};"
        " one object per line is a .jsonl file"
    )
  for number, item in enumerate(items, 1):
    place = f"{name}, item {number}"
    yield _record(item, place)


def _read_parquet(content: bytes, name: str) -> Iterator[Record]:
  try:
    import pyarrow
    from pyarrow import parquet
  except ModuleNotFoundError as error:
    raise ValueError(f"{name}: to read it, pip install pyarrow") from error

  try:
    table = parquet.read_table(pyarrow.BufferReader(content))
  except pyarrow.ArrowInvalid as error:
    raise ValueError(f"{name} is no parquet file: {error}") from error
  for number, row in enumerate(table.to_pylist(), 1):
    yield Record(f"{name}, row {number}", row)


def _decode(content: bytes, name: str) -> str:
  try:
    return content.decode("utf-8-sig")
  except UnicodeDecodeError as error:
    raise ValueError(f"{name} is not UTF-8: {error}") from error


def _parse(text: str, place: str) -> Any:
  try:
    # Numbers as they are written: 1.10 must not become 1.1.
    return json.loads(
        text, parse_int=str, parse_float=str, parse_constant=float
    )
  except (json.JSONDecodeError, RecursionError) as error:
    raise ValueError(f"{place}: no JSON: {error}") from error


def _record(value: Any, place: str) -> Record:
  if not isinstance(value, dict):
    raise ValueError(
        f"{place}: expected an object with columns, found"
        f" {type(value).__name__}"
    )
  return Record(place, value)
