"""What published checkpoints say about themselves, as test data.

Each entry holds the keys of a checkpoint's config.json that have a bearing on
its architecture, in the layout in which the hub serves the file (that of
transformers 4), and the number of its parameters. Odd as some of them look,
the details are deliberate:

- A key that is missing here is missing in the published file, and the default
  of the family's config class in transformers stands in for it. The Gemma 3
  files with a `text_config` leave out most: gemma-3-4b-it names neither its
  attention heads nor its vocabulary.
- Gemma 2 and Gemma 3 leave out `tie_word_embeddings`, which is True there.
- Gemma 2 has both `hidden_act` and `hidden_activation`, and its two larger
  checkpoints have `sliding_window_size` beside `sliding_window`. That every
  second layer attends to all positions stands in none of its files.
- gemma-3-1b-it says `sliding_window_pattern`; gemma-3-270m, which is younger,
  spells out `layer_types` and has a leading underscore before the pattern.
- Qwen2.5 sets a `sliding_window` and `max_window_layers`, but switches both
  off by `use_sliding_window`. It has biases without naming them.
- Llama 3.1, Qwen2.5, Mistral and SmolLM2 leave `head_dim` to the division of
  the width by the heads. It is not that quotient in Gemma and Qwen3-0.6B, not
  even where a Gemma leaves it out (it is 256 then).

Keys without any bearing on the architecture are left out (versions, dropout
and initialisation, caches, dtypes, names).
"""

from typing import Any
from typing import NamedTuple


class Published(NamedTuple):
  """One published checkpoint.

  Attributes:
    config: its config.json, less the keys without any bearing.
    num_parameters: distinct parameters of its text model: an output head that
      is tied to the embedding counts once, and the vision tower and projector
      of the larger Gemma 3 models do not count.
  """

  config: dict[str, Any]
  num_parameters: int


def _gemma2(**sizes: Any) -> dict[str, Any]:
  return {
      "architectures": ["Gemma2ForCausalLM"],
      "model_type": "gemma2",
      "attention_bias": False,
      "attn_logit_softcapping": 50.0,
      "bos_token_id": 2,
      "eos_token_id": 1,
      "final_logit_softcapping": 30.0,
      "hidden_act": "gelu_pytorch_tanh",
      "hidden_activation": "gelu_pytorch_tanh",
      "max_position_embeddings": 8192,
      "pad_token_id": 0,
      "rms_norm_eps": 1e-06,
      "rope_theta": 10000.0,
      "sliding_window": 4096,
      "vocab_size": 256000,
      **sizes,
  }


def _gemma3_text(**sizes: Any) -> dict[str, Any]:
  return {
      "architectures": ["Gemma3ForCausalLM"],
      "model_type": "gemma3_text",
      "attention_bias": False,
      "attn_logit_softcapping": None,
      "bos_token_id": 2,
      "final_logit_softcapping": None,
      "head_dim": 256,
      "hidden_activation": "gelu_pytorch_tanh",
      "max_position_embeddings": 32768,
      "num_attention_heads": 4,
      "num_key_value_heads": 1,
      "pad_token_id": 0,
      "query_pre_attn_scalar": 256,
      "rms_norm_eps": 1e-06,
      "rope_scaling": None,
      "sliding_window": 512,
      "vocab_size": 262144,
      **sizes,
  }


def _gemma3(**text: Any) -> dict[str, Any]:
  return {
      "architectures": ["Gemma3ForConditionalGeneration"],
      "model_type": "gemma3",
      "boi_token_index": 255999,
      "eoi_token_index": 256000,
      "eos_token_id": [1, 106],
      "image_token_index": 262144,
      "mm_tokens_per_image": 256,
      "text_config": {
          "model_type": "gemma3_text",
          "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
          "sliding_window": 1024,
          **text,
      },
      "vision_config": {
          "hidden_size": 1152,
          "image_size": 896,
          "intermediate_size": 4304,
          "model_type": "siglip_vision_model",
          "num_attention_heads": 16,
          "num_hidden_layers": 27,
          "patch_size": 14,
          "vision_use_head": False,
      },
  }


def _olmo(model_type: str, architecture: str, **sizes: Any) -> dict[str, Any]:
  return {
      "architectures": [architecture],
      "model_type": model_type,
      "attention_bias": False,
      "eos_token_id": 100257,
      "hidden_act": "silu",
      "pad_token_id": 100277,
      "rms_norm_eps": 1e-06,
      "rope_scaling": None,
      "rope_theta": 500000,
      "tie_word_embeddings": False,
      **sizes,
  }


def _llama3(factor: float, **sizes: Any) -> dict[str, Any]:
  return {
      "architectures": ["LlamaForCausalLM"],
      "model_type": "llama",
      "attention_bias": False,
      "bos_token_id": 128000,
      "eos_token_id": 128001,
      "hidden_act": "silu",
      "max_position_embeddings": 131072,
      "mlp_bias": False,
      "num_key_value_heads": 8,
      "pretraining_tp": 1,
      "rms_norm_eps": 1e-05,
      "rope_scaling": {
          "factor": factor,
          "high_freq_factor": 4.0,
          "low_freq_factor": 1.0,
          "original_max_position_embeddings": 8192,
          "rope_type": "llama3",
      },
      "rope_theta": 500000.0,
      "vocab_size": 128256,
      **sizes,
  }


def _qwen25(**sizes: Any) -> dict[str, Any]:
  return {
      "architectures": ["Qwen2ForCausalLM"],
      "model_type": "qwen2",
      "bos_token_id": 151643,
      "eos_token_id": 151643,
      "hidden_act": "silu",
      "rms_norm_eps": 1e-06,
      "rope_theta": 1000000.0,
      "use_mrope": False,
      "use_sliding_window": False,
      **sizes,
  }


def _qwen3(**sizes: Any) -> dict[str, Any]:
  return {
      "architectures": ["Qwen3ForCausalLM"],
      "model_type": "qwen3",
      "attention_bias": False,
      "bos_token_id": 151643,
      "eos_token_id": 151645,
      "head_dim": 128,
      "hidden_act": "silu",
      "max_position_embeddings": 40960,
      "num_key_value_heads": 8,
      "rms_norm_eps": 1e-06,
      "rope_scaling": None,
      "rope_theta": 1000000,
      "sliding_window": None,
      "use_sliding_window": False,
      "vocab_size": 151936,
      **sizes,
  }


def _mistral(**rest: Any) -> dict[str, Any]:
  return {
      "architectures": ["MistralForCausalLM"],
      "model_type": "mistral",
      "bos_token_id": 1,
      "eos_token_id": 2,
      "hidden_act": "silu",
      "hidden_size": 4096,
      "intermediate_size": 14336,
      "max_position_embeddings": 32768,
      "num_attention_heads": 32,
      "num_hidden_layers": 32,
      "num_key_value_heads": 8,
      "rms_norm_eps": 1e-05,
      "tie_word_embeddings": False,
      **rest,
  }


def _smollm2(**sizes: Any) -> dict[str, Any]:
  return {
      "architectures": ["LlamaForCausalLM"],
      "model_type": "llama",
      "attention_bias": False,
      "bos_token_id": 0,
      "eos_token_id": 0,
      "hidden_act": "silu",
      "max_position_embeddings": 8192,
      "pretraining_tp": 1,
      "rms_norm_eps": 1e-05,
      "rope_scaling": None,
      "tie_word_embeddings": True,
      "vocab_size": 49152,
      **sizes,
  }


PUBLISHED: dict[str, Published] = {
    "google/gemma-2-2b": Published(
        config=_gemma2(
            head_dim=256,
            hidden_size=2304,
            intermediate_size=9216,
            num_attention_heads=8,
            num_hidden_layers=26,
            num_key_value_heads=4,
            query_pre_attn_scalar=256,
        ),
        num_parameters=2_614_341_888,
    ),
    "google/gemma-2-9b": Published(
        config=_gemma2(
            head_dim=256,
            hidden_size=3584,
            intermediate_size=14336,
            num_attention_heads=16,
            num_hidden_layers=42,
            num_key_value_heads=8,
            query_pre_attn_scalar=256,
            sliding_window_size=4096,
        ),
        num_parameters=9_241_705_984,
    ),
    "google/gemma-2-27b": Published(
        config=_gemma2(
            head_dim=128,
            hidden_size=4608,
            intermediate_size=36864,
            num_attention_heads=32,
            num_hidden_layers=46,
            num_key_value_heads=16,
            query_pre_attn_scalar=144,
            sliding_window_size=4096,
        ),
        num_parameters=27_227_128_320,
    ),
    "google/gemma-3-270m": Published(
        config=_gemma3_text(
            _sliding_window_pattern=6,
            eos_token_id=1,
            hidden_size=640,
            intermediate_size=2048,
            layer_types=(["sliding_attention"] * 5 + ["full_attention"]) * 3,
            num_hidden_layers=18,
            rope_local_base_freq=10000.0,
            rope_theta=1000000.0,
            use_bidirectional_attention=False,
        ),
        num_parameters=268_098_176,
    ),
    "google/gemma-3-1b-it": Published(
        config=_gemma3_text(
            eos_token_id=[1, 106],
            hidden_size=1152,
            intermediate_size=6912,
            num_hidden_layers=26,
            rope_local_base_freq=10000,
            rope_theta=1000000,
            sliding_window_pattern=6,
        ),
        num_parameters=999_885_952,
    ),
    "google/gemma-3-4b-it": Published(
        config=_gemma3(
            hidden_size=2560,
            intermediate_size=10240,
            num_hidden_layers=34,
        ),
        num_parameters=3_880_263_168,
    ),
    "google/gemma-3-12b-it": Published(
        config=_gemma3(
            hidden_size=3840,
            intermediate_size=15360,
            num_attention_heads=16,
            num_hidden_layers=48,
            num_key_value_heads=8,
        ),
        num_parameters=11_766_034_176,
    ),
    "google/gemma-3-27b-it": Published(
        config=_gemma3(
            head_dim=128,
            hidden_size=5376,
            intermediate_size=21504,
            num_attention_heads=32,
            num_hidden_layers=62,
            num_key_value_heads=16,
            query_pre_attn_scalar=168,
        ),
        num_parameters=27_009_346_304,
    ),
    "HuggingFaceTB/SmolLM3-3B": Published(
        config={
            "architectures": ["SmolLM3ForCausalLM"],
            "model_type": "smollm3",
            "attention_bias": False,
            "bos_token_id": None,
            "eos_token_id": 128012,
            "hidden_act": "silu",
            "hidden_size": 2048,
            "intermediate_size": 11008,
            "layer_types": ["full_attention"] * 36,
            "max_position_embeddings": 65536,
            "max_window_layers": 28,
            "mlp_bias": False,
            "no_rope_layer_interval": 4,
            "no_rope_layers": [1, 1, 1, 0] * 9,
            "num_attention_heads": 16,
            "num_hidden_layers": 36,
            "num_key_value_heads": 4,
            "pad_token_id": 128004,
            "rms_norm_eps": 1e-06,
            "rope_scaling": None,
            "rope_theta": 5000000.0,
            "sliding_window": None,
            "use_sliding_window": False,
            "vocab_size": 128256,
        },
        num_parameters=3_075_098_624,
    ),
    "allenai/OLMo-2-0425-1B": Published(
        config=_olmo(
            "olmo2",
            "Olmo2ForCausalLM",
            hidden_size=2048,
            intermediate_size=8192,
            max_position_embeddings=4096,
            num_attention_heads=16,
            num_hidden_layers=16,
            num_key_value_heads=16,
            vocab_size=100352,
        ),
        num_parameters=1_484_916_736,
    ),
    "allenai/OLMo-2-1124-7B": Published(
        config=_olmo(
            "olmo2",
            "Olmo2ForCausalLM",
            hidden_size=4096,
            intermediate_size=11008,
            max_position_embeddings=4096,
            num_attention_heads=32,
            num_hidden_layers=32,
            num_key_value_heads=32,
            vocab_size=100352,
        ),
        num_parameters=7_298_617_344,
    ),
    "allenai/Olmo-3-7B-Instruct": Published(
        config=_olmo(
            "olmo3",
            "Olmo3ForCausalLM",
            hidden_size=4096,
            intermediate_size=11008,
            layer_types=(["sliding_attention"] * 3 + ["full_attention"]) * 8,
            max_position_embeddings=65536,
            num_attention_heads=32,
            num_hidden_layers=32,
            num_key_value_heads=32,
            rope_scaling={
                "attention_factor": 1.2079441541679836,
                "beta_fast": 32,
                "beta_slow": 1,
                "factor": 8.0,
                "original_max_position_embeddings": 8192,
                "rope_type": "yarn",
            },
            sliding_window=4096,
            vocab_size=100278,
        ),
        num_parameters=7_298_011_136,
    ),
    "deepseek-ai/DeepSeek-R1-0528-Qwen3-8B": Published(
        config={
            "architectures": ["Qwen3ForCausalLM"],
            "model_type": "qwen3",
            "attention_bias": False,
            "bos_token_id": 151643,
            "eos_token_id": 151645,
            "head_dim": 128,
            "hidden_act": "silu",
            "hidden_size": 4096,
            "intermediate_size": 12288,
            "max_position_embeddings": 131072,
            "max_window_layers": 36,
            "num_attention_heads": 32,
            "num_hidden_layers": 36,
            "num_key_value_heads": 8,
            "rms_norm_eps": 1e-06,
            "rope_scaling": {
                "attn_factor": 0.8782488562869419,
                "factor": 4.0,
                "original_max_position_embeddings": 32768,
                "rope_type": "yarn",
            },
            "rope_theta": 1000000,
            "sliding_window": None,
            "tie_word_embeddings": False,
            "use_sliding_window": False,
            "vocab_size": 151936,
        },
        num_parameters=8_190_735_360,
    ),
    "meta-llama/Llama-3.1-8B": Published(
        config=_llama3(
            8.0,
            hidden_size=4096,
            intermediate_size=14336,
            num_attention_heads=32,
            num_hidden_layers=32,
            tie_word_embeddings=False,
        ),
        num_parameters=8_030_261_248,
    ),
    "meta-llama/Llama-3.2-1B": Published(
        config=_llama3(
            32.0,
            head_dim=64,
            hidden_size=2048,
            intermediate_size=8192,
            num_attention_heads=32,
            num_hidden_layers=16,
            tie_word_embeddings=True,
        ),
        num_parameters=1_235_814_400,
    ),
    "meta-llama/Llama-3.2-3B": Published(
        config=_llama3(
            32.0,
            head_dim=128,
            hidden_size=3072,
            intermediate_size=8192,
            num_attention_heads=24,
            num_hidden_layers=28,
            tie_word_embeddings=True,
        ),
        num_parameters=3_212_749_824,
    ),
    "Qwen/Qwen2.5-0.5B": Published(
        config=_qwen25(
            hidden_size=896,
            intermediate_size=4864,
            max_position_embeddings=32768,
            max_window_layers=24,
            num_attention_heads=14,
            num_hidden_layers=24,
            num_key_value_heads=2,
            sliding_window=32768,
            tie_word_embeddings=True,
            vocab_size=151936,
        ),
        num_parameters=494_032_768,
    ),
    "Qwen/Qwen2.5-7B": Published(
        config=_qwen25(
            hidden_size=3584,
            intermediate_size=18944,
            max_position_embeddings=131072,
            max_window_layers=28,
            num_attention_heads=28,
            num_hidden_layers=28,
            num_key_value_heads=4,
            sliding_window=131072,
            tie_word_embeddings=False,
            vocab_size=152064,
        ),
        num_parameters=7_615_616_512,
    ),
    "Qwen/Qwen3-0.6B": Published(
        config=_qwen3(
            hidden_size=1024,
            intermediate_size=3072,
            max_window_layers=28,
            num_attention_heads=16,
            num_hidden_layers=28,
            tie_word_embeddings=True,
        ),
        num_parameters=596_049_920,
    ),
    "Qwen/Qwen3-8B": Published(
        config=_qwen3(
            hidden_size=4096,
            intermediate_size=12288,
            max_window_layers=36,
            num_attention_heads=32,
            num_hidden_layers=36,
            tie_word_embeddings=False,
        ),
        num_parameters=8_190_735_360,
    ),
    "mistralai/Mistral-7B-v0.1": Published(
        config=_mistral(
            rope_theta=10000.0,
            sliding_window=4096,
            vocab_size=32000,
        ),
        num_parameters=7_241_732_096,
    ),
    "mistralai/Mistral-7B-v0.3": Published(
        config=_mistral(
            rope_theta=1000000.0,
            sliding_window=None,
            vocab_size=32768,
        ),
        num_parameters=7_248_023_552,
    ),
    "HuggingFaceTB/SmolLM2-135M": Published(
        config=_smollm2(
            hidden_size=576,
            intermediate_size=1536,
            is_llama_config=True,
            num_attention_heads=9,
            num_hidden_layers=30,
            num_key_value_heads=3,
            rope_interleaved=False,
            rope_theta=100000,
        ),
        num_parameters=134_515_008,
    ),
    "HuggingFaceTB/SmolLM2-1.7B": Published(
        config=_smollm2(
            hidden_size=2048,
            intermediate_size=8192,
            mlp_bias=False,
            num_attention_heads=32,
            num_hidden_layers=24,
            num_key_value_heads=32,
            rope_theta=130000,
        ),
        num_parameters=1_711_376_384,
    ),
    "microsoft/Phi-4-mini-instruct": Published(
        config={
            "architectures": ["Phi3ForCausalLM"],
            "model_type": "phi3",
            "attention_bias": False,
            "auto_map": {
                "AutoConfig": "configuration_phi3.Phi3Config",
                "AutoModelForCausalLM": "modeling_phi3.Phi3ForCausalLM",
                "AutoTokenizer": "Xenova/gpt-4o",
            },
            "bos_token_id": 199999,
            "eos_token_id": 199999,
            "full_attn_mod": 1,
            "hidden_act": "silu",
            "hidden_size": 3072,
            "intermediate_size": 8192,
            "interpolate_factor": 1,
            "lm_head_bias": False,
            "max_position_embeddings": 131072,
            "mlp_bias": False,
            "num_attention_heads": 24,
            "num_hidden_layers": 32,
            "num_key_value_heads": 8,
            "original_max_position_embeddings": 4096,
            "pad_token_id": 199999,
            "partial_rotary_factor": 0.75,
            "rms_norm_eps": 1e-05,
            "rope_scaling": {
                # The published factors of long rows are other ones.
                "long_factor": [1.0 + 0.5 * i for i in range(48)],
                "short_factor": [1.0] * 48,
                "type": "longrope",
            },
            "rope_theta": 10000.0,
            "sliding_window": 262144,
            "tie_word_embeddings": True,
            "vocab_size": 200064,
        },
        num_parameters=3_836_021_760,
    ),
}
