"""Rows of text: checks that every data set goes through, and a fingerprint."""

from collections.abc import Mapping
from collections.abc import Sequence
import hashlib
import json

Row = Mapping[str, str]

# Share of a split's rows below which those that cannot be used are left out.
MAX_UNUSABLE = 0.005
_MAX_LISTED = 20


def fingerprint(rows: Sequence[Row]) -> str:
  """SHA-256 over the rows in their order; columns may stand in any order."""
  digest = hashlib.sha256()
  for row in rows:
    # JSON has no raw line feeds, so no two lists of rows give the same bytes.
    line = json.dumps(dict(row), sort_keys=True, ensure_ascii=True)
    digest.update(line.encode("ascii") + b"\n")
  return digest.hexdigest()


def normalize_text(text: str) -> str:
  """The text in lower case with single spaces: what makes two problems one."""
  return " ".join(text.casefold().split())


def check_unique_ids(splits: Mapping[str, Sequence[Row]]) -> None:
  """Raises ValueError for an id that two rows share, in any splits."""
  seen: dict[str, str] = {}
  for split, rows in splits.items():
    for row in rows:
      if row["id"] in seen:
        raise ValueError(
            f"id {row['id']!r} is used twice, in split {seen[row['id']]!r} and"
            f" in {split!r}"
        )
      seen[row["id"]] = split


def check_counts(
    splits: Mapping[str, Sequence[Row]],
    expected: Mapping[str, int],
    what: str,
) -> None:
  """Raises ValueError unless each split has as many rows as expected.

  Args:
    splits: rows by split.
    expected: number of rows by split; there may be no other splits.
    what: the data set and where it was read, for the error message.
  """
  found = {split: len(rows) for split, rows in splits.items()}
  if found != dict(expected):
    raise ValueError(
        f"{what}: found {_counts(found)}, expected {_counts(expected)}: the"
        " files are not the published ones, or not all of them"
    )


def _counts(counts: Mapping[str, int]) -> str:
  return ", ".join(f"{count} {split}" for split, count in counts.items())


def check_answers(
    splits: Mapping[str, Sequence[Row]], what: str, fault: str
) -> None:
  """Raises ValueError if too many rows of a split have '' as their answer.

  A few are faults of the published files, many mean that the files are others.

  Args:
    splits: rows with a column `answer` by split.
    what: the data set and where it was read, for the error message.
    fault: what rows without an answer have in common.
  """
  for split, rows in splits.items():
    names = [row["id"] for row in rows if not row["answer"]]
    if is_too_many(len(names), len(rows)):
      raise ValueError(
          f"{what}: {len(names)} of {len(rows)} rows of {split} cannot be used,"
          f" {listed(names)}: {fault}. Fetch the files again, or correct these"
          " rows in them"
      )


def is_too_many(count: int, total: int) -> bool:
  """Tells whether a share of unusable rows is more than a few faults."""
  return count > 0 and count >= MAX_UNUSABLE * total


def listed(names: Sequence[str]) -> str:
  """Names for a line of text, the first 20 of many."""
  shown = ", ".join(names[:_MAX_LISTED])
  more = len(names) - _MAX_LISTED
  return f"{shown} and {more} more" if more > 0 else shown
