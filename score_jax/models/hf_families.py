"""What is particular to each family of models in a config.json.

A family reads the fields that it has a default for, and the sizes that all
families have. A field of another family that would change the arithmetic is
refused here, unless its value says that it changes nothing: transformers would
ignore it, and whoever wrote it did not mean the model that is then loaded.
"""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
import enum
from typing import Any

from score_jax.models.config import NormPlacement
from score_jax.models.config import QkNorm

Values = Mapping[str, Any]


class RopeLayout(enum.Enum):
  """Where a family's files have the parameters of rotary embeddings.

  FLAT: one rotary embedding, for all layers.
  BY_KIND: one for global layers and one for local ones.
  """

  FLAT = enum.auto()
  BY_KIND = enum.auto()


def _num_layers(values: Values) -> int:
  return values["num_hidden_layers"]


def _no_local_layers(values: Values) -> tuple[bool, ...]:
  return (False,) * _num_layers(values)


def _all_local(values: Values) -> tuple[bool, ...]:
  return (True,) * _num_layers(values)


def _every_second_local(values: Values) -> tuple[bool, ...]:
  return tuple(i % 2 == 0 for i in range(_num_layers(values)))


def _three_of_four_local(values: Values) -> tuple[bool, ...]:
  return tuple((i + 1) % 4 != 0 for i in range(_num_layers(values)))


def _local_without_rope(values: Values) -> tuple[bool, ...]:
  return tuple(not is_rotated for is_rotated in layers_with_rope(values))


def layers_with_rope(values: Values) -> tuple[bool, ...]:
  """For each layer whether it rotates queries and keys.

  Raises:
    ValueError: `no_rope_layers` is no list of enough zeros and ones.
  """
  num_layers, given = _num_layers(values), values["no_rope_layers"]
  if given is None:
    interval = values["no_rope_layer_interval"]
    if type(interval) is not int or interval < 1:
      raise ValueError(
          f"no_rope_layer_interval is {interval!r}, expected a whole number"
          " above 0"
      )
    return tuple((i + 1) % interval != 0 for i in range(num_layers))
  is_list = isinstance(given, list) and len(given) >= num_layers
  if not is_list or any(value not in (0, 1) for value in given):
    raise ValueError(
        f"no_rope_layers is {given!r}, expected 0 or 1 (it has rope) for each"
        f" of {num_layers} layers"
    )
  return tuple(bool(value) for value in given[:num_layers])


def _local_by_pattern(values: Values) -> tuple[bool, ...]:
  pattern = values["sliding_window_pattern"]
  return tuple((i + 1) % pattern != 0 for i in range(_num_layers(values)))


def _local_from_max_window_layers(values: Values) -> tuple[bool, ...]:
  first = values["max_window_layers"]
  return tuple(i >= first for i in range(_num_layers(values)))


# Scalings of rotary embeddings that are implemented.
ROPE_KINDS = ("default", "linear", "llama3", "longrope", "yarn")


@dataclasses.dataclass(frozen=True)
class Family:
  """What is particular to one model_type.

  Attributes:
    architecture: name of the family's class in transformers.
    defaults: transformers' values of fields that published files leave out.
    activation_field: name of the field with the activation.
    constants: fields of ModelConfig that no file has.
    rope_layout: where rotary embeddings stand.
    rope_kinds: kinds of scaling that transformers has for the family, by the
      names that files have for them.
    local_rope_theta: theta of local layers, where it is a constant unless it
      is given by kind of layer.
    local_layers: which layers are local where `layer_types` is not given.
    has_layer_types: whether transformers reads `layer_types`.
    fused_tensors: names of a layer's tensors that hold those of others, one
      below the other, by the usual names of these.
    published_code: classes that published files ask for in `auto_map`, and
      that have become transformers' own.
    ignored: fields of other families that this one's files have for nothing.
  """

  architecture: str
  defaults: Values
  activation_field: str = "hidden_act"
  constants: Values = dataclasses.field(default_factory=dict)
  rope_layout: RopeLayout = RopeLayout.FLAT
  rope_kinds: Mapping[str, str] = dataclasses.field(
      default_factory=lambda: {kind: kind for kind in ROPE_KINDS}
  )
  local_rope_theta: float | None = None
  local_layers: Callable[[Values], tuple[bool, ...]] = _no_local_layers
  has_layer_types: bool = False
  fused_tensors: Mapping[str, tuple[str, ...]] = dataclasses.field(
      default_factory=dict
  )
  published_code: tuple[str, ...] = ()
  ignored: tuple[str, ...] = ()


_PLAIN = {
    "hidden_act": "silu",
    "tie_word_embeddings": False,
    "rope_theta": 10000.0,
    "head_dim": None,
    "num_key_value_heads": None,
}
_GEMMA = {
    "hidden_activation": "gelu_pytorch_tanh",
    "tie_word_embeddings": True,
    "attention_bias": False,
    "rms_norm_eps": 1e-6,
    "query_pre_attn_scalar": 256,
    "head_dim": 256,
    "sliding_window": 4096,
}
_GEMMA_CONSTANTS = {
    "norm_offset": 1.0,
    "has_scaled_embedding": True,
    "norm_placement": NormPlacement.AROUND,
}
# Layers whose results are normed, and queries and keys over all heads.
_OLMO = {
    **_PLAIN,
    "attention_bias": False,
    "rms_norm_eps": 1e-5,
}
_OLMO_CONSTANTS = {
    "norm_placement": NormPlacement.BEHIND,
    "qk_norm": QkNorm.PROJECTION,
}
_QWEN = {
    **_PLAIN,
    "num_key_value_heads": 32,
    "use_sliding_window": False,
    "sliding_window": 4096,
    "max_window_layers": 28,
}
FAMILIES = {
    "gemma2": Family(
        "Gemma2ForCausalLM",
        {
            **_GEMMA,
            "rope_theta": 10000.0,
            "attn_logit_softcapping": 50.0,
            "final_logit_softcapping": 30.0,
        },
        activation_field="hidden_activation",
        constants=_GEMMA_CONSTANTS,
        local_layers=_every_second_local,
        has_layer_types=True,
    ),
    "gemma3_text": Family(
        "Gemma3ForCausalLM",
        {
            **_GEMMA,
            "rope_theta": 1000000.0,
            "rope_local_base_freq": 10000.0,
            "attn_logit_softcapping": None,
            "final_logit_softcapping": None,
            "sliding_window_pattern": 6,
            # The text part of the multimodal files leaves these out too.
            "vocab_size": 262208,
            "num_attention_heads": 8,
            "num_key_value_heads": 4,
            "max_position_embeddings": 131072,
        },
        activation_field="hidden_activation",
        constants={**_GEMMA_CONSTANTS, "qk_norm": QkNorm.HEAD},
        rope_layout=RopeLayout.BY_KIND,
        local_layers=_local_by_pattern,
        has_layer_types=True,
    ),
    "llama": Family(
        "LlamaForCausalLM",
        {**_PLAIN, "attention_bias": False},
    ),
    "ministral": Family(
        "MinistralForCausalLM",
        {**_PLAIN, "num_key_value_heads": 8, "sliding_window": 4096},
        local_layers=_all_local,
        has_layer_types=True,
    ),
    "mistral": Family(
        "MistralForCausalLM",
        {**_PLAIN, "num_key_value_heads": 8, "sliding_window": 4096},
        local_layers=_all_local,
    ),
    "olmo2": Family("Olmo2ForCausalLM", _OLMO, constants=_OLMO_CONSTANTS),
    "olmo3": Family(
        "Olmo3ForCausalLM",
        {**_OLMO, "rope_theta": 500000.0, "sliding_window": 4096},
        constants=_OLMO_CONSTANTS,
        rope_layout=RopeLayout.BY_KIND,
        local_rope_theta=500000.0,
        local_layers=_three_of_four_local,
        has_layer_types=True,
    ),
    "phi3": Family(
        "Phi3ForCausalLM",
        {
            **_PLAIN,
            "original_max_position_embeddings": 4096,
            "partial_rotary_factor": 1.0,
            "rms_norm_eps": 1e-5,
            "sliding_window": None,
        },
        rope_kinds={
            "default": "default",
            "longrope": "longrope",
            "su": "longrope",
            "yarn": "longrope",
        },
        local_layers=_all_local,
        fused_tensors={
            "self_attn.qkv_proj.weight": (
                "self_attn.q_proj.weight",
                "self_attn.k_proj.weight",
                "self_attn.v_proj.weight",
            ),
            "mlp.gate_up_proj.weight": (
                "mlp.gate_proj.weight",
                "mlp.up_proj.weight",
            ),
        },
        published_code=(
            "configuration_phi3.Phi3Config",
            "modeling_phi3.Phi3ForCausalLM",
        ),
    ),
    "qwen2": Family(
        "Qwen2ForCausalLM",
        _QWEN,
        constants={"has_qkv_bias": True, "has_output_bias": False},
        local_layers=_local_from_max_window_layers,
        has_layer_types=True,
        ignored=("attention_bias",),
    ),
    "qwen3": Family(
        "Qwen3ForCausalLM",
        {**_QWEN, "head_dim": 128, "attention_bias": False},
        constants={"qk_norm": QkNorm.HEAD},
        local_layers=_local_from_max_window_layers,
        has_layer_types=True,
    ),
    "smollm3": Family(
        "SmolLM3ForCausalLM",
        {
            **_PLAIN,
            "attention_bias": False,
            "no_rope_layer_interval": 4,
            "no_rope_layers": None,
            "num_key_value_heads": 4,
            "rms_norm_eps": 1e-6,
            "rope_theta": 2000000.0,
            "sliding_window": None,
            "tie_word_embeddings": True,
            "use_sliding_window": False,
        },
        local_layers=_local_without_rope,
        has_layer_types=True,
    ),
}
SUPPORTED_MODEL_TYPES = ("gemma3", *FAMILIES)

# What families that are asked for have and the decoder has not.
_EXPERTS = "mixture of experts"
_GATED_DELTA = "linear attention (gated delta rule) in three of four layers"
_LAYER_NORM = "layer norm and biases in place of RMS norm"
_UNEQUAL = "layers of unequal shape, shared keys and inputs for each layer"
_ABSENT = {
    "cohere": "layers whose two halves run side by side",
    "cohere2": "layers whose two halves run side by side",
    "deepseek_v2": "latent attention and a mixture of experts",
    "deepseek_v3": "latent attention and a mixture of experts",
    "falcon_h1": "state-space layers",
    "gemma3n": _UNEQUAL,
    "gemma3n_text": _UNEQUAL,
    "gemma4": _UNEQUAL,
    "gemma4_text": _UNEQUAL,
    "gpt_oss": _EXPERTS,
    "granite": "factors on embeddings, residuals, scores and logits",
    "granitemoe": _EXPERTS,
    "lfm2": "convolutions in place of attention",
    "llama4": _EXPERTS,
    "llama4_text": _EXPERTS,
    "mamba": "state-space layers",
    "mixtral": _EXPERTS,
    "olmoe": _EXPERTS,
    "phi": _LAYER_NORM,
    "phimoe": _EXPERTS,
    "qwen2_moe": _EXPERTS,
    "qwen3_5": _GATED_DELTA,
    "qwen3_5_moe": _EXPERTS,
    "qwen3_5_text": _GATED_DELTA,
    "qwen3_moe": _EXPERTS,
    "qwen3_next": _GATED_DELTA,
    "stablelm": _LAYER_NORM,
    "starcoder2": _LAYER_NORM,
}

# Fields that change the arithmetic of the families that have them, and the
# values, beside null, with which they change nothing.
_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "alibi": (False,),
    "attention_bias": (False,),
    "attention_multiplier": (),
    "attn_logit_softcapping": (),
    "attn_temperature_tuning": (False, 0),
    "clip_qkv": (),
    "compression_config": (),
    "embedding_multiplier": (1,),
    "final_logit_softcapping": (),
    "hidden_size_per_layer_input": (0,),
    "lm_head_bias": (False,),
    "logit_scale": (1,),
    "logits_scaling": (1,),
    "mlp_bias": (False,),
    "n_routed_experts": (0,),
    "no_rope_layers": (),
    "num_experts": (0,),
    "num_local_experts": (0,),
    "parallel_attn": (False,),
    "partial_rotary_factor": (1,),
    "per_layer_config": (),
    "qk_layernorm": (False,),
    "quantization_config": (),
    "query_pre_attn_scalar": (),
    "residual_multiplier": (1,),
    "rope_interleaved": (False,),
    "sliding_window": (),
    "use_bidirectional_attention": (False,),
    "use_mrope": (False,),
    "use_parallel_residual": (False,),
    "use_qk_norm": (False,),
}

_UNQUANTIZED = (
    "give the checkpoint that it was made from, or let transformers load it,"
    " call dequantize() and save_pretrained"
)


def model_type(content: Values) -> str | None:
  """The family's name in FAMILIES, if it is there; else the one in the file."""
  name = content.get("model_type")
  # As transformers does: Mistral's own files know no kinds of layers.
  return "ministral" if name == "mistral" and "layer_types" in content else name


def find(content: Values) -> Family:
  """The family of a config.json, or of its text part.

  Raises:
    ValueError: the family is not among those that are read.
  """
  name = model_type(content)
  if name in FAMILIES:
    return FAMILIES[name]
  reason = f" (it has {_ABSENT[name]})" if name in _ABSENT else ""
  text = content.get("text_config")
  if isinstance(text, Mapping):
    reason += (
        f"; its text_config is of model_type {text.get('model_type')!r}: save"
        " the language model alone, with a config.json and tensors of its own"
    )
  raise ValueError(
      f"the family is not supported{reason}; give a model of one of"
      f" {', '.join(SUPPORTED_MODEL_TYPES)}"
  )


def refuse_foreign_fields(content: Values, family: Family) -> None:
  """Refuses fields that would change the arithmetic and are not read.

  Raises:
    ValueError: there is such a field; the message says what to do.
  """
  for name, neutral in _NEUTRAL.items():
    if name in family.defaults or name in family.ignored:
      continue
    value = content.get(name)
    if value is None or (not isinstance(value, Mapping) and value in neutral):
      continue
    if name in ("quantization_config", "compression_config"):
      raise ValueError(
          f"{name} is {value!r}: quantised weights are not read; {_UNQUANTIZED}"
      )
    expected = " or ".join(map(repr, neutral)) or "null"
    raise ValueError(
        f"{name} is {value!r}, which changes the arithmetic, and the decoder"
        f" implements {expected} only. If the model was trained without it, as"
        f" transformers ignores it in this family, remove {name} from a copy"
        " of config.json; otherwise give another model"
    )
