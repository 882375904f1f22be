r"""MATH in the split of Lightman et al.: 12,000 to train on, 500 to test on.

From the files of that split, or from the original 7,500 + 5,000: the 500 are
some of the 5,000, and the other 4,500 join the training problems.
"""

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import re

from etils import epath

from score_jax.datasets import tables
from score_jax.datasets.rows import Row
from score_jax.datasets.rows import check_counts

COLUMNS = ("id", "problem", "answer", "solution", "level", "subject")
COUNTS = {"train": 12_000, "test": 500}
ORIGINAL_COUNTS = {"train": 7_500, "test": 5_000}
INSTRUCTIONS = (
    "MATH: take train.jsonl and test.jsonl from github.com/openai/prm800k"
    " (prm800k/math_splits, stored with git lfs) and put them in"
    " <manual_dir>/math/. Or put that test.jsonl alone there (MATH-500 from the"
    " Hugging Face hub is the same file) and the directory MATH, with train"
    " and test in it, of the archive that github.com/hendrycks/math links to"
)

_BOX = re.compile(r"\\(?:boxed|fbox)(?![a-zA-Z])\s*")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)


def read(
    manual_dir: epath.Path,
    counts: Mapping[str, int],
    original_counts: Mapping[str, int],
) -> dict[str, list[Row]]:
  """Rows of train and test.

  Args:
    manual_dir: holds a directory `math`, with the files that INSTRUCTIONS
      names.
    counts: number of rows that each split must have.
    original_counts: number of rows that each original split must have, where
      the original files are read.

  Raises:
    ValueError: files that are missing, or not the published ones.
  """
  folder = manual_dir / "math"
  tree, train, test = (
      folder / "MATH",
      folder / "train.jsonl",
      folder / "test.jsonl",
  )
  if tree.is_dir() and not train.exists():
    tables.require_files([test], INSTRUCTIONS)
    original = {split: _read_tree(tree, split) for split in original_counts}
    check_counts(original, original_counts, f"the original MATH in {tree}")
    splits = _resplit(original, _read_lines(test))
  else:
    tables.require_files([train, test], INSTRUCTIONS)
    splits = {"train": _read_lines(train), "test": _read_lines(test)}
  check_counts(splits, counts, f"MATH in {folder}")
  return splits


def boxed_answer(solution: str) -> str | None:
  r"""The content of the last \boxed{...} or \fbox{...} of a solution.

  Without braces, as in '$\boxed 5$', the content ends at the next $.
  """
  boxes = list(_BOX.finditer(solution))
  if not boxes:
    return None
  rest = solution[boxes[-1].end() :]
  if not rest.startswith("{"):
    return rest.partition("$")[0].strip() or None
  depth = 0
  for brace in _BRACE.finditer(rest):
    depth += {"{": 1, "}": -1}.get(brace.group(), 0)
    if depth == 0:
      return rest[1 : brace.start()].strip() or None
  return None


def _read_lines(path: epath.Path) -> list[Row]:
  names = {column: column for column in COLUMNS} | {"id": "unique_id"}
  return [
      {column: tables.text_of(record, name) for column, name in names.items()}
      for record in tables.read_records(path)
  ]


def _read_tree(tree: epath.Path, split: str) -> list[Row]:
  """Problems of <tree>/<split>/<subject>/<number>.json, in that order."""
  files = (tree / split).glob("*/*.json")
  ordered = sorted(files, key=lambda f: (f.parent.name, _number(f)))
  return [_tree_row(file, split) for file in ordered]


def _number(file: epath.Path) -> int:
  if not re.fullmatch("[0-9]+", file.stem):
    raise ValueError(f"{file}: expected a number as name, like 12.json")
  return int(file.stem)


def _tree_row(file: epath.Path, split: str) -> Row:
  record = tables.parse_json_object(tables.read_bytes(file), str(file))
  solution = tables.text_of(record, "solution")
  answer = boxed_answer(solution)
  if answer is None:
    raise ValueError(rf"{file}: no answer in \boxed{{...}}: {solution!r}")
  return {
      # The form of the unique_id of the other files.
      "id": f"{split}/{file.parent.name}/{file.name}",
      "problem": tables.text_of(record, "problem"),
      "answer": answer,
      "solution": solution,
      "level": tables.text_of(record, "level").removeprefix("Level "),
      "subject": tables.text_of(record, "type"),
  }


def _resplit(
    original: Mapping[str, Sequence[Row]], held_out: Sequence[Row]
) -> dict[str, list[Row]]:
  """The split of Lightman et al.: test problems not held out join train."""
  chosen = _find(original["test"], held_out)
  rest = [row for row in original["test"] if row["id"] not in chosen]
  return {"train": [*original["train"], *rest], "test": list(held_out)}


def _find(rows: Sequence[Row], wanted: Iterable[Row]) -> set[str]:
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
        f" the first is {missing[0]!r}"
    )
  return found


def _squeeze(text: str) -> str:
  return " ".join(text.split())
