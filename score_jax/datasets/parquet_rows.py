"""Rows of a parquet file, as values of Python and NumPy."""

from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

import numpy as np

_REMEDY = "it was not copied whole, or another program wrote it: fetch it again"


def read(content: bytes, name: str) -> Iterator[Mapping[str, Any]]:
  """Rows by column; numbers of float16 and float32 keep their type.

  Args:
    content: all bytes of the file.
    name: the file, for error messages.

  Raises:
    ValueError: pyarrow is missing, or the content is no parquet file, or two
      of its columns have one name, or a text in it is not UTF-8.
  """
  try:
    import pyarrow
    from pyarrow import parquet
  except ModuleNotFoundError as error:
    raise ValueError(f"{name}: to read it, pip install pyarrow") from error

  try:
    table = parquet.ParquetFile(pyarrow.BufferReader(content)).read()
  except (pyarrow.ArrowException, OSError, MemoryError) as error:
    raise ValueError(f"{name} is no parquet file ({error}): {_REMEDY}") from (
        error
    )
  names = table.column_names
  if twice := sorted({c for c in names if names.count(c) > 1}):
    raise ValueError(f"{name}: columns {twice} stand twice: rename one of each")
  columns = [_values(table[column], f"{name}: {column}") for column in names]
  return (
      dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)
  )


def _values(column: Any, place: str) -> list[Any]:
  """Values of a column, a `pyarrow.ChunkedArray`."""
  try:
    values = column.to_pylist()
  except UnicodeDecodeError as error:
    raise ValueError(f"{place} is not UTF-8 ({error}): {_REMEDY}") from error
  # As a Python float, 0.1 of float32 would be 0.10000000149011612.
  short = {"float": np.float32, "halffloat": np.float16}.get(str(column.type))
  if short is None:
    return values
  return [None if value is None else short(value) for value in values]
