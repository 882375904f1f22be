"""The decoder's arithmetic as functions of arrays; no parameters live here."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from score_jax.models.config import LinearScaling
from score_jax.models.config import Llama3Scaling
from score_jax.models.config import LongRopeScaling
from score_jax.models.config import Rope
from score_jax.models.config import YarnScaling

# Finite, so that a query without a single key (padding) stays finite too.
_MASKED_SCORE = -1e30


class Rotation(NamedTuple):
  """Sines and cosines that turn queries and keys to their positions.

  Both may have a factor in common, see `Rope.amplitude`.

  Attributes:
    sin: float32[R, T, rotated pairs].
    cos: float32[R, T, rotated pairs].
  """

  sin: jax.Array
  cos: jax.Array


def rms_norm(
    x: jax.Array,
    scale: jax.Array,
    eps: float,
    offset: float = 0.0,
    axes: tuple[int, ...] = (-1,),
) -> jax.Array:
  """x / rms(x) * (offset + scale) over some axes, in float32.

  Args:
    x: of any shape.
    scale: its axes are those that the mean goes over.
    eps: added to the mean square.
    offset: 1 for families whose files hold scale - 1.
    axes: what the mean goes over, counted from the end.

  Returns:
    As x.
  """
  x32 = x.astype(jnp.float32)
  mean_square = jnp.mean(jnp.square(x32), axis=axes, keepdims=True)
  normed = x32 * jax.lax.rsqrt(mean_square + eps)
  others = [axis for axis in range(x.ndim) if axis - x.ndim not in axes]
  scale = jnp.expand_dims(scale.astype(jnp.float32), others)
  return (normed * (offset + scale)).astype(x.dtype)


def softcap(x: jax.Array, cap: float | None) -> jax.Array:
  """cap * tanh(x / cap): nearly x when small, never beyond cap; x for None."""
  return x if cap is None else cap * jnp.tanh(x / cap)


def inverse_wavelengths(rope: Rope, head_dim: int) -> jax.Array:
  """float32[rotated pairs], radians per position of each of a head's pairs."""
  half = rope.rotated(head_dim) // 2
  plain = rope.theta ** (-jnp.arange(half, dtype=jnp.float32) / half)
  scaling = rope.scaling
  if isinstance(scaling, LinearScaling):
    return plain / scaling.factor
  if isinstance(scaling, Llama3Scaling):
    return _llama3_scaled(plain, scaling)
  if isinstance(scaling, YarnScaling):
    return _yarn_scaled(plain, scaling, rope.theta)
  if isinstance(scaling, LongRopeScaling):
    return plain / jnp.asarray(scaling.short_factors, jnp.float32)
  return plain


def _llama3_scaled(plain: jax.Array, scaling: Llama3Scaling) -> jax.Array:
  """Long wavelengths grow by the factor, short stay, those between blend."""
  turns = scaling.original_max_positions * plain / (2 * jnp.pi)
  low, high = scaling.low_freq_factor, scaling.high_freq_factor
  keep = jnp.clip((turns - low) / (high - low), 0.0, 1.0)
  return keep * plain + (1 - keep) * plain / scaling.factor


def _yarn_scaled(
    plain: jax.Array, scaling: YarnScaling, theta: float
) -> jax.Array:
  """The first pairs keep their wavelength, the last grow by the factor."""
  half = len(plain)

  def pair_with(turns):
    """Index of the pair with so many turns over the original positions."""
    wavelength = scaling.original_max_positions / turns
    return half * math.log(wavelength / (2 * math.pi)) / math.log(theta)

  first, last = pair_with(scaling.beta_fast), pair_with(scaling.beta_slow)
  if scaling.has_whole_bounds:
    first, last = math.floor(first), math.ceil(last)
  first, last = max(first, 0), min(last, 2 * half - 1)
  width = last - first or 0.001
  keep = 1 - jnp.clip((jnp.arange(half) - first) / width, 0.0, 1.0)
  return keep * plain + (1 - keep) * plain / scaling.factor


def rotation(positions: jax.Array, rope: Rope, head_dim: int) -> Rotation:
  """Sines and cosines of the angles of positions int32[R, T]."""
  angles = (
      positions[..., None].astype(jnp.float32)
      * inverse_wavelengths(rope, head_dim)[None, None, :]
  )
  sin, cos = jnp.sin(angles), jnp.cos(angles)
  if rope.amplitude == 1.0:
    return Rotation(sin, cos)
  return Rotation(rope.amplitude * sin, rope.amplitude * cos)


def without_rotation(rotation: Rotation) -> Rotation:
  """The rotation, of the same shape, that leaves every number as it is."""
  return Rotation(jnp.zeros_like(rotation.sin), jnp.ones_like(rotation.cos))


def rotate(x: jax.Array, rotation: Rotation) -> jax.Array:
  """Rotates pairs of x [R, heads, T, head_dim].

  Of P pairs, number i is (i, i + P). What lies behind them stays as it is.
  """
  sin, cos = (a[:, None] for a in rotation)
  width = 2 * sin.shape[-1]
  if width < x.shape[-1]:
    turned, rest = jnp.split(x, [width], axis=-1)
    return jnp.concatenate([rotate(turned, rotation), rest], axis=-1)
  first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
  rotated = (first * cos - second * sin, second * cos + first * sin)
  return jnp.concatenate(rotated, axis=-1).astype(x.dtype)


def attend(
    queries: jax.Array,
    keys: jax.Array,
    values: jax.Array,
    mask: jax.Array,
    *,
    scale: float,
    cap: float | None = None,
) -> jax.Array:
  """Softmax attention with grouped heads.

  Args:
    queries: [R, H, T, head_dim], rotated, not yet scaled.
    keys: [R, N, S, head_dim], rotated to their positions; N divides H.
    values: [R, N, S, head_dim].
    mask: bool[R, T, S], which keys each query sees.
    scale: factor of the queries.
    cap: soft-cap of the scores, None for none.

  Returns:
    [R, H, T, head_dim].
  """
  rows, num_heads, length, head_dim = queries.shape
  num_kv_heads = keys.shape[1]
  # A group's queries side by side: one matrix product for each of its keys.
  grouped = (queries * scale).reshape(rows, num_kv_heads, -1, head_dim)
  scores = jnp.einsum(
      "rnqh,rnsh->rnqs", grouped, keys, preferred_element_type=jnp.float32
  )
  scores = softcap(scores, cap).reshape(rows, num_heads, length, -1)
  scores = jnp.where(mask[:, None], scores, _MASKED_SCORE)
  weights = jax.nn.softmax(scores, axis=-1).astype(queries.dtype)
  weights = weights.reshape(*grouped.shape[:3], -1)
  mixed = jnp.einsum("rnqs,rnsh->rnqh", weights, values)
  return mixed.reshape(queries.shape)


def positions_of(mask: jax.Array) -> jax.Array:
  """int32[R, T], index of each token among its row's valid ones; padding 0.

  Positions follow the mask, so where padding lies does not matter.
  """
  return jnp.maximum(jnp.cumsum(mask.astype(jnp.int32), axis=-1) - 1, 0)


def visible(
    positions: jax.Array,
    key_positions: jax.Array,
    key_mask: jax.Array,
    window: int | None = None,
) -> jax.Array:
  """bool[R, T, S], which keys each query sees: itself and what lies before.

  Positions decide, not columns, so padding and holes may lie anywhere.

  Args:
    positions: int32[R, T], of the queries.
    key_positions: int32[R, S].
    key_mask: bool[R, S], False where there is no token.
    window: positions that are seen, the query's own included; None for all.
  """
  distance = positions[:, :, None] - key_positions[:, None, :]
  seen = key_mask[:, None, :] & (distance >= 0)
  return seen if window is None else seen & (distance < window)
