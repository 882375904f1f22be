"""The interface between a task and everything else."""

from collections.abc import Sequence
from typing import Protocol

from score_jax.types import Grade
from score_jax.types import Problem


class Task(Protocol):
  """Problems with prompts and an exact, binary grader.

  A task is text in and text out: it knows nothing of tokens or models.

  Attributes:
    name: short name for logs and manifests.
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

  def grade(self, problem: Problem, completion: str) -> Grade:
    """Judges the text of one attempt, and nothing but that text."""
    ...
