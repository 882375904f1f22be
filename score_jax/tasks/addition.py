"""Addition with long carries, for a character-level model of any size.

Numbers are written with leading zeros and the answer most significant digit
first, without scratch work. In one pass a model must look ahead along chains
of columns that sum to nine; with a first answer in sight, each carry can be
read off the digit below. A second look has something to go on.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import functools
import itertools
from typing import Any

import numpy as np

from score_jax.tasks import splits
from score_jax.types import Grade
from score_jax.types import Problem

CHARACTERS = "0123456789+=?"
_DRAWS = 5000


@dataclasses.dataclass(frozen=True)
class AdditionTask:
  """Sums of two numbers of `num_digits` digits.

  Splits are consecutive pieces of one stream of distinct problems, so no
  problem is in two of them.

  Attributes:
    num_digits: digits of each operand.
    nine_probability: probability that a column other than the first is forced
      to sum to nine, which passes a carry on.
    num_test: problems of the test split.
    num_validation: problems of the validation split.
    num_train: problems of the training split.
    num_base: problems of the split 'base', which the tiny base model learns.
    seed: seed of the stream; the problems are the same in every run.
    name: short name for logs and for the manifest of a run.
    correction_prompt: the one character that asks for another attempt.
  """

  num_digits: int
  nine_probability: float
  num_test: int
  num_validation: int
  num_train: int
  num_base: int
  seed: int
  name: str = dataclasses.field(default="addition", init=False)
  correction_prompt: str = dataclasses.field(default="?", init=False)

  def __post_init__(self):
    if not 1 <= self.num_digits <= 9:
      raise ValueError(f"num_digits is {self.num_digits}, expected 1 to 9")
    if not 0 <= self.nine_probability <= 1:
      raise ValueError(
          f"nine_probability is {self.nine_probability}, expected 0 to 1"
      )
    splits.check_sizes(self._sizes)
    if sum(self._sizes.values()) > 100**self.num_digits // 4:
      raise ValueError(
          f"{sum(self._sizes.values())} distinct problems asked of"
          f" {self.num_digits}-digit addition: lower the split sizes or raise"
          " num_digits"
      )

  @property
  def _sizes(self) -> dict[str, int]:
    """Problems of each split, in the order in which the stream is cut."""
    return {
        "test": self.num_test,
        "validation": self.num_validation,
        "train": self.num_train,
        "base": self.num_base,
    }

  def problems(self, split: str) -> Sequence[Problem]:
    """All problems of 'test', 'validation', 'train' or 'base'."""
    start, stop = splits.piece(self._sizes, split)
    return self._stream[start:stop]

  def first_prompt(self, problem: Problem) -> str:
    """The sum, which ends in '='."""
    return f"{problem.question}="

  def demonstration(self, problem: Problem, attempt: int) -> str:
    """The sum; there is no work to show."""
    del attempt
    return problem.answer

  def grade(
      self, problems: Sequence[Problem], completions: Sequence[str]
  ) -> list[Grade]:
    """Correct if and only if the completion is the sum, digit by digit."""
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
    # Operands are drawn in pieces of one size, so that a larger total leaves
    # the first problems as they are.
    for _ in range(2 * total // _DRAWS + 10):
      drawn = _operands(rng, _DRAWS, self.num_digits, self.nine_probability)
      pairs |= dict.fromkeys(zip(*drawn, strict=True))
      if len(pairs) >= total:
        break
    else:
      raise ValueError(
          f"only {len(pairs)} of {total} problems are distinct: lower the"
          " split sizes or nine_probability"
      )
    operands = list(itertools.islice(pairs, total))
    chains = carry_chains(np.reshape(operands, (-1, 2)), self.num_digits)
    rows = zip(operands, chains.tolist(), strict=True)
    return tuple(
        _problem(i, a, b, chain, self.num_digits)
        for i, ((a, b), chain) in enumerate(rows)
    )


def _problem(id: int, a: int, b: int, chain: int, width: int) -> Problem:
  return Problem(
      id=id,
      question=f"{a:0{width}}+{b:0{width}}",
      answer=f"{a + b:0{width + 1}}",
      difficulty=f"carry chain {chain}",
  )


def carry_chains(operands: np.ndarray, num_digits: int) -> np.ndarray:
  """Length in columns of the longest carry chain of each sum.

  A column that sums to ten or more sends a carry to the next one; if that one
  sums to nine, without the carry, it sends it on. The digit at the end of the
  chain depends on all of its columns.

  Args:
    operands: int[N, 2], numbers of up to `num_digits` digits.
    num_digits: columns of a sum.

  Returns:
    int[N], from 0 (no column carries) to `num_digits`.
  """
  powers = 10 ** np.arange(num_digits)
  digits = operands[:, :, np.newaxis] // powers[np.newaxis, np.newaxis] % 10
  chain = longest = np.zeros(len(operands), int)
  for column in digits.sum(axis=1).T:  # from the last digit on
    is_sent_on = (column == 9) & (chain > 0)
    chain = np.where(column > 9, 1, np.where(is_sent_on, chain + 1, 0))
    longest = np.maximum(longest, chain)
  return longest


def _grade(answer: str, completion: str) -> Grade:
  if not completion:
    return Grade(False, "no_answer", None)
  is_correct = completion == answer
  return Grade(is_correct, "correct" if is_correct else "wrong", completion)


def _operands(
    rng: np.random.Generator, count: int, num_digits: int, nine: float
) -> tuple[list[int], list[int]]:
  """`count` first and second operands.

  With probability `nine`, a column other than the first is forced to sum to 9.
  """
  shape = (count, num_digits)
  first = rng.integers(0, 10, shape)
  second = rng.integers(0, 10, shape)
  is_forced = rng.random(shape) < nine
  is_forced[:, 0] = False
  second = np.where(is_forced, 9 - first, second)
  powers = 10 ** np.arange(num_digits - 1, -1, -1)
  return (first @ powers).tolist(), (second @ powers).tolist()
