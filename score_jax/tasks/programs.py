"""Finds the programs in attempts, and the problems that can be judged."""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
from typing import Any

from score_jax.grading import sandbox
from score_jax.grading.errors import GraderError
from score_jax.grading.errors import UnjudgeableTestsError
from score_jax.grading.sandbox import CodeGrader
from score_jax.tasks.program_text import extract_program
from score_jax.tasks.python_source import join
from score_jax.types import CodeProblem
from score_jax.types import Grade


@dataclasses.dataclass(frozen=True)
class ProgramGrader:
  """Runs the programs of attempts against their problems' tests.

  Attributes:
    grader: the sandbox.
  """

  grader: CodeGrader

  def demonstration(self, problem: CodeProblem) -> str:
    """The problem's own program, between the marks that are asked for."""
    return f"[BEGIN]\n{problem.answer.strip()}\n[DONE]"

  def grade(
      self, problems: Sequence[CodeProblem], completions: Sequence[str]
  ) -> list[Grade]:
    """Grades attempts by their problems' tests; `answer` is the program."""
    programs = [
        extract_program(text, problem.entry_point)
        for problem, text in zip(problems, completions, strict=True)
    ]
    grades = self.run(problems, programs)
    return [
        dataclasses.replace(grade, answer=program)
        for grade, program in zip(grades, programs, strict=True)
    ]

  def run(
      self, problems: Sequence[CodeProblem], programs: Sequence[str | None]
  ) -> list[Grade]:
    """Grades programs as they are; None stands for an attempt without one."""
    solutions = [
        None if program is None else join(problem.preamble, program)
        for problem, program in zip(problems, programs, strict=True)
    ]
    return self.grader.grade(
        solutions,
        [join(problem.preamble, problem.tests) for problem in problems],
        [problem.entry_point for problem in problems],
    )

  def provenance(self) -> Mapping[str, Any]:
    return {"sandbox_tier": self.grader.tier.value}

  def close(self) -> None:
    self.grader.close()


def split_by_judgeability(
    problems: Sequence[CodeProblem], grader: ProgramGrader
) -> tuple[list[CodeProblem], dict[str, list[str]]]:
  """Leaves out problems whose verdict would mean nothing.

  Tests run in another process than the program, and only plain data crosses
  between the two. So tests that build objects of the program's own classes, or
  that hand objects of their own to it, cannot be judged. Nor can tests that
  pass without a call of the function: every program would be right. Nor can
  tests that the data set's own program fails, because it was written for
  another version of Python.

  Args:
    problems: the problems of a split.
    grader: runs the data set's own program of each problem.

  Returns:
    The problems that are kept, and the names of the others by reason.

  Raises:
    GraderError: not one program passes: something is wrong with the sandbox.
    ValueError: a program meets the limit of time or memory. If it were left
      out, the data would depend on the machine.
  """
  own_names, rest = [], []
  for p in problems:
    tests = join(p.preamble, p.tests)
    is_own = sandbox.needs_solution_names(tests, p.entry_point)
    (own_names if is_own else rest).append(p)
  rest, grades, unjudgeable = _grade_own_programs(rest, grader)
  _check_limits(rest, grades)
  passing, failing = [], []
  for p, grade in zip(rest, grades, strict=True):
    (passing if grade.is_correct else failing).append(p)
  if rest and not passing:
    raise GraderError(
        f"none of the {len(rest)} data set's own programs passes its tests; the"
        f" first one: {grades[0].status}"
    )
  left_out = {
      "tests_use_the_programs_own_classes": [p.source_id for p in own_names],
      **unjudgeable,
      "own_program_fails": [p.source_id for p in failing],
  }
  return passing, left_out


def _check_limits(
    problems: Sequence[CodeProblem], grades: Sequence[Grade]
) -> None:
  limited = [
      f"{problem.source_id} ({grade.status})"
      for problem, grade in zip(problems, grades, strict=True)
      if grade.status in ("timeout", "memory")
  ]
  if limited:
    raise ValueError(
        f"{len(limited)} of {len(problems)} own programs of the data set meet a"
        f" limit: {', '.join(limited[:20])}. Raise task.grader.timeout_s or"
        " memory_mb, or leave them out by name with task.exclude"
    )


def _grade_own_programs(
    problems: list[CodeProblem], grader: ProgramGrader
) -> tuple[list[CodeProblem], list[Grade], dict[str, list[str]]]:
  """Problems with their own programs' grades, and those without a verdict."""
  uncalled, indices = (), ()
  try:
    grades = grader.run(problems, [p.answer for p in problems])
  except UnjudgeableTestsError as error:
    uncalled, indices = error.uncalled, error.indices
  kept = [p for i, p in enumerate(problems) if i not in indices]
  if indices:
    grades = grader.run(kept, [p.answer for p in kept])
  names = [p.source_id for p in problems]
  return (
      kept,
      grades,
      {
          "tests_pass_more_than_plain_data": [
              names[i] for i in indices if i not in uncalled
          ],
          "tests_never_call_the_function": [names[i] for i in uncalled],
      },
  )
