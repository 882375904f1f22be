"""The decoder: a thin Linen shell that names parameters over layers.py.

Layers are stacked along a leading axis and scanned; sampling takes them one by
one, see decoding.py. The key/value cache is an argument and a result: nothing
is hidden in a module. How arrays are divided on a mesh is said in the terms of
sharding.py; without a mesh that changes nothing.
"""

from collections.abc import Callable
import dataclasses
import functools
from typing import Any
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from score_jax import settings
from score_jax.devices import sharding
from score_jax.devices.sharding import Logical
from score_jax.models import layers
from score_jax.models import lora
from score_jax.models import splash
from score_jax.models import vocab
from score_jax.models.config import ModelConfig
from score_jax.models.config import NormPlacement
from score_jax.models.config import QkNorm

Params = dict[str, Any]

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
    dtype: type of weights and activations in use; None for the parameters'
      type.
    remat: key of REMAT_POLICIES, applied to each layer.
    attention: "xla", or "splash": TPU kernels, which take rows whose tokens
      have no padding between them. Decoding is always "xla".
    logprob_chunk: positions whose logits are alive at once, over all devices
      that hold one copy of the model.
  """

  dtype: jnp.dtype | None = None
  remat: str = "none"
  attention: str = "xla"
  logprob_chunk: int = 1024

  def __post_init__(self):
    for name, choices in (
        ("remat", settings.REMAT_POLICIES),
        ("attention", settings.ATTENTIONS),
    ):
      if vars(self)[name] not in choices:
        raise ValueError(
            f"{name} is {vars(self)[name]!r}, expected one of"
            f" {', '.join(choices)}"
        )


PLAIN = Execution()


class Context(NamedTuple):
  """What all layers of one kind, global or local, know of the tokens.

  Attributes:
    rotation: sines and cosines of the new tokens' positions.
    mask: bool[R, T, S], which keys each new token sees. For kernels, which find
      that out themselves, bool[R, T], which columns hold a token.
  """

  rotation: layers.Rotation
  mask: jax.Array


class LayerKind(NamedTuple):
  """What tells a layer from the others.

  Each is bool[] of a scanned layer, a bool of a single one, and None where all
  layers are of one kind.

  Attributes:
    is_local: whether it sees the local context.
    has_rope: whether queries and keys are rotated.
  """

  is_local: jax.Array | bool | None
  has_rope: jax.Array | bool | None


def layer_kinds(config: ModelConfig) -> list[LayerKind]:
  """The kind of each layer, for those who take them one by one."""
  nothing = (None,) * config.num_layers
  kinds = (config.is_local or nothing, config.has_rope or nothing)
  return [LayerKind(*kind) for kind in zip(*kinds, strict=True)]


def stacked_kinds(config: ModelConfig) -> LayerKind:
  """The kinds of all layers, bool[L] each, for a scan."""
  kinds = (config.is_local, config.has_rope)
  return LayerKind(*(jnp.asarray(k) if k else None for k in kinds))


class LayerCache(NamedTuple):
  """A layer's part of the cache, and where new tokens go.

  Attributes:
    keys: [R, N, S, head_dim].
    values: [R, N, S, head_dim].
    column: int32[], first column to write.
  """

  keys: jax.Array
  values: jax.Array
  column: jax.Array | int

  def extended(self, keys: jax.Array, values: jax.Array) -> "LayerCache":
    """The cache with [R, N, T, head_dim] written from `column` on."""
    return self._replace(
        keys=_write(self.keys, keys, self.column),
        values=_write(self.values, values, self.column),
    )


Contexts = tuple[Context, Context | None]


def make_contexts(
    config: ModelConfig,
    positions: jax.Array,
    key_positions: jax.Array,
    key_mask: jax.Array,
    attention: str = "xla",
) -> Contexts:
  """Contexts of global and of local layers; the latter None without any.

  Args:
    config: the model's configuration.
    positions: int32[R, T], of the new tokens.
    key_positions: int32[R, S], of the keys.
    key_mask: bool[R, S], False where there is no token.
    attention: see `Execution`; "splash" is for new tokens among themselves.
  """
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


def _select(contexts: Contexts, kind: LayerKind) -> Context:
  """The context of a layer."""
  context = _select_by_reach(contexts, kind.is_local)
  if kind.has_rope is None:
    return context
  rotation = jax.tree.map(
      lambda turned, still: jnp.where(kind.has_rope, turned, still),
      context.rotation,
      layers.without_rotation(context.rotation),
  )
  return context._replace(rotation=rotation)


def _select_by_reach(
    contexts: Contexts, is_local: jax.Array | bool | None
) -> Context:
  """The local context or the global one."""
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
  """One block: attention, then a gated feed-forward layer.

  Attributes:
    config: the model's configuration.
    attention: kernels of attention, see `Execution`.
    is_prefill: whether a cache is filled and not read: the new tokens are the
      first ones, and attend to each other alone.
  """

  config: ModelConfig
  attention: str = "xla"
  is_prefill: bool = False

  @nn.compact
  def __call__(self, x, contexts, kind, cache=None):
    """Returns the residual stream [R, T, D], and the cache with new tokens.

    Args:
      x: [R, T, D], residual stream.
      contexts: see `make_contexts`.
      kind: LayerKind of this layer.
      cache: LayerCache of earlier tokens; None where there is none, and none
        is returned.
    """
    c = self.config
    w = self._weights()
    context = _select(contexts, kind)

    def norm(x, name, axes=(-1,)):
      if name not in w:  # where this family has no norm
        return x
      return layers.rms_norm(x, w[name], c.norm_eps, c.norm_offset, axes)

    def project(h, name):
      heads = lora.project("rtd,dnh->rnth", h, w, name)
      if c.has_qkv_bias:
        heads = heads + w[f"{name}_bias"][None, :, None]
      return heads

    h = norm(x, "attention_norm")
    queries, keys, values = (project(h, n) for n in ("query", "key", "value"))
    over = (-3, -1) if c.qk_norm is QkNorm.PROJECTION else (-1,)
    queries = norm(queries, "query_norm", over)
    keys = norm(keys, "key_norm", over)
    queries = layers.rotate(queries, context.rotation)
    keys = layers.rotate(keys, context.rotation)
    queries = sharding.constrain(queries, "rows", "heads", None, None)
    keys, values = (
        sharding.constrain(a, "rows", "kv_heads", None, None)
        for a in (keys, values)
    )
    attention = self.attention
    if cache is not None:
      cache = cache.extended(keys, values)
      if not self.is_prefill:
        keys, values, attention = cache.keys, cache.values, "xla"
    mixed = _attend(
        c, attention, kind.is_local, queries, keys, values, context.mask
    )
    mixed = lora.project("rnth,nhd->rtd", mixed, w, "output")
    if c.has_output_bias:
      mixed = mixed + w["output_bias"][None, None]
    mixed = sharding.constrain(mixed, *_RESIDUAL)
    x = x + norm(mixed, "post_attention_norm")
    h = norm(x, "mlp_norm")
    gate, up = (lora.project("rtd,df->rtf", h, w, n) for n in ("gate", "up"))
    h = lora.project("rtf,fd->rtd", c.activation(gate) * up, w, "down")
    h = sharding.constrain(h, *_RESIDUAL)
    return x + norm(h, "post_mlp_norm"), cache

  def _weights(self) -> dict[str, jax.Array]:
    """Parameters by name, whole along fsdp; with factors that are given."""
    weights = {
        name: sharding.gather(self.param(name, init, shape), axes)
        for name, (init, shape, axes) in _layer_parameters(self.config).items()
    }
    factors = {
        name: sharding.gather(self.get_variable("params", name), axes)
        for name, axes in _factor_axes(self.config).items()
        if self.has_variable("params", name)
    }
    return weights | factors


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
  stream = (scale, (c.d_model,), (None,))
  # Their order decides which random numbers of a key each of them gets.
  parameters = {
      "attention_norm": stream,
      "query": (dense, (c.d_model, *queries), ("model", *by_head)),
      "key": (dense, (c.d_model, *keys), ("model", *by_kv_head)),
      "value": (dense, (c.d_model, *keys), ("model", *by_kv_head)),
      "output": (output, (*queries, c.d_model), (*by_head, "model")),
      "mlp_norm": stream,
      "gate": (dense_2d, (c.d_model, c.d_ff), ("model", "ffn")),
      "up": (dense_2d, (c.d_model, c.d_ff), ("model", "ffn")),
      "down": (dense_2d, (c.d_ff, c.d_model), ("ffn", "model")),
  }
  if c.norm_placement is NormPlacement.BEHIND:
    del parameters["attention_norm"], parameters["mlp_norm"]
  if c.norm_placement is not NormPlacement.BEFORE:
    parameters |= {"post_attention_norm": stream, "post_mlp_norm": stream}
  if c.qk_norm is QkNorm.HEAD:
    head = (scale, (c.head_dim,), (None,))
    parameters |= {"query_norm": head, "key_norm": head}
  if c.qk_norm is QkNorm.PROJECTION:
    parameters["query_norm"] = (scale, queries, by_head)
    parameters["key_norm"] = (scale, keys, by_kv_head)
  if c.has_qkv_bias:
    parameters["query_bias"] = (zeros, queries, by_head)
    parameters["key_bias"] = (zeros, keys, by_kv_head)
    parameters["value_bias"] = (zeros, keys, by_kv_head)
  if c.has_output_bias:
    parameters["output_bias"] = (zeros, (c.d_model,), (None,))
  return {name: _Parameter(*values) for name, values in parameters.items()}


def _factor_axes(config: ModelConfig) -> dict[str, Logical]:
  """Logical axes of one layer's factors."""
  parameters = _layer_parameters(config)
  return lora.logical_axes({n: p.logical for n, p in parameters.items()})


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


def factor_axes(config: ModelConfig) -> Params:
  """Logical axes of the factors of all layers, see `lora.Adapted`."""
  return {n: (None, *axes) for n, axes in _factor_axes(config).items()}


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
        embed(embedding, c, tokens),
        make_contexts(c, positions, positions, mask, execution.attention),
        stacked_kinds(c),
    )
    scale = self.param(
        "final_norm",
        nn.initializers.constant(1.0 - c.norm_offset),
        (c.d_model,),
    )
    return final_norm(scale, c, x)


def embed(
    embedding: jax.Array, config: ModelConfig, tokens: jax.Array
) -> jax.Array:
  """[R, T, D], rows of the embedding table."""
  x = vocab.embed(embedding, tokens)
  if config.has_scaled_embedding:
    # In the parameters' dtype: transformers rounds the factor like this.
    x = x * jnp.asarray(config.d_model**0.5, x.dtype)
  return sharding.constrain(x, *_RESIDUAL)


def final_norm(
    scale: jax.Array, config: ModelConfig, x: jax.Array
) -> jax.Array:
  """Normed hidden states [R, T, D], by the final norm's scale [D]."""
  return layers.rms_norm(x, scale, config.norm_eps, config.norm_offset)


def init_params(key: jax.Array, config: ModelConfig) -> Params:
  """Random float32 parameters of a new model."""
  tokens, mask = jnp.zeros((1, 2), jnp.int32), jnp.ones((1, 2), bool)
  return Decoder(config).init(key, tokens, mask)["params"]


def cast(params: Params, dtype: jnp.dtype | None) -> Params:
  """Parameters cast to a type; None leaves them as they are."""
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
    execution: how the model is computed.

  Returns:
    [R, T, D]; without meaning where the mask is False.
  """
  params = cast(params, execution.dtype)
  return Decoder(config, execution).apply({"params": params}, tokens, mask)


def output_table(params: Params, config: ModelConfig) -> jax.Array:
  """[V, D], the table whose rows give the logits of their tokens.

  Args:
    params: model parameters, or those in `decoding.layout`.
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
