"""Rows that have their first tokens in common, which are computed once.

The K samples of a problem begin with its prompt. What the layers make of a
prompt does not depend on what stands behind it: its keys and values are made
once for each problem, and the rows hold the tokens behind it alone.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from score_jax.models import layers
from score_jax.models import transformer
from score_jax.models.config import ModelConfig
from score_jax.models.transformer import PLAIN
from score_jax.models.transformer import Contexts
from score_jax.models.transformer import Execution
from score_jax.models.transformer import Layer
from score_jax.models.transformer import Params
from score_jax.types import Prefix


class _Cache(NamedTuple):
  """Keys and values of one layer, or of all layers along a leading axis.

  Attributes:
    keys: [B, N, P, head_dim] of prefixes.
    values: [B, N, P, head_dim].
  """

  keys: jax.Array
  values: jax.Array

  def extended(self, keys: jax.Array, values: jax.Array) -> "_Cache":
    """What rows see, [R, N, P + T, head_dim]: their prefix's, then their own.

    Args:
      keys: [R, N, T, head_dim], of the rows; B divides R.
      values: [R, N, T, head_dim].
    """
    return _Cache(*map(_behind, self, (keys, values)))


def _behind(prefix: jax.Array, own: jax.Array) -> jax.Array:
  """Arrays [R, N, T, head_dim] behind their prefixes [B, N, P, head_dim]."""
  repeated = jnp.repeat(prefix, own.shape[0] // prefix.shape[0], axis=0)
  return jnp.concatenate([repeated, own], axis=2)


def hidden_states(
    params: Params,
    config: ModelConfig,
    prefix: Prefix,
    tokens: jax.Array,
    mask: jax.Array,
    execution: Execution = PLAIN,
) -> jax.Array:
  """Final normed hidden states of what stands behind prefixes.

  They are those of `transformer.hidden_states` for rows that are whole, of one
  device.

  Args:
    params: as made by `transformer.init_params` or `hf.load`.
    config: the model's configuration.
    prefix: the first tokens of rows, B of them. Rows b * K to b * K + K - 1
      begin with number b.
    tokens: int32[R, T], the tokens behind; any id where the mask is False.
    mask: bool[R, T], False on padding, which may lie anywhere.
    execution: how the model is computed.

  Returns:
    [R, T, D]; without meaning where the mask is False.

  Raises:
    ValueError: kernels that cannot look back at a prefix, or rows that cannot
      be divided among the prefixes.
  """
  _check(prefix, tokens, execution)
  c, params = config, transformer.cast(params, execution.dtype)
  x = transformer.embed(params["embedding"], c, prefix.tokens)
  nothing = jnp.zeros(
      (c.num_layers, x.shape[0], c.num_kv_heads, 0, c.head_dim), x.dtype
  )
  before, behind = _contexts(c, prefix, mask)
  make_keys = _layer_function(c, before, execution.remat)
  extend = _layer_function(c, behind, execution.remat)
  weights = params["layers"], transformer.stacked_kinds(c)
  _, cache = jax.lax.scan(make_keys, x, (*weights, _Cache(nothing, nothing)))
  x, _ = jax.lax.scan(
      lambda x, layer: (extend(x, layer)[0], None),
      transformer.embed(params["embedding"], c, tokens),
      (*weights, cache),
  )
  return transformer.final_norm(params["final_norm"], c, x)


def _check(prefix: Prefix, tokens: jax.Array, execution: Execution) -> None:
  if execution.attention != "xla":
    raise ValueError(
        f"attention is {execution.attention!r}, whose kernels see tokens of one"
        ' row alone: give "xla", or rows without a shared prefix'
    )
  rows, prefixes = tokens.shape[0], prefix.tokens.shape[0]
  if rows % prefixes:
    raise ValueError(
        f"{rows} rows behind {prefixes} prefixes, expected equally many behind"
        " each"
    )


def _contexts(
    config: ModelConfig, prefix: Prefix, mask: jax.Array
) -> tuple[Contexts, Contexts]:
  """Contexts of prefixes, and of the rows [R, T] that stand behind them."""
  positions = layers.positions_of(prefix.mask)
  before = transformer.make_contexts(config, positions, positions, prefix.mask)
  repeats = mask.shape[0] // prefix.mask.shape[0]
  seen, seen_positions = (
      jnp.repeat(a, repeats, axis=0) for a in (prefix.mask, positions)
  )
  lengths = jnp.sum(seen.astype(jnp.int32), axis=1, keepdims=True)
  positions = lengths + layers.positions_of(mask)
  behind = transformer.make_contexts(
      config,
      positions,
      jnp.concatenate([seen_positions, positions], axis=1),
      jnp.concatenate([seen, mask], axis=1),
  )
  return before, behind


def _layer_function(
    config: ModelConfig, contexts: Contexts, remat: str
) -> Callable[..., tuple[jax.Array, _Cache]]:
  """(x, (weights, kind, cache)) -> (x, the cache with the keys of x)."""

  def apply(x, layer):
    weights, kind, cache = layer
    return Layer(config).apply({"params": weights}, x, contexts, kind, cache)

  if remat == "none":
    return apply
  policy = transformer.REMAT_POLICIES[remat]
  # Inside of a scan nothing can be merged that must be kept apart.
  return jax.checkpoint(apply, policy=policy, prevent_cse=False)
