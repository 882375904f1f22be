"""Model hyper-parameters, read from and written to Hugging Face's config.json.

Only the llama family is read so far. A field that this decoder does not
implement is refused, never ignored: a model that loads is the model that was
published.
"""

from collections.abc import Mapping
import dataclasses
from typing import Any

SUPPORTED_MODEL_TYPES = ("llama",)


@dataclasses.dataclass(frozen=True)
class ModelConfig:
  """Shape and constants of a decoder; hashable, so it can be a static argument.

  Attributes:
    model_type: Hugging Face's name of the family.
    vocab_size: V, rows of the embedding table.
    d_model: D, width of the residual stream.
    num_layers: L.
    num_heads: H, query heads.
    num_kv_heads: N, key/value heads; divides H.
    head_dim: width of one head.
    d_ff: F, width of the gated feed-forward layer.
    rope_theta: base of the rotary wavelengths.
    norm_eps: added to the mean square in RMS norms.
    is_tied: the output head is the transposed embedding table.
    max_positions: longest sequence the model was made for, in tokens.
  """

  model_type: str
  vocab_size: int
  d_model: int
  num_layers: int
  num_heads: int
  num_kv_heads: int
  head_dim: int
  d_ff: int
  rope_theta: float
  norm_eps: float
  is_tied: bool
  max_positions: int

  def __post_init__(self):
    if self.num_heads % self.num_kv_heads:
      raise ValueError(
          f"num_heads {self.num_heads} is not a multiple of num_kv_heads"
          f" {self.num_kv_heads}: every key/value head serves an equal group"
      )
    if self.d_model % self.num_heads:
      raise ValueError(
          f"hidden_size {self.d_model} is not a multiple of num_heads"
          f" {self.num_heads}, which transformers asks of this family"
      )
    if self.head_dim % 2:
      raise ValueError(
          f"head_dim {self.head_dim} is odd: rotary embeddings rotate pairs"
      )


def from_hf(config: Mapping[str, Any], source: str) -> ModelConfig:
  """Reads the content of a config.json.

  Args:
    config: the parsed JSON, in the layout of transformers 4 (`rope_theta` at
      the top) or 5 (`rope_parameters`).
    source: file name for error messages.

  Raises:
    ValueError: a family or a field that the decoder does not implement, or a
      missing field.
  """
  model_type = config.get("model_type")
  if model_type not in SUPPORTED_MODEL_TYPES:
    raise ValueError(
        f"{source}: model_type {model_type!r} is not supported; supported:"
        f" {', '.join(SUPPORTED_MODEL_TYPES)}"
    )
  _refuse_unimplemented(config, source)
  try:
    return ModelConfig(
        model_type=model_type,
        vocab_size=config["vocab_size"],
        d_model=config["hidden_size"],
        num_layers=config["num_hidden_layers"],
        num_heads=config["num_attention_heads"],
        num_kv_heads=config.get("num_key_value_heads")
        or config["num_attention_heads"],
        head_dim=config.get("head_dim")
        or config["hidden_size"] // config["num_attention_heads"],
        d_ff=config["intermediate_size"],
        rope_theta=float(_rope_parameters(config, source)["rope_theta"]),
        norm_eps=float(config["rms_norm_eps"]),
        is_tied=bool(config.get("tie_word_embeddings", False)),
        max_positions=config["max_position_embeddings"],
    )
  except KeyError as error:
    raise ValueError(f"{source}: field {error} is missing") from error


def to_hf(config: ModelConfig) -> dict[str, Any]:
  """The config.json of a model, in a layout that transformers 4 and 5 read."""
  return {
      "architectures": ["LlamaForCausalLM"],
      "model_type": config.model_type,
      "vocab_size": config.vocab_size,
      "hidden_size": config.d_model,
      "num_hidden_layers": config.num_layers,
      "num_attention_heads": config.num_heads,
      "num_key_value_heads": config.num_kv_heads,
      "head_dim": config.head_dim,
      "intermediate_size": config.d_ff,
      "hidden_act": "silu",
      "rope_theta": config.rope_theta,
      "rope_parameters": {
          "rope_type": "default",
          "rope_theta": config.rope_theta,
      },
      "rms_norm_eps": config.norm_eps,
      "tie_word_embeddings": config.is_tied,
      "max_position_embeddings": config.max_positions,
      "attention_bias": False,
      "mlp_bias": False,
  }


def _rope_parameters(
    config: Mapping[str, Any], source: str
) -> Mapping[str, Any]:
  """Rotary parameters of either layout; scaled variants are refused."""
  rope = config.get("rope_parameters") or {
      "rope_theta": config.get("rope_theta", 10000.0),
      **(config.get("rope_scaling") or {}),
  }
  kind = rope.get("rope_type", rope.get("type", "default"))
  if kind != "default":
    raise ValueError(
        f"{source}: rope type {kind!r} is not supported, only 'default'"
    )
  return rope


def _refuse_unimplemented(config: Mapping[str, Any], source: str) -> None:
  expected = {
      "hidden_act": "silu",
      "attention_bias": False,
      "mlp_bias": False,
      "sliding_window": None,
  }
  for name, value in expected.items():
    if config.get(name, value) != value:
      raise ValueError(
          f"{source}: {name} is {config[name]!r}, the decoder implements"
          f" {value!r} only"
      )
