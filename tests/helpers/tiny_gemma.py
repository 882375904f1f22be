"""A Gemma 2 of a few thousand random weights, as a Hugging Face directory."""

import string

import jax

from score_jax.models import hf
from score_jax.models import transformer
from score_jax.models.config import ModelConfig
from score_jax.models.hf_config import from_hf
from score_jax.text import tokenization

_CONFIG = {
    "model_type": "gemma2",
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "intermediate_size": 16,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10_000.0,
    "max_position_embeddings": 4096,
    "sliding_window": 64,
    "attn_logit_softcapping": 50.0,
    "final_logit_softcapping": 30.0,
    "query_pre_attn_scalar": 8,
    "hidden_activation": "gelu_pytorch_tanh",
}


def save(path: str) -> None:
  """Writes the directory; its tokenizer has a token per printable character."""
  tokenizer = tokenization.make_character_tokenizer(string.printable)
  config: ModelConfig = from_hf(
      {**_CONFIG, "vocab_size": len(tokenizer.get_vocab())}, "tiny Gemma"
  )
  params = transformer.init_params(jax.random.key(0), config)
  hf.save(path, config, params, tokenizer=tokenizer)
