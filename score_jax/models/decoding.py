"""Decoding with a key/value cache: the layers one by one.

For sampling, parameters have another layout (`layout`), in which each layer has
arrays of its own; `make_copy` makes it once per update. The cache is an
argument and a result.
"""

from collections.abc import Callable
from collections.abc import Sequence

import flax.struct
import jax
import jax.numpy as jnp

from score_jax.devices import sharding
from score_jax.models import layers
from score_jax.models import lora
from score_jax.models import transformer
from score_jax.models.config import ModelConfig
from score_jax.models.lora import Policy
from score_jax.models.transformer import Layer
from score_jax.models.transformer import LayerCache
from score_jax.models.transformer import Params


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


def layout(params: Params, config: ModelConfig) -> Params:
  """Parameters as sampling takes them: each layer has arrays of its own.

  A scan over stacked layers copies each layer's weights out of the stack for
  every token. Factors are merged into their matrices.
  """
  stack = params["layers"]
  result = {
      "embedding": params["embedding"],
      "final_norm": params["final_norm"],
      "layers": tuple(
          lora.merge(jax.tree.map(lambda a, i=i: a[i], stack))
          for i in range(config.num_layers)
      ),
  }
  if not config.is_tied:
    result["output_table"] = params["head"].T
  return result


def logical_axes(config: ModelConfig) -> Params:
  """Logical axes of `layout`'s arrays."""
  axes = transformer.logical_axes(config)
  layer = {name: logical[1:] for name, logical in axes["layers"].items()}
  result = {
      "embedding": axes["embedding"],
      "final_norm": axes["final_norm"],
      "layers": (layer,) * config.num_layers,
  }
  return (
      result if config.is_tied else result | {"output_table": ("vocab", None)}
  )


def make_copy(
    config: ModelConfig, dtype: jnp.dtype | None, mesh: jax.sharding.Mesh | None
) -> Callable[[Policy], Params]:
  """Makes the program that copies a policy's parameters for sampling.

  Args:
    config: the model's configuration.
    dtype: type of the copy; None for the type of the parameters.
    mesh: the sampler's mesh, with the devices of the parameters' mesh in the
      same order; None for the default device.

  Returns:
    The jitted program: policy -> its parameters in `layout`, divided by `mesh`.
  """

  def copy(policy):
    return layout(transformer.cast(lora.params_of(policy), dtype), config)

  return jax.jit(copy, out_shardings=copy_shardings(config, mesh))


def copy_shardings(
    config: ModelConfig, mesh: jax.sharding.Mesh | None
) -> Params | None:
  """Where `make_copy` puts its results; None without a mesh."""
  shapes = jax.eval_shape(
      lambda: layout(transformer.init_params(jax.random.key(0), config), config)
  )
  axes = logical_axes(config)
  return sharding.tree_shardings(mesh, shapes, axes)


def prefill(
    params: Params,
    config: ModelConfig,
    tokens: jax.Array,
    mask: jax.Array,
    columns: int,
    attention: str = "xla",
) -> Cache:
  """A new cache of `columns` columns that holds the given tokens.

  Args:
    params: in `layout`.
    config: the model's configuration.
    tokens: int32[R, T], T may be 0.
    mask: bool[R, T], False on padding.
    columns: S, at least T.
    attention: see `transformer.Execution`.
  """
  rows, length = tokens.shape
  c = config
  shape = (rows, c.num_kv_heads, columns, c.head_dim)
  empty = jnp.zeros(shape, params["embedding"].dtype)
  empty = sharding.constrain(empty, "rows", "kv_heads", None, None)
  cache = Cache(
      keys=(empty,) * c.num_layers,
      values=(empty,) * c.num_layers,
      mask=jnp.zeros((rows, columns), bool),
      positions=jnp.zeros((rows, columns), jnp.int32),
      column=jnp.zeros((), jnp.int32),
      next_position=jnp.zeros((rows,), jnp.int32),
  )
  if not length:
    return cache
  positions = layers.positions_of(mask)
  contexts = transformer.make_contexts(c, positions, positions, mask, attention)
  _, filled = _through_layers(
      params,
      c,
      transformer.embed(params["embedding"], c, tokens),
      contexts,
      [LayerCache(empty, empty, 0)] * c.num_layers,
      Layer(c, attention, is_prefill=True),
  )
  return _with_layers(_append(cache, mask), filled)


def extend(
    params: Params,
    config: ModelConfig,
    tokens: jax.Array,
    mask: jax.Array,
    cache: Cache,
) -> tuple[jax.Array, Cache]:
  """Hidden states of T new tokens per row after the cached ones.

  Args:
    params: in `layout`.
    config: the model's configuration.
    tokens: int32[R, T].
    mask: bool[R, T], False on columns that are a hole in their row.
    cache: earlier tokens, with at least T columns left.

  Returns:
    The hidden states [R, T, D], and the cache with T more columns.
  """
  c, new = config, _append(cache, mask)
  positions = cache.next_position[:, None] + layers.positions_of(mask)
  contexts = transformer.make_contexts(c, positions, new.positions, new.mask)
  x, filled = _through_layers(
      params,
      c,
      transformer.embed(params["embedding"], c, tokens),
      contexts,
      [
          LayerCache(keys, values, cache.column)
          for keys, values in zip(cache.keys, cache.values, strict=True)
      ],
      Layer(c),
  )
  hidden = transformer.final_norm(params["final_norm"], c, x)
  return hidden, _with_layers(new, filled)


def _through_layers(
    params: Params,
    config: ModelConfig,
    x: jax.Array,
    contexts: transformer.Contexts,
    caches: Sequence[LayerCache],
    layer: Layer,
) -> tuple[jax.Array, list[LayerCache]]:
  """The residual stream [R, T, D] after all layers, and their new caches."""
  kinds = transformer.layer_kinds(config)
  filled = []
  for weights, kind, cache in zip(params["layers"], kinds, caches, strict=True):
    x, cache = layer.apply({"params": weights}, x, contexts, kind, cache)
    filled.append(cache)
  return x, filled


def _with_layers(cache: Cache, filled: Sequence[LayerCache]) -> Cache:
  """The cache with the keys and values of its layers replaced."""
  return cache.replace(
      keys=tuple(layer.keys for layer in filled),
      values=tuple(layer.values for layer in filled),
  )


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
