"""Tests of score_jax.models.hf and score_jax.models.config."""

import dataclasses
import functools
import json
import os
import pathlib
import tempfile
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import chex
import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy

from score_jax import tokenization
from score_jax.models import config as model_config
from score_jax.models import hf
from score_jax.models import transformer
from score_jax.models.config import ModelConfig

TIED = ModelConfig(
    model_type="llama",
    vocab_size=7,
    d_model=8,
    num_layers=2,
    num_heads=4,
    num_kv_heads=2,
    head_dim=6,
    d_ff=10,
    rope_theta=5000.0,
    norm_eps=1e-6,
    is_tied=True,
    max_positions=32,
)
UNTIED = dataclasses.replace(TIED, is_tied=False)


@functools.cache
def _params(config):
  """Every number differs from every other, norms included."""
  shapes = jax.eval_shape(
      functools.partial(transformer.init_params, config=config),
      jax.random.key(0),
  )
  leaves, structure = jax.tree.flatten(shapes)
  rng = np.random.default_rng(0)
  return structure.unflatten(
      jnp.asarray(rng.normal(size=x.shape), x.dtype) for x in leaves
  )


class _DirectoryTestCase(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.parent = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
    self.path = self.parent / "model"

  def _save(self, config=TIED, **config_changes):
    hf.save(self.path, config, _params(config))
    self._change_config(**config_changes)

  def _change_config(self, **changes):
    file = self.path / "config.json"
    content = json.loads(file.read_text()) | changes
    file.write_text(
        json.dumps({k: v for k, v in content.items() if v != "absent"})
    )

  def _tensors(self):
    return safetensors.numpy.load_file(self.path / "model.safetensors")

  def _write_tensors(self, tensors):
    safetensors.numpy.save_file(tensors, self.path / "model.safetensors")

  def _write_shards(self):
    """Cuts the single file into two, with an index."""
    tensors = self._tensors()
    (self.path / "model.safetensors").unlink()
    names = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    weight_map = {t: names[i % 2] for i, t in enumerate(sorted(tensors))}
    for name in names:
      shard = {t: tensors[t] for t in tensors if weight_map[t] == name}
      safetensors.numpy.save_file(shard, self.path / name)
    index = self.path / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return names, index


class RoundTripTest(_DirectoryTestCase):

  @parameterized.parameters(TIED, UNTIED)
  def test_loading_what_was_saved_is_bit_exact(self, config):
    self._save(config)
    loaded_config, params = hf.load(self.path)
    self.assertEqual(loaded_config, config)
    chex.assert_trees_all_equal_shapes_and_dtypes(params, _params(config))
    chex.assert_trees_all_equal(params, _params(config))

  def test_tied_models_save_their_table_once(self):
    self._save(TIED)
    self.assertNotIn("lm_head.weight", self._tensors())

  def test_a_tied_head_written_a_second_time_is_accepted(self):
    self._save(TIED)
    tensors = self._tensors()
    head = tensors["model.embed_tokens.weight"].copy()
    self._write_tensors(tensors | {"lm_head.weight": head})
    _, params = hf.load(self.path)
    chex.assert_trees_all_equal(params, _params(TIED))

  def test_a_second_head_that_is_not_the_table_is_refused(self):
    self._save(TIED)
    tensors = self._tensors()
    head = tensors["model.embed_tokens.weight"] + 1
    self._write_tensors(tensors | {"lm_head.weight": head})
    with self.assertRaisesRegex(ValueError, "lm_head.weight is not"):
      hf.load(self.path)

  def test_weights_are_readable_for_all(self):
    self._save(TIED)
    mode = (self.path / "model.safetensors").stat().st_mode
    self.assertEqual(mode & 0o777, 0o644)

  def test_shards_with_an_index_are_loaded(self):
    self._save(UNTIED)
    self._write_shards()
    _, params = hf.load(self.path)
    chex.assert_trees_all_equal(params, _params(UNTIED))

  @parameterized.parameters(jnp.float32, jnp.bfloat16)
  def test_bfloat16_files_load_in_any_dtype(self, dtype):
    half = jax.tree.map(lambda x: x.astype(jnp.bfloat16), _params(TIED))
    hf.save(self.path, TIED, half)
    content = json.loads((self.path / "config.json").read_text())
    self.assertEqual(content["dtype"], "bfloat16")
    _, params = hf.load(self.path, dtype)
    expected = jax.tree.map(lambda x: x.astype(dtype), half)
    chex.assert_trees_all_equal_shapes_and_dtypes(params, expected)
    chex.assert_trees_all_equal(params, expected)

  def test_float32_files_load_as_bfloat16(self):
    self._save(TIED)
    _, params = hf.load(self.path, jnp.bfloat16)
    expected = jax.tree.map(lambda x: x.astype(jnp.bfloat16), _params(TIED))
    chex.assert_trees_all_equal(params, expected)

  def test_the_tokenizer_is_saved_beside_the_weights(self):
    tokenizer = tokenization.make_character_tokenizer("0123")
    hf.save(self.path, TIED, _params(TIED), tokenizer)
    content = json.loads((self.path / "config.json").read_text())
    self.assertEqual(content["eos_token_id"], tokenizer.eos_token_id)
    self.assertEqual(tokenization.load(self.path).prompt_ids(["2"]), [[5]])


class BrokenDirectoryTest(_DirectoryTestCase):

  def test_all_wrong_tensors_are_listed_at_once(self):
    self._save(UNTIED)
    tensors = self._tensors()
    del tensors["model.norm.weight"]
    del tensors["model.layers.1.mlp.up_proj.weight"]
    tensors["model.layers.2.mlp.up_proj.weight"] = np.zeros(3, np.float32)
    name = "model.layers.0.self_attn.o_proj.weight"
    tensors[name] = np.ascontiguousarray(tensors[name].T)
    self._write_tensors(tensors)
    with self.assertRaises(ValueError) as caught:
      hf.load(self.path)
    message = str(caught.exception)
    self.assertIn("missing model.norm.weight", message)
    self.assertIn("missing model.layers.1.mlp.up_proj.weight", message)
    self.assertIn("unknown model.layers.2.mlp.up_proj.weight", message)
    self.assertIn(f"{name} is (24, 8), expected (8, 24)", message)

  def test_an_untied_model_needs_its_head(self):
    self._save(TIED, tie_word_embeddings=False)
    with self.assertRaisesRegex(ValueError, "missing lm_head.weight"):
      hf.load(self.path)

  def test_missing_directory(self):
    with self.assertRaisesRegex(ValueError, "nowhere.*does not exist"):
      hf.load(self.parent / "nowhere")

  def test_directory_without_config(self):
    with self.assertRaisesRegex(ValueError, "config.json does not exist"):
      hf.load(self.parent)

  def test_directory_without_weights(self):
    self._save()
    (self.path / "model.safetensors").unlink()
    with self.assertRaisesRegex(ValueError, "safetensors does not exist"):
      hf.load(self.path)

  def test_broken_json(self):
    self._save()
    (self.path / "config.json").write_text('{"model_type": "llama",')
    with self.assertRaisesRegex(ValueError, "config.json is not valid JSON"):
      hf.load(self.path)

  @parameterized.parameters(0, 4, 200, -1)
  def test_truncated_weights(self, size):
    self._save()
    file = self.path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:size])
    with self.assertRaisesRegex(ValueError, "is not a safetensors file"):
      hf.load(self.path)

  def test_missing_shard(self):
    self._save(UNTIED)
    names, _ = self._write_shards()
    (self.path / names[1]).unlink()
    with self.assertRaisesRegex(ValueError, f"{names[1]} does not exist"):
      hf.load(self.path)

  @parameterized.parameters("{", "[]", "{}", '{"weight_map": []}')
  def test_broken_index(self, text):
    self._save(UNTIED)
    _, index = self._write_shards()
    index.write_text(text)
    with self.assertRaisesRegex(ValueError, "index.json"):
      hf.load(self.path)

  def test_config_that_is_no_object(self):
    self._save()
    (self.path / "config.json").write_text("[]")
    with self.assertRaisesRegex(ValueError, "config.json"):
      hf.load(self.path)


class ConfigTest(_DirectoryTestCase):

  @parameterized.parameters(
      ("model_type", "mamba", "model_type 'mamba' is not supported"),
      ("attention_bias", True, "attention_bias is True"),
      ("mlp_bias", True, "mlp_bias is True"),
      ("hidden_act", "gelu", "hidden_act is 'gelu'"),
      ("sliding_window", 128, "sliding_window is 128"),
      ("hidden_size", "absent", "hidden_size.* is missing"),
      ("num_key_value_heads", 3, "num_heads 4 .*num_kv_heads 3"),
      ("head_dim", 5, "head_dim 5 is odd"),
      ("hidden_size", 18, "hidden_size 18 is not a multiple of num_heads 4"),
      (
          "rope_parameters",
          {"rope_type": "llama3", "rope_theta": 1e4, "factor": 8.0},
          "rope type 'llama3'",
      ),
  )
  def test_what_is_not_implemented_is_refused(self, name, value, message):
    self._save(**{name: value})
    with self.assertRaisesRegex(ValueError, message):
      hf.load(self.path)

  @parameterized.parameters("type", "rope_type")
  def test_scaled_rope_of_the_old_layout_is_refused(self, field):
    self._save(
        rope_parameters="absent", rope_scaling={field: "linear", "factor": 2}
    )
    with self.assertRaisesRegex(ValueError, "rope type 'linear'"):
      hf.load(self.path)

  def test_both_layouts_of_rope_theta_are_read(self):
    self._save(rope_parameters="absent", rope_theta=123.0)
    self.assertEqual(hf.load_config(self.path).rope_theta, 123.0)
    self._change_config(
        rope_theta="absent",
        rope_parameters={"rope_type": "default", "rope_theta": 321.0},
    )
    self.assertEqual(hf.load_config(self.path).rope_theta, 321.0)

  @parameterized.parameters(TIED, UNTIED)
  def test_config_round_trip(self, config):
    self.assertEqual(
        model_config.from_hf(model_config.to_hf(config), "test"), config
    )


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
      hf.save(self.path, TIED, _params(TIED), tokenizer)
    self.assertEmpty(os.listdir(self.parent))

  def test_a_save_appears_in_one_piece(self):
    def check(directory):
      self.assertFalse(self.path.exists())
      self.assertTrue((pathlib.Path(directory) / "model.safetensors").exists())

    tokenizer = tokenization.make_character_tokenizer("0123")
    with mock.patch.object(tokenizer, "save_pretrained", side_effect=check):
      hf.save(self.path, TIED, _params(TIED), tokenizer)
    self.assertEqual(os.listdir(self.parent), ["model"])


if __name__ == "__main__":
  absltest.main()
