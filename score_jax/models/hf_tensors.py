"""Which tensor of a Hugging Face checkpoint is which parameter.

One table serves all families: a family without biases simply has no entries for
them. Our parameters stack the layers; a checkpoint has a tensor for each layer,
and in some families one tensor for several parameters.
"""

from collections.abc import Callable
from collections.abc import Mapping
import re
from typing import Any
from typing import NamedTuple

import numpy as np

from score_jax.models import hf_families
from score_jax.models.config import ModelConfig
from score_jax.models.config import NormPlacement
from score_jax.models.config import QkNorm
from score_jax.models.transformer import Params


class Tensor(NamedTuple):
  """A tensor of a checkpoint, or rows of one, and its place in the parameters.

  Attributes:
    parameter: name of our parameter, in params, or in params["layers"] for the
      tensor of a layer.
    layer: index into the stack, None for a tensor outside of the layers.
    hf_shape: shape in the checkpoint.
    load: turns the checkpoint's layout into ours; a view, nothing is copied.
    save: turns our layout back into the checkpoint's.
  """

  parameter: str
  layer: int | None
  hf_shape: tuple[int, ...]
  load: Callable[[np.ndarray], np.ndarray]
  save: Callable[[np.ndarray], np.ndarray]


# What a tensor of a checkpoint holds, from its first rows to its last.
Parts = tuple[Tensor, ...]


def table(config: ModelConfig) -> dict[str, Parts]:
  """All tensors of a checkpoint by Hugging Face's name, in its usual order."""
  c = config
  top = {
      "model.embed_tokens.weight": _same("embedding", c.vocab_size, c.d_model),
      "model.norm.weight": _same("final_norm", c.d_model),
  }
  if not c.is_tied:
    top["lm_head.weight"] = _transposed("head", c.vocab_size, c.d_model)
  layer = {
      **_attention(c),
      **_norms(c),
      "mlp.gate_proj.weight": _transposed("gate", c.d_ff, c.d_model),
      "mlp.up_proj.weight": _transposed("up", c.d_ff, c.d_model),
      "mlp.down_proj.weight": _transposed("down", c.d_model, c.d_ff),
  }
  fused = hf_families.FAMILIES[c.model_type].fused_tensors
  stacked = {
      f"model.layers.{i}.{name}": tuple(t._replace(layer=i) for t in parts)
      for i in range(c.num_layers)
      for name, parts in _fused(layer, fused).items()
  }
  return {name: (tensor,) for name, tensor in top.items()} | stacked


def _fused(
    tensors: Mapping[str, Tensor], fused: Mapping[str, tuple[str, ...]]
) -> dict[str, Parts]:
  """Tensors by name, those that are parts of another one by that one's."""
  whole = {part: name for name, parts in fused.items() for part in parts}
  result = {}
  for name, tensor in tensors.items():
    name = whole.get(name, name)
    result[name] = (*result.get(name, ()), tensor)
  return result


def shape(parts: Parts) -> tuple[int, ...]:
  """Shape of a checkpoint's tensor."""
  rows = sum(part.hf_shape[0] for part in parts)
  return (rows, *parts[0].hf_shape[1:])


def split(array: np.ndarray, parts: Parts) -> list[tuple[Tensor, np.ndarray]]:
  """The parts of a checkpoint's tensor and their rows of it, as views."""
  ends = np.cumsum([part.hf_shape[0] for part in parts])
  return list(zip(parts, np.split(array, ends[:-1]), strict=True))


def parameter_of(params: Params, tensor: Tensor) -> Any:
  """Our array for a tensor; for a layer's tensor, the whole stack."""
  parent = params if tensor.layer is None else params["layers"]
  return parent[tensor.parameter]


# Prefixes of the language model inside of multimodal checkpoints, and ours.
_TEXT_PREFIXES = (
    ("language_model.model.", "model."),
    ("language_model.lm_head.", "lm_head."),
    ("model.language_model.", "model."),
)
# Tensors that are no parameters of the language model: those of other
# modalities, and tables in old checkpoints that follow from the configuration.
_NOT_OURS = re.compile(
    r"(model\.)?(vision_tower|multi_modal_projector)\."
    r"|.*\.rotary_emb\.inv_freq$"
)


# What names tell of files that hold something else than a whole model.
_HINTS = (
    (
        r"base_model\.|.*\.(lora_|base_layer\.)",
        "these are the tensors of a PEFT model that was not merged: save"
        " model.merge_and_unload()",
    ),
    (
        r".*(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module|^module)\.",
        "these are the tensors of a wrapped model (torch.compile, FSDP,"
        " DataParallel): save the one inside",
    ),
    (
        r"(layers\.\d+|embed_tokens|norm)\.",
        "these are the tensors of a decoder without its head: save the model"
        " of a class that ends with ForCausalLM",
    ),
    (
        r"(score|v_head|classifier|value_head|reward_head)\.",
        "the model gives scores: give one that gives tokens",
    ),
    (
        r".*\.(qweight|qzeros|scales|weight_scale(_inv)?|weight_packed|absmax"
        r"|quant_map|weight\.(absmax|quant_map|quant_state.*))$",
        "the weights are quantised: give the checkpoint that they were made"
        " from",
    ),
)


def hint(unknown: list[str], missing: list[str]) -> str:
  """What files that do not fit probably hold; '' if it cannot tell.

  Args:
    unknown: names of tensors that are not the model's.
    missing: names of the model's tensors that are not there.
  """
  if not unknown and missing == ["lm_head.weight"]:
    return "if its head is the embedding, set tie_word_embeddings to true"
  for pattern, sentence in _HINTS:
    if any(re.match(pattern, name) for name in unknown):
      return sentence
  return ""


def text_name(name: str) -> str | None:
  """The name that `table` has for a tensor; None outside the language model."""
  if _NOT_OURS.match(name):
    return None
  for prefix, ours in _TEXT_PREFIXES:
    if name.startswith(prefix):
      return ours + name.removeprefix(prefix)
  return name


def _attention(c: ModelConfig) -> dict[str, Tensor]:
  """Projections and their biases, by the name inside of a layer."""
  tensors = {
      "self_attn.q_proj.weight": _heads("query", c.d_model, c.num_heads, c),
      "self_attn.k_proj.weight": _heads("key", c.d_model, c.num_kv_heads, c),
      "self_attn.v_proj.weight": _heads("value", c.d_model, c.num_kv_heads, c),
      "self_attn.o_proj.weight": _output(c),
  }
  if c.has_qkv_bias:
    tensors["self_attn.q_proj.bias"] = _by_head("query_bias", c.num_heads, c)
    tensors["self_attn.k_proj.bias"] = _by_head("key_bias", c.num_kv_heads, c)
    tensors["self_attn.v_proj.bias"] = _by_head("value_bias", c.num_kv_heads, c)
  if c.has_output_bias:
    tensors["self_attn.o_proj.bias"] = _same("output_bias", c.d_model)
  return tensors


# `post_attention_layernorm` comes before the feed-forward layer in families
# without norms behind attention, and behind attention in the others.
_NORM_NAMES = {
    NormPlacement.BEFORE: {
        "input_layernorm": "attention_norm",
        "post_attention_layernorm": "mlp_norm",
    },
    NormPlacement.AROUND: {
        "input_layernorm": "attention_norm",
        "post_attention_layernorm": "post_attention_norm",
        "pre_feedforward_layernorm": "mlp_norm",
        "post_feedforward_layernorm": "post_mlp_norm",
    },
    NormPlacement.BEHIND: {
        "post_attention_layernorm": "post_attention_norm",
        "post_feedforward_layernorm": "post_mlp_norm",
    },
}


def _norms(c: ModelConfig) -> dict[str, Tensor]:
  """Norms of a layer, by the name inside of it."""
  tensors = {
      f"{name}.weight": _same(ours, c.d_model)
      for name, ours in _NORM_NAMES[c.norm_placement].items()
  }
  if c.qk_norm is QkNorm.HEAD:
    tensors["self_attn.q_norm.weight"] = _same("query_norm", c.head_dim)
    tensors["self_attn.k_norm.weight"] = _same("key_norm", c.head_dim)
  if c.qk_norm is QkNorm.PROJECTION:
    tensors["self_attn.q_norm.weight"] = _by_head("query_norm", c.num_heads, c)
    tensors["self_attn.k_norm.weight"] = _by_head("key_norm", c.num_kv_heads, c)
  return tensors


def _same(parameter: str, *shape: int) -> Tensor:
  return Tensor(parameter, None, shape, lambda a: a, lambda a: a)


def _transposed(parameter: str, *shape: int) -> Tensor:
  return Tensor(parameter, None, shape, lambda a: a.T, lambda a: a.T)


def _heads(
    parameter: str, d_model: int, num_heads: int, c: ModelConfig
) -> Tensor:
  """[heads * head_dim, D] in the checkpoint, [D, heads, head_dim] here."""
  width = num_heads * c.head_dim
  return Tensor(
      parameter,
      None,
      (width, d_model),
      lambda a: a.reshape(num_heads, c.head_dim, d_model).transpose(2, 0, 1),
      lambda a: a.transpose(1, 2, 0).reshape(width, d_model),
  )


def _output(c: ModelConfig) -> Tensor:
  """[D, heads * head_dim] in the checkpoint, [heads, head_dim, D] here."""
  width = c.num_heads * c.head_dim
  return Tensor(
      "output",
      None,
      (c.d_model, width),
      lambda a: a.reshape(c.d_model, c.num_heads, c.head_dim).transpose(
          1, 2, 0
      ),
      lambda a: a.transpose(2, 0, 1).reshape(c.d_model, width),
  )


def _by_head(parameter: str, num_heads: int, c: ModelConfig) -> Tensor:
  """[heads * head_dim] in the checkpoint, [heads, head_dim] here."""
  width = num_heads * c.head_dim
  return Tensor(
      parameter,
      None,
      (width,),
      lambda a: a.reshape(num_heads, c.head_dim),
      lambda a: a.reshape(width),
  )
