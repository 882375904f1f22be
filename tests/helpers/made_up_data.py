"""Made-up rows in files of the forms in which MATH and MBPP are published."""

import json
import pathlib


def write_math(manual_dir: str) -> None:
  """12,000 and 500 sums, as train.jsonl and test.jsonl of the paper's split."""
  folder = pathlib.Path(manual_dir, "math")
  folder.mkdir(parents=True)
  for split, start, stop in (("train", 0, 12_000), ("test", 12_000, 12_500)):
    rows = [_math_row(split, i) for i in range(start, stop)]
    _write_lines(folder / f"{split}.jsonl", rows)


def write_mbpp(manual_dir: str) -> None:
  """974 tasks with three asserts each, as mbpp.jsonl."""
  folder = pathlib.Path(manual_dir, "mbpp")
  folder.mkdir(parents=True)
  rows = [_mbpp_row(i) for i in range(1, 975)]
  _write_lines(folder / "mbpp.jsonl", rows)


def _write_lines(path: pathlib.Path, rows: list[dict]) -> None:
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
