r"""MATH in the split of Lightman et al.: 12,000 to train on, 500 to test on.

From files of that split, or from the original 7,500 + 5,000: the 500 are some
of the 5,000, and the other 4,500 join the training problems.
"""

from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import re

from etils import epath

from score_jax.datasets import math_500
from score_jax.datasets import math_faults
from score_jax.datasets import math_rows
from score_jax.datasets import published_files
from score_jax.datasets import tables
from score_jax.datasets.rows import Row
from score_jax.datasets.rows import check_answers
from score_jax.datasets.rows import check_counts

COLUMNS = math_rows.COLUMNS
COUNTS = {"train": 12_000, "test": 500}
ORIGINAL_COUNTS = {"train": 7_500, "test": 5_000}
INSTRUCTIONS = (
    "MATH: take train.jsonl and test.jsonl from github.com/openai/prm800k"
    " (prm800k/math_splits, stored with git lfs) and put them in"
    " <manual_dir>/math/. Or put the directory MATH there, with train and test"
    " in it, of the archive that github.com/hendrycks/math links to. Parquet"
    " copies of the Hugging Face hub will do for either; copies of the original"
    " files need MATH-500 (of the hub too) beside them, as math500.jsonl"
)

# MATH-500 by a name of its own, beside original files that are called test.
_HELD_OUT = re.compile(r"math[-_]?500", re.IGNORECASE)

Records = list[tables.Record]


@dataclasses.dataclass
class _Found:
  """What lies in the directory of MATH.

  Attributes:
    tree: files with one problem each, by their split.
    chosen: records of files with a column of answers, as those of the later
      split have, by split.
    original: records of files without one, by split.
  """

  tree: dict[str, list[epath.Path]]
  chosen: dict[str, Records]
  original: dict[str, Records]


def read(
    manual_dir: epath.Path,
    counts: Mapping[str, int],
    original_counts: Mapping[str, int],
) -> dict[str, list[Row]]:
  """Rows of train and test, with known faults corrected (`math_faults`).

  The answer of a row is '' where its file states none.

  Args:
    manual_dir: holds a directory `math`, with the files that INSTRUCTIONS
      names.
    counts: number of rows that each split must have.
    original_counts: number of rows that each original split must have, where
      the original files are read.

  Raises:
    ValueError: files that are missing, or not the published ones, or too many
      rows without an answer.
  """
  folder = manual_dir / "math"
  what = f"MATH in {folder}"
  splits = _splits(_find(folder, counts), folder, counts, original_counts)
  check_counts(splits, counts, what)
  corrected = {
      split: [math_faults.correct(row) for row in rows]
      for split, rows in splits.items()
  }
  check_answers(corrected, what, r"no answer in \boxed{...}")
  return corrected


def _splits(
    found: _Found,
    folder: epath.Path,
    counts: Mapping[str, int],
    original_counts: Mapping[str, int],
) -> dict[str, list[Row]]:
  """Rows of the paper's split, however many there are."""
  tabled = {
      split: [*found.original.get(split, []), *found.chosen.get(split, [])]
      for split in counts
  }
  for split, records in tabled.items():
    if not records and not found.tree:
      raise _missing(folder, split)
  is_split = {s: len(records) for s, records in tabled.items()} == dict(counts)
  if is_split or not (found.tree or "train" in found.original):
    # Some copies of the split hold the solutions, without a column of answers.
    return _tabled_rows(tabled, "math")
  chosen = _tabled_rows(found.chosen, "math")
  if "train" in chosen:
    if "test" not in chosen:
      raise _missing(folder, "test")
    return chosen
  original = _original_rows(found)
  if not (chosen or found.tree):
    raise ValueError(
        f"{folder} holds the original MATH, but not the problems of the test:"
        f" put MATH-500 there, as math500.jsonl. {INSTRUCTIONS}"
    )
  held_out = chosen.get("test") or _named(original, folder)
  pool = {"train": sum(original_counts.values())}
  check_counts(
      original,
      original_counts if "test" in original else pool,
      f"the original MATH in {folder}",
  )
  return _resplit(original, held_out)


def _missing(folder: epath.Path, split: str) -> ValueError:
  return ValueError(f"there is no file {folder / split}.jsonl. {INSTRUCTIONS}")


def _named(
    original: Mapping[str, Sequence[Row]], folder: epath.Path
) -> list[Row]:
  """The problems of the test, by their names in the original tree."""
  by_name = {row["id"]: row for rows in original.values() for row in rows}
  names = math_500.names()
  if not by_name.keys() >= set(names):
    raise _missing(folder, "test")
  return [by_name[name] for name in names]


def _find(folder: epath.Path, splits: Collection[str]) -> _Found:
  """Finds the files, and reads those that hold many problems each.

  Raises:
    ValueError: a file that is none of MATH's, or one that cannot be read.
  """
  found = _Found({}, {}, {})
  # Copies of the Hugging Face hub may have a directory for each subject.
  tabled: dict[tuple[epath.Path, str], list[epath.Path]] = {}
  for file in published_files.below(folder):
    of_tree = file.parent.parent.name
    if _HELD_OUT.fullmatch(file.name.partition(".")[0]):
      found.chosen.setdefault("test", []).extend(tables.read_records(file))
    elif split := published_files.split_of(file, splits):
      tabled.setdefault((file.parent, split), []).append(file)
    elif of_tree in splits and file.name.endswith(".json"):
      found.tree.setdefault(of_tree, []).append(file)
    else:
      raise published_files.unknown(file, INSTRUCTIONS)
  for (_, split), files in tabled.items():
    records = published_files.read_split(files, INSTRUCTIONS)
    has_answers = "answer" in records[0].values
    kind = found.chosen if has_answers else found.original
    kind.setdefault(split, []).extend(records)
  return found


def _tabled_rows(
    splits: Mapping[str, Records], prefix: str
) -> dict[str, list[Row]]:
  """Rows of tables; those without names are numbered: math-test-00012."""
  return {
      split: [
          math_rows.make_row(record, f"{prefix}-{split}-{i:05d}")
          for i, record in enumerate(records)
      ]
      for split, records in splits.items()
  }


def _original_rows(found: _Found) -> dict[str, list[Row]]:
  """Rows of the original splits; a few copies have all problems in train."""
  if not found.tree:
    return _tabled_rows(found.original, "original")
  return {
      split: [
          _tree_row(file, split)
          for file in sorted(
              found.tree[split], key=lambda f: (f.parent.name, _number(f))
          )
      ]
      for split in ("train", "test")
      if split in found.tree
  }


def _number(file: epath.Path) -> int:
  if not re.fullmatch("[0-9]+", file.stem):
    raise ValueError(
        f"{file}: expected a number as name, like 12.json: move other files"
        " elsewhere"
    )
  return int(file.stem)


def _tree_row(file: epath.Path, split: str) -> Row:
  # The name has the form of the unique_id of the other files.
  return math_rows.make_row(
      tables.parse_json_object(tables.read_bytes(file), str(file)),
      f"{split}/{file.parent.name}/{file.name}",
  )


def _resplit(
    original: Mapping[str, Sequence[Row]], held_out: Sequence[Row]
) -> dict[str, list[Row]]:
  """The split of Lightman et al.: test problems not held out join train."""
  first, pool = original["train"], original.get("test")
  if pool is None:
    first, pool = [], first
  chosen = _held_out(pool, held_out)
  rest = [row for row in pool if row["id"] not in chosen]
  return {"train": [*first, *rest], "test": list(held_out)}


def _held_out(rows: Sequence[Row], wanted: Iterable[Row]) -> set[str]:
  """Ids of the rows whose problem texts are wanted, one for each of them."""
  by_text: dict[str, list[str]] = {}
  for row in rows:
    by_text.setdefault(_squeeze(row["problem"]), []).append(row["id"])
  found, missing = set(), []
  for row in wanted:
    same = by_text.get(_squeeze(row["problem"]), [])
    # One text can be two problems of the data set; then the name decides.
    same.sort(key=lambda name: name != row["id"])
    if same:
      found.add(same.pop(0))
    else:
      missing.append(row["id"])
  if missing:
    raise ValueError(
        f"MATH: {len(missing)} of {len(missing) + len(found)} problems of"
        f" test.jsonl are not among the {len(rows)} of the original test split,"
        f" the first is {missing[0]!r}: the files belong to other splits"
    )
  return found


def _squeeze(text: str) -> str:
  return " ".join(text.split())
