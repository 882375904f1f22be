"""Accuracy of attempts and what changes between them, with intervals.

Paper, section 3: delta i->c and c->i are fractions of all problems, so that
delta = (i->c) - (c->i) holds exactly. Only the grader's binary verdict counts.
The same numbers come from rollouts and from the records of conversations that
a run leaves on disk.
"""

import collections
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import itertools
from typing import Any

import numpy as np
from rapidfuzz.distance import Indel

from score_jax.evaluate.statistics import bootstrap_ci95
from score_jax.types import Grade
from score_jax.types import Problem
from score_jax.types import Rollouts

# Of these metrics an interval is given.
_WITH_INTERVAL = (
    "accuracy_t1",
    "accuracy_t2",
    "delta_t1_t2",
    "delta_i_to_c",
    "delta_c_to_i",
    "answer_change_rate",
)


def attempt_metrics(
    is_correct: np.ndarray,
    answers: Sequence[Sequence[str | None]],
    is_truncated: np.ndarray,
) -> list[dict[str, np.ndarray]]:
  """Each metric's value of each row, for every pair of consecutive attempts.

  The names of a pair (i, i + 1) are those of the first pair: of each, t1 is
  attempt i and t2 is attempt i + 1.

  Args:
    is_correct: bool[R, A], A >= 2.
    answers: R x A final answers, None where there is none.
    is_truncated: bool[R, A].

  Returns:
    A - 1 times float64[R] by metric name; the metric is their mean.
  """
  if is_correct.ndim != 2 or is_correct.shape[1] < 2:
    raise ValueError(
        f"verdicts have the shape {is_correct.shape}, expected rows x attempts"
        " with two attempts or more"
    )
  correct, truncated = is_correct.astype(float), is_truncated.astype(float)
  pairs = []
  for i, j in itertools.pairwise(range(correct.shape[1])):
    first, second = correct[:, i], correct[:, j]
    # Two attempts without an answer have nothing in common.
    is_changed = [row[i] is None or row[i] != row[j] for row in answers]
    pairs.append(
        {
            "accuracy_t1": first,
            "accuracy_t2": second,
            "delta_t1_t2": second - first,
            "delta_i_to_c": (1 - first) * second,
            "delta_c_to_i": first * (1 - second),
            "answer_change_rate": np.asarray(is_changed, float),
            "truncated_t1": truncated[:, i],
            "truncated_t2": truncated[:, j],
        }
    )
  return pairs


def per_pair(rollouts: Rollouts) -> list[dict[str, np.ndarray]]:
  """The `attempt_metrics` of rollouts, one row per conversation."""
  grades = rollouts.grades
  return attempt_metrics(
      np.asarray([[g.is_correct for g in row] for row in grades], bool),
      [[g.answer for g in row] for row in grades],
      rollouts.conversations.is_truncated.reshape(len(grades), -1),
  )


def per_problem(rollouts: Rollouts) -> dict[str, np.ndarray]:
  """Each metric's value of each row; the metric is their mean.

  Args:
    rollouts: of two attempts or more; the first two are compared.

  Returns:
    float64[R] by metric name.
  """
  return per_pair(rollouts)[0]


def per_pair_of_records(
    records: Sequence[Mapping[str, Any]],
) -> list[dict[str, np.ndarray]]:
  """The `attempt_metrics` of `conversation_record`s, ordered by problem_id.

  Args:
    records: one per problem, in any order, with equally many attempts.

  Returns:
    A - 1 times float64[N] by metric name.

  Raises:
    ValueError: no records, a problem twice, or other numbers of attempts.
  """
  attempts = [r["attempts"] for r in by_problem(records)]
  lengths = sorted({len(those) for those in attempts})
  if len(lengths) > 1:
    raise ValueError(
        f"conversations of {lengths} attempts are mixed: summarize those of one"
        " length at a time"
    )

  def column(name: str) -> list[list[Any]]:
    return [[attempt[name] for attempt in those] for those in attempts]

  return attempt_metrics(
      np.asarray(column("is_correct"), bool),
      column("answer"),
      np.asarray(column("is_truncated"), bool),
  )


def per_problem_of_records(
    records: Sequence[Mapping[str, Any]],
) -> dict[str, np.ndarray]:
  """Like `per_problem`, from `conversation_record`s; see there and above."""
  return per_pair_of_records(records)[0]


def by_problem(
    records: Sequence[Mapping[str, Any]],
) -> list[Mapping[str, Any]]:
  """Records ordered by problem_id, so that those of two policies pair up.

  Raises:
    ValueError: no records, or a problem twice.
  """
  if not records:
    raise ValueError("there are no evaluated problems")
  ordered = sorted(records, key=lambda record: record["problem_id"])
  for record, following in itertools.pairwise(ordered):
    if record["problem_id"] == following["problem_id"]:
      raise ValueError(
          f"problem {record['problem_id']} has several conversations: give one"
          " of each problem"
      )
  return ordered


def transitions_by_difficulty(
    records: Sequence[Mapping[str, Any]],
) -> dict[str, dict[str, float]]:
  """Accuracy and transitions of the first two attempts by difficulty.

  Args:
    records: `conversation_record`s; those without a difficulty are left out.

  Returns:
    By label, in the order of the labels: `n`, `accuracy_t1`, `accuracy_t2`,
    `delta_i_to_c` and `delta_c_to_i`, fractions of the n problems.
  """
  names = ("accuracy_t1", "accuracy_t2", "delta_i_to_c", "delta_c_to_i")
  result = {}
  for label in sorted({r["difficulty"] for r in records} - {""}):
    of_label = [r for r in records if r["difficulty"] == label]
    values = per_problem_of_records(of_label)
    means = {name: float(values[name].mean()) for name in names}
    result[label] = {"n": len(of_label), **means}
  return result


def edit_distance_ratio(first: str, second: str) -> float:
  """Characters inserted and deleted, of all characters of both texts.

  Paper, section 4: the edit distance divided by the total length. Without
  replacements, which count as one of each, the range is 0 to 1: 0 for equal
  texts, 1 for texts that share nothing. Two empty texts are equal.
  """
  return Indel.normalized_distance(first, second)


def concatenate(
    parts: Iterable[dict[str, np.ndarray]],
) -> dict[str, np.ndarray]:
  """Joins the values of several batches."""
  parts = list(parts)
  return {k: np.concatenate([part[k] for part in parts]) for k in parts[0]}


def summarize(values: dict[str, np.ndarray], seed: int = 0) -> dict[str, Any]:
  """Means over all problems, their number, and 95 % intervals.

  Args:
    values: as made by `per_problem`, one row per problem.
    seed: of the bootstrap.

  Returns:
    The metrics, `n`, and `ci95`: name -> [low, high].

  Raises:
    ValueError: no rows.
  """
  n = len(values["accuracy_t1"])
  if not n:
    raise ValueError("there are no evaluated problems")
  low, high = bootstrap_ci95([values[k] for k in _WITH_INTERVAL], seed)
  intervals = zip(_WITH_INTERVAL, low.tolist(), high.tolist(), strict=True)
  return {
      **{name: float(np.mean(value)) for name, value in values.items()},
      "n": n,
      "ci95": {name: [lo, hi] for name, lo, hi in intervals},
  }


def summarize_pairs(
    parts: Sequence[Rollouts], seed: int = 0
) -> list[dict[str, Any]]:
  """The summary of every pair of consecutive attempts.

  Args:
    parts: rollouts with one sample per problem, equally many attempts each.
    seed: of the bootstrap.

  Returns:
    As `summarize`, and `pair`: the numbers of the two attempts, from 1.
  """
  pairs = zip(*(per_pair(rollouts) for rollouts in parts), strict=True)
  return [
      {"pair": [i, i + 1], **summarize(concatenate(values), seed)}
      for i, values in enumerate(pairs, start=1)
  ]


def attempt_curve(pairs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
  """Accuracy of each attempt, out of `summarize_pairs`.

  Returns:
    `attempt` (from 1), `accuracy` and its `ci95`, of every attempt.
  """
  names = [(pairs[0], "accuracy_t1"), *((p, "accuracy_t2") for p in pairs)]
  return [
      {"attempt": i, "accuracy": m[name], "ci95": m["ci95"][name]}
      for i, (m, name) in enumerate(names, start=1)
  ]


def in_batches(
    sample: Callable[[Sequence[Problem]], Rollouts],
    problems: Sequence[Problem],
    batch_size: int,
) -> list[Rollouts]:
  """Rolls out every problem exactly once, in batches of one shape.

  The last batch is filled up with the first problem, and the filling dropped.

  Args:
    sample: makes graded rollouts of `batch_size` problems, K samples each.
    problems: N problems.
    batch_size: problems of a batch.

  Returns:
    Rollouts with N problems over all.
  """
  results = []
  for start in range(0, len(problems), batch_size):
    batch = list(problems[start : start + batch_size])
    filling = [problems[0]] * (batch_size - len(batch))
    results.append(first_rows(sample(batch + filling), len(batch)))
  return results


def first_rows(rollouts: Rollouts, n: int) -> Rollouts:
  """The first n problems of rollouts, with all of their samples."""
  rows = n * rollouts.rewards.shape[1]
  whole = rollouts.conversations
  by_problem = ("problems", "is_truncated")
  kept = {
      name: value[: n if name in by_problem else rows]
      for name, value in vars(whole).items()
  }
  conversations = dataclasses.replace(whole, **kept)
  return Rollouts(conversations, rollouts.grades[:rows], rollouts.rewards[:n])


def grade_shares(grades: Sequence[Grade]) -> dict[str, float]:
  """Share of each status, and of what decided it, among attempts.

  Args:
    grades: of all attempts.

  Returns:
    Fractions by name, `grade/status_*` and `grade/method_*`.
  """
  names = [f"status_{grade.status}" for grade in grades]
  names += [f"method_{grade.method}" for grade in grades]
  return {
      f"grade/{name}": count / len(grades)
      for name, count in sorted(collections.Counter(names).items())
  }
