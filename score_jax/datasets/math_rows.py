r"""Rows of MATH from a record of any of its published forms.

All have the columns problem and solution. The original tree and its copies have
`level` ('Level 5') and `type`; those of the later split have `answer`, `level`
(5), `subject` and `unique_id`; short ones have `problem` and `answer` alone.
"""

import re

from score_jax.datasets import tables
from score_jax.datasets.rows import Row

COLUMNS = ("id", "problem", "answer", "solution", "level", "subject")

_BOX = re.compile(r"\\(?:boxed|fbox)(?![a-zA-Z])\s*")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)


def make_row(record: tables.Record, name: str) -> Row:
  """The row of a record.

  Args:
    record: has `problem`, and an `answer` or a `solution`.
    name: the row's id where the record has no `unique_id`.

  Returns:
    The row. Its answer is '' where the record states none; its solution, level
    and subject are '' where the record has no such column.

  Raises:
    ValueError: a column is missing, or a value is no text.
  """
  subject = "subject" if "subject" in record.values else "type"
  solution = _optional(record, "solution")
  return {
      "id": _optional(record, "unique_id") or name,
      "problem": tables.text_of(record, "problem"),
      "answer": _answer(record, solution),
      "solution": solution,
      "level": _optional(record, "level").removeprefix("Level "),
      "subject": _optional(record, subject),
  }


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


def _answer(record: tables.Record, solution: str) -> str:
  if not {"answer", "solution"} & record.values.keys():
    raise ValueError(
        f"{record.place}: there is neither a column 'answer' nor 'solution',"
        f" only {', '.join(record.values)}"
    )
  answer = _optional(record, "answer").strip()
  # So do programs write that they found no box.
  if answer in ("", "None"):
    return boxed_answer(solution) or ""
  return answer


def _optional(record: tables.Record, column: str) -> str:
  """A value as text, '' where the column is absent or the value is null."""
  if record.values.get(column) is None:
    return ""
  return tables.text_of(record, column)
