"""The decoder: a thin Linen shell that names parameters over layers.py.

Layers are stacked along a leading axis and scanned, except for decoding, which
takes them one by one (`decoding_layout`). The key/value cache is an argument
and a result: nothing is hidden in a module.
"""

from typing import Any
from typing import NamedTuple

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
  a token, and keys carry their rotation, so no column needs to move. Each layer
  has arrays of its own, which are updated where they lie.

  Attributes:
    keys: L times [R, N, S, head_dim].
    values: L times [R, N, S, head_dim].
    mask: bool[R, S], column holds a token of the row.
    positions: int32[R, S], of the token in each column.
    column: int32[], the next column to write, shared by all rows.
    next_position: int32[R], position of each row's next token.
  """

  keys: tuple[jax.Array, ...]
  values: tuple[jax.Array, ...]
  mask: jax.Array
  positions: jax.Array
  column: jax.Array
  next_position: jax.Array


class Context(NamedTuple):
  """What all layers of one kind, global or local, know of the tokens.

  Attributes:
    rotation: of the new tokens.
    mask: bool[R, T, S], which keys each new token sees.
  """

  rotation: layers.Rotation
  mask: jax.Array


class LayerCache(NamedTuple):
  """A layer's part of the cache, and where new tokens go.

  Attributes:
    keys: [R, N, S, head_dim].
    values: [R, N, S, head_dim].
    column: int32[], first column to write.
  """

  keys: jax.Array
  values: jax.Array
  column: jax.Array


def _contexts(
    config: ModelConfig,
    positions: jax.Array,
    key_positions: jax.Array,
    key_mask: jax.Array,
) -> tuple[Context, Context | None]:
  """Contexts of global and of local layers, None where there are none."""
  c = config
  everywhere = Context(
      layers.rotation(positions, c.rope, c.head_dim),
      layers.visible(positions, key_positions, key_mask),
  )
  if c.sliding_window is None:
    return everywhere, None
  nearby = Context(
      layers.rotation(positions, c.local_rope or c.rope, c.head_dim),
      layers.visible(positions, key_positions, key_mask, c.sliding_window),
  )
  return everywhere, nearby


def _select(
    contexts: tuple[Context, Context | None], is_local: jax.Array | None
) -> Context:
  """The context of a layer; `is_local` is bool[], of the scanned layer."""
  everywhere, nearby = contexts
  if nearby is None:
    return everywhere
  return jax.tree.map(
      lambda far, near: jnp.where(is_local, near, far), everywhere, nearby
  )


class Layer(nn.Module):
  """One block: attention, then a gated feed-forward layer, both pre-normed."""

  config: ModelConfig

  @nn.compact
  def __call__(self, x, contexts, is_local, cache=None):
    """Returns the residual stream [R, T, D] and (keys, values).

    Args:
      x: [R, T, D], residual stream.
      contexts: see `_contexts`.
      is_local: bool[], which of them applies; None where there is only one.
      cache: LayerCache to write to and look at, None to look at the tokens
        themselves; what is returned is it, or the tokens' keys and values.
    """
    c = self.config
    w = {
        name: self.param(name, init, shape)
        for name, (init, shape) in _layer_parameters(c).items()
    }
    context = _select(contexts, is_local)

    def norm(x, name):
      return layers.rms_norm(x, w[name], c.norm_eps, c.norm_offset)

    def project(h, name):
      heads = jnp.einsum("rtd,dnh->rnth", h, w[name])
      if c.has_qkv_bias:
        heads = heads + w[f"{name}_bias"][None, :, None]
      return heads

    h = norm(x, "attention_norm")
    queries, keys, values = (project(h, n) for n in ("query", "key", "value"))
    if c.has_qk_norm:
      queries, keys = norm(queries, "query_norm"), norm(keys, "key_norm")
    queries = layers.rotate(queries, context.rotation)
    keys = layers.rotate(keys, context.rotation)
    if cache is not None:
      keys = _write(cache.keys, keys, cache.column)
      values = _write(cache.values, values, cache.column)
    mixed = layers.attend(
        queries,
        keys,
        values,
        context.mask,
        scale=c.query_scale,
        cap=c.attention_softcap,
    )
    mixed = jnp.einsum("rnth,nhd->rtd", mixed, w["output"])
    if c.has_output_bias:
      mixed = mixed + w["output_bias"][None, None]
    x = x + (norm(mixed, "post_attention_norm") if c.has_post_norms else mixed)
    h = norm(x, "mlp_norm")
    h = layers.gated(h, w["gate"], w["up"], w["down"], c.activation)
    x = x + (norm(h, "post_mlp_norm") if c.has_post_norms else h)
    return x, (keys, values)


def _write(array: jax.Array, new: jax.Array, column: jax.Array) -> jax.Array:
  """[R, N, S, head_dim] with T columns replaced from `column` on."""
  return jax.lax.dynamic_update_slice(
      array, new.astype(array.dtype), (0, 0, column, 0)
  )


def _layer_parameters(c: ModelConfig) -> dict[str, tuple[Any, tuple[int, ...]]]:
  """Initialiser and shape of each parameter of a layer, by name."""
  dense = nn.initializers.variance_scaling(
      1.0, "fan_in", "normal", in_axis=0, out_axis=(1, 2)
  )
  dense_2d = nn.initializers.lecun_normal()
  output = nn.initializers.variance_scaling(
      1.0, "fan_in", "normal", in_axis=(0, 1), out_axis=2
  )
  scale = nn.initializers.constant(1.0 - c.norm_offset)
  zeros = nn.initializers.zeros
  queries = (c.num_heads, c.head_dim)
  keys = (c.num_kv_heads, c.head_dim)
  parameters = {
      "attention_norm": (scale, (c.d_model,)),
      "query": (dense, (c.d_model, *queries)),
      "key": (dense, (c.d_model, *keys)),
      "value": (dense, (c.d_model, *keys)),
      "output": (output, (*queries, c.d_model)),
      "mlp_norm": (scale, (c.d_model,)),
      "gate": (dense_2d, (c.d_model, c.d_ff)),
      "up": (dense_2d, (c.d_model, c.d_ff)),
      "down": (dense_2d, (c.d_ff, c.d_model)),
  }
  if c.has_post_norms:
    parameters["post_attention_norm"] = (scale, (c.d_model,))
    parameters["post_mlp_norm"] = (scale, (c.d_model,))
  if c.has_qk_norm:
    parameters["query_norm"] = (scale, (c.head_dim,))
    parameters["key_norm"] = (scale, (c.head_dim,))
  if c.has_qkv_bias:
    parameters["query_bias"] = (zeros, queries)
    parameters["key_bias"] = (zeros, keys)
    parameters["value_bias"] = (zeros, keys)
  if c.has_output_bias:
    parameters["output_bias"] = (zeros, (c.d_model,))
  return parameters


class Decoder(nn.Module):
  """Embedding, scanned layers, final norm; the output head is `unembed`."""

  config: ModelConfig

  @nn.compact
  def __call__(self, tokens, mask):
    """Returns hidden states [R, T, D] and (keys, values) of all layers.

    Args:
      tokens: int32[R, T].
      mask: bool[R, T], False on padding.
    """
    c = self.config
    embedding = self.param(
        "embedding", nn.initializers.normal(0.02), (c.vocab_size, c.d_model)
    )
    if not c.is_tied:
      self.param(
          "head", nn.initializers.normal(0.02), (c.d_model, c.vocab_size)
      )
    positions = layers.positions_of(mask)
    stack = nn.scan(
        Layer,
        variable_axes={"params": 0},
        split_rngs={"params": True},
        in_axes=(nn.broadcast, 0),
        length=c.num_layers,
    )
    x, keys_and_values = stack(c, name="layers")(
        _embed(embedding, c, tokens),
        _contexts(c, positions, positions, mask),
        jnp.asarray(c.is_local) if c.is_local else None,
    )
    scale = self.param(
        "final_norm",
        nn.initializers.constant(1.0 - c.norm_offset),
        (c.d_model,),
    )
    return _final_norm(scale, c, x), keys_and_values


def _embed(
    embedding: jax.Array, config: ModelConfig, tokens: jax.Array
) -> jax.Array:
  """[R, T, D], rows of the embedding table."""
  x = embedding[tokens]
  if config.has_scaled_embedding:
    # In the parameters' dtype: transformers rounds the factor like this.
    x = x * jnp.asarray(config.d_model**0.5, x.dtype)
  return x


def _final_norm(
    scale: jax.Array, config: ModelConfig, x: jax.Array
) -> jax.Array:
  return layers.rms_norm(x, scale, config.norm_eps, config.norm_offset)


def init_params(key: jax.Array, config: ModelConfig) -> Params:
  """Random float32 parameters of a new model."""
  tokens, mask = jnp.zeros((1, 2), jnp.int32), jnp.ones((1, 2), bool)
  return Decoder(config).init(key, tokens, mask)["params"]


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
  hidden, _ = Decoder(config).apply({"params": params}, tokens, mask)
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
  shape = (rows, c.num_kv_heads, columns, c.head_dim)
  empty = (jnp.zeros(shape, params["embedding"].dtype),) * c.num_layers
  cache = Cache(
      keys=empty,
      values=empty,
      mask=jnp.zeros((rows, columns), bool),
      positions=jnp.zeros((rows, columns), jnp.int32),
      column=jnp.zeros((), jnp.int32),
      next_position=jnp.zeros((rows,), jnp.int32),
  )
  if not length:
    return cache
  _, stacks = Decoder(config).apply({"params": params}, tokens, mask)
  keys, values = (
      tuple(_write(e, s, 0) for e, s in zip(empty, stack, strict=True))
      for stack in stacks
  )
  return _append(cache, mask).replace(keys=keys, values=values)


def decoding_layout(params: Params, config: ModelConfig) -> Params:
  """Parameters as `hidden_states_with_cache` takes them.

  A scan over stacked layers copies each layer's weights out of the stack for
  every token. Here every layer has arrays of its own.
  """
  stack = params["layers"]
  return {
      "embedding": params["embedding"],
      "final_norm": params["final_norm"],
      "output_table": output_table(params, config),
      "layers": tuple(
          jax.tree.map(lambda a, i=i: a[i], stack)
          for i in range(config.num_layers)
      ),
  }


def hidden_states_with_cache(
    params: Params,
    config: ModelConfig,
    tokens: jax.Array,
    mask: jax.Array,
    cache: Cache,
) -> tuple[jax.Array, Cache]:
  """Hidden states of T new tokens per row after the cached ones.

  Args:
    params: in `decoding_layout`.
    config: the model's configuration.
    tokens: int32[R, T].
    mask: bool[R, T], False on columns that are a hole in their row.
    cache: earlier tokens, with at least T columns left.

  Returns:
    [R, T, D] and the cache with T more columns.
  """
  c, new = config, _append(cache, mask)
  positions = cache.next_position[:, None] + layers.positions_of(mask)
  contexts = _contexts(c, positions, new.positions, new.mask)
  x = _embed(params["embedding"], c, tokens)
  keys, values = [], []
  for i, weights in enumerate(params["layers"]):
    is_local = c.is_local[i] if c.is_local else None
    part = LayerCache(cache.keys[i], cache.values[i], cache.column)
    x, (k, v) = Layer(c).apply({"params": weights}, x, contexts, is_local, part)
    keys.append(k)
    values.append(v)
  hidden = _final_norm(params["final_norm"], c, x)
  return hidden, new.replace(keys=tuple(keys), values=tuple(values))


def _append(cache: Cache, mask: jax.Array) -> Cache:
  """The cache with T more columns, all but their keys and values."""
  positions = cache.next_position[:, None] + layers.positions_of(mask)
  start = (0, cache.column)
  return cache.replace(
      mask=jax.lax.dynamic_update_slice(cache.mask, mask, start),
      positions=jax.lax.dynamic_update_slice(cache.positions, positions, start),
      column=cache.column + mask.shape[1],
      next_position=cache.next_position
      + jnp.sum(mask.astype(jnp.int32), axis=1),
  )


def output_table(params: Params, config: ModelConfig) -> jax.Array:
  """[V, D], the table whose rows give the logits of their tokens."""
  return params["embedding"] if config.is_tied else params["head"].T


def unembed(
    hidden: jax.Array, table: jax.Array, config: ModelConfig
) -> jax.Array:
  """float32[..., V], logits of hidden states [..., D] by a table [V, D]."""
  products = jnp.einsum(
      "...d,vd->...v", hidden, table, preferred_element_type=jnp.float32
  )
  return layers.softcap(products, config.logit_softcap)


def logits(
    params: Params, config: ModelConfig, tokens: jax.Array, mask: jax.Array
) -> jax.Array:
  """float32[R, T, V], all logits at once: for tests and small models only."""
  hidden = hidden_states(params, config, tokens, mask)
  return unembed(hidden, output_table(params, config), config)
