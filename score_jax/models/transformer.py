"""The decoder: a thin Linen shell that names parameters over layers.py.

Layers are stacked along a leading axis and scanned, except for sampling, which
takes them one by one (`decoding_layout`). The key/value cache is an argument
and a result: nothing is hidden in a module. How arrays are divided on a mesh is
said in the terms of sharding.py; without a mesh that changes nothing.
"""

from collections.abc import Callable
import dataclasses
import functools
from typing import Any
from typing import NamedTuple

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp

from score_jax import sharding
from score_jax.models import layers
from score_jax.models import splash
from score_jax.models import vocab
from score_jax.models.config import ModelConfig
from score_jax.sharding import Logical

Params = dict[str, Any]

ATTENTIONS = ("xla", "splash")

# What the backward pass finds in memory, and what it computes again.
REMAT_POLICIES = {
    "none": jax.checkpoint_policies.everything_saveable,
    "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
    "full": jax.checkpoint_policies.nothing_saveable,
}


@dataclasses.dataclass(frozen=True)
class Execution:
  """How a decoder is computed: its speed and memory, not its function.

  Attributes:
    dtype: of weights and activations in use; None for that of the parameters.
    remat: key of REMAT_POLICIES, applied to each layer.
    attention: "xla", or "splash": TPU kernels, which take rows whose tokens
      have no padding between them. Decoding is always "xla".
  """

  dtype: jnp.dtype | None = None
  remat: str = "none"
  attention: str = "xla"

  def __post_init__(self):
    for name, choices in (("remat", REMAT_POLICIES), ("attention", ATTENTIONS)):
      if vars(self)[name] not in choices:
        raise ValueError(
            f"{name} is {vars(self)[name]!r}, expected one of"
            f" {', '.join(choices)}"
        )


PLAIN = Execution()


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
    mask: bool[R, T, S], which keys each new token sees; bool[R, T], which
      columns hold a token, where kernels find out the rest.
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


Contexts = tuple[Context, Context | None]


def _contexts(
    config: ModelConfig,
    positions: jax.Array,
    key_positions: jax.Array,
    key_mask: jax.Array,
    attention: str = "xla",
) -> Contexts:
  """Contexts of global and of local layers, None where there are none."""
  c = config

  def seen(window):
    if attention == "splash":
      return key_mask
    return layers.visible(positions, key_positions, key_mask, window)

  everywhere = Context(
      layers.rotation(positions, c.rope, c.head_dim), seen(None)
  )
  if c.sliding_window is None:
    return everywhere, None
  nearby = Context(
      layers.rotation(positions, c.local_rope or c.rope, c.head_dim),
      seen(c.sliding_window),
  )
  return everywhere, nearby


def _select(contexts: Contexts, is_local: jax.Array | bool | None) -> Context:
  """The context of a layer; `is_local` is bool[] of a scanned layer."""
  everywhere, nearby = contexts
  if nearby is None:
    return everywhere
  if isinstance(is_local, bool):
    return nearby if is_local else everywhere
  return jax.tree.map(
      lambda far, near: jnp.where(is_local, near, far), everywhere, nearby
  )


def _attend(
    config: ModelConfig,
    attention: str,
    is_local: jax.Array | bool | None,
    queries: jax.Array,
    keys: jax.Array,
    values: jax.Array,
    mask: jax.Array,
) -> jax.Array:
  """Attention of a layer, [R, H, T, head_dim]; see `layers.attend`."""
  kernel = {"xla": layers.attend, "splash": splash.attend}[attention]
  far = functools.partial(
      kernel, scale=config.query_scale, cap=config.attention_softcap
  )
  window = config.sliding_window
  # XLA's mask has the window in it; one as long as a row hides nothing.
  if attention == "xla" or window is None or window >= queries.shape[2]:
    return far(queries, keys, values, mask)
  near = functools.partial(far, window=window)
  if isinstance(is_local, bool):
    return (near if is_local else far)(queries, keys, values, mask)
  return jax.lax.cond(is_local, near, far, queries, keys, values, mask)


# Between two products of a layer: each device has tokens of its own.
_RESIDUAL = ("rows", "sequence", None)


class Layer(nn.Module):
  """One block: attention, then a gated feed-forward layer, both pre-normed."""

  config: ModelConfig
  attention: str = "xla"

  @nn.compact
  def __call__(self, x, contexts, is_local, cache=None):
    """Returns the residual stream [R, T, D] and (keys, values).

    Args:
      x: [R, T, D], residual stream.
      contexts: see `_contexts`.
      is_local: which of them applies, bool[] or a bool; None where there is
        only one.
      cache: LayerCache to write to and look at, None to look at the tokens
        themselves; what is returned is it, or the tokens' keys and values.
    """
    c = self.config
    w = {
        name: sharding.gather(self.param(name, init, shape), axes)
        for name, (init, shape, axes) in _layer_parameters(c).items()
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
    queries = sharding.constrain(queries, "rows", "heads", None, None)
    keys, values = (
        sharding.constrain(a, "rows", "kv_heads", None, None)
        for a in (keys, values)
    )
    if cache is not None:
      keys = _write(cache.keys, keys, cache.column)
      values = _write(cache.values, values, cache.column)
    attention = self.attention if cache is None else "xla"
    mixed = _attend(c, attention, is_local, queries, keys, values, context.mask)
    mixed = jnp.einsum("rnth,nhd->rtd", mixed, w["output"])
    if c.has_output_bias:
      mixed = mixed + w["output_bias"][None, None]
    mixed = sharding.constrain(mixed, *_RESIDUAL)
    x = x + (norm(mixed, "post_attention_norm") if c.has_post_norms else mixed)
    h = norm(x, "mlp_norm")
    h = layers.gated(h, w["gate"], w["up"], w["down"], c.activation)
    h = sharding.constrain(h, *_RESIDUAL)
    x = x + (norm(h, "post_mlp_norm") if c.has_post_norms else h)
    return x, (keys, values)


def _write(array: jax.Array, new: jax.Array, column: jax.Array) -> jax.Array:
  """[R, N, S, head_dim] with T columns replaced from `column` on."""
  return jax.lax.dynamic_update_slice(
      array, new.astype(array.dtype), (0, 0, column, 0)
  )


class _Parameter(NamedTuple):
  init: Callable[..., jax.Array]
  shape: tuple[int, ...]
  logical: Logical


def _layer_parameters(c: ModelConfig) -> dict[str, _Parameter]:
  """Each parameter of a layer by name."""
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
  by_head, by_kv_head = ("heads", None), ("kv_heads", None)
  parameters = {
      "attention_norm": (scale, (c.d_model,), (None,)),
      "query": (dense, (c.d_model, *queries), ("model", *by_head)),
      "key": (dense, (c.d_model, *keys), ("model", *by_kv_head)),
      "value": (dense, (c.d_model, *keys), ("model", *by_kv_head)),
      "output": (output, (*queries, c.d_model), (*by_head, "model")),
      "mlp_norm": (scale, (c.d_model,), (None,)),
      "gate": (dense_2d, (c.d_model, c.d_ff), ("model", "ffn")),
      "up": (dense_2d, (c.d_model, c.d_ff), ("model", "ffn")),
      "down": (dense_2d, (c.d_ff, c.d_model), ("ffn", "model")),
  }
  if c.has_post_norms:
    parameters["post_attention_norm"] = (scale, (c.d_model,), (None,))
    parameters["post_mlp_norm"] = (scale, (c.d_model,), (None,))
  if c.has_qk_norm:
    parameters["query_norm"] = (scale, (c.head_dim,), (None,))
    parameters["key_norm"] = (scale, (c.head_dim,), (None,))
  if c.has_qkv_bias:
    parameters["query_bias"] = (zeros, queries, by_head)
    parameters["key_bias"] = (zeros, keys, by_kv_head)
    parameters["value_bias"] = (zeros, keys, by_kv_head)
  if c.has_output_bias:
    parameters["output_bias"] = (zeros, (c.d_model,), (None,))
  return {name: _Parameter(*values) for name, values in parameters.items()}


def logical_axes(config: ModelConfig) -> Params:
  """Logical axes of every parameter, see `sharding.RULES`."""
  stack = {
      name: (None, *parameter.logical)
      for name, parameter in _layer_parameters(config).items()
  }
  axes = {
      "embedding": ("vocab", None),
      "final_norm": (None,),
      "layers": stack,
  }
  return axes if config.is_tied else axes | {"head": (None, "vocab")}


def check_mesh(config: ModelConfig, tensor: int) -> None:
  """Refuses a tensor axis that does not divide the model's heads or F.

  Raises:
    ValueError: what it does not divide.
  """
  sizes = {
      "num_heads": config.num_heads,
      "num_kv_heads": config.num_kv_heads,
      "d_ff": config.d_ff,
  }
  wrong = [f"{name} {n}" for name, n in sizes.items() if n % tensor]
  if wrong:
    raise ValueError(
        f"a tensor axis of {tensor} devices does not divide the model's"
        f" {' and '.join(wrong)}: choose a divisor, and give the other devices"
        " to fsdp (or to data)"
    )


class Decoder(nn.Module):
  """Embedding, scanned layers, final norm; the output head is `unembed`."""

  config: ModelConfig
  execution: Execution = PLAIN

  @nn.compact
  def __call__(self, tokens, mask):
    """Returns hidden states [R, T, D].

    Args:
      tokens: int32[R, T].
      mask: bool[R, T], False on padding.
    """
    c, execution = self.config, self.execution
    embedding = self.param(
        "embedding", nn.initializers.normal(0.02), (c.vocab_size, c.d_model)
    )
    if not c.is_tied:
      self.param(
          "head", nn.initializers.normal(0.02), (c.d_model, c.vocab_size)
      )
    positions = layers.positions_of(mask)
    layer = Layer
    if execution.remat != "none":
      policy = REMAT_POLICIES[execution.remat]
      # Inside of a scan nothing can be merged that must be kept apart.
      layer = nn.remat(Layer, policy=policy, prevent_cse=False)
    stack = nn.scan(
        layer,
        variable_axes={"params": 0},
        split_rngs={"params": True},
        in_axes=(nn.broadcast, 0),
        length=c.num_layers,
    )
    x, _ = stack(c, execution.attention, name="layers")(
        _embed(embedding, c, tokens),
        _contexts(c, positions, positions, mask, execution.attention),
        jnp.asarray(c.is_local) if c.is_local else None,
    )
    scale = self.param(
        "final_norm",
        nn.initializers.constant(1.0 - c.norm_offset),
        (c.d_model,),
    )
    return _final_norm(scale, c, x)


def _embed(
    embedding: jax.Array, config: ModelConfig, tokens: jax.Array
) -> jax.Array:
  """[R, T, D], rows of the embedding table."""
  x = vocab.embed(embedding, tokens)
  if config.has_scaled_embedding:
    # In the parameters' dtype: transformers rounds the factor like this.
    x = x * jnp.asarray(config.d_model**0.5, x.dtype)
  return sharding.constrain(x, *_RESIDUAL)


def _final_norm(
    scale: jax.Array, config: ModelConfig, x: jax.Array
) -> jax.Array:
  return layers.rms_norm(x, scale, config.norm_eps, config.norm_offset)


def init_params(key: jax.Array, config: ModelConfig) -> Params:
  """Random float32 parameters of a new model."""
  tokens, mask = jnp.zeros((1, 2), jnp.int32), jnp.ones((1, 2), bool)
  return Decoder(config).init(key, tokens, mask)["params"]


def cast(params: Params, dtype: jnp.dtype | None) -> Params:
  """Parameters of another type; None leaves them as they are."""
  return jax.tree.map(lambda a: a.astype(dtype or a.dtype), params)


def hidden_states(
    params: Params,
    config: ModelConfig,
    tokens: jax.Array,
    mask: jax.Array,
    execution: Execution = PLAIN,
) -> jax.Array:
  """Final normed hidden states of whole rows, without a cache.

  Args:
    params: as made by `init_params` or `hf.load`.
    config: the model's configuration.
    tokens: int32[R, T]; any id where the mask is False.
    mask: bool[R, T], False on padding, which may lie anywhere.
    execution: how they are computed.

  Returns:
    [R, T, D]; whatever where the mask is False.
  """
  params = cast(params, execution.dtype)
  return Decoder(config, execution).apply({"params": params}, tokens, mask)


def decoding_layout(params: Params, config: ModelConfig) -> Params:
  """Parameters as sampling takes them: each layer has arrays of its own.

  A scan over stacked layers copies each layer's weights out of the stack for
  every token.
  """
  stack = params["layers"]
  layout = {
      "embedding": params["embedding"],
      "final_norm": params["final_norm"],
      "layers": tuple(
          jax.tree.map(lambda a, i=i: a[i], stack)
          for i in range(config.num_layers)
      ),
  }
  if not config.is_tied:
    layout["output_table"] = params["head"].T
  return layout


def decoding_logical_axes(config: ModelConfig) -> Params:
  """Logical axes of `decoding_layout`'s arrays."""
  axes = logical_axes(config)
  layer = {name: logical[1:] for name, logical in axes["layers"].items()}
  layout = {
      "embedding": axes["embedding"],
      "final_norm": axes["final_norm"],
      "layers": (layer,) * config.num_layers,
  }
  return (
      layout if config.is_tied else layout | {"output_table": ("vocab", None)}
  )


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
    params: in `decoding_layout`.
    config: the model's configuration.
    tokens: int32[R, T], T may be 0.
    mask: bool[R, T], False on padding.
    columns: S, at least T.
    attention: see Execution.
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
  contexts = _contexts(c, positions, positions, mask, attention)
  x = _embed(params["embedding"], c, tokens)
  keys, values = [], []
  for i, weights in enumerate(params["layers"]):
    layer = Layer(c, attention)
    x, (k, v) = layer.apply({"params": weights}, x, contexts, _is_local(c, i))
    keys.append(_write(empty, k, 0))
    values.append(_write(empty, v, 0))
  return _append(cache, mask).replace(keys=tuple(keys), values=tuple(values))


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
    part = LayerCache(cache.keys[i], cache.values[i], cache.column)
    x, (k, v) = Layer(c).apply(
        {"params": weights}, x, contexts, _is_local(c, i), part
    )
    keys.append(k)
    values.append(v)
  hidden = _final_norm(params["final_norm"], c, x)
  return hidden, new.replace(keys=tuple(keys), values=tuple(values))


def _is_local(config: ModelConfig, layer: int) -> bool | None:
  return config.is_local[layer] if config.is_local else None


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
  """[V, D], the table whose rows give the logits of their tokens.

  Args:
    params: model parameters, or those in `decoding_layout`.
    config: the model's configuration.
  """
  if config.is_tied:
    return params["embedding"]
  if "output_table" in params:
    return params["output_table"]
  return params["head"].T


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
