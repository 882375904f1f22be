"""Tests of score_jax.models.hf_config, with transformers as the reference."""

import copy
import json
import math

from absl.testing import absltest
from absl.testing import parameterized
import jax
import pytest
import transformers

from score_jax.models import hf
from score_jax.models import hf_config
from score_jax.models.config import Activation
from score_jax.models.config import LinearScaling
from score_jax.models.config import Llama3Scaling
from score_jax.models.config import NormPlacement
from score_jax.models.config import QkNorm
from score_jax.models.config import Rope
from score_jax.models.config import YarnScaling
from tests.helpers.published_configs import PUBLISHED

LLAMA = PUBLISHED["meta-llama/Llama-3.2-1B"].config
GEMMA2 = PUBLISHED["google/gemma-2-2b"].config
GEMMA3 = PUBLISHED["google/gemma-3-1b-it"].config
GEMMA3_270M = PUBLISHED["google/gemma-3-270m"].config
MULTIMODAL = PUBLISHED["google/gemma-3-4b-it"].config
QWEN2 = PUBLISHED["Qwen/Qwen2.5-0.5B"].config
QWEN3 = PUBLISHED["Qwen/Qwen3-0.6B"].config
MISTRAL = PUBLISHED["mistralai/Mistral-7B-v0.1"].config

# Fields that only tell how a file was written, or which transformers has
# beside others that say the same.
_WITHOUT_BEARING = {
    "_sliding_window_pattern",
    "architectures",
    "attention_bias",  # of the families without that field
    "auto_map",
    "bos_token_id",
    "eos_token_id",
    "full_attn_mod",
    "head_dim",  # stays null in some families; compared by ModelConfig
    "hidden_act",  # Gemma 2 has hidden_activation
    "interpolate_factor",
    "is_llama_config",
    "lm_head_bias",
    "max_window_layers",  # layer_types says it all
    "mlp_bias",
    "model_type",
    "pad_token_id",
    "rope_interleaved",
    "sliding_window_pattern",
    "sliding_window_size",
    "use_mrope",
}


def _read(content):
  return hf_config.from_hf(content, "some/config.json")


def _without(content, *names):
  return {k: v for k, v in content.items() if k not in names}


def _transformers(content):
  """A config of transformers, of a copy: it changes what it is given."""
  fields = copy.deepcopy(content)
  return transformers.AutoConfig.for_model(fields.pop("model_type"), **fields)


class PublishedTest(parameterized.TestCase):

  @parameterized.parameters(*PUBLISHED)
  @pytest.mark.slow
  def test_shapes_hold_as_many_parameters_as_published(self, name):
    content, num_parameters = PUBLISHED[name]
    shapes = hf.parameter_shapes(_read(content))
    found = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))
    self.assertEqual(found, num_parameters)

  @parameterized.parameters(*PUBLISHED)
  def test_written_and_read_again_it_is_the_same(self, name):
    config = _read(PUBLISHED[name].config)
    written = json.loads(json.dumps(hf_config.to_hf(config), allow_nan=False))
    self.assertEqual(_read(written), config)

  @parameterized.parameters(*PUBLISHED)
  def test_the_layout_of_transformers_5_gives_the_same(self, name):
    content = PUBLISHED[name].config
    theirs = _transformers(content)
    self.assertIn("rope_parameters", theirs.get_text_config().to_dict())
    self.assertEqual(_read(theirs.to_dict()), _read(content))
    # What save_pretrained writes: defaults of the base class are left out.
    self.assertEqual(_read(json.loads(theirs.to_json_string())), _read(content))

  @parameterized.parameters(*PUBLISHED)
  def test_transformers_reads_what_is_written_as_the_original(self, name):
    content = PUBLISHED[name].config
    original = _transformers(content).get_text_config()
    written = hf_config.to_hf(_read(content))
    self.assertEqual(written["model_type"], original.model_type)
    theirs = _transformers(written)
    self.assertEqual(_read(theirs.to_dict()), _read(original.to_dict()))
    without = set(_WITHOUT_BEARING)
    if "yarn" in str(content):  # its defaults are written too
      without.add("rope_parameters")
    self.assertEqual(
        _without(theirs.to_dict(), *without),
        _without(original.to_dict(), *without),
    )
    if content["model_type"] != "gemma3":  # the text part has none there
      self.assertEqual(written["architectures"], content["architectures"])

  @parameterized.parameters(*PUBLISHED)
  def test_it_can_be_a_static_argument_of_jit(self, name):
    self.assertIsInstance(hash(_read(PUBLISHED[name].config)), int)

  def test_gemma_2_by_hand(self):
    config = _read(GEMMA2)
    self.assertEqual(config.rope, Rope(10000.0))
    self.assertIsNone(config.local_rope)
    self.assertIs(config.activation, Activation.GELU_TANH)
    self.assertEqual(config.is_local, (True, False) * 13)
    self.assertEqual(config.sliding_window, 4096)
    self.assertEqual(config.attention_softcap, 50.0)
    self.assertEqual(config.logit_softcap, 30.0)
    self.assertEqual(config.norm_offset, 1.0)
    self.assertTrue(config.has_scaled_embedding)
    self.assertIs(config.norm_placement, NormPlacement.AROUND)
    self.assertIsNone(config.qk_norm)
    self.assertEqual(config.query_scale, 1 / 16)

  def test_gemma_3_by_hand(self):
    config = _read(PUBLISHED["google/gemma-3-27b-it"].config)
    self.assertEqual(config.model_type, "gemma3_text")
    self.assertEqual(config.rope, Rope(1e6, LinearScaling(8.0)))
    self.assertEqual(config.local_rope, Rope(1e4))
    self.assertEqual(config.is_local[:12], ((True,) * 5 + (False,)) * 2)
    self.assertEqual(config.query_scale, 168**-0.5)
    self.assertIs(config.qk_norm, QkNorm.HEAD)
    self.assertTrue(config.is_tied)
    self.assertIsNone(config.attention_softcap)

  def test_llama_and_qwen_by_hand(self):
    llama = _read(LLAMA)
    self.assertEqual(llama.rope, Rope(5e5, Llama3Scaling(32.0, 1.0, 4.0, 8192)))
    self.assertEqual(llama.query_scale, 1 / 8)
    self.assertFalse(llama.has_qkv_bias or llama.has_output_bias)
    qwen2, qwen3 = _read(QWEN2), _read(QWEN3)
    self.assertTrue(qwen2.has_qkv_bias and not qwen2.has_output_bias)
    self.assertFalse(qwen2.is_local)  # switched off by use_sliding_window
    self.assertIs(qwen3.qk_norm, QkNorm.HEAD)
    self.assertFalse(qwen3.has_qkv_bias)
    self.assertEqual(qwen3.norm_offset, 0.0)


class RopeTest(parameterized.TestCase):

  @parameterized.parameters("rope_type", "type")
  def test_both_layouts_and_both_names_of_scaling(self, field):
    plain = _without(LLAMA, "rope_scaling", "rope_theta")
    scaling = {field: "linear", "factor": 2}
    expected = Rope(300.0, LinearScaling(2.0))
    old = plain | {"rope_theta": 300, "rope_scaling": scaling}
    self.assertEqual(_read(old).rope, expected)
    new = plain | {"rope_parameters": {"rope_theta": 300, **scaling}}
    self.assertEqual(_read(new).rope, expected)
    beside = plain | {"rope_theta": 300, "rope_parameters": scaling}
    self.assertEqual(_read(beside).rope, expected)

  def test_rope_parameters_come_before_a_flat_theta(self):
    content = _without(LLAMA, "rope_scaling") | {
        "rope_theta": 1.0,
        "rope_parameters": {"rope_type": "default", "rope_theta": 300.0},
    }
    self.assertEqual(_read(content).rope, Rope(300.0))

  def test_llama_3_scaling_in_the_new_layout(self):
    content = _without(LLAMA, "rope_scaling", "rope_theta") | {
        "rope_parameters": LLAMA["rope_scaling"] | {"rope_theta": 500000.0}
    }
    self.assertEqual(_read(content), _read(LLAMA))

  def test_gemma_3_nested(self):
    content = _without(
        GEMMA3, "rope_theta", "rope_local_base_freq", "rope_scaling"
    )
    content["rope_parameters"] = {
        "full_attention": {
            "rope_type": "linear",
            "factor": 4.0,
            "rope_theta": 300.0,
        },
        "sliding_attention": {"rope_type": "default", "rope_theta": 20.0},
    }
    config = _read(content)
    self.assertEqual(config.rope, Rope(300.0, LinearScaling(4.0)))
    self.assertEqual(config.local_rope, Rope(20.0))
    self.assertEqual(_read(_transformers(content).to_dict()), config)

  @parameterized.parameters(
      {"rope_parameters": None},
      {
          "rope_parameters": {
              "full_attention": {"rope_type": "default"},
              "sliding_attention": {"rope_type": "default"},
          }
      },
      {"rope_parameters": {"full_attention": None}},
  )
  def test_gemma_3_nested_without_theta_takes_the_flat_one(
      self, rope_parameters
  ):
    content = GEMMA3 | {
        "rope_theta": 300.0,
        "rope_local_base_freq": 20.0,
        "rope_parameters": rope_parameters,
    }
    config = _read(content)
    self.assertEqual(config.rope, Rope(300.0))
    self.assertEqual(config.local_rope, Rope(20.0))
    if rope_parameters != {"full_attention": None}:  # theirs needs both kinds
      self.assertEqual(_read(_transformers(content).to_dict()), config)

  def test_scaling_of_gemma_3_is_for_global_layers_alone(self):
    scaling = {"rope_type": "linear", "factor": 8.0}
    config = _read(GEMMA3 | {"rope_scaling": scaling})
    self.assertEqual(config.rope, Rope(1e6, LinearScaling(8.0)))
    self.assertEqual(config.local_rope, Rope(1e4))

  def test_theta_that_is_absent_is_the_family_s_default(self):
    for content in (LLAMA, GEMMA2, GEMMA3, QWEN2, QWEN3, MISTRAL):
      content = _without(
          content, "rope_theta", "rope_scaling", "rope_local_base_freq"
      )
      with self.subTest(content["model_type"]):
        self.assertEqual(
            _read(content), _read(_transformers(content).to_dict())
        )


class YarnTest(parameterized.TestCase):

  def test_qwen_s_recipe(self):
    """Factor 4 over 32,768 positions, from its model cards."""
    scaling = {
        "rope_type": "yarn",
        "factor": 4.0,
        "original_max_position_embeddings": 32768,
    }
    config = _read(QWEN3 | {"rope_scaling": scaling})
    self.assertEqual(
        config.rope.scaling,
        YarnScaling(4.0, 32768, 0.1 * math.log(4.0) + 1.0),
    )
    self.assertEqual(config.max_positions, 40960)
    self.assertEqual(config.position_limit, 131072)

  def test_a_length_that_is_given_in_full_is_the_limit(self):
    scaling = {
        "type": "yarn",
        "factor": 2.0,
        "original_max_position_embeddings": 4096,
    }
    changes = {"max_position_embeddings": 131072, "rope_scaling": scaling}
    self.assertEqual(_read(QWEN3 | changes).position_limit, 131072)

  def test_without_yarn_the_limit_is_the_length_of_the_file(self):
    self.assertEqual(_read(LLAMA).position_limit, 131072)
    self.assertEqual(_read(GEMMA2).position_limit, 8192)

  def test_every_number_survives(self):
    scaling = {
        "rope_type": "yarn",
        "factor": 3.0,
        "original_max_position_embeddings": 4096,
        "attention_factor": 1.25,
        "beta_fast": 16,
        "beta_slow": 2,
        "truncate": False,
    }
    config = _read(QWEN3 | {"rope_scaling": scaling})
    self.assertEqual(
        config.rope.scaling, YarnScaling(3.0, 4096, 1.25, 16.0, 2.0, False)
    )
    written = hf_config.to_hf(config)
    self.assertEqual(_read(written), config)
    self.assertEqual(_read(_transformers(written).to_dict()), config)


class LongRopeTest(absltest.TestCase):

  def test_rows_of_phi_4_mini_are_as_long_as_those_of_its_pre_training(self):
    """Longer ones have other factors: the model would be another one."""
    config = _read(PUBLISHED["microsoft/Phi-4-mini-instruct"].config)
    self.assertEqual(config.max_positions, 131072)
    self.assertEqual(config.position_limit, 4096)
    self.assertEqual(config.rope.rotated(config.head_dim), 96)
    scaling = config.rope.scaling
    self.assertEqual(scaling.attention_factor, math.sqrt(1 + 5 / 12))

  def test_what_transformers_4_reads_of_phi_3_is_three_fields_and_a_length(
      self,
  ):
    content = PUBLISHED["microsoft/Phi-4-mini-instruct"].config
    written = hf_config.to_hf(_read(content))
    self.assertEqual(written["rope_scaling"], content["rope_scaling"])
    self.assertEqual(written["original_max_position_embeddings"], 4096)
    self.assertEqual(written["partial_rotary_factor"], 0.75)


class LayerTypesTest(parameterized.TestCase):

  def test_gemma_3_given_absent_and_by_pattern(self):
    config = _read(GEMMA3_270M)
    absent = _without(GEMMA3_270M, "layer_types")
    self.assertEqual(_read(absent), config)
    pattern = _read(absent | {"sliding_window_pattern": 2})
    self.assertEqual(pattern.is_local, (True, False) * 9)
    # What is spelt out counts, whatever the pattern.
    both = _read(GEMMA3_270M | {"sliding_window_pattern": 2})
    self.assertEqual(both, config)

  @parameterized.parameters((GEMMA2,), (GEMMA3,), (QWEN2,), (QWEN3,))
  def test_any_order_can_be_given(self, content):
    num_layers = content["num_hidden_layers"]
    kinds = ["full_attention"] * num_layers
    kinds[1] = kinds[-1] = "sliding_attention"
    changes = {"layer_types": kinds, "sliding_window": 77}
    if "qwen" in content["model_type"]:
      changes["use_sliding_window"] = True
    config = _read(content | changes)
    self.assertEqual(config.sliding_window, 77)
    self.assertEqual(
        [i for i, local in enumerate(config.is_local) if local],
        [1, num_layers - 1],
    )
    self.assertEqual(_read(hf_config.to_hf(config)), config)
    theirs = _transformers(hf_config.to_hf(config))
    self.assertEqual(theirs.layer_types, kinds)
    self.assertEqual(theirs.sliding_window, 77)

  @parameterized.parameters((QWEN2,), (QWEN3,))
  def test_qwen_by_max_window_layers(self, content):
    changes = {
        "use_sliding_window": True,
        "sliding_window": 77,
        "max_window_layers": 3,
    }
    config = _read(content | changes)
    num_local = content["num_hidden_layers"] - 3
    self.assertEqual(config.is_local, (False,) * 3 + (True,) * num_local)
    theirs = _transformers(content | changes)
    self.assertEqual(_read(theirs.to_dict()), config)

  def test_all_layers_of_mistral_are_local_or_none(self):
    config = _read(MISTRAL)
    self.assertEqual(config.is_local, (True,) * 32)
    self.assertEqual(config.sliding_window, 4096)
    without = _read(MISTRAL | {"sliding_window": None})
    self.assertEqual((without.is_local, without.sliding_window), ((), None))
    for family in (config, without):
      self.assertEqual(_read(hf_config.to_hf(family)), family)

  @parameterized.parameters((GEMMA2,), (GEMMA3,))
  def test_gemma_without_a_window_has_no_local_layers(self, content):
    config = _read(content | {"sliding_window": None})
    self.assertEqual((config.is_local, config.sliding_window), ((), None))
    self.assertEqual(_read(hf_config.to_hf(config)), config)


class MultimodalTest(parameterized.TestCase):

  def test_the_text_part_alone_is_the_same_model(self):
    self.assertEqual(_read(MULTIMODAL["text_config"]), _read(MULTIMODAL))

  def test_a_tie_in_the_text_part_comes_before_one_outside(self):
    text = MULTIMODAL["text_config"]
    self.assertFalse(_read(MULTIMODAL | {"tie_word_embeddings": False}).is_tied)
    both = MULTIMODAL | {
        "tie_word_embeddings": False,
        "text_config": text | {"tie_word_embeddings": True},
    }
    self.assertTrue(_read(both).is_tied)


class WrittenTest(parameterized.TestCase):

  @parameterized.parameters(
      (LLAMA, {"attention_bias": True}),
      (LLAMA, {"tie_word_embeddings": False}),
      (LLAMA, {"rms_norm_eps": 0.5}),
      (GEMMA2, {"attn_logit_softcapping": None}),
      (GEMMA2, {"final_logit_softcapping": 7.0}),
      (GEMMA2, {"query_pre_attn_scalar": 100}),
      (GEMMA2, {"hidden_activation": "silu"}),
      (GEMMA2, {"tie_word_embeddings": False}),
      (GEMMA3, {"attn_logit_softcapping": 3.0}),
      (GEMMA3, {"attention_bias": True}),
      (GEMMA3, {"rope_local_base_freq": 33.0}),
      (QWEN2, {"num_key_value_heads": 7}),
      (QWEN3, {"attention_bias": True}),
      (QWEN3, {"head_dim": 32}),
      (QWEN3, {"hidden_act": "gelu_pytorch_tanh"}),
      (MISTRAL, {"max_position_embeddings": 5}),
  )
  def test_every_field_survives(self, content, change):
    config = _read(content | change)
    self.assertNotEqual(config, _read(content))
    written = hf_config.to_hf(config)
    self.assertEqual(_read(written), config)
    self.assertEqual(_read(_transformers(written).to_dict()), config)

  def test_null_heads_are_those_of_the_queries(self):
    config = _read(MISTRAL | {"num_key_value_heads": None})
    self.assertEqual(config.num_kv_heads, 32)
    config = _read(LLAMA | {"num_key_value_heads": None, "head_dim": None})
    self.assertEqual((config.num_kv_heads, config.head_dim), (32, 64))


class RefusalTest(parameterized.TestCase):

  @parameterized.parameters(
      (LLAMA, "auto_map", {"AutoModel": "x.Y"}, "auto_map.*never run"),
      (LLAMA, "quantization_config", {"bits": 4}, "quantization_config is"),
      (LLAMA, "mlp_bias", True, "mlp_bias is True"),
      (LLAMA, "partial_rotary_factor", 0.5, "partial_rotary_factor is 0.5"),
      (GEMMA3, "use_bidirectional_attention", True, "use_bidirectional_"),
      (LLAMA, "hidden_act", "relu", "hidden_act is 'relu'.* 'silu', 'gelu_"),
      (LLAMA, "hidden_act", None, "hidden_act is None"),
      (GEMMA3, "hidden_activation", "gelu", "hidden_activation is 'gelu'"),
      (
          LLAMA,
          "sliding_window",
          128,
          "'llama': sliding_window is 128.*remove sl",
      ),
      (GEMMA2, "sliding_window", 0, "sliding_window is 0"),
      (GEMMA3, "sliding_window_pattern", 0, "sliding_window_pattern is 0"),
      (LLAMA, "head_dim", 5, "head_dim 5 is odd"),
      (LLAMA, "hidden_size", 2049, "hidden_size 2049 is not a multiple of"),
      (GEMMA3, "hidden_size", 1153, "1153 is not a multiple of num_heads 4"),
      (LLAMA, "num_key_value_heads", 3, "num_heads 32 .*num_kv_heads 3"),
      (LLAMA, "rope_theta", None, "rope_theta is None"),
      (LLAMA, "rope_theta", "1e4", "rope_theta is '1e4'"),
      (LLAMA, "rms_norm_eps", None, "rms_norm_eps is None"),
      (LLAMA, "hidden_size", None, "hidden_size is None"),
      (LLAMA, "hidden_size", 64.0, "hidden_size is 64.0"),
      (LLAMA, "vocab_size", None, "vocab_size is None"),
      (LLAMA, "vocab_size", "7", "vocab_size is '7'"),
      (LLAMA, "intermediate_size", [1], r"intermediate_size is \[1\]"),
      (LLAMA, "num_attention_heads", 0, "num_attention_heads is 0"),
      (LLAMA, "num_hidden_layers", True, "num_hidden_layers is True"),
      (LLAMA, "max_position_embeddings", -1, "max_position_embeddings is -1"),
      (MISTRAL, "hidden_size", 4097, "4097 is not a multiple of.* 32"),
      (MULTIMODAL, "text_config", None, "without a text_config"),
      (MULTIMODAL, "auto_map", {}, "auto_map"),
  )
  def test_what_would_be_another_model_is_refused(
      self, content, name, value, message
  ):
    with self.assertRaisesRegex(ValueError, f"^some/config.json: .*{message}"):
      _read(content | {name: value})

  def test_an_unknown_family_is_told_the_known_ones(self):
    with self.assertRaisesRegex(
        ValueError, "'mamba': the family is not .*state-space"
    ) as caught:
      _read(LLAMA | {"model_type": "mamba"})
    families = ("gemma2", "gemma3", "gemma3_text", "llama", "mistral")
    for family in (*families, "qwen2", "qwen3"):
      self.assertRegex(str(caught.exception), rf"\b{family}\b")
    with self.assertRaisesRegex(
        ValueError, "None: the family is not supported"
    ):
      _read(_without(LLAMA, "model_type"))

  def test_a_quantized_text_part_is_refused(self):
    text = MULTIMODAL["text_config"] | {"quantization_config": {"bits": 4}}
    with self.assertRaisesRegex(ValueError, "quantization_config"):
      _read(MULTIMODAL | {"text_config": text})

  def test_a_quantized_multimodal_model_is_refused(self):
    with self.assertRaisesRegex(ValueError, "quantization_config"):
      _read(MULTIMODAL | {"quantization_config": {"bits": 4}})

  @parameterized.parameters(
      ({"rope_type": "ntk", "factor": 2.0}, "rope type 'ntk'.*'llama3'"),
      ({"rope_type": "yarn"}, "field 'factor' is missing"),
      ({"rope_type": "yarn", "factor": 2.0, "truncate": 1}, "truncate is 1"),
      (
          {"rope_type": "yarn", "factor": 2.0, "beta_fast": -1},
          "beta_fast is -1.0",
      ),
      ({"type": "dynamic", "factor": 2.0}, "rope type 'dynamic'"),
      ({"rope_type": "linear"}, "field 'factor' is missing"),
      ({"rope_type": "linear", "factor": None}, "factor is None"),
      ({"rope_type": "llama3", "factor": 8.0}, "'low_freq_factor' is missing"),
      (
          {"rope_type": "default", "partial_rotary_factor": 0.5},
          "partial_rotary_factor is 0.5",
      ),
  )
  def test_rope_that_is_not_implemented(self, scaling, message):
    with self.assertRaisesRegex(ValueError, message):
      _read(LLAMA | {"rope_scaling": scaling})
    content = _without(LLAMA, "rope_scaling")
    with self.assertRaisesRegex(ValueError, message):
      _read(content | {"rope_parameters": scaling})

  @parameterized.parameters(
      (["full_attention"] * 25, "has 25 entries.* 26 layers"),
      (["full_attention"] * 27, "has 27 entries.* 26 layers"),
      (["chunked_attention"] * 26, "chunked_attention"),
      ([], "has 0 entries"),
      ("full_attention", "layer_types"),
  )
  def test_layer_types_that_do_not_fit(self, layer_types, message):
    with self.assertRaisesRegex(ValueError, message):
      _read(GEMMA2 | {"layer_types": layer_types})

  @parameterized.parameters(
      (LLAMA, "hidden_size"),
      (LLAMA, "num_attention_heads"),
      (LLAMA, "num_hidden_layers"),
      (LLAMA, "intermediate_size"),
      (LLAMA, "rms_norm_eps"),
      (LLAMA, "vocab_size"),
      (LLAMA, "max_position_embeddings"),
      (GEMMA2, "num_key_value_heads"),
      (QWEN3, "hidden_size"),
  )
  def test_a_missing_field_is_named(self, content, name):
    with self.assertRaisesRegex(
        ValueError,
        f"^some/config.json: model_type '{content['model_type']}': field"
        f" '{name}' is missing",
    ):
      _read(_without(content, name))


if __name__ == "__main__":
  absltest.main()
