"""Variance and signal of a gradient, from gradients of independent batches.

All figures follow from the inner products of the batches' gradients. Resampling
batches therefore costs nothing that grows with the number of parameters.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

_RESAMPLES = 10_000


def gram(gradients: np.ndarray) -> np.ndarray:
  """Inner products of gradients: float32[N, P] to float64[N, N]."""
  pieces = np.array_split(
      gradients, max(1, gradients.shape[1] // 2**16), axis=1
  )
  # Piece by piece: no copy of all gradients in double precision.
  return sum(p @ p.T for p in (piece.astype(np.float64) for piece in pieces))


def variance(gram: np.ndarray) -> float:
  """Trace of the covariance: the sum over parameters of the variance.

    (sum_i |g_i|^2 - |sum_i g_i|^2 / N) / (N - 1), unbiased.

  Args:
    gram: float64[N, N], inner products of the gradients of N batches.
  """
  return float(_variances(gram, np.ones((1, len(gram))))[0])


def squared_mean(gram: np.ndarray) -> float:
  """Squared norm of the expected gradient, unbiased.

  The mean of g_i . g_j over i != j: the squared norm of the mean gradient has
  the variance over N in it. May be negative where the signal is small.
  """
  count = len(gram)
  return float((gram.sum() - np.trace(gram)) / (count * (count - 1)))


def ratio_interval(
    gram: np.ndarray, baseline: np.ndarray, seed: int = 0
) -> list[float]:
  """95 % bootstrap interval of variance(gram) / variance(baseline).

  Batches are resampled together: batch i of both has the same problems.

  Args:
    gram: float64[N, N], inner products of the gradients of N batches.
    baseline: float64[N, N], inner products of the gradients to compare with.
    seed: seeds the resampling.
  """
  count = len(gram)
  drawn = np.random.default_rng(seed).integers(0, count, (_RESAMPLES, count))
  weights = np.stack([np.bincount(d, minlength=count) for d in drawn])
  # A resample of one batch alone has no variance.
  weights = weights[weights.max(axis=1) < count].astype(float)
  ratios = _variances(gram, weights) / _variances(baseline, weights)
  return np.quantile(ratios, [0.025, 0.975]).tolist()


def _variances(gram: np.ndarray, weights: np.ndarray) -> np.ndarray:
  """float64[W]: batch i counts weights[w, i] times."""
  count = weights.sum(axis=1)
  squares = weights @ np.diag(gram)
  total = np.einsum("wi,ij,wj->w", weights, gram, weights, optimize=True)
  return (squares - total / count) / (count - 1)


def compare(
    grams: Mapping[str, Mapping[str, np.ndarray]], baseline: str
) -> dict[str, Any]:
  """Compares several estimators of one gradient.

  Args:
    grams: estimator -> part of the gradient -> float64[N, N] inner products.
    baseline: the estimator that the others are compared with.

  Returns:
    estimator -> part -> `variance`, `squared_mean`, their quotient
    `signal_to_noise`, and `variance_ratio` with `variance_ratio_ci95`.

  Raises:
    ValueError: the gradients of an estimator are all the same.
  """
  return {
      name: {
          part: _figures(inner, grams[baseline][part])
          for part, inner in parts.items()
      }
      for name, parts in grams.items()
  }


def _figures(inner: np.ndarray, baseline: np.ndarray) -> dict[str, Any]:
  noise, signal = variance(inner), squared_mean(inner)
  if min(noise, variance(baseline)) <= 0:
    raise ValueError(
        "every batch has the same gradient: no attempt is right, or all are;"
        " take another policy or larger batches"
    )
  return {
      "variance": noise,
      "squared_mean": signal,
      "signal_to_noise": signal / noise,
      "variance_ratio": noise / variance(baseline),
      "variance_ratio_ci95": ratio_interval(inner, baseline),
  }
