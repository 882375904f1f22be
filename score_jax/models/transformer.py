"""The decoder: a thin Linen shell that names parameters over layers.py.

Layers are stacked along a leading axis and scanned. The key/value cache is an
argument and new keys and values are a result: nothing is hidden in a module.
"""

from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp

from score_jax.models import layers
from score_jax.models.config import ModelConfig

Params = dict[str, Any]


@flax.struct.dataclass
class Cache:
  """Keys and values of earlier tokens, the same columns for every row.

  Rows of different length leave holes: `mask` says which columns of a row hold
  a token, and keys carry their rotation, so no column needs to move.

  Attributes:
    keys: [L, R, S, N, head_dim].
    values: [L, R, S, N, head_dim].
    mask: bool[R, S], column holds a token of the row.
    column: int32[], the next column to write, shared by all rows.
    next_position: int32[R], position of each row's next token.
  """

  keys: jax.Array
  values: jax.Array
  mask: jax.Array
  column: jax.Array
  next_position: jax.Array


class Layer(nn.Module):
  """One pre-norm block: attention, then a gated feed-forward layer."""

  config: ModelConfig

  @nn.compact
  def __call__(self, x, positions, mask, cache_mask, cache):
    """Returns the residual stream [R, T, D] and this block's (keys, values).

    Args:
      x: [R, T, D], residual stream.
      positions: int32[R, T].
      mask: bool[R, T, T], which of the new tokens each new token sees.
      cache_mask: bool[R, 1, S] or None, which cached tokens they all see.
      cache: (keys, values) of this layer [R, S, N, head_dim], or None.
    """
    c = self.config
    dense = nn.initializers.variance_scaling(
        1.0, "fan_in", "normal", in_axis=0, out_axis=(1, 2)
    )
    dense_2d = nn.initializers.lecun_normal()
    w = {
        name: self.param(name, init, shape)
        for name, init, shape in (
            ("attention_norm", nn.initializers.ones, (c.d_model,)),
            ("query", dense, (c.d_model, c.num_heads, c.head_dim)),
            ("key", dense, (c.d_model, c.num_kv_heads, c.head_dim)),
            ("value", dense, (c.d_model, c.num_kv_heads, c.head_dim)),
            (
                "output",
                nn.initializers.variance_scaling(
                    1.0, "fan_in", "normal", in_axis=(0, 1), out_axis=2
                ),
                (c.num_heads, c.head_dim, c.d_model),
            ),
            ("mlp_norm", nn.initializers.ones, (c.d_model,)),
            ("gate", dense_2d, (c.d_model, c.d_ff)),
            ("up", dense_2d, (c.d_model, c.d_ff)),
            ("down", dense_2d, (c.d_ff, c.d_model)),
        )
    }
    h = layers.rms_norm(x, w["attention_norm"], c.norm_eps)
    queries = jnp.einsum("rtd,dnh->rtnh", h, w["query"])
    keys = jnp.einsum("rtd,dnh->rtnh", h, w["key"])
    values = jnp.einsum("rtd,dnh->rtnh", h, w["value"])
    queries = layers.rotate(queries, positions, c.rope_theta)
    keys = layers.rotate(keys, positions, c.rope_theta)
    segments = [layers.KeyValues(keys, values, mask)]
    if cache is not None:
      segments.insert(0, layers.KeyValues(*cache, cache_mask))
    mixed = layers.attend(queries, segments)
    x = x + jnp.einsum("rtnh,nhd->rtd", mixed, w["output"])
    h = layers.rms_norm(x, w["mlp_norm"], c.norm_eps)
    x = x + layers.swiglu(h, w["gate"], w["up"], w["down"])
    return x, (keys, values)


class Decoder(nn.Module):
  """Embedding, scanned layers, final norm; the output head is `unembed`."""

  config: ModelConfig

  @nn.compact
  def __call__(self, tokens, positions, mask, cache_mask=None, cache=None):
    c = self.config
    embedding = self.param(
        "embedding", nn.initializers.normal(0.02), (c.vocab_size, c.d_model)
    )
    if not c.is_tied:
      self.param(
          "head", nn.initializers.normal(0.02), (c.d_model, c.vocab_size)
      )
    x = embedding[tokens]
    stack = nn.scan(
        Layer,
        variable_axes={"params": 0},
        split_rngs={"params": True},
        in_axes=(nn.broadcast, nn.broadcast, nn.broadcast, 0),
        length=c.num_layers,
    )
    x, new = stack(c, name="layers")(x, positions, mask, cache_mask, cache)
    scale = self.param("final_norm", nn.initializers.ones, (c.d_model,))
    return layers.rms_norm(x, scale, c.norm_eps), new


def init_params(key: jax.Array, config: ModelConfig) -> Params:
  """Random float32 parameters of a new model."""
  tokens = jnp.zeros((1, 2), jnp.int32)
  mask = jnp.ones((1, 2), bool)
  variables = Decoder(config).init(
      key, tokens, layers.positions_of(mask), layers.causal_mask(mask)
  )
  return variables["params"]


def hidden_states(
    params: Params, config: ModelConfig, tokens: jax.Array, mask: jax.Array
) -> jax.Array:
  """Final normed hidden states of whole rows, without a cache.

  Args:
    params: as made by `init_params` or `hf.load`.
    config: the model's configuration.
    tokens: int32[R, T]; any id where the mask is False.
    mask: bool[R, T], False on padding, which may lie anywhere.

  Returns:
    [R, T, D]; whatever where the mask is False.
  """
  hidden, _ = Decoder(config).apply(
      {"params": params},
      tokens,
      layers.positions_of(mask),
      layers.causal_mask(mask),
  )
  return hidden


def prefill(
    params: Params,
    config: ModelConfig,
    tokens: jax.Array,
    mask: jax.Array,
    columns: int,
) -> Cache:
  """A new cache of `columns` columns that holds the given tokens.

  Args:
    params: model parameters.
    config: the model's configuration.
    tokens: int32[R, T], T may be 0.
    mask: bool[R, T], False on padding.
    columns: S, at least T.
  """
  rows, length = tokens.shape
  c = config
  shape = (c.num_layers, rows, columns, c.num_kv_heads, c.head_dim)
  dtype = params["embedding"].dtype
  cache = Cache(
      keys=jnp.zeros(shape, dtype),
      values=jnp.zeros(shape, dtype),
      mask=jnp.zeros((rows, columns), bool),
      column=jnp.zeros((), jnp.int32),
      next_position=jnp.zeros((rows,), jnp.int32),
  )
  if not length:
    return cache
  _, (keys, values) = Decoder(config).apply(
      {"params": params},
      tokens,
      layers.positions_of(mask),
      layers.causal_mask(mask),
  )
  return _write(cache, keys, values, mask)


def hidden_states_with_cache(
    params: Params,
    config: ModelConfig,
    tokens: jax.Array,
    mask: jax.Array,
    cache: Cache,
) -> tuple[jax.Array, Cache]:
  """Hidden states of T new tokens per row after the cached ones.

  Args:
    params: model parameters.
    config: the model's configuration.
    tokens: int32[R, T].
    mask: bool[R, T], False on columns that are a hole in their row.
    cache: earlier tokens, with at least T columns left.

  Returns:
    [R, T, D] and the cache with T more columns.
  """
  hidden, (keys, values) = Decoder(config).apply(
      {"params": params},
      tokens,
      cache.next_position[:, None] + layers.positions_of(mask),
      layers.causal_mask(mask),
      cache.mask[:, None, :],
      (cache.keys, cache.values),
  )
  return hidden, _write(cache, keys, values, mask)


def _write(
    cache: Cache, keys: jax.Array, values: jax.Array, mask: jax.Array
) -> Cache:
  """Appends T columns to all layers at once: keys [L, R, T, N, head_dim]."""
  start = (0, 0, cache.column, 0, 0)
  return Cache(
      keys=jax.lax.dynamic_update_slice(cache.keys, keys, start),
      values=jax.lax.dynamic_update_slice(cache.values, values, start),
      mask=jax.lax.dynamic_update_slice(cache.mask, mask, (0, cache.column)),
      column=cache.column + mask.shape[1],
      next_position=cache.next_position
      + jnp.sum(mask.astype(jnp.int32), axis=1),
  )


def output_head(params: Params, config: ModelConfig) -> jax.Array:
  """[D, V], the matrix that turns hidden states into logits."""
  return params["embedding"].T if config.is_tied else params["head"]


def unembed(hidden: jax.Array, head: jax.Array) -> jax.Array:
  """float32[..., V], logits of hidden states [..., D] by a head [D, V]."""
  return jnp.matmul(hidden, head, preferred_element_type=jnp.float32)


def logits(
    params: Params, config: ModelConfig, tokens: jax.Array, mask: jax.Array
) -> jax.Array:
  """float32[R, T, V], all logits at once: for tests and small models only."""
  hidden = hidden_states(params, config, tokens, mask)
  return unembed(hidden, output_head(params, config))
