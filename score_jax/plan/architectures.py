"""Architectures that a plan knows by name, without their checkpoints.

A plan needs the shape of a model alone. The hub gives Gemma and Llama only to
people who have accepted a licence, so the models of the shipped configs stand
here.
"""

import os
from typing import Any

import huggingface_hub

from score_jax.models import hf
from score_jax.models import hf_config
from score_jax.models import hf_files
from score_jax.models.config import ModelConfig

_GEMMA2 = {
    "model_type": "gemma2",
    "attention_bias": False,
    "attn_logit_softcapping": 50.0,
    "final_logit_softcapping": 30.0,
    "hidden_activation": "gelu_pytorch_tanh",
    "max_position_embeddings": 8192,
    "rms_norm_eps": 1e-06,
    "rope_theta": 10000.0,
    "sliding_window": 4096,
    "vocab_size": 256000,
}

_LLAMA3 = {
    "model_type": "llama",
    "hidden_act": "silu",
    "max_position_embeddings": 131072,
    "num_key_value_heads": 8,
    "rms_norm_eps": 1e-05,
    "rope_theta": 500000.0,
    "vocab_size": 128256,
}

_QWEN25 = {
    "model_type": "qwen2",
    "hidden_act": "silu",
    "num_hidden_layers": 28,
    "rms_norm_eps": 1e-06,
    "rope_theta": 1000000.0,
    "use_sliding_window": False,
}


def _llama3_rope(factor: float) -> dict[str, Any]:
  return {
      "factor": factor,
      "high_freq_factor": 4.0,
      "low_freq_factor": 1.0,
      "original_max_position_embeddings": 8192,
      "rope_type": "llama3",
  }


# By hub id, without the ending of a variant that has the same shape.
KNOWN: dict[str, dict[str, Any]] = {
    "google/gemma-2-2b": _GEMMA2
    | {
        "head_dim": 256,
        "hidden_size": 2304,
        "intermediate_size": 9216,
        "num_attention_heads": 8,
        "num_hidden_layers": 26,
        "num_key_value_heads": 4,
        "query_pre_attn_scalar": 256,
    },
    "google/gemma-2-9b": _GEMMA2
    | {
        "head_dim": 256,
        "hidden_size": 3584,
        "intermediate_size": 14336,
        "num_attention_heads": 16,
        "num_hidden_layers": 42,
        "num_key_value_heads": 8,
        "query_pre_attn_scalar": 256,
    },
    "google/gemma-2-27b": _GEMMA2
    | {
        "head_dim": 128,
        "hidden_size": 4608,
        "intermediate_size": 36864,
        "num_attention_heads": 32,
        "num_hidden_layers": 46,
        "num_key_value_heads": 16,
        "query_pre_attn_scalar": 144,
    },
    "meta-llama/Llama-3.2-3B": _LLAMA3
    | {
        "head_dim": 128,
        "hidden_size": 3072,
        "intermediate_size": 8192,
        "num_attention_heads": 24,
        "num_hidden_layers": 28,
        "rope_scaling": _llama3_rope(32.0),
        "tie_word_embeddings": True,
    },
    "meta-llama/Llama-3.1-8B": _LLAMA3
    | {
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_attention_heads": 32,
        "num_hidden_layers": 32,
        "rope_scaling": _llama3_rope(8.0),
        "tie_word_embeddings": False,
    },
    "Qwen/Qwen2.5-1.5B": _QWEN25
    | {
        "hidden_size": 1536,
        "intermediate_size": 8960,
        "max_position_embeddings": 131072,
        "num_attention_heads": 12,
        "num_key_value_heads": 2,
        "tie_word_embeddings": True,
        "vocab_size": 151936,
    },
    "Qwen/Qwen2.5-7B": _QWEN25
    | {
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "max_position_embeddings": 131072,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "tie_word_embeddings": False,
        "vocab_size": 152064,
    },
}

_VARIANTS = ("-it", "-Instruct")


def load(path: str) -> ModelConfig:
  """The architecture of a model, without its weights.

  Args:
    path: a Hugging Face directory, a config.json, or a hub id. For an id that
      is not known here, config.json alone is fetched.

  Raises:
    ValueError: the config.json cannot be read or fetched, or the architecture
      is not supported.
  """
  base = path
  for ending in _VARIANTS:
    base = base.removesuffix(ending)
  known = KNOWN.get(base)
  if known is not None and not os.path.exists(path):
    return hf_config.from_hf(known, path)
  if os.path.isdir(path):
    return hf.load_config(path)
  file = path if os.path.exists(path) else _fetch(path)
  return hf_config.from_hf(hf_files.read_object(file), file)


def _fetch(hub_id: str) -> str:
  try:
    return huggingface_hub.hf_hub_download(hub_id, "config.json")
  # As in hf_files.resolve: the errors are those of the hub's HTTP library.
  except Exception as error:
    raise ValueError(
        f"the config.json of {hub_id!r} is not here and cannot be had from the"
        f" Hugging Face hub ({type(error).__name__}). Known by name are"
        f" {', '.join(KNOWN)}; of another model, give its config.json or its"
        " directory with --architecture"
    ) from error
