"""The decoder's arithmetic as functions of arrays; no parameters live here."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

# Finite, so that a query without a single key (padding) stays finite too.
_MASKED_SCORE = -1e30


class KeyValues(NamedTuple):
  """Keys and values that queries may look at.

  Attributes:
    keys: [R, S, N, head_dim], rotated to their positions.
    values: [R, S, N, head_dim].
    mask: bool[R, T, S], which of them each of the T queries sees; T may be 1
      where all queries see the same.
  """

  keys: jax.Array
  values: jax.Array
  mask: jax.Array


def rms_norm(x: jax.Array, scale: jax.Array, eps: float) -> jax.Array:
  """x / rms(x) * scale over the last axis, in float32, in x's dtype."""
  x32 = x.astype(jnp.float32)
  mean_square = jnp.mean(jnp.square(x32), axis=-1, keepdims=True)
  normed = x32 * jax.lax.rsqrt(mean_square + eps)
  scale = jnp.expand_dims(scale, range(x.ndim - 1))
  return (normed.astype(x.dtype)) * scale.astype(x.dtype)


def rotate(x: jax.Array, positions: jax.Array, theta: float) -> jax.Array:
  """Rotary position embedding: rotates pairs (i, i + head_dim / 2).

  Args:
    x: [R, T, heads, head_dim].
    positions: int32[R, T].
    theta: base of the wavelengths.
  """
  half = x.shape[-1] // 2
  inverse_wavelengths = theta ** (-jnp.arange(half, dtype=jnp.float32) / half)
  angles = (
      positions[..., None].astype(jnp.float32)
      * inverse_wavelengths[None, None, :]
  )
  sin = jnp.sin(angles)[:, :, None, :]
  cos = jnp.cos(angles)[:, :, None, :]
  first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
  rotated = (first * cos - second * sin, second * cos + first * sin)
  return jnp.concatenate(rotated, axis=-1).astype(x.dtype)


def attend(queries: jax.Array, segments: Sequence[KeyValues]) -> jax.Array:
  """Softmax attention over several segments of keys as if concatenated.

  Segments let a decode step read the cache where it lies: concatenating the
  new keys to it would copy the whole cache for every token.

  Args:
    queries: [R, T, H, head_dim], rotated, not yet scaled.
    segments: keys and values with H a multiple of their N heads.

  Returns:
    [R, T, H, head_dim].
  """
  rows, length, num_heads, head_dim = queries.shape
  num_kv_heads = segments[0].keys.shape[2]
  groups = num_heads // num_kv_heads
  grouped = queries.reshape(rows, length, num_kv_heads, groups, head_dim)
  grouped = grouped * head_dim**-0.5
  scores = [
      jnp.where(
          segment.mask[:, None, None],
          jnp.einsum(
              "rtngh,rsnh->rngts",
              grouped,
              segment.keys,
              preferred_element_type=jnp.float32,
          ),
          _MASKED_SCORE,
      )
      for segment in segments
  ]
  weights = jax.nn.softmax(jnp.concatenate(scores, axis=-1), axis=-1)
  weights = weights.astype(queries.dtype)
  bounds = [segment.keys.shape[1] for segment in segments]
  starts = [sum(bounds[:i]) for i in range(1, len(bounds))]
  mixed = sum(
      jnp.einsum("rngts,rsnh->rtngh", weight, segment.values)
      for weight, segment in zip(
          jnp.split(weights, starts, axis=-1), segments, strict=True
      )
  )
  return mixed.reshape(rows, length, num_heads, head_dim)


def swiglu(
    x: jax.Array, gate: jax.Array, up: jax.Array, down: jax.Array
) -> jax.Array:
  """(silu(x gate) * (x up)) down, with gate and up [D, F], down [F, D]."""
  return (jax.nn.silu(x @ gate) * (x @ up)) @ down


def positions_of(mask: jax.Array) -> jax.Array:
  """int32[R, T], index of each token among its row's valid ones; padding 0.

  Positions follow the mask, so where padding lies does not matter.
  """
  return jnp.maximum(jnp.cumsum(mask.astype(jnp.int32), axis=-1) - 1, 0)


def causal_mask(mask: jax.Array) -> jax.Array:
  """bool[R, T, T], query t sees valid key s <= t.

  Args:
    mask: bool[R, T], False on padding.
  """
  length = mask.shape[-1]
  causal = jnp.tril(jnp.ones((length, length), bool))
  return causal[None] & mask[:, None, :]
