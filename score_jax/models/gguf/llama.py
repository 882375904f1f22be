"""Llama models in GGUF files, with SmolLM2's byte-level BPE tokenizer."""

from typing import Any

import numpy as np
import tokenizers

from score_jax.models.gguf import family
from score_jax.models.gguf.family import Config
from score_jax.models.gguf.family import Metadata

_TOP_TENSORS = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
}
_LAYER_TENSORS = {
    "attn_norm.weight": "input_layernorm.weight",
    "attn_q.weight": "self_attn.q_proj.weight",
    "attn_k.weight": "self_attn.k_proj.weight",
    "attn_v.weight": "self_attn.v_proj.weight",
    "attn_output.weight": "self_attn.o_proj.weight",
    "ffn_norm.weight": "post_attention_layernorm.weight",
    "ffn_gate.weight": "mlp.gate_proj.weight",
    "ffn_up.weight": "mlp.up_proj.weight",
    "ffn_down.weight": "mlp.down_proj.weight",
}
_SPECIAL_TOKENS = {
    "bos_token": "<|im_start|>",
    "eos_token": "<|im_end|>",
    "pad_token": "<|im_end|>",
    "unk_token": "<|endoftext|>",
}


def model_config(metadata: Metadata) -> dict[str, Any]:
  """config.json of a llama model."""
  family.check_architecture(metadata, "llama")
  num_heads = metadata["llama.attention.head_count"]
  return {
      "architectures": ["LlamaForCausalLM"],
      "attention_bias": False,
      "attention_dropout": 0.0,
      "bos_token_id": metadata["tokenizer.ggml.bos_token_id"],
      "eos_token_id": metadata["tokenizer.ggml.eos_token_id"],
      "head_dim": metadata["llama.embedding_length"] // num_heads,
      "hidden_act": "silu",
      "hidden_size": metadata["llama.embedding_length"],
      "intermediate_size": metadata["llama.feed_forward_length"],
      "max_position_embeddings": metadata["llama.context_length"],
      "mlp_bias": False,
      "model_type": "llama",
      "num_attention_heads": num_heads,
      "num_hidden_layers": metadata["llama.block_count"],
      "num_key_value_heads": metadata["llama.attention.head_count_kv"],
      "pad_token_id": metadata["tokenizer.ggml.padding_token_id"],
      "rms_norm_eps": family.shortest_float(
          metadata["llama.attention.layer_norm_rms_epsilon"]
      ),
      "rope_scaling": None,
      "rope_theta": family.shortest_float(metadata["llama.rope.freq_base"]),
      "tie_word_embeddings": True,
      "torch_dtype": "float32",
      "use_cache": True,
      "vocab_size": metadata["llama.vocab_size"],
  }


def hf_weight(name: str, weight: np.ndarray, config: Config) -> np.ndarray:
  """Puts rotated rows in Hugging Face's order; other weights stay."""
  if name == "attn_q.weight":
    return undo_rope_permutation(weight, config["num_attention_heads"])
  if name == "attn_k.weight":
    return undo_rope_permutation(weight, config["num_key_value_heads"])
  return weight


def undo_rope_permutation(weight: np.ndarray, num_heads: int) -> np.ndarray:
  """Puts the rows of a q or k projection back in Hugging Face's order.

  llama.cpp rotates neighbouring rows (2i, 2i + 1) of a llama head, Hugging Face
  rotates rows (i, i + head_dim / 2), so GGUF files hold each head's two halves
  interleaved.

  Args:
    weight: float[num_heads * head_dim, D], interleaved within each head.
    num_heads: heads of this projection (key/value heads for k).

  Returns:
    Same shape and dtype, each head's even rows first, then its odd rows.
  """
  rows, width = weight.shape
  if rows % (2 * num_heads):
    raise ValueError(
        f"{rows} rows cannot be {num_heads} heads of an even size; check the"
        " head counts in the GGUF file."
    )
  pairs = weight.reshape(num_heads, rows // num_heads // 2, 2, width)
  return pairs.swapaxes(1, 2).reshape(rows, width)


def build_tokenizer(
    tokens: list[str], merges: list[str], control_tokens: list[str]
) -> tokenizers.Tokenizer:
  """The byte-level BPE of SmolLM2: one token per digit, nothing added.

  Args:
    tokens: the vocabulary; a token's index is its id.
    merges: "left right" pairs, best first.
    control_tokens: the tokens that are never split and never learned from
      text, in the order of their ids.
  """
  tokenizer = tokenizers.Tokenizer(
      tokenizers.models.BPE(
          vocab={token: i for i, token in enumerate(tokens)},
          merges=[tuple(merge.split(" ")) for merge in merges],
      )
  )
  tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
      [
          tokenizers.pre_tokenizers.Digits(individual_digits=True),
          tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False),
      ]
  )
  tokenizer.decoder = tokenizers.decoders.ByteLevel()
  tokenizer.add_special_tokens(
      [
          tokenizers.AddedToken(token, normalized=False, special=True)
          for token in control_tokens
      ]
  )
  return tokenizer


def _control_tokens(metadata: Metadata) -> dict[int, str]:
  """Special tokens by id."""
  tokens = metadata["tokenizer.ggml.tokens"]
  kinds = metadata["tokenizer.ggml.token_type"]
  return {
      i: tokens[i] for i, kind in enumerate(kinds) if kind == family.CONTROL
  }


def _tokenizer(metadata: Metadata) -> tokenizers.Tokenizer:
  return build_tokenizer(
      metadata["tokenizer.ggml.tokens"],
      metadata["tokenizer.ggml.merges"],
      list(_control_tokens(metadata).values()),
  )


def _tokenizer_config(metadata: Metadata) -> dict[str, Any]:
  flags_of_added = {
      "lstrip": False,
      "normalized": False,
      "rstrip": False,
      "single_word": False,
      "special": True,
  }
  return {
      **_SPECIAL_TOKENS,
      "add_prefix_space": False,
      "added_tokens_decoder": {
          str(i): {"content": token, **flags_of_added}
          for i, token in _control_tokens(metadata).items()
      },
      "chat_template": metadata["tokenizer.chat_template"],
      "clean_up_tokenization_spaces": False,
      "model_max_length": metadata["llama.context_length"],
      # The class that takes tokenizer.json as it is: GPT2Tokenizer of
      # transformers 5 would rebuild it without the digit splitter.
      "tokenizer_class": "PreTrainedTokenizerFast",
  }


FAMILY = family.Family(
    model_config=model_config,
    top_tensors=_TOP_TENSORS,
    layer_tensors=_LAYER_TENSORS,
    hf_weight=hf_weight,
    tokenizer=_tokenizer,
    tokenizer_config=_tokenizer_config,
    special_tokens=_SPECIAL_TOKENS,
)
