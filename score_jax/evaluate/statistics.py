"""How well results are known: over problems, over seeds, between methods.

Arrays of numbers in, numbers out: nothing here knows what a metric means.
Values are paired: column n of every array belongs to problem n, and seed s of
one method to seed s of another one, as both start from the base model of that
seed. Two sources of noise are resampled: which problems were drawn, and which
seeds.
"""

from collections.abc import Sequence
import dataclasses
import functools
import math

import numpy as np

_RESAMPLES = 10_000
_AT_ONCE = 50  # resamples: more do not fit into a cache of the processor
_ENDS = (0.025, 0.975)


@dataclasses.dataclass(frozen=True)
class Summary:
  """A metric of one method.

  Attributes:
    mean: over seeds and problems.
    ci95: 95 % interval of the mean, over problems, and over seeds where there
      are several.
    per_seed: mean over problems of each seed.
    std: standard deviation of `per_seed`, with S - 1 in the denominator; None
      for one seed.
  """

  mean: float
  ci95: tuple[float, float]
  per_seed: tuple[float, ...]
  std: float | None


@dataclasses.dataclass(frozen=True)
class Difference:
  """A metric of one method less that of another one.

  Attributes:
    mean: over seeds and problems.
    ci95: 95 % interval of the mean, over problems, and over seeds where there
      are several.
    p_value: p value by `sign_flip_p_value`, a test over problems alone.
    num_seeds: the smaller number of seeds of the two.
  """

  mean: float
  ci95: tuple[float, float]
  p_value: float
  num_seeds: int

  @property
  def is_clear(self) -> bool:
    """Whether the interval excludes zero."""
    low, high = self.ci95
    return low > 0 or high < 0


def seed_summary(values: np.ndarray, seed: int = 0) -> Summary:
  """Mean, interval and spread of a metric.

  The interval comes from a bootstrap of two levels. Problems are drawn with
  replacement, the same ones for all seeds; seeds are drawn with replacement
  too, see `_over_seeds`. Three seeds tell little of others, whatever is done
  with them: on made-up differences of 2,000 problems the interval held the
  truth in 99 % of cases where all seeds were alike, in 96 % where they spread
  by 2 points (standard deviation), and in 88 % where they spread by 4 points,
  so that problems hardly mattered.

  Args:
    values: float64[S, N], of S seeds and N problems.
    seed: seeds the resampling.

  Raises:
    ValueError: no seeds, no problems, or values that are not finite.
  """
  values = _checked(values)
  per_seed = values.mean(axis=1)
  return Summary(
      mean=float(values.mean()),
      ci95=_interval(_resampled_means(values, seed)),
      per_seed=tuple(per_seed.tolist()),
      std=float(per_seed.std(ddof=1)) if len(values) > 1 else None,
  )


def paired_difference(
    a: np.ndarray, b: np.ndarray, seed: int = 0
) -> Difference:
  """Difference of two means, a less b, with its interval and a test.

  With equally many seeds, seed s of a is compared with seed s of b. Otherwise
  the means over seeds are compared, and the seeds of a and b resampled apart.

  Args:
    a: float64[S, N], of S seeds and N problems.
    b: float64[S', N], of the same problems in the same order.
    seed: seeds the resampling.

  Raises:
    ValueError: a and b have different numbers of problems, or one of them is
      empty or holds values that are not finite.
  """
  a, b = _checked(a), _checked(b)
  if a.shape[1] != b.shape[1]:
    raise ValueError(
        f"{a.shape[1]} problems are compared with {b.shape[1]}: give the values"
        " of the same problems in the same order"
    )
  if len(a) == len(b):
    means = _resampled_means(a - b, seed)
  else:
    # Another stream for b's seeds; the problems are the same ones.
    means = _resampled_means(a, seed) - _resampled_means(b, seed, stream=1)
  per_problem = a.mean(axis=0) - b.mean(axis=0)
  return Difference(
      mean=float(per_problem.mean()),
      ci95=_interval(means),
      p_value=sign_flip_p_value(per_problem, seed),
      num_seeds=min(len(a), len(b)),
  )


def sign_flip_p_value(differences: np.ndarray, seed: int = 0) -> float:
  """Two-sided p value of a paired permutation test over problems.

  It tests that on each problem a difference and its negative were equally
  likely: that the two models at hand, or means over seeds of them, would do
  equally well on more problems. It says nothing of models of other seeds.

  Args:
    differences: float64[N], one per problem.
    seed: seeds the sign flips, of which 10,000 are drawn.

  Returns:
    Share of the flips, the observed signs included, whose sum is as far from
    zero as the observed one or farther.
  """
  # Zeros stay zeros under a flip, and of m equal sizes any number from 0 to m
  # keeps its sign: seeds and verdicts make few sizes.
  sizes, counts = np.unique(
      np.abs(differences[differences != 0]), return_counts=True
  )
  observed = abs(differences.sum())
  tolerance = 1e-9 * np.abs(differences).sum()  # sums have rounding errors
  rng = np.random.default_rng(seed)
  num_as_far = 0
  for _ in range(_RESAMPLES // _AT_ONCE):
    kept = rng.binomial(counts, 0.5, (_AT_ONCE, len(counts)))
    sums = np.abs((2 * kept - counts[np.newaxis]) @ sizes)
    num_as_far += int(np.sum(sums >= observed - tolerance))
  return (1 + num_as_far) / (1 + _RESAMPLES)


def mcnemar(num_i_to_c: int, num_c_to_i: int) -> float:
  """Exact two-sided p value of McNemar's test of a transition table.

  It tests that a problem whose verdict changed was as likely to be won as to be
  lost: the smaller count is one of fair coin tosses.

  Args:
    num_i_to_c: problems that were wrong and became correct.
    num_c_to_i: problems that were correct and became wrong.

  Raises:
    ValueError: a negative count.
  """
  if min(num_i_to_c, num_c_to_i) < 0:
    raise ValueError(
        f"num_i_to_c is {num_i_to_c} and num_c_to_i is {num_c_to_i}, expected"
        " numbers of problems"
    )
  n = num_i_to_c + num_c_to_i
  tail = sum(math.comb(n, k) for k in range(min(num_i_to_c, num_c_to_i) + 1))
  return min(1.0, 2 * tail / 2**n)


def statement(
    difference: Difference, name_a: str, name_b: str, metric: str
) -> str:
  """A sentence that claims no more than the interval shows.

  Args:
    difference: a less b, of fractions; the sentence has it in percentage
      points.
    name_a: name of the method a.
    name_b: name of the method b.
    metric: what was measured, as in "accuracy of second attempts".
  """
  mean, low, high = (
      # Adding zero turns -0.0 into 0.0.
      round(100 * x, 1) + 0.0
      for x in (difference.mean, *difference.ci95)
  )
  caveat = " (one seed; others may differ)" * (difference.num_seeds == 1)
  # As printed: an end that is rounded to zero does not exclude it.
  if low > 0 or high < 0:
    direction = "higher" if low > 0 else "lower"
    return (
        f"{metric}: {name_a} is {direction} than {name_b} by"
        f" {abs(mean):.1f} points"
        f" [{min(abs(low), abs(high)):.1f}, {max(abs(low), abs(high)):.1f}]"
        f"{caveat}"
    )
  return (
      f"{metric}: no difference shown between {name_a} and {name_b}:"
      f" {mean:+.1f} points [{low:.1f}, {high:.1f}]{caveat}"
  )


def bootstrap_ci95(
    values: Sequence[np.ndarray], seed: int
) -> tuple[np.ndarray, np.ndarray]:
  """Percentile intervals of means; all columns see the same resamples.

  Args:
    values: M arrays float64[R], paired by row.
    seed: seeds the resampling.

  Returns:
    float64[M] lower and upper ends.
  """
  means = _means_over_problems(np.stack(values, axis=-1), seed)
  ends = np.quantile(means, _ENDS, axis=0)
  return ends[0], ends[1]


def _checked(values: np.ndarray) -> np.ndarray:
  values = np.asarray(values, np.float64)
  if values.ndim != 2 or not values.size:
    raise ValueError(
        f"values have the shape {values.shape}, expected seeds x problems and"
        " at least one of each"
    )
  if not np.isfinite(values).all():
    raise ValueError(
        f"{np.sum(~np.isfinite(values))} of {values.size} values are not"
        " finite: leave these problems out of all that is compared"
    )
  return values


def _interval(means: np.ndarray) -> tuple[float, float]:
  low, high = np.quantile(means, _ENDS).tolist()
  return low, high


def _resampled_means(
    values: np.ndarray, seed: int, stream: int = 0
) -> np.ndarray:
  """float64[resamples], means of values[S, N] over what was resampled."""
  by_seed = _means_over_problems(values.T, seed)
  return _over_seeds(by_seed, values.mean(axis=1), (seed, stream))


def _over_seeds(
    by_seed: np.ndarray, observed: np.ndarray, entropy: tuple[int, ...]
) -> np.ndarray:
  """Means over seeds drawn with replacement.

  S seeds drawn from S differ less than S new ones would: the variance between
  them is that of the population times (S - 1) / S. As S is 3 or so, this
  is made up for by spreading the seeds out around their mean.

  Args:
    by_seed: float64[resamples, S], means over resampled problems.
    observed: float64[S], means over all problems.
    entropy: seeds the draws.

  Returns:
    float64[resamples].
  """
  num_seeds = len(observed)
  if num_seeds == 1:
    return by_seed[:, 0]
  spread = math.sqrt(num_seeds / (num_seeds - 1)) - 1
  by_seed = by_seed + spread * (observed - observed.mean())[np.newaxis]
  rng = np.random.default_rng(entropy)
  share = np.full(num_seeds, 1 / num_seeds)
  counts = rng.multinomial(num_seeds, share, size=len(by_seed))
  return np.sum(counts * by_seed, axis=1) / num_seeds


def _means_over_problems(columns: np.ndarray, seed: int) -> np.ndarray:
  """float64[resamples, M] means of columns[N, M] on resampled problems."""
  counts = _problem_counts(len(columns), seed)
  return np.concatenate(
      [
          counts[i : i + _AT_ONCE].astype(np.float64) @ columns / len(columns)
          for i in range(0, _RESAMPLES, _AT_ONCE)
      ]
  )


@functools.lru_cache(maxsize=1)  # a study asks for the same ones all the time
def _problem_counts(n: int, seed: int) -> np.ndarray:
  """uint8[resamples, N], how often a resample holds each problem."""
  rng = np.random.default_rng(seed)
  return np.concatenate(
      [
          # Counts are Poisson of mean 1 or so: 255 is out of reach.
          rng.multinomial(n, np.full(n, 1 / n), size=_AT_ONCE).astype(np.uint8)
          for _ in range(_RESAMPLES // _AT_ONCE)
      ]
  )
