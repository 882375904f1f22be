"""MBPP as it is published: all problems, or the ones checked by hand.

Some of them no run can use. A run leaves them out when it starts
(tasks.programs), and its manifest names them:

  problem           why
  full 367          tests build the tree that the program defines
  full 601, 927     likewise, a list of pairs and a tree
  both 596          tests use sys, which the program imports

Where MBPP's own test split is the test, problems with the text of one of its
problems are left out too: full 602, 704 and 872 of train, sanitized 569 of
validation.

The program of 123 takes some 3 seconds: where task.grader.timeout_s is too
short for it, the run is refused, not changed.
"""

import ast
import collections
from collections.abc import Iterator
import warnings

from etils import epath

from score_jax.datasets import published_files
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
    " them in <manual_dir>/mbpp/. The directories full and sanitized of the"
    " Hugging Face hub (google-research-datasets/mbpp), with parquet files,"
    " will do as well"
)
# The file that holds all problems of a form, and its usual ending. The Hugging
# Face hub has a directory of the form's name instead, with a file a split.
_WHOLE = {"full": ("mbpp", ".jsonl"), "sanitized": ("sanitized-mbpp", ".json")}


def read_full(manual_dir: epath.Path) -> dict[str, list[Row]]:
  """Rows of the four splits of all problems; `setup` runs before the tests.

  The tests are those of `test_list`; no `challenge_test_list` is used.
  """
  return _split(_row(r) for r in _read(manual_dir, "full"))


def read_sanitized(manual_dir: epath.Path) -> dict[str, list[Row]]:
  """Rows of the four splits of the problems that were checked by hand.

  Their texts are clearer, and some of their tests were corrected.
  """
  records = _read(manual_dir, "sanitized")
  return _split(_row(r) for r in records)


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


def _read(manual_dir: epath.Path, form: str) -> list[tables.Record]:
  """Records of one of the two forms; both may lie in the same directory."""
  folder = manual_dir / "mbpp"
  whole, parts = [], collections.defaultdict(list)
  for file in published_files.below(folder):
    found, split = _form_of(file), published_files.split_of(file, SPLITS)
    if found is None:
      raise published_files.unknown(file, INSTRUCTIONS)
    if found == form and split:
      parts[split].append(file)
    elif found == form:
      whole.append(file)
  if len(whole) == 1 and not parts:
    return tables.read_records(whole[0])
  if whole:
    others = [*whole[1:], *sum(parts.values(), [])]
    raise ValueError(f"{whole[0]} and {others[0]}: keep one of them")
  if not parts:
    name = folder / "".join(_WHOLE[form])
    raise ValueError(f"there is no file {name}. {INSTRUCTIONS}")
  return [
      record
      for files in parts.values()
      for record in published_files.read_split(files, INSTRUCTIONS)
  ]


def _form_of(file: epath.Path) -> str | None:
  """The form that a file belongs to; None for files that are not MBPP's."""
  if published_files.split_of(file, SPLITS):
    return file.parent.name if file.parent.name in _WHOLE else None
  stems = {stem: form for form, (stem, _) in _WHOLE.items()}
  return stems.get(file.name.partition(".")[0])


def _split(rows: Iterator[Row]) -> dict[str, list[Row]]:
  ordered = sorted(rows, key=lambda row: int(row["task_id"]))
  return {
      split: [r for r in ordered if first <= int(r["task_id"]) <= last]
      for split, (first, last) in SPLITS.items()
  }


def _row(record: tables.Record) -> Row:
  # The two forms differ in the names of columns.
  text = "prompt" if "prompt" in record.values else "text"
  setup = []
  if record.values.get("test_setup_code"):
    setup.append(tables.text_of(record, "test_setup_code"))
  if "test_imports" in record.values:
    setup += tables.texts_of(record, "test_imports")
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
      "text": tables.text_of(record, text),
      "code": code,
      "tests": "\n".join(tests),
      "setup": "\n".join(setup),
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
