"""Reads rows from .jsonl, .json (a list of objects) and .parquet files.

The first two may be compressed: .jsonl.gz. Files may lie on a disk or on gs://.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import gzip
import json
import os
import re
from typing import Any
from typing import NamedTuple
import zlib

from etils import epath

from score_jax.datasets import contents
from score_jax.datasets import numbers
from score_jax.datasets import parquet_rows

# A raw line feed or carriage return ends a line: JSON strings have none. Not
# splitlines: U+2028 and its like may stand in a JSON string as they are.
_LINE_END = re.compile(r"\r\n|\n|\r")


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
  text that gives the same number back (numbers.as_text).

  Args:
    path: a file with one of ENDINGS, local or gs://.
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
  """All rows of a file with one of ENDINGS, local or gs://.

  Raises:
    ValueError: there is no such file, its content is not of the form that its
      name says, or it has no rows.
  """
  name = os.path.expanduser(path)
  file = epath.Path(name)
  reader = _reader(name)
  records = list(reader(read_bytes(file), name))
  if not records:
    raise ValueError(
        f"{path} has no rows: it was not copied whole, or is not"
        " the file that was meant"
    )
  return records


def read_bytes(path: epath.Path) -> bytes:
  """Content of a file, unpacked where its name ends in .gz.

  Raises:
    ValueError: the file is absent or out of reach, or holds something that no
      file of rows does (`contents.check`).
  """
  with needs_gcsfs(path):
    if not path.is_file():
      if path.is_dir():
        raise ValueError(f"{path} is a directory: name a file in it")
      raise ValueError(f"there is no file {path}")
    try:
      content = path.read_bytes()
    except OSError as error:
      raise ValueError(f"{path} cannot be read: {error}") from error
  contents.check(content, os.fspath(path))
  if path.suffix != ".gz":
    return content
  try:
    return gzip.decompress(content)
  except (OSError, EOFError, zlib.error) as error:
    raise ValueError(
        f"{path} cannot be unpacked ({error}): fetch it again"
    ) from error


def text_of(record: Record, column: str) -> str:
  """A value as text; ValueError unless it is a text or a finite number."""
  value = value_of(record, column)
  if numbers.is_number(value):
    if not numbers.is_finite(value):
      raise ValueError(
          f"{record.place}: {column} is {value!r}, not a number: fill it in, or"
          " remove the row"
      )
    return numbers.as_text(value)
  if not isinstance(value, str):
    raise ValueError(
        f"{record.place}: {column} is {_shown(value)}, expected text or a"
        " number: fill it in, name another column, or remove the row"
    )
  try:
    value.encode("utf-8")
  except UnicodeEncodeError as error:
    raise ValueError(f"{record.place}: {column} is no text: {error}") from error
  return value


def texts_of(record: Record, column: str) -> list[str]:
  """A list of strings; ValueError for anything else."""
  value = value_of(record, column)
  if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
    raise ValueError(
        f"{record.place}: {column} is {_shown(value)}, expected a list of"
        " strings"
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
  lines = _LINE_END.split(_decode(content, name).rstrip())
  for number, line in enumerate(lines, 1):
    if not line.strip():
      continue
    place = f"{name}, line {number}"
    hint = "each line is one whole object"
    if lines[0].startswith("["):
      hint = "a file that is one list of objects is named .json"
    elif number == len(lines) > 1:
      hint = "where the last line is cut off, fetch the file again"
    yield _record(_parse(line, place, hint), place, hint)


def parse_json_object(content: bytes, name: str) -> Record:
  """The record of a file whose content is one JSON object."""
  hint = "where it is cut off, fetch it again"
  return _record(_parse(_decode(content, name), name, hint), name, hint)


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
  hint = "one object on each line is a .jsonl file"
  items = _parse(_decode(content, name), name, hint)
  if not isinstance(items, list):
    raise ValueError(
        f"{name}: expected a list of objects, found {type(items).__name__};"
        f" {hint}"
    )
  for number, item in enumerate(items, 1):
    place = f"{name}, item {number}"
    yield _record(item, place, "each item is a row")


def _read_parquet(content: bytes, name: str) -> Iterator[Record]:
  for number, row in enumerate(parquet_rows.read(content, name), 1):
    yield Record(f"{name}, row {number}", row)


_READERS = {
    ".jsonl": parse_json_lines,
    ".json": _read_json_list,
    ".parquet": _read_parquet,
    ".jsonl.gz": parse_json_lines,
    ".json.gz": _read_json_list,
}
ENDINGS = tuple(_READERS)


def _reader(name: str) -> Callable[[bytes, str], Iterator[Record]]:
  for ending, reader in _READERS.items():
    if name.endswith(ending):
      return reader
  raise ValueError(
      f"{name}: expected a file that ends in {', '.join(ENDINGS)}: convert it"
      " to one of these"
  )


def _decode(content: bytes, name: str) -> str:
  try:
    return content.decode("utf-8-sig")
  except UnicodeDecodeError as error:
    line = content[: error.start].count(b"\n") + 1
    raise ValueError(
        f"{name}, line {line} is not UTF-8: {error}: save it as UTF-8"
    ) from error


def _parse(text: str, place: str, hint: str) -> Any:
  try:
    # Numbers as they are written: 1.10 must not become 1.1.
    return json.loads(
        text,
        parse_int=str,
        parse_float=str,
        parse_constant=float,
        object_pairs_hook=_columns,
    )
  except (ValueError, RecursionError) as error:
    raise ValueError(f"{place}: no JSON: {error} ({hint})") from error


def _columns(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
  columns = dict(pairs)
  if len(columns) < len(pairs):
    names = [name for name, _ in pairs]
    twice = sorted({name for name in names if names.count(name) > 1})
    raise ValueError(f"an object has {', '.join(twice)} twice")
  return columns


def _record(value: Any, place: str, hint: str) -> Record:
  if not isinstance(value, dict):
    raise ValueError(
        f"{place}: expected an object with columns, found"
        f" {type(value).__name__} ({hint})"
    )
  return Record(place, value)


def _shown(value: Any) -> str:
  """A value for a message, cut where it is long."""
  text = repr(value)
  return text if len(text) <= 200 else f"{text[:200]}..."
