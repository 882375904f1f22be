"""Addition of two numbers, for a language model that answers at once.

Written from the left, each digit of a sum depends on the carries of all columns
behind it, which a small model often gets wrong. Once the sum of every column is
written down, each carry is in sight. A first attempt that has room for the sum
alone (rollout.max_new_tokens) is a guess; a second one that has room for the
columns can do better than repeat it.
"""

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
_DRAWS = 5000


@dataclasses.dataclass(frozen=True)
class ColumnAdditionTask:
  """Sums of two numbers of `num_digits` digits.

  Splits are consecutive pieces of one stream of distinct problems, so no
  problem is in two of them.

  Attributes:
    num_digits: digits of each number.
    num_test: problems of the test split.
    num_validation: problems of the validation split.
    num_train: problems of the training split.
    seed: seed of the stream; the problems are the same in every run.
    name: short name for logs and for the manifest of a run.
    correction_prompt: the constant text that asks for another attempt.
  """

  num_digits: int
  num_test: int
  num_validation: int
  num_train: int
  seed: int
  name: str = dataclasses.field(default="column_addition", init=False)
  correction_prompt: str = dataclasses.field(
      default=_CORRECTION_PROMPT, init=False
  )

  def __post_init__(self):
    if not 2 <= self.num_digits <= 9:
      raise ValueError(f"num_digits is {self.num_digits}, expected 2 to 9")
    splits.check_sizes(self._sizes)
    total, pairs = sum(self._sizes.values()), (9 * 10**self._places) ** 2
    # Drawing the last distinct ones would take long.
    if total > pairs // 2:
      raise ValueError(
          f"{total} distinct problems asked of {pairs} sums of two numbers of"
          f" {self.num_digits} digits: lower the split sizes, or raise"
          " num_digits"
      )

  @property
  def _places(self) -> int:
    """Columns behind the first one."""
    return self.num_digits - 1

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
    """The sum alone; from the second attempt on, its columns and the sum."""
    if attempt == 1:
      return problem.answer
    first, second = (int(n) for n in _NUMBER.findall(problem.question))
    sums = column_sums(first, second, self.num_digits)
    return " ".join([*map(str, sums), problem.answer])

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
    rng = np.random.default_rng(self.seed)
    pairs: dict[tuple[int, int], None] = {}
    # Drawn in pieces of one size, so that a larger total leaves the first
    # problems as they are.
    while len(pairs) < total:
      drawn = rng.integers(10**self._places, 10**self.num_digits, (_DRAWS, 2))
      pairs |= dict.fromkeys(map(tuple, drawn.tolist()))
    return tuple(
        _problem(i, first, second, self.num_digits)
        for i, (first, second) in enumerate(itertools.islice(pairs, total))
    )


def column_sums(first: int, second: int, num_digits: int) -> list[int]:
  """Sums of the columns from the first digit on, without carries."""
  powers = [10**place for place in reversed(range(num_digits))]
  return [first // power % 10 + second // power % 10 for power in powers]


def num_carries(sums: Sequence[int]) -> int:
  """Number of columns that pass a carry on."""
  carry, count = 0, 0
  for column in reversed(sums):
    carry = (column + carry) // 10
    count += carry
  return count


def _problem(id: int, first: int, second: int, num_digits: int) -> Problem:
  carries = num_carries(column_sums(first, second, num_digits))
  return Problem(
      id=id,
      question=f"What is {first} + {second}?",
      answer=str(first + second),
      difficulty=f"{carries} carries",
  )


def _grade(answer: str, completion: str) -> Grade:
  numbers = _NUMBER.findall(completion)
  if not numbers:
    return Grade(False, "no_answer", None)
  is_correct = numbers[-1] == answer
  return Grade(is_correct, "correct" if is_correct else "wrong", numbers[-1])
