"""Sums of a few numbers, for a language model that answers at once.

Adding three numbers in one's head is hard for a small model; adding two is not.
A first attempt that has room for the sum alone (rollout.max_new_tokens) is
often a guess, and a second one that has room for the totals on the way can do
better than repeat it.
"""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import functools
import itertools
import re
from typing import Any

import numpy as np

from score_jax.tasks import splits
from score_jax.types import Grade
from score_jax.types import Problem

_CORRECTION_PROMPT = "Look again."
_NUMBER = re.compile(r"[0-9]+")
_MIN_TERM = 2
_DRAWS = 5000


@dataclasses.dataclass(frozen=True)
class RunningSumsTask:
  """Sums of 2 to `max_terms` numbers from 2 to `max_term`.

  As many problems have each number of terms. Splits are consecutive pieces of
  one stream of distinct problems, so no problem is in two of them.

  Attributes:
    max_terms: the largest number of terms of a sum.
    max_term: the largest number in a sum.
    num_test: problems of the test split.
    num_validation: problems of the validation split.
    num_train: problems of the training split.
    seed: seed of the stream; the problems are the same in every run.
    name: short name for logs and for the manifest of a run.
    correction_prompt: the constant text that asks for another attempt.
  """

  max_terms: int
  max_term: int
  num_test: int
  num_validation: int
  num_train: int
  seed: int
  name: str = dataclasses.field(default="running_sums", init=False)
  correction_prompt: str = dataclasses.field(
      default=_CORRECTION_PROMPT, init=False
  )

  def __post_init__(self):
    if not 3 <= self.max_terms <= 9 or not 9 <= self.max_term <= 9999:
      raise ValueError(
          f"max_terms is {self.max_terms} and max_term {self.max_term},"
          " expected 3 to 9 terms (the total of two is the answer) of at most 9"
          " to 9999"
      )
    splits.check_sizes(self._sizes)
    total = sum(self._sizes.values())
    pairs = (self.max_term - _MIN_TERM + 1) ** 2
    # Half of the pairs: drawing the last distinct ones would take long.
    if total > pairs // 2 * (self.max_terms - 1):
      raise ValueError(
          f"{total} distinct problems asked of sums of up to {self.max_terms}"
          f" numbers up to {self.max_term}, of which only {pairs} have two"
          " terms: lower the split sizes, or raise max_term"
      )

  @property
  def _sizes(self) -> dict[str, int]:
    """Problems of each split, in the order in which the stream is cut."""
    return {
        "test": self.num_test,
        "validation": self.num_validation,
        "train": self.num_train,
    }

  def problems(self, split: str) -> Sequence[Problem]:
    """All problems of 'test', 'validation' or 'train'."""
    start, stop = splits.piece(self._sizes, split)
    return self._stream[start:stop]

  def first_prompt(self, problem: Problem) -> str:
    """The question as it is."""
    return problem.question

  def demonstration(self, problem: Problem, attempt: int) -> str:
    """The sum alone; from the second attempt on, the totals up to it."""
    if attempt == 1:
      return problem.answer
    terms = [int(number) for number in _NUMBER.findall(problem.question)]
    totals = list(itertools.accumulate(terms))[1:]
    return " ".join(map(str, totals))

  def grade(
      self, problems: Sequence[Problem], completions: Sequence[str]
  ) -> list[Grade]:
    """Correct if and only if the last number of the attempt is the sum."""
    pairs = zip(problems, completions, strict=True)
    return [_grade(problem.answer, text) for problem, text in pairs]

  def provenance(self) -> Mapping[str, Any]:
    return {}

  def close(self) -> None:
    pass

  @functools.cached_property
  def _stream(self) -> tuple[Problem, ...]:
    total = sum(self._sizes.values())
    counts = range(2, self.max_terms + 1)
    # The numbers of terms in turns, so that every split has equal shares.
    streams = zip(
        *(_distinct(self.seed, n, self.max_term) for n in counts), strict=True
    )
    chosen = itertools.islice(itertools.chain.from_iterable(streams), total)
    return tuple(_problem(i, terms) for i, terms in enumerate(chosen))


def _distinct(
    seed: int, count: int, max_term: int
) -> Iterator[tuple[int, ...]]:
  """Yields distinct draws of `count` terms; more than are taken must exist."""
  rng = np.random.default_rng([seed, count])
  seen = set()
  while True:
    drawn = rng.integers(_MIN_TERM, max_term + 1, (_DRAWS, count))
    for terms in map(tuple, drawn.tolist()):
      if terms not in seen:
        seen.add(terms)
        yield terms


def _problem(id: int, terms: Sequence[int]) -> Problem:
  return Problem(
      id=id,
      question=f"What is {' + '.join(map(str, terms))}?",
      answer=str(sum(terms)),
      difficulty=f"{len(terms)} terms",
  )


def _grade(answer: str, completion: str) -> Grade:
  numbers = _NUMBER.findall(completion)
  if not numbers:
    return Grade(False, "no_answer", None)
  is_correct = numbers[-1] == answer
  return Grade(is_correct, "correct" if is_correct else "wrong", numbers[-1])
