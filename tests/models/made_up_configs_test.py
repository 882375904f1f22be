"""Made-up config.json files: each is transformers' model, or is refused.

Needs the `parity` extra. transformers reads the file and makes random weights
for it; the slow decoder, given what we read of the same file, must compute the
same logits.
"""

import copy
import json
import pathlib

from absl.testing import absltest
from absl.testing import parameterized
import numpy as np
import pytest
import transformers

torch = pytest.importorskip("torch")

from score_jax.models import hf_config  # noqa: E402
from score_jax.models import hf_tensors  # noqa: E402
from tests.helpers.slow_decoder import decode  # noqa: E402

pytestmark = pytest.mark.parity

TOKENS = np.random.default_rng(0).integers(3, 29, 14)

SIZES = {
    "vocab_size": 29,
    "hidden_size": 12,
    "intermediate_size": 20,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 64,
    "rms_norm_eps": 0.05,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
LLAMA = SIZES | {"model_type": "llama", "rope_theta": 50.0}
MISTRAL = LLAMA | {"model_type": "mistral", "sliding_window": 4}
QWEN2 = LLAMA | {"model_type": "qwen2"}
QWEN3 = LLAMA | {"model_type": "qwen3", "head_dim": 8}
GEMMA2 = LLAMA | {
    "model_type": "gemma2",
    "head_dim": 8,
    "query_pre_attn_scalar": 5,
    "sliding_window": 4,
}
GEMMA3 = GEMMA2 | {
    "model_type": "gemma3_text",
    "sliding_window_pattern": 2,
    "rope_local_base_freq": 9.0,
}
OLMO2 = LLAMA | {"model_type": "olmo2"}
OLMO3 = LLAMA | {"model_type": "olmo3", "sliding_window": 4}
SMOLLM3 = LLAMA | {"model_type": "smollm3", "no_rope_layer_interval": 2}
PHI3 = LLAMA | {"model_type": "phi3", "hidden_size": 16}
LONGROPE = {
    "type": "longrope",
    "short_factor": [1.5, 2.5, 3.5],
    "long_factor": [2.0, 4.0, 9.0],
}
PHI4_MINI = PHI3 | {
    "partial_rotary_factor": 0.75,
    "original_max_position_embeddings": 16,
    "rope_scaling": LONGROPE,
}
ABSENT = object()  # as a change: the field is left out

LINEAR = {"rope_type": "linear", "factor": 3.0}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
}
YARN = {
    "rope_type": "yarn",
    "factor": 4.0,
    "original_max_position_embeddings": 8,
    "beta_fast": 0.8,
    "beta_slow": 0.05,
}


def _yarn(**changes):
  return {"rope_scaling": YARN | changes}


LOCAL_LAST = ["full_attention", "full_attention", "sliding_attention"]

# Files that are read as transformers reads them: base, and what is changed.
READ = {
    "llama": (LLAMA, {}),
    "null_head_dim": (LLAMA, {"head_dim": None}),
    "wide_heads": (LLAMA, {"head_dim": 10}),
    "null_kv_heads": (LLAMA, {"num_key_value_heads": None}),
    "no_kv_heads": (LLAMA, {"num_key_value_heads": ABSENT}),
    "tied": (LLAMA, {"tie_word_embeddings": True}),
    "untied": (LLAMA, {"tie_word_embeddings": False}),
    "no_theta": (LLAMA, {"rope_theta": ABSENT}),
    "biased": (LLAMA, {"attention_bias": True}),
    "no_mlp_bias": (LLAMA, {"mlp_bias": False}),
    "null_scaling": (LLAMA, {"rope_scaling": None}),
    "old_dtype": (LLAMA, {"torch_dtype": "bfloat16"}),
    "new_dtype": (LLAMA, {"dtype": "float16"}),
    "both_dtypes": (LLAMA, {"dtype": "float32", "torch_dtype": "bfloat16"}),
    "null_dtype": (LLAMA, {"dtype": None}),
    "unknown_fields": (
        LLAMA,
        {
            "pretraining_tp": 1,
            "unsloth_version": "2025.1",
            "_name_or_path": "x",
        },
    ),
    "neutral_factors": (
        LLAMA,
        {"logits_scaling": 1.0, "residual_multiplier": 1, "num_experts": None},
    ),
    "gelu": (LLAMA, {"hidden_act": "gelu_pytorch_tanh"}),
    "linear_by_type": (
        LLAMA,
        {"rope_scaling": {"type": "linear", "factor": 3}},
    ),
    "linear": (LLAMA, {"rope_scaling": LINEAR}),
    "two_names_of_type": (
        LLAMA,
        {"rope_scaling": LINEAR | {"type": "llama3"}},
    ),
    "flat_parameters": (
        LLAMA,
        {"rope_theta": ABSENT, "rope_parameters": LINEAR | {"rope_theta": 9.0}},
    ),
    "parameters_without_theta": (LLAMA, {"rope_parameters": LINEAR}),
    "parameters_without_type": (
        LLAMA,
        {"rope_parameters": {"rope_theta": 9.0}},
    ),
    "parameters_and_theta": (
        LLAMA,
        {"rope_parameters": {"rope_type": "default", "rope_theta": 9.0}},
    ),
    "empty_parameters": (LLAMA, {"rope_parameters": {}}),
    "null_parameters": (LLAMA, {"rope_parameters": None}),
    "scaling_before_parameters": (
        LLAMA,
        {
            "rope_scaling": LINEAR,
            "rope_parameters": {"rope_type": "default", "rope_theta": 9.0},
        },
    ),
    "empty_scaling": (
        LLAMA,
        {
            "rope_scaling": {},
            "rope_parameters": {"rope_type": "default", "rope_theta": 9.0},
        },
    ),
    "llama3": (
        LLAMA,
        {"rope_scaling": LLAMA3 | {"original_max_position_embeddings": 32}},
    ),
    "llama3_of_the_model_s_length": (
        LLAMA,
        {"rope_parameters": LLAMA3 | {"rope_theta": 50.0}},
    ),
    "llama3_with_its_length_outside": (
        LLAMA,
        {
            "original_max_position_embeddings": 16,
            "rope_scaling": LLAMA3 | {"original_max_position_embeddings": 32},
        },
    ),
    "yarn": (LLAMA, _yarn()),
    "yarn_by_type": (LLAMA, _yarn(type="yarn", rope_type="yarn")),
    "yarn_flat": (LLAMA, {"rope_parameters": YARN | {"rope_theta": 9.0}}),
    "yarn_attention_factor": (LLAMA, _yarn(attention_factor=1.6)),
    "yarn_other_attn_factor": (LLAMA, _yarn(attn_factor=0.7)),
    "yarn_mscale": (LLAMA, _yarn(mscale=3.0)),
    "yarn_mscales": (LLAMA, _yarn(mscale=3.0, mscale_all_dim=0.5)),
    "yarn_zero_mscale": (LLAMA, _yarn(mscale=1.0, mscale_all_dim=0.0)),
    "yarn_null_factor": (LLAMA, _yarn(factor=None)),
    "yarn_small_factor": (LLAMA, _yarn(factor=0.5)),
    "yarn_null_betas": (LLAMA, _yarn(beta_fast=None, beta_slow=None)),
    "yarn_not_truncated": (LLAMA, _yarn(truncate=False)),
    "yarn_equal_bounds": (LLAMA, _yarn(beta_fast=64, beta_slow=64)),
    "yarn_of_the_model_s_length": (
        LLAMA,
        {
            "rope_scaling": {"rope_type": "yarn", "factor": 2.0},
            "max_position_embeddings": 8,
        },
    ),
    "yarn_with_its_length_outside": (
        LLAMA,
        _yarn() | {"original_max_position_embeddings": 16},
    ),
    "yarn_wide_heads": (QWEN3, _yarn()),
    "yarn_qwen2": (QWEN2, _yarn()),
    "yarn_gemma3": (GEMMA3, _yarn()),
    "yarn_gemma3_by_kind": (
        GEMMA3,
        {
            "rope_parameters": {
                "full_attention": YARN,
                "sliding_attention": YARN,
            }
        },
    ),
    "mistral": (MISTRAL, {}),
    "mistral_no_window": (MISTRAL, {"sliding_window": None}),
    "mistral_default_window": (MISTRAL, {"sliding_window": ABSENT}),
    "mistral_null_head_dim": (MISTRAL, {"head_dim": None}),
    "mistral_layer_types": (
        MISTRAL,
        {"head_dim": 6, "layer_types": LOCAL_LAST},
    ),
    "mistral_full_layer_types": (
        MISTRAL,
        {"head_dim": 6, "layer_types": ["full_attention"] * 3},
    ),
    "mistral_null_layer_types": (MISTRAL, {"head_dim": 6, "layer_types": None}),
    "ministral": (MISTRAL, {"head_dim": 6, "model_type": "ministral"}),
    "mistral_no_bias": (MISTRAL, {"attention_bias": False}),
    "qwen2": (QWEN2, {}),
    "qwen2_window_not_used": (
        QWEN2,
        {"use_sliding_window": False, "sliding_window": 4},
    ),
    "qwen2_window": (
        QWEN2,
        {
            "use_sliding_window": True,
            "sliding_window": 4,
            "max_window_layers": 1,
        },
    ),
    "qwen2_null_window": (
        QWEN2,
        {"use_sliding_window": True, "sliding_window": None},
    ),
    "qwen2_layer_types": (
        QWEN2,
        {
            "use_sliding_window": True,
            "sliding_window": 4,
            "layer_types": LOCAL_LAST,
        },
    ),
    "qwen2_bias_is_named": (QWEN2, {"attention_bias": False}),
    "qwen2_no_mrope": (QWEN2, {"use_mrope": False}),
    "qwen2_head_dim": (QWEN2, {"head_dim": 8}),
    "qwen3": (QWEN3, {}),
    "qwen3_biased": (QWEN3, {"attention_bias": True}),
    "qwen3_no_experts": (QWEN3, {"num_experts": 0}),
    "gemma2": (GEMMA2, {}),
    "gemma2_no_caps": (
        GEMMA2,
        {"attn_logit_softcapping": None, "final_logit_softcapping": None},
    ),
    "gemma2_layer_types": (GEMMA2, {"layer_types": LOCAL_LAST}),
    "gemma2_untied": (GEMMA2, {"tie_word_embeddings": False}),
    "gemma2_foreign_theta": (GEMMA2, {"rope_local_base_freq": 9.0}),
    "gemma3": (GEMMA3, {}),
    "gemma3_pattern_absent": (GEMMA3, {"sliding_window_pattern": ABSENT}),
    "gemma3_scaling": (GEMMA3, {"rope_scaling": LINEAR}),
    "gemma3_no_thetas": (
        GEMMA3,
        {"rope_theta": ABSENT, "rope_local_base_freq": ABSENT},
    ),
    "gemma3_by_kind": (
        GEMMA3,
        {
            "rope_parameters": {
                "full_attention": LINEAR | {"rope_theta": 5.0},
                "sliding_attention": {"rope_theta": 7.0},
            }
        },
    ),
    "gemma3_local_scaling": (
        GEMMA3,
        {"rope_parameters": {"sliding_attention": LINEAR}},
    ),
    # transformers takes the parts by kind alone, and makes up what is absent.
    "gemma3_flat": (
        GEMMA3,
        {"rope_parameters": {"rope_type": "linear", "factor": 9.0}},
    ),
    "olmo2": (OLMO2, {}),
    "olmo2_no_kv_heads": (OLMO2, {"num_key_value_heads": ABSENT}),
    "olmo2_no_eps": (OLMO2, {"rms_norm_eps": ABSENT}),
    "olmo2_biased": (OLMO2, {"attention_bias": True}),
    "olmo2_yarn": (OLMO2, _yarn()),
    "olmo2_head_dim": (OLMO2, {"head_dim": 8}),
    "olmo3": (OLMO3, {}),
    "olmo3_no_theta": (OLMO3, {"rope_theta": ABSENT}),
    "olmo3_layer_types": (OLMO3, {"layer_types": LOCAL_LAST}),
    "olmo3_five_layers": (OLMO3, {"num_hidden_layers": 5}),
    "olmo3_yarn": (OLMO3, _yarn() | {"num_hidden_layers": 4}),
    "olmo3_by_kind": (
        OLMO3,
        {
            "layer_types": LOCAL_LAST,
            "rope_parameters": {
                "full_attention": YARN,
                "sliding_attention": {"rope_theta": 7.0},
            },
        },
    ),
    "olmo3_foreign_theta": (OLMO3, {"rope_local_base_freq": 9.0}),
    "smollm3": (SMOLLM3, {}),
    "smollm3_interval_absent": (
        SMOLLM3,
        {"no_rope_layer_interval": ABSENT, "num_hidden_layers": 5},
    ),
    "smollm3_interval_1": (SMOLLM3, {"no_rope_layer_interval": 1}),
    "smollm3_layers": (SMOLLM3, {"no_rope_layers": [0, 1, 1]}),
    "smollm3_more_layers": (SMOLLM3, {"no_rope_layers": [1, 1, 0, 0, 1]}),
    "smollm3_all_have_rope": (SMOLLM3, {"no_rope_layers": [1, 1, 1]}),
    "smollm3_untied": (SMOLLM3, {"tie_word_embeddings": False}),
    "smollm3_kv_heads_absent": (
        SMOLLM3,
        {
            "num_attention_heads": 4,
            "hidden_size": 16,
            "num_key_value_heads": ABSENT,
        },
    ),
    "smollm3_yarn": (SMOLLM3, _yarn()),
    "smollm3_window_not_used": (SMOLLM3, {"sliding_window": 4}),
    "smollm3_window": (
        SMOLLM3,
        {"sliding_window": 4, "use_sliding_window": True},
    ),
    "smollm3_layer_types": (
        SMOLLM3,
        {
            "sliding_window": 4,
            "use_sliding_window": True,
            "layer_types": LOCAL_LAST,
        },
    ),
    "phi3": (PHI3, {}),
    "phi3_window": (PHI3, {"sliding_window": 4}),
    "phi3_large_window": (PHI3, {"sliding_window": 4000}),
    "phi3_partial": (PHI3, {"partial_rotary_factor": 0.5}),
    "phi3_null_scaling": (PHI3, {"rope_scaling": None}),
    "phi3_no_biases": (
        PHI3,
        {"attention_bias": False, "mlp_bias": False, "lm_head_bias": False},
    ),
    "phi3_tied": (PHI3, {"tie_word_embeddings": True}),
    "phi3_its_own_code": (
        PHI3,
        {
            "auto_map": {
                "AutoConfig": "configuration_phi3.Phi3Config",
                "AutoModelForCausalLM": "modeling_phi3.Phi3ForCausalLM",
                "AutoTokenizer": "Xenova/gpt-4o",
            }
        },
    ),
    "phi4_mini": (PHI4_MINI, {}),
    "phi4_mini_su": (
        PHI4_MINI,
        {
            "rope_scaling": LONGROPE
            | {"type": "su", "original_max_position_embeddings": 16}
        },
    ),
    "phi4_mini_yarn": (
        PHI4_MINI,
        {"rope_scaling": LONGROPE | {"type": "yarn"}},
    ),
    "phi4_mini_flat": (
        PHI4_MINI,
        {
            "partial_rotary_factor": ABSENT,
            "rope_scaling": ABSENT,
            "rope_theta": ABSENT,
            "rope_parameters": LONGROPE
            | {"rope_theta": 9.0, "partial_rotary_factor": 0.75},
        },
    ),
    "phi4_mini_factor": (
        PHI4_MINI,
        {"rope_scaling": LONGROPE | {"factor": 32.0}},
    ),
    "phi4_mini_attention_factor": (
        PHI4_MINI,
        {"rope_scaling": LONGROPE | {"attention_factor": 1.9}},
    ),
    "phi4_mini_length_within": (
        PHI4_MINI,
        {"rope_scaling": LONGROPE | {"original_max_position_embeddings": 32}},
    ),
    "phi4_mini_not_longer": (
        PHI4_MINI,
        {
            "original_max_position_embeddings": 64,
            "max_position_embeddings": 64,
        },
    ),
    "longrope_in_llama": (
        LLAMA,
        {"rope_scaling": LONGROPE | {"original_max_position_embeddings": 16}},
    ),
    "gemma2_foreign_use_of_window": (GEMMA2, {"use_sliding_window": False}),
    "mistral_foreign_use_of_window": (MISTRAL, {"use_sliding_window": False}),
    "olmo3_foreign_use_of_window": (OLMO3, {"use_sliding_window": None}),
    "phi3_foreign_use_of_window": (
        PHI3,
        {"sliding_window": 4, "use_sliding_window": False},
    ),
    "gemma3_null_pattern_beside_layer_types": (
        GEMMA3,
        {"sliding_window_pattern": None, "layer_types": LOCAL_LAST},
    ),
    "qwen2_layer_types_before_max_window_layers": (
        QWEN2,
        {
            "use_sliding_window": True,
            "sliding_window": 4,
            "max_window_layers": 0,
            "layer_types": LOCAL_LAST,
        },
    ),
    "gemma3_no_bidirection": (GEMMA3, {"use_bidirectional_attention": False}),
}

# Files that are refused, and what the message says beside file and family.
REFUSED = {
    "quantized": (LLAMA, {"quantization_config": {"bits": 4}}, "dequantize"),
    "mlp_bias": (LLAMA, {"mlp_bias": True}, "mlp_bias is True"),
    "granite": (LLAMA, {"logits_scaling": 8.0}, "logits_scaling is 8.0"),
    "residual": (LLAMA, {"residual_multiplier": 0.2}, "residual_multiplier"),
    "embedding": (LLAMA, {"embedding_multiplier": 12.0}, "embedding_multip"),
    "scores": (LLAMA, {"attention_multiplier": 0.1}, "attention_multiplier"),
    "experts": (QWEN3, {"num_experts": 8}, "num_experts is 8"),
    "clipped": (LLAMA, {"clip_qkv": 8.0}, "clip_qkv is 8.0"),
    "partial": (LLAMA, {"partial_rotary_factor": 0.5}, "partial_rotary_factor"),
    "partial_within": (
        LLAMA,
        {"rope_parameters": {"partial_rotary_factor": 0.5}},
        "partial_rotary_factor",
    ),
    "llama_window": (LLAMA, {"sliding_window": 4}, "sliding_window is 4"),
    "llama_layer_types": (
        LLAMA,
        {"layer_types": LOCAL_LAST, "sliding_window": 4},
        "sliding_window is 4",
    ),
    "llama_layer_types_alone": (
        LLAMA,
        {"layer_types": LOCAL_LAST},
        "layer_types says otherwise",
    ),
    "llama_caps": (LLAMA, {"final_logit_softcapping": 9.0}, "final_logit_soft"),
    "llama_scalar": (LLAMA, {"query_pre_attn_scalar": 9}, "query_pre_attn"),
    "mistral_biased": (MISTRAL, {"attention_bias": True}, "attention_bias"),
    "qwen2_layer_types_not_used": (
        QWEN2,
        {"layer_types": LOCAL_LAST, "use_sliding_window": False},
        "sliding_window is None with 1 local layers",
    ),
    "qwen2_mrope": (QWEN2, {"use_mrope": True}, "use_mrope is True"),
    "mrope_section": (
        QWEN2,
        {"rope_scaling": {"type": "mrope", "mrope_section": [1, 1, 1]}},
        "rope type 'mrope'",
    ),
    "by_kind_in_a_flat_family": (
        QWEN2,
        {"rope_parameters": {"full_attention": LINEAR}},
        "an entry for each kind of layer",
    ),
    "by_kind_in_llama": (
        LLAMA,
        {"rope_parameters": {"full_attention": LINEAR}},
        "an entry for each kind of layer",
    ),
    "dynamic": (
        LLAMA,
        {"rope_scaling": LINEAR | {"rope_type": "dynamic"}},
        "is no scaling",
    ),
    "null_type": (
        LLAMA,
        {"rope_scaling": LINEAR | {"rope_type": None}},
        "None",
    ),
    "scaling_is_no_object": (LLAMA, {"rope_scaling": "linear"}, "an object"),
    "negative_factor": (
        LLAMA,
        {"rope_scaling": LINEAR | {"factor": -2.0}},
        "factor is -2.0",
    ),
    "yarn_without_factor": (
        LLAMA,
        {"rope_scaling": {"rope_type": "yarn"}},
        "field 'factor' is missing",
    ),
    "yarn_length_is_no_number": (
        LLAMA,
        _yarn(original_max_position_embeddings=8.0),
        "original_max_position_embeddings is 8.0",
    ),
    "yarn_null_truncate": (LLAMA, _yarn(truncate=None), "truncate is None"),
    "yarn_gemma3_truncate": (GEMMA3, _yarn(truncate=False), "does not read"),
    "yarn_negative_factor": (LLAMA, _yarn(attention_factor=-1), "factor is -1"),
    "smollm3_layers_too_few": (
        SMOLLM3,
        {"no_rope_layers": [0, 1]},
        r"no_rope_layers is \[0, 1\]",
    ),
    "smollm3_layers_of_words": (
        SMOLLM3,
        {"no_rope_layers": ["rope", 1, 1]},
        "no_rope_layers is",
    ),
    "smollm3_interval_0": (
        SMOLLM3,
        {"no_rope_layer_interval": 0},
        "no_rope_layer_interval is 0",
    ),
    "llama_without_rope": (LLAMA, {"no_rope_layers": [0, 1, 1]}, "no_rope_lay"),
    "olmo2_clipped": (OLMO2, {"clip_qkv": 8.0}, "clip_qkv is 8.0"),
    "olmo2_window": (OLMO2, {"sliding_window": 4}, "sliding_window is 4"),
    "phi3_odd_share": (PHI3, {"partial_rotary_factor": 0.4}, "the 3 of its"),
    "phi3_null_share": (PHI3, {"partial_rotary_factor": None}, "is None"),
    "phi3_large_share": (PHI3, {"partial_rotary_factor": 1.5}, "at most 1"),
    "phi3_linear": (PHI3, {"rope_scaling": LINEAR}, "rope type 'linear'"),
    "phi3_biased": (PHI3, {"attention_bias": True}, "attention_bias is True"),
    "phi3_head_biased": (PHI3, {"lm_head_bias": True}, "lm_head_bias is True"),
    "phi3_other_code": (
        PHI3,
        {"auto_map": {"AutoModelForCausalLM": "modeling_x.Phi3ForCausalLM"}},
        "never run",
    ),
    "phi3_no_code": (PHI3, {"auto_map": {}}, "never run"),
    "phi4_mini_too_few": (
        PHI4_MINI,
        {"rope_scaling": LONGROPE | {"long_factor": [1.0, 2.0]}},
        "LongRoPE has 2 factors, expected one for each of 3 pairs",
    ),
    "phi4_mini_one_factor": (
        PHI4_MINI,
        {"rope_scaling": LONGROPE | {"short_factor": 2.0}},
        "short_factor is 2.0, expected a list",
    ),
    "phi4_mini_word": (
        PHI4_MINI,
        {"rope_scaling": LONGROPE | {"short_factor": [1.0, "2", 3.0]}},
        "short_factor is '2'",
    ),
    "phi4_mini_length_1": (
        PHI4_MINI,
        {"original_max_position_embeddings": 1},
        "original_max_position_embeddings is 1, expected",
    ),
    "unequal_layers": (
        LLAMA,
        {"per_layer_config": {"0": {"head_dim": 8}}},
        "per_layer_config is",
    ),
    "compressed": (
        LLAMA,
        {"compression_config": {"format": "x"}},
        "compression_config is .*not read; give the checkpoint",
    ),
    "zero_scalar": (GEMMA2, {"query_pre_attn_scalar": 0}, "scalar is 0.0"),
    "negative_scalar": (
        GEMMA2,
        {"query_pre_attn_scalar": -4},
        "scalar is -4.0",
    ),
    "zero_cap": (GEMMA2, {"final_logit_softcapping": 0.0}, "ping is 0.0"),
    "cap_is_a_word": (GEMMA2, {"attn_logit_softcapping": "50"}, "ping is '50'"),
    "yarn_theta_1": (LLAMA, _yarn() | {"rope_theta": 1.0}, "rope_theta is 1.0"),
    "gemma4": (
        GEMMA3,
        {"model_type": "gemma4_text"},
        "layers of unequal shape",
    ),
    "qwen3_5": (QWEN3, {"model_type": "qwen3_5_text"}, "linear attention"),
    "gemma4_multimodal": (
        {"model_type": "gemma4", "text_config": {"model_type": "gemma4_text"}},
        {},
        "layers of unequal shape",
    ),
    "eps_is_not_finite": (
        LLAMA,
        {"rms_norm_eps": float("nan")},
        "rms_norm_eps",
    ),
    "tie_is_a_word": (LLAMA, {"tie_word_embeddings": "false"}, "true or false"),
    "null_tie": (LLAMA, {"tie_word_embeddings": None}, "true or false"),
    "fractional_scalar": (GEMMA2, {"query_pre_attn_scalar": 5.5}, "whole"),
    "bidirectional": (
        GEMMA3,
        {"use_bidirectional_attention": True},
        "bidirect",
    ),
    "gemma2_window_null_layer_types": (
        GEMMA2,
        {"sliding_window": None, "layer_types": LOCAL_LAST},
        "sliding_window is None",
    ),
    "moe": (LLAMA, {"model_type": "mixtral"}, "mixture of experts"),
    "no_type": (LLAMA, {"model_type": ABSENT}, "not supported"),
    "multimodal": (
        LLAMA,
        {"model_type": "llava", "text_config": {"model_type": "llama"}},
        "text_config is of model_type 'llama'",
    ),
    "remote_code": (LLAMA, {"auto_map": {"AutoModel": "m.M"}}, "never run"),
}


def _changed(base, changes):
  content = {k: v for k, v in {**base, **changes}.items() if v is not ABSENT}
  return copy.deepcopy(content)


def _torch_model(content, directory):
  """A random model with noise in every parameter, of a file on disk."""
  (directory / "config.json").write_text(json.dumps(content))
  config = transformers.AutoConfig.from_pretrained(directory)
  torch.manual_seed(0)
  model = transformers.AutoModelForCausalLM.from_config(
      config, attn_implementation="eager"
  )
  model = model.float().eval()
  with torch.no_grad():
    for parameter in model.parameters():
      noise = torch.randn_like(parameter)
      if parameter.ndim > 1:
        parameter.copy_(0.4 * noise)
      else:
        parameter += 0.5 * noise
  return model


def _params(model, config):
  """The weights of a model in torch as ours."""
  weights = {k: v.numpy() for k, v in model.state_dict().items()}
  params, stacks = {}, {}
  for name, parts in hf_tensors.table(config).items():
    for tensor, rows in hf_tensors.split(weights[name], parts):
      array = tensor.load(rows)
      if tensor.layer is None:
        params[tensor.parameter] = array
      else:
        stacks.setdefault(tensor.parameter, []).append(array)
  return params | {"layers": {k: np.stack(v) for k, v in stacks.items()}}


class MadeUpConfigsTest(parameterized.TestCase):

  @parameterized.named_parameters((name, name) for name in READ)
  def test_is_the_model_that_transformers_reads(self, name):
    content = _changed(*READ[name])
    config = hf_config.from_hf(content, "config.json")
    model = _torch_model(content, pathlib.Path(self.create_tempdir()))
    with torch.no_grad():
      expected = model(input_ids=torch.tensor(TOKENS[None])).logits[0].numpy()
    self.assertGreater(expected.std(), 0.3)
    actual = decode(_params(model, config), config, TOKENS)
    np.testing.assert_allclose(actual, expected, atol=1e-4)
    # And what is written of it is the same model once more.
    written = json.loads(json.dumps(hf_config.to_hf(config)))
    self.assertEqual(hf_config.from_hf(written, "written"), config)

  @parameterized.named_parameters((name, name) for name in REFUSED)
  def test_is_refused_by_file_family_and_reason(self, name):
    base, changes, message = REFUSED[name]
    content = _changed(base, changes)
    family = f"^config.json: model_type {content.get('model_type')!r}: .*"
    with self.assertRaisesRegex(ValueError, family + message):
      hf_config.from_hf(content, "config.json")


if __name__ == "__main__":
  absltest.main()
