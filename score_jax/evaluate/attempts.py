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

from score_jax import scalars
from score_jax.evaluate.statistics import bootstrap_ci95
from score_jax.types import Grade
from score_jax.types import Problem
from score_jax.types import Rollouts

# Metrics that are given with an interval.
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
  """Makes the metrics of every pair of consecutive attempts, one value per row.

  All pairs have the names of the first pair: in pair (i, i + 1), t1 stands for
  attempt i and t2 for attempt i + 1.

  Args:
    is_correct: bool[R, A], A >= 2.
    answers: R x A final answers, None where there is none.
    is_truncated: bool[R, A].

  Returns:
    float64[R] by metric name, for each of the A - 1 pairs; the metric is the
    mean over rows.

  Raises:
    ValueError: fewer than two attempts.
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
  """Metrics of rollouts by `attempt_metrics`, one row per conversation."""
  grades = rollouts.grades
  return attempt_metrics(
      np.asarray([[g.is_correct for g in row] for row in grades], bool),
      [[g.answer for g in row] for row in grades],
      rollouts.conversations.is_truncated.reshape(len(grades), -1),
  )


def per_problem(rollouts: Rollouts) -> dict[str, np.ndarray]:
  """Metrics of the first two attempts of rollouts, one value per row.

  Args:
    rollouts: rollouts of two attempts or more.

  Returns:
    float64[R] by metric name; the metric is the mean over rows.
  """
  return per_pair(rollouts)[0]


def per_pair_of_records(
    records: Sequence[Mapping[str, Any]],
) -> list[dict[str, np.ndarray]]:
  """Metrics of records by `attempt_metrics`, one row per problem.

  Args:
    records: one per problem, in any order, with equally many attempts; made by
      `output.conversations.conversation_record`.

  Returns:
    float64[N] by metric name, for each of the A - 1 pairs. Rows are ordered by
    problem_id.

  Raises:
    ValueError: there are no records, a problem has several, or records differ
      in their number of attempts.
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
  """Metrics of the first two attempts of records, ordered by problem_id.

  Args:
    records: as `per_pair_of_records` takes them.

  Returns:
    float64[N] by metric name; the metric is the mean over problems.

  Raises:
    ValueError: as in `per_pair_of_records`.
  """
  return per_pair_of_records(records)[0]


def by_problem(
    records: Sequence[Mapping[str, Any]],
) -> list[Mapping[str, Any]]:
  """Records ordered by problem_id, so that those of two policies pair up.

  Raises:
    ValueError: there are no records, or a problem has several.
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
    records: made by `output.conversations.conversation_record`; those without a
      difficulty are left out.

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
  """Share of the characters of both texts that are inserted or deleted.

  Paper, section 4: the edit distance divided by the total length. Without
  replacements, which count as one of each, the range is 0 to 1: 0 for equal
  texts, 1 for texts that share nothing. Two empty texts are equal.
  """
  return Indel.normalized_distance(first, second)


def concatenate(
    parts: Iterable[dict[str, np.ndarray]],
) -> dict[str, np.ndarray]:
  """Joins the metrics of several batches, one array per metric."""
  parts = list(parts)
  return {k: np.concatenate([part[k] for part in parts]) for k in parts[0]}


def summarize(values: dict[str, np.ndarray], seed: int = 0) -> dict[str, Any]:
  """Means over all problems, their number, and 95 % intervals.

  Args:
    values: values of each metric, as `per_problem` makes them.
    seed: seeds the bootstrap.

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
    seed: seeds the bootstrap.

  Returns:
    A summary for each pair, as `summarize` makes it, with the numbers of the
    two attempts, from 1, as `pair`.
  """
  pairs = zip(*(per_pair(rollouts) for rollouts in parts), strict=True)
  return [
      {"pair": [i, i + 1], **summarize(concatenate(values), seed)}
      for i, values in enumerate(pairs, start=1)
  ]


def attempt_curve(pairs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
  """Accuracy of each attempt of a conversation.

  Args:
    pairs: summaries of all pairs of attempts, made by `summarize_pairs`.

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
    Rollouts of each batch, of N problems together.
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


def repeat_shares(rollouts: Rollouts) -> dict[str, float]:
  """Shares of conversations whose second attempt repeats the first.

  Args:
    rollouts: rollouts of any number of attempts.

  Returns:
    Fractions by name: `train/copied`, token for token with the stop id, and
    `train/same_answer`, by the final answer. Nothing of single attempts.
  """
  conversations = rollouts.conversations
  if rollouts.rewards.shape[-1] < 2:
    return {}
  rows = zip(conversations.tokens, conversations.attempt_ids, strict=True)
  is_copy = [np.array_equal(row[i == 1], row[i == 2]) for row, i in rows]
  changed = per_problem(rollouts)["answer_change_rate"]
  return {
      scalars.COPIED: float(np.mean(is_copy)),
      scalars.SAME_ANSWER: float(1 - np.mean(changed)),
  }


def grade_shares(grades: Sequence[Grade]) -> dict[str, float]:
  """Shares of attempts by the status and by the method of their grades.

  Args:
    grades: grades of all attempts.

  Returns:
    Fractions by name, `grade/status_*` and `grade/method_*`.
  """
  names = [f"status_{grade.status}" for grade in grades]
  names += [f"method_{grade.method}" for grade in grades]
  return {
      f"grade/{name}": count / len(grades)
      for name, count in sorted(collections.Counter(names).items())
  }
