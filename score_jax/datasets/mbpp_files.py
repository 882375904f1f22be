"""MBPP as it is published: all problems, or the ones checked by hand."""

import ast
from collections.abc import Iterator
import warnings

from etils import epath

from score_jax.datasets import tables
from score_jax.datasets.rows import Row

COLUMNS = ("id", "task_id", "text", "code", "tests", "setup", "entry_point")
# First and last task id of each split, from the paper (Austin et al., 2021).
SPLITS = {
    "prompt": (1, 10),
    "test": (11, 510),
    "validation": (511, 600),
    "train": (601, 974),
}
FULL_COUNTS = {"prompt": 10, "test": 500, "validation": 90, "train": 374}
SANITIZED_COUNTS = {"prompt": 7, "test": 257, "validation": 43, "train": 120}
INSTRUCTIONS = (
    "MBPP: take mbpp.jsonl (mbpp_full) and sanitized-mbpp.json (mbpp_sanitized)"
    " from github.com/google-research/google-research/tree/master/mbpp and put"
    " them in <manual_dir>/mbpp/"
)


def read_full(manual_dir: epath.Path) -> dict[str, list[Row]]:
  """Rows of the four splits of all problems; `setup` runs before the tests."""
  records = _read(manual_dir / "mbpp" / "mbpp.jsonl")
  return _split(
      _row(r, tables.text_of(r, "text"), tables.text_of(r, "test_setup_code"))
      for r in records
  )


def read_sanitized(manual_dir: epath.Path) -> dict[str, list[Row]]:
  """Rows of the four splits of the problems that were checked by hand.

  Their texts are clearer, and some of their tests were corrected.
  """
  records = _read(manual_dir / "mbpp" / "sanitized-mbpp.json")
  return _split(
      _row(
          r,
          tables.text_of(r, "prompt"),
          "\n".join(tables.texts_of(r, "test_imports")),
      )
      for r in records
  )


def entry_point(code: str, tests: list[str]) -> str | None:
  """The function of a program that its tests are about.

  Args:
    code: the program.
    tests: assert statements.

  Returns:
    The name of the function, among those that the code defines, that most of
    the tests call; on a tie the one that is called first. None if the tests
    call none of them.
  """
  defined = _defined_names(code)
  calls = [[n for n in _called_names(t) if n in defined] for t in tests]
  in_order = list(dict.fromkeys(name for names in calls for name in names))
  # max takes the first of those that are equal.
  return max(
      in_order,
      key=lambda name: sum(name in names for names in calls),
      default=None,
  )


def _read(file: epath.Path) -> list[tables.Record]:
  tables.require_files([file], INSTRUCTIONS)
  return tables.read_records(file)


def _split(rows: Iterator[Row]) -> dict[str, list[Row]]:
  ordered = sorted(rows, key=lambda row: int(row["task_id"]))
  return {
      split: [r for r in ordered if first <= int(r["task_id"]) <= last]
      for split, (first, last) in SPLITS.items()
  }


def _row(record: tables.Record, text: str, setup: str) -> Row:
  code = tables.text_of(record, "code")
  tests = tables.texts_of(record, "test_list")
  task_id = tables.text_of(record, "task_id")
  if not task_id.isdecimal():
    raise ValueError(f"{record.place}: task_id is {task_id!r}, not a number")
  try:
    name = entry_point(code, tests)
  except SyntaxError as error:
    raise ValueError(f"{record.place}: no Python: {error}") from error
  if name is None:
    raise ValueError(
        f"{record.place}: no test of task {task_id} calls a function that its"
        " code defines"
    )
  return {
      "id": f"mbpp/{task_id}",
      "task_id": task_id,
      "text": text,
      "code": code,
      "tests": "\n".join(tests),
      "setup": setup,
      "entry_point": name,
  }


def _defined_names(code: str) -> set[str]:
  """Names that functions and assignments bind at the top level."""
  names = set()
  for node in _parse(code).body:
    if isinstance(node, ast.FunctionDef):
      names.add(node.name)
    elif isinstance(node, ast.Assign):
      names |= {t.id for t in node.targets if isinstance(t, ast.Name)}
  return names


def _called_names(test: str) -> list[str]:
  """Names of the functions that a test calls, in the order of its text."""
  calls = [
      node.func
      for node in ast.walk(_parse(test))
      if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
  ]
  calls.sort(key=lambda name: (name.lineno, name.col_offset))
  return [name.id for name in calls]


def _parse(source: str) -> ast.Module:
  with warnings.catch_warnings():
    # The data set writes regular expressions as plain, not raw, strings.
    warnings.simplefilter("ignore", DeprecationWarning)
    warnings.simplefilter("ignore", SyntaxWarning)
    return ast.parse(source)
