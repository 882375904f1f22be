"""ModelConfig from and to Hugging Face's config.json, family by family.

Two layouts are read: that of transformers 4 (`rope_theta` and `rope_scaling` at
the top), which the hub's files have, and that of transformers 5
(`rope_parameters`). The older one is written, since both versions read it. A
field that the decoder does not implement is refused, never ignored: a model
that loads is the model that was published.
"""

from collections.abc import Mapping
import dataclasses
from typing import Any

from score_jax.models.config import Activation
from score_jax.models.config import LinearScaling
from score_jax.models.config import Llama3Scaling
from score_jax.models.config import ModelConfig
from score_jax.models.config import Rope

_LOCAL, _GLOBAL = "sliding_attention", "full_attention"


@dataclasses.dataclass(frozen=True)
class _Family:
  """What is particular to one model_type.

  Attributes:
    architecture: name of the family's class in transformers.
    defaults: transformers' values of fields that published files leave out.
    activation_field: name of the field with the activation.
    constants: fields of ModelConfig that no file has.
  """

  architecture: str
  defaults: Mapping[str, Any]
  activation_field: str = "hidden_act"
  constants: Mapping[str, Any] = dataclasses.field(default_factory=dict)


_PLAIN = {
    "hidden_act": "silu",
    "tie_word_embeddings": False,
    "rope_theta": 10000.0,
    "attention_bias": False,
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
    "has_post_norms": True,
}
_QWEN = {
    **_PLAIN,
    "use_sliding_window": False,
    "sliding_window": 4096,
    "max_window_layers": 28,
}
_FAMILIES = {
    "gemma2": _Family(
        "Gemma2ForCausalLM",
        {
            **_GEMMA,
            "rope_theta": 10000.0,
            "attn_logit_softcapping": 50.0,
            "final_logit_softcapping": 30.0,
        },
        activation_field="hidden_activation",
        constants=_GEMMA_CONSTANTS,
    ),
    "gemma3_text": _Family(
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
        constants={**_GEMMA_CONSTANTS, "has_qk_norm": True},
    ),
    "llama": _Family("LlamaForCausalLM", {**_PLAIN, "mlp_bias": False}),
    "mistral": _Family(
        "MistralForCausalLM",
        {**_PLAIN, "sliding_window": 4096},
        constants={"has_qkv_bias": False, "has_output_bias": False},
    ),
    "qwen2": _Family(
        "Qwen2ForCausalLM",
        _QWEN,
        constants={"has_qkv_bias": True, "has_output_bias": False},
    ),
    "qwen3": _Family(
        "Qwen3ForCausalLM",
        {**_QWEN, "head_dim": 128},
        constants={"has_qk_norm": True},
    ),
}
SUPPORTED_MODEL_TYPES = ("gemma3", *_FAMILIES)

# Fields that change the arithmetic, and the only values that are implemented.
_IMPLEMENTED = {
    "mlp_bias": (False,),
    "use_bidirectional_attention": (False, None),
    "partial_rotary_factor": (1.0, None),
    "quantization_config": (None,),
}

_SIZES = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "max_position_embeddings",
)
# Sizes that may be null.
_OPTIONAL_SIZES = (
    "head_dim",
    "num_key_value_heads",
    "sliding_window",
    "sliding_window_pattern",
)


def from_hf(content: Mapping[str, Any], source: str) -> ModelConfig:
  """Reads the content of a config.json.

  Of a multimodal Gemma 3 only the text part is read.

  Args:
    content: the parsed JSON.
    source: name of the file, for error messages.

  Raises:
    ValueError: the family is unknown, the model needs code of its own, a field
      has a value that the decoder does not implement, or a field is missing.
  """
  try:
    return _read(content)
  except KeyError as error:
    raise ValueError(f"{source}: field {error} is missing") from error
  except (TypeError, ValueError) as error:  # TypeError: null for a number
    raise ValueError(f"{source}: {error}") from error


def _read(content: Mapping[str, Any]) -> ModelConfig:
  """`from_hf` without the file's name in its messages."""
  _refuse_remote_code(content)
  _refuse_unimplemented(content)
  text = _text_part(content)
  model_type = text.get("model_type")
  if model_type not in _FAMILIES:
    raise ValueError(
        f"model_type {model_type!r} is not supported; supported:"
        f" {', '.join(SUPPORTED_MODEL_TYPES)}"
    )
  family = _FAMILIES[model_type]
  values = {**family.defaults, **text}
  _refuse_unimplemented(values)
  _check_sizes(values)
  num_layers = values["num_hidden_layers"]
  is_local = _local_layers(model_type, values, num_layers)
  has_bias = bool(values.get("attention_bias", False))
  ropes = _ropes(values)
  fields = {
      "model_type": model_type,
      "vocab_size": values["vocab_size"],
      "d_model": values["hidden_size"],
      "num_layers": num_layers,
      "num_heads": values["num_attention_heads"],
      "num_kv_heads": values["num_key_value_heads"]
      or values["num_attention_heads"],
      "head_dim": values["head_dim"]
      or values["hidden_size"] // values["num_attention_heads"],
      "d_ff": values["intermediate_size"],
      "rope": ropes[_GLOBAL],
      "norm_eps": _number(values, "rms_norm_eps"),
      "is_tied": bool(values["tie_word_embeddings"]),
      "max_positions": values["max_position_embeddings"],
      "activation": _activation(values, family.activation_field),
      "has_qkv_bias": has_bias,
      "has_output_bias": has_bias,
      "query_pre_attn_scalar": values.get("query_pre_attn_scalar"),
      "attention_softcap": values.get("attn_logit_softcapping"),
      "logit_softcap": values.get("final_logit_softcapping"),
      "sliding_window": values["sliding_window"] if any(is_local) else None,
      "is_local": is_local if any(is_local) else (),
      "local_rope": ropes.get(_LOCAL),
  }
  return ModelConfig(**{**fields, **family.constants})


def to_hf(config: ModelConfig) -> dict[str, Any]:
  """The config.json of a model, in the layout of transformers 4."""
  family = _FAMILIES[config.model_type]
  c = config
  content = {
      "architectures": [family.architecture],
      "model_type": c.model_type,
      "vocab_size": c.vocab_size,
      "hidden_size": c.d_model,
      "num_hidden_layers": c.num_layers,
      "num_attention_heads": c.num_heads,
      "num_key_value_heads": c.num_kv_heads,
      "head_dim": c.head_dim,
      "intermediate_size": c.d_ff,
      family.activation_field: c.activation.value,
      "rope_theta": c.rope.theta,
      "rope_scaling": _written_scaling(c.rope),
      "rms_norm_eps": c.norm_eps,
      "tie_word_embeddings": c.is_tied,
      "max_position_embeddings": c.max_positions,
      # Of Qwen 2 the bias is a constant of the family, without a field.
      "attention_bias": c.has_output_bias,
  }
  family_fields = {
      "mlp_bias": False,
      "query_pre_attn_scalar": c.query_pre_attn_scalar,
      "attn_logit_softcapping": c.attention_softcap,
      "final_logit_softcapping": c.logit_softcap,
      "rope_local_base_freq": c.local_rope and c.local_rope.theta,
      "sliding_window": c.sliding_window,
      "use_sliding_window": c.sliding_window is not None,
  }
  content |= {k: v for k, v in family_fields.items() if k in family.defaults}
  if "sliding_window" in family.defaults and c.model_type != "mistral":
    is_local = c.is_local or (False,) * c.num_layers
    content["layer_types"] = [_LOCAL if i else _GLOBAL for i in is_local]
  return content


def _refuse_remote_code(content: Mapping[str, Any]) -> None:
  if "auto_map" in content:
    raise ValueError(
        f"it asks for Python code of its own (auto_map:"
        f" {content['auto_map']}), which is never run. If the model is one of"
        f" {', '.join(SUPPORTED_MODEL_TYPES)}, remove auto_map from a copy."
    )


def _text_part(content: Mapping[str, Any]) -> Mapping[str, Any]:
  """The fields of the language model, which may stand in `text_config`."""
  if content.get("model_type") != "gemma3":
    return content
  text = content.get("text_config")
  if not isinstance(text, Mapping):
    raise ValueError("model_type 'gemma3' without a text_config")
  tie = {k: v for k, v in content.items() if k == "tie_word_embeddings"}
  return {"model_type": "gemma3_text", **tie, **text}


def _refuse_unimplemented(values: Mapping[str, Any]) -> None:
  for name, implemented in _IMPLEMENTED.items():
    if name in values and values[name] not in implemented:
      raise ValueError(
          f"{name} is {values[name]!r}, the decoder implements"
          f" {implemented[0]!r} only"
      )


def _check_sizes(values: Mapping[str, Any]) -> None:
  """Raises ValueError for sizes below 1, and for heads of unequal width."""
  optional = [n for n in _OPTIONAL_SIZES if values.get(n) is not None]
  for name in (*_SIZES, *optional):
    if type(values[name]) is not int or values[name] < 1:
      raise ValueError(
          f"{name} is {values[name]!r}, expected a whole number above 0"
      )
  width, num_heads = values["hidden_size"], values["num_attention_heads"]
  if values["head_dim"] is None and width % num_heads:
    raise ValueError(
        f"hidden_size {width} is not a multiple of num_attention_heads"
        f" {num_heads}, and head_dim is not given"
    )


def _number(values: Mapping[str, Any], name: str) -> float:
  if type(values[name]) not in (int, float):
    raise ValueError(f"{name} is {values[name]!r}, expected a number")
  return float(values[name])


def _activation(values: Mapping[str, Any], field: str) -> Activation:
  try:
    return Activation(values[field])
  except ValueError as error:
    names = ", ".join(repr(a.value) for a in Activation)
    raise ValueError(
        f"{field} is {values[field]!r}, the decoder implements" f" {names}"
    ) from error


def _local_layers(
    model_type: str, values: Mapping[str, Any], num_layers: int
) -> tuple[bool, ...]:
  """For each layer whether it sees a sliding window only."""
  layer_types = values.get("layer_types")
  if layer_types is not None:
    unknown = set(layer_types) - {_LOCAL, _GLOBAL}
    if unknown or len(layer_types) != num_layers:
      raise ValueError(
          f"layer_types has {len(layer_types)} entries"
          f" {sorted(set(layer_types))}, expected one of {_LOCAL!r} and"
          f" {_GLOBAL!r} for each of {num_layers} layers"
      )
    if model_type == "mistral" and len(set(layer_types)) > 1:
      raise ValueError(
          "layer_types mixes kinds of layers, which transformers ignores for a"
          " mistral model; remove layer_types, or name the family that it is"
      )
    return tuple(kind == _LOCAL for kind in layer_types)
  layers = range(num_layers)
  if values.get("sliding_window") is None:
    return (False,) * num_layers
  if model_type == "gemma2":
    return tuple(i % 2 == 0 for i in layers)
  if model_type == "gemma3_text":
    pattern = values["sliding_window_pattern"]
    return tuple((i + 1) % pattern != 0 for i in layers)
  if model_type == "mistral":
    return (True,) * num_layers
  if model_type in ("qwen2", "qwen3"):
    first = values["max_window_layers"]
    return tuple(values["use_sliding_window"] and i >= first for i in layers)
  raise ValueError(
      f"sliding_window is {values['sliding_window']}, a"
      f" {model_type} model has none"
  )


def _ropes(values: Mapping[str, Any]) -> dict[str, Rope]:
  """Rotary embeddings of global layers and, where they differ, local ones.

  Files of transformers 4 have `rope_theta`, `rope_scaling` and, for local
  layers, `rope_local_base_freq`. Files of transformers 5 have
  `rope_parameters`, which in Gemma 3 hold parameters for each kind of layer.
  Some files have both: what the newer form leaves out is taken from the older
  one, as transformers does.
  """
  parameters = values.get("rope_parameters") or {}
  is_nested = _GLOBAL in parameters or _LOCAL in parameters
  by_kind = parameters if is_nested else {_GLOBAL: parameters}
  ropes = {
      _GLOBAL: {
          "rope_theta": values["rope_theta"],
          **(by_kind.get(_GLOBAL) or {}),
          **(values.get("rope_scaling") or {}),
      }
  }
  if "rope_local_base_freq" in values:
    ropes[_LOCAL] = {
        "rope_theta": values["rope_local_base_freq"],
        **(by_kind.get(_LOCAL) or {}),
    }
  return {kind: _rope(rope) for kind, rope in ropes.items()}


def _rope(parameters: Mapping[str, Any]) -> Rope:
  _refuse_unimplemented(parameters)  # partial_rotary_factor may stand here
  kind = parameters.get("rope_type", parameters.get("type", "default"))
  theta = _number(parameters, "rope_theta")
  if kind == "default":
    return Rope(theta)
  if kind == "linear":
    return Rope(theta, LinearScaling(_number(parameters, "factor")))
  if kind == "llama3":
    return Rope(
        theta,
        Llama3Scaling(
            factor=_number(parameters, "factor"),
            low_freq_factor=_number(parameters, "low_freq_factor"),
            high_freq_factor=_number(parameters, "high_freq_factor"),
            original_max_positions=parameters[
                "original_max_position_embeddings"
            ],
        ),
    )
  raise ValueError(
      f"rope type {kind!r} is not supported; supported: 'default',"
      " 'linear', 'llama3'"
  )


def _written_scaling(rope: Rope) -> dict[str, Any] | None:
  scaling = rope.scaling
  if scaling is None:
    return None
  if isinstance(scaling, LinearScaling):
    return {"rope_type": "linear", "factor": scaling.factor}
  return {
      "rope_type": "llama3",
      "factor": scaling.factor,
      "low_freq_factor": scaling.low_freq_factor,
      "high_freq_factor": scaling.high_freq_factor,
      "original_max_position_embeddings": scaling.original_max_positions,
  }
