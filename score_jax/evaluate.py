"""Accuracy of two attempts, with paired bootstrap intervals.

Paper, section 3: delta i->c and c->i are fractions of all problems, so that
delta = (i->c) - (c->i) holds exactly. Only the grader's binary verdict counts.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
from typing import Any

import numpy as np

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
_RESAMPLES = 10_000


def per_problem(rollouts: Rollouts) -> dict[str, np.ndarray]:
  """Each metric's value of each row; the metric is their mean.

  Args:
    rollouts: of two attempts or more; the first two are compared.

  Returns:
    float64[R] by metric name.
  """
  grades = rollouts.grades
  first = np.asarray([g[0].is_correct for g in grades], float)
  second = np.asarray([g[1].is_correct for g in grades], float)
  # Two attempts without an answer have nothing in common.
  is_changed = [
      g[0].answer is None or g[0].answer != g[1].answer for g in grades
  ]
  is_truncated = rollouts.is_truncated.reshape(len(grades), -1)
  return {
      "accuracy_t1": first,
      "accuracy_t2": second,
      "delta_t1_t2": second - first,
      "delta_i_to_c": (1 - first) * second,
      "delta_c_to_i": first * (1 - second),
      "answer_change_rate": np.asarray(is_changed, float),
      "truncated_t1": is_truncated[:, 0].astype(float),
      "truncated_t2": is_truncated[:, 1].astype(float),
  }


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


def bootstrap_ci95(
    values: Sequence[np.ndarray], seed: int
) -> tuple[np.ndarray, np.ndarray]:
  """Percentile intervals of means; all columns see the same resamples.

  Args:
    values: M arrays float64[R], paired by row.
    seed: of the resampling.

  Returns:
    float64[M] lower and upper ends.
  """
  columns = np.stack(values, axis=-1)
  n = len(columns)
  rng = np.random.default_rng(seed)
  means = []
  for _ in range(_RESAMPLES // 500):  # 500 at a time bound the memory
    counts = rng.multinomial(n, np.full(n, 1 / n), size=500)
    means.append(counts @ columns / n)
  ends = np.quantile(np.concatenate(means), [0.025, 0.975], axis=0)
  return ends[0], ends[1]


def evaluate(
    sample: Callable[[Sequence[Problem]], Rollouts],
    problems: Sequence[Problem],
    batch_size: int,
) -> list[Rollouts]:
  """Rolls out every problem exactly once, in batches of one shape.

  The last batch is filled up with the first problem, and the filling dropped.

  Args:
    sample: makes graded rollouts of `batch_size` problems, one sample each.
    problems: N problems.
    batch_size: rows of a batch.

  Returns:
    Rollouts with N rows over all.
  """
  results = []
  for start in range(0, len(problems), batch_size):
    batch = list(problems[start : start + batch_size])
    filling = [problems[0]] * (batch_size - len(batch))
    results.append(first_rows(sample(batch + filling), len(batch)))
  return results


def first_rows(rollouts: Rollouts, n: int) -> Rollouts:
  """The first n problems of rollouts with one sample per problem."""
  return Rollouts(
      problems=rollouts.problems[:n],
      tokens=rollouts.tokens[:n],
      mask=rollouts.mask[:n],
      attempt_ids=rollouts.attempt_ids[:n],
      behaviour_logprobs=rollouts.behaviour_logprobs[:n],
      texts=rollouts.texts[:n],
      grades=rollouts.grades[:n],
      rewards=rollouts.rewards[:n],
      is_truncated=rollouts.is_truncated[:n],
  )
