"""The interface between a task and everything else."""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import Protocol

from score_jax.types import Grade
from score_jax.types import Problem


class Task(Protocol):
  """Problems with prompts and an exact, binary grader.

  A task is text in and text out: it knows nothing of tokens or models.

  Attributes:
    name: short name for logs and for the manifest of a run.
    correction_prompt: the instruction that asks for another attempt. It is one
      constant text: it cannot depend on the first attempt, so it cannot tell
      whether that was right.
  """

  name: str
  correction_prompt: str

  def problems(self, split: str) -> Sequence[Problem]:
    """All problems of 'train', 'validation' or 'test', always in one order."""
    ...

  def first_prompt(self, problem: Problem) -> str:
    """The text that asks for the first attempt."""
    ...

  def demonstration(self, problem: Problem, attempt: int) -> str:
    """A right attempt, as the grader reads it: what a warm-up teaches.

    Args:
      problem: one of the task's problems.
      attempt: which attempt, from 1; a task may show more work in later ones.
    """
    ...

  def grade(
      self, problems: Sequence[Problem], completions: Sequence[str]
  ) -> list[Grade]:
    """Judges attempts, each by its own text and nothing but that text.

    Args:
      problems: N problems.
      completions: one attempt at each problem, as text, without its prompt.

    Returns:
      N grades, in the order of the problems.

    Raises:
      GraderError: the grader itself failed. It is never a grade.
    """
    ...

  def provenance(self) -> Mapping[str, Any]:
    """Facts about data and grader for the manifest of a run, JSON values."""
    ...

  def close(self) -> None:
    """Ends the grader's processes, where it has some."""
    ...
