"""Majority votes at equal budget: parallel samples against corrections.

A budget of 2K attempts is spent on 2K first attempts, or on K first attempts
with one correction each, where the corrections vote (paper, figure 1, right).
Two answers are the same when their extracted texts are.
"""

import collections
from collections.abc import Sequence
import dataclasses
from typing import Any

import numpy as np

from score_jax.evaluate import statistics
from score_jax.types import Grade
from score_jax.types import Rollouts


def majority_vote(answers: Sequence[str | None]) -> str | None:
  """The most frequent answer; among equally frequent ones, the first.

  Args:
    answers: answers of K attempts; None, where there is none, does not vote.

  Returns:
    The answer, None where nothing voted.
  """
  counts = collections.Counter(a for a in answers if a is not None)
  # Keys stand in the order of their first vote, and max keeps the first one.
  return max(counts, key=counts.__getitem__, default=None)


def is_vote_correct(grades: Sequence[Grade]) -> bool:
  """Whether the majority's answer is right, by the grade of its first voter."""
  winner = majority_vote([grade.answer for grade in grades])
  if winner is None:
    return False
  return next(g.is_correct for g in grades if g.answer == winner)


def vote_accuracy(grades: Sequence[Sequence[Grade]], voters: int) -> np.ndarray:
  """Accuracy of votes on each problem, over disjoint groups of voters.

  Args:
    grades: N problems x S samples.
    voters: attempts of a group; S // voters groups are averaged.

  Returns:
    float64[N].
  """
  return np.asarray(
      [
          np.mean(
              [
                  is_vote_correct(row[start : start + voters])
                  for start in range(0, len(row) - voters + 1, voters)
              ]
          )
          for row in grades
      ]
  )


def compare(
    parallel: Sequence[Rollouts], sequential: Sequence[Rollouts], seed: int = 0
) -> list[dict[str, Any]]:
  """Compares both ways to spend 2K attempts, for K = 1, 2, 4, ...

  Args:
    parallel: conversations whose first attempts are the parallel samples. May
      be the same conversations as `sequential`.
    sequential: conversations whose second attempts are the corrections, of the
      same problems in the same order.
    seed: seeds the intervals' bootstrap.

  Returns:
    A mapping for each K that there are samples enough for. It holds `k`; the
    `budget`, 2K attempts; for `parallel` and for `sequential` the `accuracy`
    (fraction of the n problems), its interval `ci95` and the number of `groups`
    of voters per problem; and the `difference`, sequential less parallel, with
    the fields of `statistics.Difference`. Intervals are over problems; more
    groups make the values of each problem less noisy.

  Raises:
    ValueError: the two are not of the same problems, problems have different
      numbers of samples, or there are fewer than two parallel samples.
  """
  return [_point(v, seed) for v in votes(parallel, sequential)]


@dataclasses.dataclass(frozen=True)
class Votes:
  """Outcome of votes on N problems at one budget.

  Attributes:
    k: attempts that vote on the sequential side; twice as many on the other.
    parallel: float64[N], accuracy over groups of 2K first attempts.
    sequential: float64[N], accuracy over groups of K second attempts.
    num_parallel: number of groups of 2K first attempts, per problem.
    num_sequential: number of groups of K second attempts, per problem.
  """

  k: int
  parallel: np.ndarray
  sequential: np.ndarray
  num_parallel: int
  num_sequential: int


def votes(
    parallel: Sequence[Rollouts], sequential: Sequence[Rollouts]
) -> list[Votes]:
  """Holds the votes for K = 1, 2, 4, ..., without statistics.

  Args:
    parallel: as in `compare`.
    sequential: as in `compare`.

  Returns:
    The outcome for each K that there are samples enough for.

  Raises:
    ValueError: as in `compare`.
  """
  ids = [
      [p.id for r in part for p in r.conversations.problems]
      for part in (parallel, sequential)
  ]
  if ids[0] != ids[1] or not ids[0]:
    raise ValueError(
        f"parallel samples of {len(ids[0])} problems, sequential ones of"
        f" {len(ids[1])}: expected the same problems in the same order"
    )
  first = _grades(parallel, 0)
  second = _grades(sequential, 1)
  points: list[Votes] = []
  k = 1
  while 2 * k <= len(first[0]) and k <= len(second[0]):
    points.append(
        Votes(
            k=k,
            parallel=vote_accuracy(first, 2 * k),
            sequential=vote_accuracy(second, k),
            num_parallel=len(first[0]) // (2 * k),
            num_sequential=len(second[0]) // k,
        )
    )
    k *= 2
  if not points:
    raise ValueError(
        f"{len(first[0])} parallel samples of each problem, expected two or"
        " more: a budget of two attempts is the smallest"
    )
  return points


def _grades(rollouts: Sequence[Rollouts], attempt: int) -> list[list[Grade]]:
  """Grades of one attempt, problems x samples."""
  result = []
  for r in rollouts:
    samples = r.rewards.shape[1]
    column = [row[attempt] for row in r.grades]
    result += [
        column[start : start + samples]
        for start in range(0, len(column), samples)
    ]
  sizes = sorted({len(row) for row in result})
  if len(sizes) > 1:
    raise ValueError(
        f"problems with {sizes} samples are mixed, expected equally many of"
        " each"
    )
  return result


def _point(v: Votes, seed: int) -> dict[str, Any]:
  parallel, sequential = v.parallel[np.newaxis], v.sequential[np.newaxis]
  difference = statistics.paired_difference(sequential, parallel, seed)
  return {
      "k": v.k,
      "budget": 2 * v.k,
      "parallel": _accuracy(parallel, v.num_parallel, seed),
      "sequential": _accuracy(sequential, v.num_sequential, seed),
      "difference": {
          **dataclasses.asdict(difference),
          "ci95": list(difference.ci95),
      },
  }


def _accuracy(values: np.ndarray, groups: int, seed: int) -> dict[str, Any]:
  summary = statistics.seed_summary(values, seed)
  return {
      "accuracy": summary.mean,
      "ci95": list(summary.ci95),
      "groups": groups,
  }
