"""Tests of score_jax.models.hf and the table of tensors behind it."""

import dataclasses
import functools
import itertools
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import chex
import huggingface_hub
import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P
import ml_dtypes
import numpy as np
import pytest
import safetensors
import safetensors.numpy

from score_jax.models import hf
from score_jax.models import hf_config
from score_jax.models import hf_tensors as tensors_lib
from score_jax.models.config import Activation
from score_jax.models.config import LinearScaling
from score_jax.models.config import Llama3Scaling
from score_jax.models.config import LongRopeScaling
from score_jax.models.config import ModelConfig
from score_jax.models.config import NormPlacement
from score_jax.models.config import QkNorm
from score_jax.models.config import Rope
from score_jax.models.config import YarnScaling
from score_jax.text import tokenization

# No two sizes agree, products of heads and head_dim included.
TIED = ModelConfig(
    model_type="llama",
    vocab_size=20,
    d_model=16,
    num_layers=3,
    num_heads=4,
    num_kv_heads=2,
    head_dim=6,
    d_ff=14,
    rope=Rope(5000.0),
    norm_eps=1e-6,
    is_tied=True,
    max_positions=32,
)
UNTIED = dataclasses.replace(TIED, is_tied=False)
# Every family with all of its features.
LLAMA = dataclasses.replace(
    UNTIED,
    rope=Rope(5000.0, Llama3Scaling(8.0, 1.0, 4.0, 16)),
    has_qkv_bias=True,
    has_output_bias=True,
)
MISTRAL = dataclasses.replace(
    UNTIED, model_type="mistral", sliding_window=5, is_local=(True,) * 3
)
QWEN2 = dataclasses.replace(
    UNTIED,
    model_type="qwen2",
    has_qkv_bias=True,
    sliding_window=5,
    is_local=(False, True, True),
)
QWEN3 = dataclasses.replace(
    QWEN2,
    model_type="qwen3",
    has_output_bias=True,
    qk_norm=QkNorm.HEAD,
    rope=Rope(5000.0, YarnScaling(8.0, 16, 1.5, 16.0, 2.0, False)),
)
GEMMA2 = dataclasses.replace(
    TIED,
    model_type="gemma2",
    activation=Activation.GELU_TANH,
    norm_offset=1.0,
    has_scaled_embedding=True,
    norm_placement=NormPlacement.AROUND,
    has_qkv_bias=True,
    has_output_bias=True,
    query_pre_attn_scalar=7,
    attention_softcap=50.0,
    logit_softcap=30.0,
    sliding_window=5,
    is_local=(True, False, True),
)
GEMMA3 = dataclasses.replace(
    GEMMA2,
    model_type="gemma3_text",
    qk_norm=QkNorm.HEAD,
    attention_softcap=None,
    logit_softcap=None,
    rope=Rope(5000.0, LinearScaling(8.0)),
    local_rope=Rope(100.0),
)
OLMO2 = dataclasses.replace(
    UNTIED,
    model_type="olmo2",
    norm_placement=NormPlacement.BEHIND,
    qk_norm=QkNorm.PROJECTION,
)
OLMO3 = dataclasses.replace(
    OLMO2,
    model_type="olmo3",
    rope=Rope(5000.0, YarnScaling(8.0, 16, 1.5)),
    local_rope=Rope(100.0),
    sliding_window=5,
    is_local=(False, True, True),
)
SMOLLM3 = dataclasses.replace(
    TIED,
    model_type="smollm3",
    has_qkv_bias=True,
    has_output_bias=True,
    sliding_window=5,
    is_local=(False, True, True),
    has_rope=(True, False, True),
)
PHI3 = dataclasses.replace(
    UNTIED,
    model_type="phi3",
    rope=Rope(5000.0, LongRopeScaling((1.5, 2.0), (3.0, 9.0), 8, 1.25), 0.67),
    sliding_window=5,
    is_local=(True,) * 3,
)
FAMILIES = {
    c.model_type: c
    for c in (
        LLAMA,
        MISTRAL,
        QWEN2,
        QWEN3,
        GEMMA2,
        GEMMA3,
        OLMO2,
        OLMO3,
        PHI3,
        SMOLLM3,
    )
}

_LAYER = (
    "self_attn.q_proj.weight",
    "self_attn.k_proj.weight",
    "self_attn.v_proj.weight",
    "self_attn.o_proj.weight",
    "mlp.gate_proj.weight",
    "mlp.up_proj.weight",
    "mlp.down_proj.weight",
    "input_layernorm.weight",
    "post_attention_layernorm.weight",
)


@functools.cache
def _params(config):
  """Every number differs from every other, norms included."""
  leaves, structure = jax.tree.flatten(hf.parameter_shapes(config))
  rng = np.random.default_rng(0)
  return structure.unflatten(
      jnp.asarray(rng.normal(size=x.shape), x.dtype) for x in leaves
  )


def _cast(params, dtype):
  return jax.tree.map(lambda x: x.astype(dtype), params)


class _DirectoryTestCase(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.parent = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
    self.path = self.parent / "model"

  def _save(self, config=TIED, **options):
    hf.save(self.path, config, _params(config), **options)

  def _config(self):
    return json.loads((self.path / "config.json").read_text())

  def _tensors(self):
    return safetensors.numpy.load_file(self.path / "model.safetensors")

  def _write_tensors(self, tensors, name="model.safetensors"):
    safetensors.numpy.save_file(tensors, self.path / name)

  def _write_shards(self, *shards):
    """Replaces the single file by shards, with an index."""
    (self.path / "model.safetensors").unlink(missing_ok=True)
    weight_map = {}
    for i, shard in enumerate(shards):
      self._write_tensors(shard, f"shard-{i}.safetensors")
      weight_map |= dict.fromkeys(shard, f"shard-{i}.safetensors")
    index = self.path / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))

  def _assert_loads(self, config, dtype=jnp.float32):
    """The directory holds the model with `_params`."""
    found, params = hf.load(self.path, dtype)
    self.assertEqual(found, config)
    expected = _cast(_params(config), dtype)
    chex.assert_trees_all_equal_shapes_and_dtypes(params, expected)
    chex.assert_trees_all_equal(params, expected)


class RoundTripTest(_DirectoryTestCase):

  @parameterized.named_parameters(*FAMILIES.items(), ("tied", TIED))
  @pytest.mark.slow
  def test_loading_what_was_saved_is_bit_exact(self, config):
    self._save(config)
    self._assert_loads(config)

  @parameterized.named_parameters(*FAMILIES.items())
  @pytest.mark.slow
  def test_bfloat16_is_bit_exact(self, config):
    half = _cast(_params(config), jnp.bfloat16)
    hf.save(self.path, config, half)
    self.assertEqual(self._config()["torch_dtype"], "bfloat16")
    for tensor in self._tensors().values():
      self.assertEqual(tensor.dtype, ml_dtypes.bfloat16)
    _, params = hf.load(self.path, jnp.bfloat16)
    chex.assert_trees_all_equal_shapes_and_dtypes(params, half)
    chex.assert_trees_all_equal(params, half)
    _, params = hf.load(self.path)
    chex.assert_trees_all_equal_dtypes(params, _params(config))
    chex.assert_trees_all_equal(params, _cast(half, jnp.float32))

  def test_float32_is_written_as_bfloat16_when_asked(self):
    self._save(GEMMA3, dtype=jnp.bfloat16)
    self.assertEqual(self._config()["torch_dtype"], "bfloat16")
    name = "model.embed_tokens.weight"
    table = np.asarray(_params(GEMMA3)["embedding"])
    np.testing.assert_array_equal(
        self._tensors()[name], table.astype(ml_dtypes.bfloat16), strict=True
    )
    self._assert_loads(GEMMA3, jnp.bfloat16)

  def test_float32_files_load_as_bfloat16(self):
    self._save(GEMMA3)
    self.assertEqual(self._config()["torch_dtype"], "float32")
    self._assert_loads(GEMMA3, jnp.bfloat16)

  def test_tensors_lie_as_in_torch(self):
    """A Linear holds [out, in], heads one after the other."""
    self._save(LLAMA)
    tensors, params = self._tensors(), _params(LLAMA)
    for i in range(LLAMA.num_layers):
      layer = jax.tree.map(lambda x, i=i: np.asarray(x[i]), params["layers"])
      prefix = f"model.layers.{i}."
      query = tensors[prefix + "self_attn.q_proj.weight"]
      self.assertEqual(query.shape, (24, 16))
      # Row 6 * head + j is the j-th of the head's numbers.
      self.assertEqual(query[6 * 2 + 3, 7], layer["query"][7, 2, 3])
      value = tensors[prefix + "self_attn.v_proj.bias"]
      self.assertEqual(value[6 * 1 + 4], layer["value_bias"][1, 4])
      output = tensors[prefix + "self_attn.o_proj.weight"]
      self.assertEqual(output.shape, (16, 24))
      self.assertEqual(output[7, 6 * 2 + 3], layer["output"][2, 3, 7])
      down = tensors[prefix + "mlp.down_proj.weight"]
      self.assertEqual(down.shape, (16, 14))
      self.assertEqual(down[3, 11], layer["down"][11, 3])
      up = tensors[prefix + "mlp.up_proj.weight"]
      self.assertEqual(up[11, 3], layer["up"][3, 11])
    self.assertEqual(tensors["lm_head.weight"][19, 4], params["head"][4, 19])

  @parameterized.parameters(
      (
          "llama",
          {
              "input_layernorm": "attention_norm",
              "post_attention_layernorm": "mlp_norm",
          },
      ),
      (
          "olmo2",
          {
              "post_attention_layernorm": "post_attention_norm",
              "post_feedforward_layernorm": "post_mlp_norm",
          },
      ),
      (
          "gemma3_text",
          {
              "input_layernorm": "attention_norm",
              "post_attention_layernorm": "post_attention_norm",
              "pre_feedforward_layernorm": "mlp_norm",
              "post_feedforward_layernorm": "post_mlp_norm",
              "self_attn.q_norm": "query_norm",
              "self_attn.k_norm": "key_norm",
          },
      ),
  )
  def test_norms_go_by_the_names_of_their_family(self, family, names):
    config = FAMILIES[family]
    self._save(config)
    for name, ours in names.items():
      np.testing.assert_array_equal(
          self._tensors()[f"model.layers.2.{name}.weight"],
          _params(config)["layers"][ours][2],
      )

  def test_a_norm_over_all_heads_has_a_scale_for_each_of_their_numbers(self):
    self._save(OLMO2)
    for name, ours, heads in (("q", "query", 4), ("k", "key", 2)):
      scale = self._tensors()[f"model.layers.1.self_attn.{name}_norm.weight"]
      found = _params(OLMO2)["layers"][f"{ours}_norm"][1]
      self.assertEqual((scale.shape, found.shape), ((6 * heads,), (heads, 6)))
      self.assertEqual(scale[6 * 1 + 4], found[1, 4])

  def test_fused_tensors_lie_as_in_torch(self):
    """Queries, then keys, then values; the gate, then what it gates."""
    self._save(PHI3)
    tensors, layers = self._tensors(), _params(PHI3)["layers"]
    fused = tensors["model.layers.1.self_attn.qkv_proj.weight"]
    self.assertEqual(fused.shape, (24 + 12 + 12, 16))
    for start, name in ((0, "query"), (24, "key"), (36, "value")):
      self.assertEqual(fused[start + 6 * 1 + 4, 7], layers[name][1, 7, 1, 4])
    fused = tensors["model.layers.1.mlp.gate_up_proj.weight"]
    self.assertEqual(fused.shape, (14 + 14, 16))
    for start, name in ((0, "gate"), (14, "up")):
      self.assertEqual(fused[start + 11, 3], layers[name][1, 3, 11])
    for name in ("self_attn.q_proj", "mlp.gate_proj", "mlp.up_proj"):
      self.assertNotIn(f"model.layers.1.{name}.weight", tensors)

  def test_a_fused_tensor_of_another_shape_is_named_with_its_whole_shape(self):
    self._save(PHI3)
    tensors = self._tensors()
    name = "model.layers.0.self_attn.qkv_proj.weight"
    self._write_tensors(tensors | {name: tensors[name][:-6]})
    with self.assertRaisesRegex(
        ValueError, rf"{name} is \(42, 16\), expected \(48, 16\)"
    ):
      hf.load(self.path)

  def test_a_plain_llama_has_these_tensors_and_no_more(self):
    self._save(TIED)
    expected = {"model.embed_tokens.weight", "model.norm.weight"}
    expected |= {f"model.layers.{i}.{n}" for i in range(3) for n in _LAYER}
    self.assertEqual(set(self._tensors()), expected)
    with safetensors.safe_open(
        self.path / "model.safetensors", framework="np"
    ) as file:  # transformers refuses files that do not say so
      self.assertEqual(file.metadata(), {"format": "pt"})

  def test_weights_are_readable_for_all(self):
    self._save(TIED)
    mode = (self.path / "model.safetensors").stat().st_mode
    self.assertEqual(mode & 0o777, 0o644)

  def test_a_hub_id_is_loaded(self):
    self._save(UNTIED)
    with mock.patch.object(
        huggingface_hub, "snapshot_download", return_value=str(self.path)
    ) as download:
      config, params = hf.load("some/model")
    download.assert_called_once()
    self.assertEqual(config, UNTIED)
    chex.assert_trees_all_equal(params, _params(UNTIED))


class TiedHeadTest(_DirectoryTestCase):

  def test_a_head_written_a_second_time_is_accepted(self):
    self._save(TIED)
    tensors = self._tensors()
    head = tensors["model.embed_tokens.weight"].copy()
    self._write_tensors(tensors | {"lm_head.weight": head})
    self._assert_loads(TIED)
    self._write_shards(tensors, {"lm_head.weight": head})
    self._assert_loads(TIED)

  @parameterized.parameters(0, -1)
  def test_a_second_head_that_is_not_the_table_is_refused(self, row):
    self._save(TIED)
    tensors = self._tensors()
    head = tensors["model.embed_tokens.weight"].copy()
    head[row, 3] += 1
    self._write_tensors(tensors | {"lm_head.weight": head})
    # Few rows at a time, so that the last ones are compared on their own.
    with mock.patch.object(hf, "_COMPARED_ROWS", 6):
      with self.assertRaisesRegex(ValueError, "lm_head.weight is not"):
        hf.load(self.path)

  def test_an_untied_model_needs_its_head(self):
    self._save(TIED)
    content = self._config() | {"tie_word_embeddings": False}
    (self.path / "config.json").write_text(json.dumps(content))
    with self.assertRaisesRegex(
        ValueError, "embedding, set tie_word.*missing lm_head.weight"
    ):
      hf.load(self.path)


class ShardedFilesTest(_DirectoryTestCase):

  def test_a_large_model_is_written_as_shards_with_an_index(self):
    self._save(GEMMA3)
    whole = self._tensors()
    self.path = self.parent / "sharded"
    limit = 900  # bytes; a few tensors are as large, the table has 800
    self._save(GEMMA3, max_shard_bytes=limit)
    index = self.path / "model.safetensors.index.json"
    content = json.loads(index.read_text())
    files = sorted(f.name for f in self.path.glob("*.safetensors"))
    total = len(files)
    self.assertGreater(total, 5)
    self.assertEqual(
        files,
        [
            f"model-{i:05d}-of-{total:05d}.safetensors"
            for i in range(1, 1 + total)
        ],
    )
    shards = {f: safetensors.numpy.load_file(self.path / f) for f in files}
    weight_map = {t: f for f, shard in shards.items() for t in shard}
    self.assertEqual(content["weight_map"], weight_map)
    self.assertLen(weight_map, sum(map(len, shards.values())))
    sizes = [[t.nbytes for t in s.values()] for s in shards.values()]
    self.assertEqual(content["metadata"]["total_size"], sum(map(sum, sizes)))
    for size in sizes:
      self.assertTrue(sum(size) <= limit or len(size) == 1, size)
    for size, following in itertools.pairwise(sizes):  # no more than needed
      self.assertGreater(sum(size) + sum(following), limit)
    joined = {t: a for shard in shards.values() for t, a in shard.items()}
    chex.assert_trees_all_equal(joined, whole)
    self._assert_loads(GEMMA3)

  def test_a_tensor_over_the_limit_has_a_file_of_its_own(self):
    self._save(UNTIED, max_shard_bytes=1)
    self.assertLen(list(self.path.glob("*.safetensors")), 3 + 3 * 9)
    self._assert_loads(UNTIED)

  def test_the_limit_counts_bytes_as_written(self):
    size = 4 * sum(x.size for x in jax.tree.leaves(_params(TIED)))
    self._save(TIED, max_shard_bytes=size)
    self.assertTrue((self.path / "model.safetensors").exists())
    self.path = self.parent / "two"
    self._save(TIED, max_shard_bytes=size - 1)
    self.assertLen(list(self.path.glob("*.safetensors")), 2)
    self.path = self.parent / "half"
    self._save(TIED, dtype=jnp.bfloat16, max_shard_bytes=size // 2)
    self.assertTrue((self.path / "model.safetensors").exists())

  def test_a_tensor_in_two_shards_is_refused(self):
    self._save(UNTIED)
    tensors = self._tensors()
    name = "model.layers.1.mlp.up_proj.weight"
    self._write_shards(tensors, {name: tensors[name] + 1})
    with self.assertRaisesRegex(ValueError, f"{name} is there twice"):
      hf.load(self.path)


class OtherLayoutsTest(_DirectoryTestCase):

  @parameterized.parameters(
      ("language_model.", "", True),
      ("model.language_model.", "model.", True),
      ("language_model.", "", False),
      ("model.language_model.", "model.", False),
  )
  @pytest.mark.slow
  def test_the_text_part_of_a_multimodal_model(self, prefix, other, is_tied):
    config = dataclasses.replace(GEMMA3, is_tied=is_tied)
    self._save(config)
    text = {}
    for name, tensor in self._tensors().items():
      if prefix == "language_model.":  # as published
        text[prefix + name] = tensor
      else:  # as transformers holds it: the head stays outside
        text[name.replace("model.", prefix)] = tensor
    others = {
        f"{other}vision_tower.vision_model.a.weight": np.zeros(3, np.float32),
        f"{other}vision_tower.vision_model.b.weight": np.zeros(4, np.float32),
        f"{other}multi_modal_projector.c": np.zeros((2, 2), np.float32),
    }
    content = {"model_type": "gemma3", "text_config": self._config()}
    (self.path / "config.json").write_text(json.dumps(content))
    self._write_tensors(text | others)
    self._assert_loads(config)
    self._write_shards(others, text)
    self._assert_loads(config)

  def test_tables_of_rotary_embeddings_are_passed_over(self):
    self._save(TIED)
    tables = {
        f"model.layers.{i}.self_attn.rotary_emb.inv_freq": np.zeros(3)
        for i in range(3)
    }
    self._write_tensors(self._tensors() | tables)
    self._assert_loads(TIED)

  def test_a_tensor_under_two_of_its_names_is_refused(self):
    self._save(TIED)
    norm = {"model.language_model.norm.weight": np.zeros(16, np.float32)}
    self._write_tensors(self._tensors() | norm)
    with self.assertRaisesRegex(ValueError, "norm.weight is there twice"):
      hf.load(self.path)


class BrokenDirectoryTest(_DirectoryTestCase):

  def test_all_wrong_tensors_are_listed_at_once(self):
    self._save(UNTIED)
    tensors = self._tensors()
    del tensors["model.norm.weight"]
    del tensors["model.layers.1.mlp.up_proj.weight"]
    tensors["model.layers.3.mlp.up_proj.weight"] = np.zeros(3, np.float32)
    tensors["model.layers.0.self_attn.q_proj.bias"] = np.zeros(3, np.float32)
    name = "model.layers.0.self_attn.o_proj.weight"
    tensors[name] = np.ascontiguousarray(tensors[name].T)
    twice = "model.layers.2.mlp.gate_proj.weight"
    self._write_shards(tensors, {twice: tensors[twice]})
    with self.assertRaises(ValueError) as caught:
      hf.load(self.path)
    message = str(caught.exception)
    self.assertStartsWith(message, str(self.path))
    problems = message.partition("config.json: ")[2].split("; ")
    self.assertCountEqual(
        problems,
        [
            "missing model.norm.weight",
            "missing model.layers.1.mlp.up_proj.weight",
            "unknown model.layers.3.mlp.up_proj.weight",
            "unknown model.layers.0.self_attn.q_proj.bias",
            f"{name} is (24, 16), expected (16, 24)",
            f"{twice} is there twice",
        ],
    )

  @parameterized.parameters("model.safetensors", "config.json")
  def test_a_web_page_in_place_of_a_file(self, name):
    self._save()
    (self.path / name).write_text("<html>Sign in</html>")
    with self.assertRaisesRegex(ValueError, f"{name}.*an HTML or XML page"):
      hf.load(self.path)

  def test_missing_files(self):
    with self.assertRaisesRegex(ValueError, "nowhere.*does not exist"):
      hf.load(self.parent / "nowhere")
    with self.assertRaisesRegex(ValueError, "config.json does not exist"):
      hf.load(self.parent)
    self._save()
    (self.path / "model.safetensors").unlink()
    with self.assertRaisesRegex(ValueError, "safetensors does not exist"):
      hf.load(self.path)

  def test_a_config_that_is_not_supported_is_named(self):
    self._save()
    content = self._config() | {"model_type": "mamba"}
    (self.path / "config.json").write_text(json.dumps(content))
    with self.assertRaisesRegex(ValueError, "config.json: .*'mamba'"):
      hf.load_config(self.path)

  @parameterized.parameters(
      ("base_model.model.{}", "was not merged"),
      ("{}.lora_A.weight", "was not merged"),
      ("_orig_mod.{}", "of a wrapped model"),
      ("module.{}", "of a wrapped model"),
      ("model._fsdp_wrapped_module.{}", "of a wrapped model"),
      ("{}.qweight", "are quantised"),
      ("{}.absmax", "are quantised"),
  )
  def test_names_tell_what_other_files_hold(self, pattern, message):
    self._save(UNTIED)
    tensors = {pattern.format(k): v for k, v in self._tensors().items()}
    self._write_tensors(tensors)
    with self.assertRaisesRegex(
        ValueError, rf"llama model of its config.json \(.*{message}.*\): .*miss"
    ):
      hf.load(self.path)

  def test_a_decoder_without_its_head_is_told_so(self):
    self._save(UNTIED)
    tensors = self._tensors()
    del tensors["lm_head.weight"]
    names = {k: k.removeprefix("model.") for k in tensors}
    self._write_tensors({names[k]: v for k, v in tensors.items()})
    with self.assertRaisesRegex(ValueError, "without its head.*ForCausalLM"):
      hf.load(self.path)

  def test_a_reward_model_is_told_so(self):
    self._save(UNTIED)
    tensors = self._tensors()
    tensors["score.weight"] = tensors.pop("lm_head.weight")[:1]
    self._write_tensors(tensors)
    with self.assertRaisesRegex(ValueError, "gives scores.*missing lm_head"):
      hf.load(self.path)

  def test_a_tensor_that_tells_nothing_gets_no_hint(self):
    self._save(UNTIED)
    extra = {"model.layers.0.mlp.extra.weight": np.zeros(3, np.float32)}
    self._write_tensors(self._tensors() | extra)
    with self.assertRaisesRegex(ValueError, "config.json: unknown model"):
      hf.load(self.path)

  def test_an_adapter_is_refused_before_anything_else(self):
    self._save()
    (self.path / "adapter_config.json").write_text("{}")
    for load in (hf.load, hf.load_config):
      with self.assertRaisesRegex(ValueError, "has a PEFT adapter beside"):
        load(self.path)
    for name in ("config.json", "model.safetensors"):
      (self.path / name).unlink()
    with self.assertRaisesRegex(ValueError, "is a PEFT adapter and no model"):
      hf.load(self.path)

  def test_tensors_that_are_no_floats_are_refused(self):
    self._save(UNTIED)
    tensors = self._tensors()
    name = "model.layers.0.mlp.up_proj.weight"
    self._write_tensors(tensors | {name: tensors[name].astype(np.int8)})
    with self.assertRaisesRegex(ValueError, f"{name} is of type I8"):
      hf.load(self.path)


class ShardingTest(_DirectoryTestCase):

  def _shardings(self, config):
    """Divides all axes that can be, over a mesh of 2 x 4 devices."""
    mesh = jax.make_mesh(
        (2, 4), ("two", "four"), axis_types=(jax.sharding.AxisType.Auto,) * 2
    )

    def sharding(path, leaf):
      is_stack = path[0].key == "layers"
      free, spec = {"four": 4, "two": 2}, []
      for axis, size in enumerate(leaf.shape):
        fits = [n for n in free if size % free[n] == 0]
        if is_stack and axis == 0 or not fits:
          spec.append(None)
        else:
          spec.append(fits[0])
          del free[fits[0]]
      return jax.sharding.NamedSharding(mesh, P(*spec))

    shapes = hf.parameter_shapes(config)
    return jax.tree_util.tree_map_with_path(sharding, shapes)

  @parameterized.product(
      config=(UNTIED, GEMMA3, PHI3), dtype=(jnp.float32, jnp.bfloat16)
  )
  @pytest.mark.slow
  def test_a_load_onto_a_mesh_is_the_same_model(self, config, dtype):
    self._save(config)
    shardings = self._shardings(config)
    loaded, params = hf.load(self.path, dtype, shardings)
    self.assertEqual(loaded, config)
    chex.assert_trees_all_equal_structs(params, shardings)
    chex.assert_trees_all_equal_shapes_and_dtypes(
        params, _cast(_params(config), dtype)
    )
    chex.assert_trees_all_equal(params, _cast(_params(config), dtype))
    for array, sharding in zip(
        jax.tree.leaves(params), jax.tree.leaves(shardings), strict=True
    ):
      self.assertTrue(array.sharding.is_equivalent_to(sharding, array.ndim))
    # Really divided: an eighth and a quarter of these on each device.
    self.assertEqual(params["embedding"].sharding.shard_shape((20, 16)), (5, 8))
    self.assertEqual(
        params["layers"]["query"].addressable_shards[0].data.shape,
        (3, 4, 2, 6),
    )

  def test_what_lies_on_a_mesh_is_saved_the_same(self):
    self._save(UNTIED)
    _, params = hf.load(self.path, shardings=self._shardings(UNTIED))
    expected = self._tensors()
    self.path = self.parent / "again"
    hf.save(self.path, UNTIED, params)
    chex.assert_trees_all_equal(self._tensors(), expected)

  @parameterized.parameters(3, 4)
  def test_layers_cannot_be_divided(self, num_layers):
    config = dataclasses.replace(TIED, num_layers=num_layers)
    self._save(config)
    shardings = self._shardings(config)
    query = shardings["layers"]["query"]
    shardings["layers"]["query"] = jax.sharding.NamedSharding(
        query.mesh, P("two")
    )
    with self.assertRaisesRegex(ValueError, "divided along its first axis"):
      hf.load(self.path, shardings=shardings)


class CompanionsTest(_DirectoryTestCase):

  def _make_source(self, config_content):
    """A directory as published, with more files than a model needs."""
    source = self.parent / "source"
    source.mkdir()
    contents = {
        "chat_template.jinja": b"{{ messages }}\r\n",
        "generation_config.json": b'{"eos_token_id": [1, 106]}',
        "special_tokens_map.json": b"{}\n",
        "tokenizer.json": b'{"odd":   "spacing \xc3\xa9"}',
        "tokenizer.model": bytes(range(256)),
        "tokenizer_config.json": b"{ }",
    }
    others = {
        "README.md": b"# no part of the model",
        "model.safetensors": b"other weights",
        "model.safetensors.index.json": b"other index",
        "pytorch_model.bin": b"a pickle",
    }
    for name, content in (contents | others).items():
      (source / name).write_bytes(content)
    (source / "config.json").write_text(json.dumps(config_content))
    return source, contents

  def test_files_beside_the_weights_are_copied_byte_for_byte(self):
    ids = {"bos_token_id": 2, "eos_token_id": [1, 106], "pad_token_id": 0}
    source, contents = self._make_source({"hidden_size": 77, **ids})
    self._save(UNTIED, like=source)
    for name, content in contents.items():
      self.assertEqual((self.path / name).read_bytes(), content)
    self.assertCountEqual(
        os.listdir(self.path), [*contents, "config.json", "model.safetensors"]
    )
    self.assertEqual({k: self._config().get(k) for k in ids}, ids)
    self.assertEqual(self._config()["hidden_size"], 16)
    self._assert_loads(UNTIED)

  def test_chat_templates_beside_the_default_one_are_copied(self):
    source, _ = self._make_source({})
    (source / "additional_chat_templates").mkdir()
    template = source / "additional_chat_templates" / "tool_use.jinja"
    template.write_bytes(b"{{ tools }}\r\n")
    self._save(UNTIED, like=source)
    copied = self.path / "additional_chat_templates" / "tool_use.jinja"
    self.assertEqual(copied.read_bytes(), template.read_bytes())

  def test_the_format_is_written_over_what_was_copied(self):
    source, contents = self._make_source({})

    def write_format(directory):
      file = pathlib.Path(directory) / "chat_template.jinja"
      self.assertEqual(file.read_bytes(), contents[file.name])
      file.write_text("trained")

    self._save(UNTIED, like=source, write_format=write_format)
    written = (self.path / "chat_template.jinja").read_text()
    self.assertEqual(written, "trained")

  def test_ids_that_the_source_does_not_name_are_not_made_up(self):
    source, _ = self._make_source({"eos_token_id": 5})
    self._save(UNTIED, like=source)
    self.assertEqual(self._config()["eos_token_id"], 5)
    self.assertNotIn("pad_token_id", self._config())

  def test_ids_of_a_multimodal_model(self):
    """Outside of text_config stand those of the chat model."""
    source, _ = self._make_source(
        {
            "eos_token_id": [1, 106],
            "text_config": {"eos_token_id": 1, "pad_token_id": 3},
        }
    )
    self._save(GEMMA3, like=source)
    self.assertEqual(self._config()["eos_token_id"], [1, 106])
    self.assertEqual(self._config()["pad_token_id"], 3)

  def test_a_source_that_is_absent_is_refused_before_anything_is_written(self):
    with self.assertRaisesRegex(ValueError, "nowhere.*does not exist"):
      self._save(UNTIED, like=self.parent / "nowhere")
    self.assertEmpty(os.listdir(self.parent))

  def test_the_tokenizer_is_saved_beside_the_weights(self):
    tokenizer = tokenization.make_character_tokenizer("0123")
    self._save(TIED, tokenizer=tokenizer)
    generation = json.loads((self.path / "generation_config.json").read_text())
    for content in (self._config(), generation):
      self.assertEqual(content["eos_token_id"], 1)
      self.assertEqual(content["pad_token_id"], 0)
    loaded = tokenization.load(self.path)
    self.assertEqual(loaded.prompt_ids(["2"]), [[5]])
    self.assertEqual(loaded.stop_ids, (1,))
    # A copy of the copy is the same.
    second = self.parent / "second"
    hf.save(second, TIED, _params(TIED), like=self.path)
    for file in self.path.iterdir():
      self.assertEqual((second / file.name).read_bytes(), file.read_bytes())


class AtomicSaveTest(_DirectoryTestCase):

  def test_an_existing_directory_is_left_alone(self):
    self.path.mkdir()
    (self.path / "precious").write_text("x")
    with self.assertRaisesRegex(ValueError, "exists already"):
      self._save()
    self.assertEqual(os.listdir(self.path), ["precious"])

  def test_a_failing_save_leaves_nothing_behind(self):
    tokenizer = mock.Mock()
    tokenizer.save_pretrained.side_effect = OSError("disk full")
    with self.assertRaisesRegex(OSError, "disk full"):
      self._save(tokenizer=tokenizer)
    self.assertEmpty(os.listdir(self.parent))

  def test_a_save_appears_in_one_piece(self):
    def check(directory):
      self.assertFalse(self.path.exists())
      self.assertTrue((pathlib.Path(directory) / "model.safetensors").exists())

    tokenizer = tokenization.make_character_tokenizer("0123")
    with mock.patch.object(tokenizer, "save_pretrained", side_effect=check):
      self._save(tokenizer=tokenizer)
    self.assertEqual(os.listdir(self.parent), ["model"])


# 57 tensors, 400 MB; the largest, 16.8 MB, are the feed-forward matrices.
LARGE = dataclasses.replace(
    UNTIED,
    vocab_size=2000,
    d_model=1024,
    num_layers=6,
    num_heads=16,
    num_kv_heads=16,
    head_dim=64,
    d_ff=4096,
)

_WRITE = """
import json, sys
import numpy as np
import safetensors.numpy
directory, shapes = sys.argv[1], json.loads(sys.argv[2])
rng = np.random.default_rng(0)
tensors = {n: rng.random(s, np.float32) for n, s in shapes.items()}
safetensors.numpy.save_file(tensors, directory + "/model.safetensors")
"""

_MEASURE = """
import gc, json, re, sys, threading, time
import jax
from score_jax.models import hf

def anonymous_bytes():
  with open("/proc/self/status") as status:
    return 1024 * int(re.search(r"RssAnon:\\s+(\\d+)", status.read())[1])

def watch():
  global peak
  while not done.wait(0.002):
    peak = max(peak, anonymous_bytes())

directory, dtype = sys.argv[1:]
hf.load(directory, dtype)  # what is compiled for it takes memory of its own
gc.collect()
before = peak = anonymous_bytes()
done = threading.Event()
thread = threading.Thread(target=watch)
thread.start()
_, params = hf.load(directory, dtype)
done.set()
thread.join()
size = sum(leaf.nbytes for leaf in jax.tree.leaves(params))
print(json.dumps({"size": size, "growth": peak - before}))
"""


@pytest.mark.slow
@pytest.mark.skipif(
    not os.path.exists("/proc/self/status"), reason="counts memory by /proc"
)
class MemoryTest(_DirectoryTestCase):

  @parameterized.parameters("float32", "bfloat16")
  def test_loading_needs_little_more_than_the_parameters(self, dtype):
    directory = self._write_large()
    # What is freed goes back at once: counted is what is held, not what the
    # allocator keeps for later.
    environment = {"XLA_FLAGS": "", "MALLOC_MMAP_THRESHOLD_": "1000000"}
    result = subprocess.run(
        [sys.executable, "-c", _MEASURE, directory, dtype],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        text=True,
        timeout=300,
        check=True,
    )
    found = json.loads(result.stdout)
    largest = 4 * LARGE.d_model * LARGE.d_ff
    extra = (found["growth"] - found["size"]) / largest
    print(f"{dtype}: {found}, {extra:.2f} of the largest tensor beside them")
    leaves = jax.tree.leaves(hf.parameter_shapes(LARGE))
    num_parameters = sum(leaf.size for leaf in leaves)
    self.assertEqual(found["size"], num_parameters * jnp.dtype(dtype).itemsize)
    # As read, in our layout, and, since here the device's memory is the host's,
    # as a device's array.
    self.assertLess(extra, 4)
    self.assertGreater(extra, 1)  # it was really seen

  def _write_large(self):
    """In a process of its own, which takes its memory with it."""
    directory = self.parent / "large"
    directory.mkdir()
    content = hf_config.to_hf(LARGE)
    (directory / "config.json").write_text(json.dumps(content))
    table = tensors_lib.table(LARGE)
    shapes = {n: tensors_lib.shape(t) for n, t in table.items()}
    subprocess.run(
        [sys.executable, "-c", _WRITE, directory, json.dumps(shapes)],
        timeout=300,
        check=True,
    )
    return directory


if __name__ == "__main__":
  absltest.main()
