"""ModelConfig from and to Hugging Face's config.json, family by family.

Two layouts are read: that of transformers 4 (`rope_theta` and `rope_scaling` at
the top), which the hub's files have, and that of transformers 5
(`rope_parameters`). The older one is written, since both versions read it. A
field that the decoder does not implement is refused, never ignored: a model
that loads is the model that was published.
"""

from collections.abc import Mapping
from typing import Any

from score_jax.models import hf_families
from score_jax.models import hf_rope
from score_jax.models.config import Activation
from score_jax.models.config import ModelConfig
from score_jax.models.hf_families import FAMILIES
from score_jax.models.hf_families import Family

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
    raise ValueError(
        f"{_origin(content, source)}: field {error} is missing"
    ) from error
  except (TypeError, ValueError) as error:  # TypeError: null for a number
    raise ValueError(f"{_origin(content, source)}: {error}") from error


def _origin(content: Mapping[str, Any], source: str) -> str:
  """What a refusal starts with: the file and the family."""
  return f"{source}: model_type {content.get('model_type')!r}"


def _read(content: Mapping[str, Any]) -> ModelConfig:
  """`from_hf` without the file's name in its messages."""
  text = _text_part(content)
  family = hf_families.find(text)
  _refuse_remote_code(content, family)
  for part in (content, text):
    hf_families.refuse_foreign_fields(part, family)
  values = {**family.defaults, **text}
  _check_sizes(values)
  is_local = _local_layers(values, family)
  has_bias = "attention_bias" in family.defaults and _flag(
      values, "attention_bias"
  )
  rope, local_rope = hf_rope.read(values, family)
  fields = {
      "model_type": hf_families.model_type(text),
      "vocab_size": values["vocab_size"],
      "d_model": values["hidden_size"],
      "num_layers": values["num_hidden_layers"],
      "num_heads": values["num_attention_heads"],
      "num_kv_heads": values["num_key_value_heads"]
      or values["num_attention_heads"],
      "head_dim": values["head_dim"]
      or values["hidden_size"] // values["num_attention_heads"],
      "d_ff": values["intermediate_size"],
      "rope": rope,
      "norm_eps": hf_rope.number(values, "rms_norm_eps"),
      "is_tied": _flag(values, "tie_word_embeddings"),
      "max_positions": values["max_position_embeddings"],
      "activation": _activation(values, family.activation_field),
      "has_qkv_bias": has_bias,
      "has_output_bias": has_bias,
      "query_pre_attn_scalar": _whole(values, "query_pre_attn_scalar"),
      "attention_softcap": _optional(values, "attn_logit_softcapping"),
      "logit_softcap": _optional(values, "final_logit_softcapping"),
      "sliding_window": _window(values, family) if any(is_local) else None,
      "is_local": is_local if any(is_local) else (),
      "local_rope": local_rope,
      "has_rope": _layers_with_rope(values, family),
  }
  return ModelConfig(**{**fields, **family.constants})


def to_hf(config: ModelConfig) -> dict[str, Any]:
  """The config.json of a model, in the layout of transformers 4."""
  family = FAMILIES[config.model_type]
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
      **hf_rope.written(c, family),
      "rms_norm_eps": c.norm_eps,
      "tie_word_embeddings": c.is_tied,
      "max_position_embeddings": c.max_positions,
      # Of Qwen 2 the bias is a constant of the family, without a field.
      "attention_bias": c.has_output_bias,
  }
  family_fields = {
      "query_pre_attn_scalar": c.query_pre_attn_scalar,
      "attn_logit_softcapping": c.attention_softcap,
      "final_logit_softcapping": c.logit_softcap,
      "rope_local_base_freq": c.local_rope and c.local_rope.theta,
      "no_rope_layers": [int(i) for i in c.has_rope or (True,) * c.num_layers],
      "sliding_window": c.sliding_window,
      "use_sliding_window": c.sliding_window is not None,
  }
  content |= {k: v for k, v in family_fields.items() if k in family.defaults}
  if family.has_layer_types:
    is_local = c.is_local or (False,) * c.num_layers
    content["layer_types"] = [
        hf_rope.LOCAL if i else hf_rope.GLOBAL for i in is_local
    ]
  return content


def _refuse_remote_code(content: Mapping[str, Any], family: Family) -> None:
  """Refuses Python code that would make another model of the family."""
  if "auto_map" not in content:
    return
  asked = content["auto_map"]
  if isinstance(asked, Mapping):
    models = ("AutoConfig", "AutoModel", "AutoModelForCausalLM")
    classes = {asked[name] for name in models if name in asked}
    if classes and classes <= set(family.published_code):
      return
  raise ValueError(
      f"it asks for Python code of its own (auto_map: {asked}), which is never"
      " run. If the model is a plain one of its family, remove auto_map from a"
      " copy of config.json."
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


def _flag(values: Mapping[str, Any], name: str) -> bool:
  if type(values[name]) is not bool:
    raise ValueError(f"{name} is {values[name]!r}, expected true or false")
  return values[name]


def _whole(values: Mapping[str, Any], name: str) -> int | None:
  """A number that transformers takes as a whole one alone, or null."""
  value = _optional(values, name)
  if value is not None and not value.is_integer():
    raise ValueError(f"{name} is {value}, expected a whole number")
  return None if value is None else int(value)


def _optional(values: Mapping[str, Any], name: str) -> float | None:
  return None if values.get(name) is None else hf_rope.positive(values, name)


def _activation(values: Mapping[str, Any], field: str) -> Activation:
  try:
    return Activation(values[field])
  except ValueError as error:
    names = ", ".join(repr(a.value) for a in Activation)
    raise ValueError(
        f"{field} is {values[field]!r}, the decoder implements" f" {names}"
    ) from error


def _layers_with_rope(
    values: Mapping[str, Any], family: Family
) -> tuple[bool, ...]:
  """For each layer whether it has rope; () where all have."""
  if "no_rope_layers" not in family.defaults:
    return ()
  has_rope = hf_families.layers_with_rope(values)
  return () if all(has_rope) else has_rope


def _window(values: Mapping[str, Any], family: Family) -> int | None:
  """Positions that a local layer sees; None where no layer is local."""
  name = "use_sliding_window"
  is_used = name not in family.defaults or _flag(values, name)
  return values.get("sliding_window") if is_used else None


def _local_layers(
    values: Mapping[str, Any], family: Family
) -> tuple[bool, ...]:
  """For each layer whether it sees a sliding window only."""
  if values.get("layer_types") is None:
    return _usual_local_layers(values, family)
  given = _given_local_layers(values)
  if family.has_layer_types or given == _usual_local_layers(values, family):
    return given
  raise ValueError(
      "layer_types says otherwise than sliding_window, and transformers ignores"
      " it in this family; remove layer_types, or name the family that it is"
  )


def _usual_local_layers(
    values: Mapping[str, Any], family: Family
) -> tuple[bool, ...]:
  """Those of a family whose file does not say it layer by layer."""
  if _window(values, family) is None:
    return (False,) * values["num_hidden_layers"]
  return family.local_layers(values)


def _given_local_layers(values: Mapping[str, Any]) -> tuple[bool, ...]:
  """What the file says of each layer."""
  kinds, num_layers = values["layer_types"], values["num_hidden_layers"]
  known = (hf_rope.LOCAL, hf_rope.GLOBAL)
  if not set(kinds) <= set(known) or len(kinds) != num_layers:
    raise ValueError(
        f"layer_types has {len(kinds)} entries {sorted(set(kinds))}, expected"
        f" one of {hf_rope.LOCAL!r} and {hf_rope.GLOBAL!r} for each of"
        f" {num_layers} layers"
    )
  return tuple(kind == hf_rope.LOCAL for kind in kinds)
