"""Which files below a directory hold the splits of a published data set."""

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
import os
import re

from etils import epath

from score_jax.datasets import tables

# What stands beside the data: descriptions, loading scripts of the hub,
# archives whose content is there too, and what systems leave in any directory.
_NOTES = re.compile(
    r"\..*|(?:README|LICEN[CS]E|NOTICE|CITATION|CHANGELOG)(?:\.(?:md|txt|rst))?"
    r"|.*\.(?:py|tar|tgz|zip|tar\.gz)"
    r"|dataset_infos?\.json|__MACOSX|Thumbs\.db|desktop\.ini",
    re.IGNORECASE,
)
# train.jsonl, or train-00000-of-00002-0123abcd.parquet of the Hugging Face hub.
_NAME = re.compile(
    r"(?P<split>[a-z]+)(?:-(?P<number>[0-9]{5})-of-(?P<total>[0-9]{5})"
    r"(?:-[0-9a-f]+)?)?"
)


def below(folder: epath.Path) -> list[epath.Path]:
  """All files below a directory, sorted, but for notes and hidden ones."""
  with tables.needs_gcsfs(folder):
    return sorted(_walk(folder)) if folder.is_dir() else []


def split_of(file: epath.Path, splits: Iterable[str]) -> str | None:
  """The split that the name of a file states; None if it states none."""
  match = _NAME.fullmatch(_stem(file) or "")
  return match["split"] if match and match["split"] in set(splits) else None


def read_split(
    files: Sequence[epath.Path], instructions: str
) -> list[tables.Record]:
  """Rows of one split from its only file, or from all of its parts in order.

  Args:
    files: at least one, that `split_of` found to hold the split, sorted.
    instructions: what to fetch and where to put it, for error messages.

  Raises:
    ValueError: there are several files that are not the parts of one table, or
      parts are missing, or a file cannot be read.
  """
  names = [_NAME.fullmatch(_stem(file)) for file in files]
  totals = {match["total"] for match in names}
  if len(files) > 1 and (None in totals or len(totals) > 1):
    raise ValueError(
        f"one split is in several files, {_listed(files)}: keep one of them"
    )
  total = int(names[0]["total"] or 1)
  if [int(match["number"] or 0) for match in names] != list(range(total)):
    raise ValueError(
        f"{_listed(files)}: expected {total} parts, found"
        f" {len(files)}. {instructions}"
    )
  return [record for file in files for record in tables.read_records(file)]


def read_splits(
    folder: epath.Path,
    splits: Iterable[str],
    instructions: str,
    passed_over: Iterable[str] = (),
) -> dict[str, list[tables.Record]]:
  """Rows of each split of a data set that one directory holds.

  Args:
    folder: the directory; the files may lie in directories of their own.
    splits: names of the splits.
    instructions: what to fetch and where to put it, for error messages.
    passed_over: names of files and directories that are published beside the
      data and are not read.

  Raises:
    ValueError: a file is missing or broken, or is none of the known ones.
  """
  found: dict[str, list[epath.Path]] = {split: [] for split in splits}
  skipped = set(passed_over)
  for file in below(folder):
    parts = set(file.relative_to(folder).parts)
    if parts & skipped:
      continue
    split = split_of(file, found)
    if split is None:
      raise unknown(file, instructions)
    found[split].append(file)
  for split, files in found.items():
    if not files:
      raise ValueError(
          f"there is no file {folder / split}.jsonl. {instructions}"
      )
  return {
      split: read_split(files, instructions) for split, files in found.items()
  }


def unknown(file: epath.Path, instructions: str) -> ValueError:
  """The error for a file that is none of those of a data set."""
  return ValueError(
      f"{file} is none of the files of the data set: move it elsewhere, or"
      f" rename it. {instructions}"
  )


def _walk(folder: epath.Path) -> Iterator[epath.Path]:
  for entry in folder.iterdir():
    if _NOTES.fullmatch(entry.name):
      continue
    if entry.is_dir():
      yield from _walk(entry)
    else:
      yield entry


def _stem(file: epath.Path) -> str | None:
  """The name without the ending; None where tables cannot read the file."""
  for ending in tables.ENDINGS:
    if file.name.endswith(ending):
      return file.name.removesuffix(ending)
  return None


def _listed(files: Sequence[epath.Path]) -> str:
  return " and ".join(os.fspath(file) for file in files)
