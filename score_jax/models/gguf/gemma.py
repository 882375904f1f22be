"""Gemma 3 text models in GGUF files, with their SentencePiece tokenizer.

The tokenizer becomes a BPE with merges, as in the files that Google publishes:
SentencePiece joins the two neighbours whose joint piece has the best score, so
every pair that makes a piece is a merge, ranked by the score of that piece.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tokenizers
from tokenizers import decoders
from tokenizers import normalizers
from tokenizers import processors

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
    "attn_q_norm.weight": "self_attn.q_norm.weight",
    "attn_k_norm.weight": "self_attn.k_norm.weight",
    "post_attention_norm.weight": "post_attention_layernorm.weight",
    "ffn_norm.weight": "pre_feedforward_layernorm.weight",
    "ffn_gate.weight": "mlp.gate_proj.weight",
    "ffn_up.weight": "mlp.up_proj.weight",
    "ffn_down.weight": "mlp.down_proj.weight",
    "post_ffw_norm.weight": "post_feedforward_layernorm.weight",
}
_SPECIAL_TOKENS = {
    "bos_token": "<bos>",
    "eos_token": "<eos>",
    "pad_token": "<pad>",
    "unk_token": "<unk>",
}
# GGUF files do not hold these; they are the same in all of Gemma 3.
_LOCAL_ROPE_THETA = 10_000.0
_GLOBAL_EVERY = 6  # layers

_SPACE = "\u2581"  # in pieces, a space is written as this


def model_config(metadata: Metadata) -> dict[str, Any]:
  """config.json of a Gemma 3 text model."""
  family.check_architecture(metadata, "gemma3")
  num_layers = metadata["gemma3.block_count"]
  head_dim = metadata["gemma3.attention.key_length"]
  return {
      "_sliding_window_pattern": _GLOBAL_EVERY,
      "architectures": ["Gemma3ForCausalLM"],
      "attention_bias": False,
      "attention_dropout": 0.0,
      "attn_logit_softcapping": None,
      "bos_token_id": metadata["tokenizer.ggml.bos_token_id"],
      "eos_token_id": metadata["tokenizer.ggml.eos_token_id"],
      "final_logit_softcapping": None,
      "head_dim": head_dim,
      "hidden_activation": "gelu_pytorch_tanh",
      "hidden_size": metadata["gemma3.embedding_length"],
      "initializer_range": 0.02,
      "intermediate_size": metadata["gemma3.feed_forward_length"],
      "layer_types": [_layer_type(i) for i in range(num_layers)],
      "max_position_embeddings": metadata["gemma3.context_length"],
      "model_type": "gemma3_text",
      "num_attention_heads": metadata["gemma3.attention.head_count"],
      "num_hidden_layers": num_layers,
      "num_key_value_heads": metadata["gemma3.attention.head_count_kv"],
      "pad_token_id": metadata["tokenizer.ggml.padding_token_id"],
      # This holds for all sizes but 27B.
      "query_pre_attn_scalar": head_dim,
      "rms_norm_eps": family.shortest_float(
          metadata["gemma3.attention.layer_norm_rms_epsilon"]
      ),
      "rope_local_base_freq": _LOCAL_ROPE_THETA,
      "rope_scaling": None,
      "rope_theta": family.shortest_float(metadata["gemma3.rope.freq_base"]),
      "sliding_window": metadata["gemma3.attention.sliding_window"],
      "tie_word_embeddings": True,
      "torch_dtype": "float32",
      "use_bidirectional_attention": False,
      "use_cache": True,
      "vocab_size": len(metadata["tokenizer.ggml.tokens"]),
  }


def _layer_type(layer: int) -> str:
  is_global = (layer + 1) % _GLOBAL_EVERY == 0
  return "full_attention" if is_global else "sliding_attention"


def hf_weight(name: str, weight: np.ndarray, config: Config) -> np.ndarray:
  """Takes the 1 off norm weights that llama.cpp adds to them.

  Gemma multiplies by 1 + weight, llama.cpp by what it finds in the file.
  Queries and keys are not permuted: llama.cpp rotates halves here, too.
  """
  del config
  return weight - 1 if name.endswith("_norm.weight") else weight


def build_tokenizer(
    pieces: Sequence[str], scores: Sequence[float], kinds: Sequence[int]
) -> tokenizers.Tokenizer:
  """The BPE with byte fallback of Gemma, with <bos> in front of texts.

  Args:
    pieces: the vocabulary; a piece's index is its id.
    scores: score of each piece. The two neighbours whose joint piece has the
      best score are merged first.
    kinds: GGUF's token type of each piece.
  """
  vocab = {piece: i for i, piece in enumerate(pieces)}
  tokenizer = tokenizers.Tokenizer(
      tokenizers.models.BPE(
          vocab=vocab,
          merges=_merges(vocab, scores, kinds),
          unk_token=_SPECIAL_TOKENS["unk_token"],
          fuse_unk=True,
          byte_fallback=True,
      )
  )
  tokenizer.normalizer = normalizers.Replace(" ", _SPACE)
  tokenizer.decoder = decoders.Sequence(
      [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
  )
  tokenizer.add_tokens(
      [
          tokenizers.AddedToken(
              piece,
              # Runs of spaces are found after spaces are replaced.
              normalized=_SPACE in piece,
              special=kind == family.CONTROL,
          )
          for piece, kind in zip(pieces, kinds, strict=True)
          if kind in (family.CONTROL, family.USER_DEFINED)
      ]
  )
  bos = _SPECIAL_TOKENS["bos_token"]
  tokenizer.post_processor = processors.TemplateProcessing(
      single=f"{bos} $A",
      pair=f"{bos} $A {bos}:1 $B:1",
      special_tokens=[(bos, vocab[bos])],
  )
  return tokenizer


def _merges(
    vocab: dict[str, int], scores: Sequence[float], kinds: Sequence[int]
) -> list[tuple[str, str]]:
  """All pairs of pieces that make a piece, best score of that piece first."""
  normal = {piece: i for piece, i in vocab.items() if kinds[i] == family.NORMAL}
  best_first = sorted(normal, key=lambda piece: -scores[normal[piece]])
  return [
      (piece[:k], piece[k:])
      for piece in best_first
      for k in range(1, len(piece))
      if piece[:k] in normal and piece[k:] in normal
  ]


def _tokenizer(metadata: Metadata) -> tokenizers.Tokenizer:
  # llama.cpp writes a space for U+2581 in user-defined pieces (runs of spaces).
  pieces = [
      piece.replace(" ", _SPACE) for piece in metadata["tokenizer.ggml.tokens"]
  ]
  return build_tokenizer(
      pieces,
      metadata["tokenizer.ggml.scores"],
      metadata["tokenizer.ggml.token_type"],
  )


def _tokenizer_config(metadata: Metadata) -> dict[str, Any]:
  config = {
      **_SPECIAL_TOKENS,
      "clean_up_tokenization_spaces": False,
      "model_max_length": metadata["gemma3.context_length"],
      # The class that takes tokenizer.json as it is.
      "tokenizer_class": "PreTrainedTokenizerFast",
  }
  # Base models have none.
  if "tokenizer.chat_template" in metadata:
    config["chat_template"] = metadata["tokenizer.chat_template"]
  return config


FAMILY = family.Family(
    model_config=model_config,
    top_tensors=_TOP_TENSORS,
    layer_tensors=_LAYER_TENSORS,
    hf_weight=hf_weight,
    tokenizer=_tokenizer,
    tokenizer_config=_tokenizer_config,
    special_tokens=_SPECIAL_TOKENS,
)
