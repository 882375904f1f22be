"""Made-up rows in files of the forms in which MATH and MBPP are published."""

import json
import pathlib

import pyarrow
from pyarrow import parquet


def write_math(manual_dir: str) -> None:
  """12,000 and 500 sums, as train.jsonl and test.jsonl of the paper's split."""
  folder = pathlib.Path(manual_dir, "math")
  folder.mkdir(parents=True)
  for split, start, stop in (("train", 0, 12_000), ("test", 12_000, 12_500)):
    rows = [_math_row(split, i) for i in range(start, stop)]
    _write_lines(folder / f"{split}.jsonl", rows)


# Problems that are published with an empty box.
EMPTY_BOXES = (
    "train/number_theory/7115.json",
    "train/number_theory/7117.json",
)
# One whose solution states no answer.
NO_BOX = "train/prealgebra/3.json"


def write_published_math(manual_dir: str, layout: str) -> None:
  """12,500 sums in one of the forms in which MATH is published.

  Three of them have the faults of published ones: EMPTY_BOXES and NO_BOX.

  Args:
    manual_dir: directory to make.
    layout: 'tree' (a file for each problem, and the 500 of the test), 'lines'
      (the later split, as JSON lines), 'hub' (the later split, as parquet), or
      'original_hub' (the original splits as parquet, without names).
  """
  folder = pathlib.Path(manual_dir, "math")
  rows = [_faulty(_math_row(s, i)) for s, i in _original_numbers()]
  train, test = rows[:12_000], rows[12_000:]
  if layout == "lines":
    _write_lines(folder / "train.jsonl", train)
    _write_lines(folder / "test.jsonl", test)
  elif layout == "hub":
    _write_parquet(folder / "data/train-00000-of-00001.parquet", train)
    _write_parquet(folder / "data/test-00000-of-00001.parquet", test)
  else:
    _write_lines(folder / "math500.jsonl", test)
    original = {row["unique_id"]: _original_row(row) for row in rows}
    if layout == "tree":
      for name, row in original.items():
        path = folder / "MATH" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(row, indent=4), "utf-8")
      return
    for split in ("train", "test"):
      those = [r for name, r in original.items() if name.startswith(split)]
      path = folder / f"data/{split}-00000-of-00001.parquet"
      _write_parquet(path, those)


def _original_numbers() -> list[tuple[str, int]]:
  return [("train" if i < 7_500 else "test", i) for i in range(12_500)]


def _faulty(row: dict) -> dict:
  """The row, or one with a fault in its place."""
  number = pathlib.PurePath(row["unique_id"]).name
  for name in EMPTY_BOXES:
    if name.endswith(f"/{number}"):
      empty = {"solution": "The answer is $\\boxed{}$.", "answer": None}
      return row | empty | {"unique_id": name, "subject": "Number Theory"}
  if row["unique_id"] == NO_BOX:
    return row | {"solution": "See the figure.", "answer": None}
  return row


def _original_row(row: dict) -> dict:
  """The record of the original files."""
  return {
      "problem": row["problem"],
      "level": f"Level {row['level']}",
      "type": row["subject"],
      "solution": row["solution"],
  }


def write_mbpp(manual_dir: str) -> None:
  """974 tasks with three asserts each, as mbpp.jsonl."""
  folder = pathlib.Path(manual_dir, "mbpp")
  folder.mkdir(parents=True)
  rows = [_mbpp_row(i) for i in range(1, 975)]
  _write_lines(folder / "mbpp.jsonl", rows)


def _write_parquet(path: pathlib.Path, rows: list[dict]) -> None:
  path.parent.mkdir(parents=True, exist_ok=True)
  parquet.write_table(pyarrow.Table.from_pylist(rows), path)


def _write_lines(path: pathlib.Path, rows: list[dict]) -> None:
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def _math_row(split: str, i: int) -> dict:
  a, b = divmod(i, 120)
  return {
      "problem": f"What is {a} plus {b}?",
      "solution": f"The sum is $\\boxed{{{a + b}}}$.",
      "answer": str(a + b),
      "subject": "Prealgebra",
      "level": 1,
      "unique_id": f"{split}/prealgebra/{i}.json",
  }


def _mbpp_row(i: int) -> dict:
  return {
      "task_id": i,
      "text": f"Write a function to add {i} to a number.",
      "code": f"def add_{i}(x):\n  return x + {i}",
      "test_list": [f"assert add_{i}({x}) == {x + i}" for x in (0, 5, -3)],
      "test_setup_code": "",
      "challenge_test_list": [],
  }
