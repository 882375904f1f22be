"""Logits and greedy text of score_jax equal those of transformers in torch.

Needs the `parity` extra. Tiny models of every family are made here. Real ones
are read from the directories that the variables SCORE_JAX_SMOLLM2 and
SCORE_JAX_GEMMA3 name, or converted from the packages with their weights, see
experiments/convert_gguf.py.
"""

from collections.abc import Iterator
import dataclasses
import functools
import importlib.util
import json
import os
import pathlib
import tempfile
from typing import Any
from typing import NamedTuple
import unittest

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import transformers

torch = pytest.importorskip("torch")

from experiments import convert_gguf  # noqa: E402
from score_jax import policy  # noqa: E402
from score_jax.models import decoding  # noqa: E402
from score_jax.models import hf  # noqa: E402
from score_jax.models import transformer  # noqa: E402
from score_jax.models.config import ModelConfig  # noqa: E402
from score_jax.models.transformer import Params  # noqa: E402
from score_jax.rollouts import sampler  # noqa: E402
from score_jax.rollouts.sampler import Occasion  # noqa: E402
from score_jax.rollouts.sampler import Prompts  # noqa: E402
from score_jax.rollouts.spec import ConversationSpec  # noqa: E402
from score_jax.rollouts.spec import SamplingSpec  # noqa: E402
from score_jax.text import tokenization  # noqa: E402
from tests.helpers.compiling import fast_jit  # noqa: E402
from tests.helpers.fast_models import fast_continue  # noqa: E402
from tests.helpers.fast_models import fast_logits  # noqa: E402
from tests.helpers.fast_models import fast_prefill  # noqa: E402
from tests.helpers.model_features import optional_features  # noqa: E402
from tests.helpers.model_features import without_features  # noqa: E402
from tests.helpers.slow_decoder import decode  # noqa: E402

pytestmark = pytest.mark.parity

TOLERANCE = 1e-4
# What the loss of a feature must change at least, so that the tests of equality
# are certain to see it.
VISIBLE = 300 * TOLERANCE

# No two sizes agree, products of heads and head_dim included, and epsilon is
# large enough to be seen.
SIZES = {
    "vocab_size": 61,
    "hidden_size": 24,
    "intermediate_size": 36,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "rms_norm_eps": 0.05,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
WIDE = SIZES | {"head_dim": 10}  # not 24 / 4
PLAIN_ROPE = {"rope_type": "default", "rope_theta": 100.0}
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    # Of five wavelengths one is short, one between and three are long.
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
YARN_ROPE = {
    "rope_type": "yarn",
    "rope_theta": 100.0,
    "factor": 4.0,
    # Rows are longer. Of five wavelengths one is short, one long, the others
    # between.
    "original_max_position_embeddings": 8,
    "beta_fast": 0.8,
    "beta_slow": 0.05,
}
GEMMA3_TEXT = WIDE | {
    "attention_bias": True,
    "query_pre_attn_scalar": 3,
    "sliding_window": 5,
    "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
    "rope_parameters": {
        "full_attention": {
            "rope_type": "linear",
            "rope_theta": 100.0,
            "factor": 4.0,
        },
        "sliding_attention": {"rope_type": "default", "rope_theta": 7.0},
    },
}
FAMILIES = {
    "gemma2": transformers.Gemma2Config(
        **WIDE,
        attention_bias=True,
        query_pre_attn_scalar=3,
        sliding_window=5,
        attn_logit_softcapping=3.0,
        final_logit_softcapping=2.0,
        rope_parameters=PLAIN_ROPE,
    ),
    "gemma3_text": transformers.Gemma3TextConfig(
        **GEMMA3_TEXT, final_logit_softcapping=2.0
    ),
    "gemma3": transformers.Gemma3Config(
        text_config=GEMMA3_TEXT,
        vision_config={
            "model_type": "siglip_vision_model",
            "hidden_size": 8,
            "intermediate_size": 12,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 8,
            "patch_size": 4,
        },
        mm_tokens_per_image=4,
    ),
    "llama3": transformers.LlamaConfig(
        **WIDE | {"num_key_value_heads": 1}, rope_parameters=LLAMA3_ROPE
    ),
    "llama_tied_biased": transformers.LlamaConfig(
        **WIDE | {"num_key_value_heads": 4},
        attention_bias=True,
        tie_word_embeddings=True,
        rope_parameters=PLAIN_ROPE,
    ),
    "mistral": transformers.MistralConfig(
        **WIDE, sliding_window=5, rope_parameters=PLAIN_ROPE
    ),
    "mistral_everywhere": transformers.MistralConfig(
        **SIZES, sliding_window=None, rope_parameters=PLAIN_ROPE
    ),
    "olmo2": transformers.Olmo2Config(
        **SIZES, attention_bias=True, rope_parameters=PLAIN_ROPE
    ),
    "olmo3": transformers.Olmo3Config(
        **SIZES,
        sliding_window=5,
        layer_types=[
            "sliding_attention",
            "full_attention",
            "sliding_attention",
        ],
        rope_parameters={
            "full_attention": YARN_ROPE,
            "sliding_attention": {
                "rope_type": "default",
                "rope_theta": 500000.0,
            },
        },
    ),
    "phi3": transformers.Phi3Config(
        **WIDE,
        sliding_window=5,
        # Six of ten numbers of a head are rotated.
        rope_parameters=PLAIN_ROPE | {"partial_rotary_factor": 0.6},
    ),
    "phi4_mini": transformers.Phi3Config(
        **SIZES | {"hidden_size": 32},
        tie_word_embeddings=True,
        original_max_position_embeddings=32,
        rope_parameters={
            "rope_type": "longrope",
            "rope_theta": 100.0,
            "partial_rotary_factor": 0.75,
            "short_factor": [1.5, 2.5, 3.0],
            "long_factor": [5.0, 6.0, 7.0],
        },
    ),
    "qwen2": transformers.Qwen2Config(**SIZES, rope_parameters=PLAIN_ROPE),
    "qwen2_sliding": transformers.Qwen2Config(
        **SIZES,
        use_sliding_window=True,
        sliding_window=4,
        max_window_layers=1,
        tie_word_embeddings=True,
        rope_parameters=PLAIN_ROPE,
    ),
    "qwen2_yarn": transformers.Qwen2Config(
        **SIZES,
        rope_parameters=YARN_ROPE
        | {"truncate": False, "mscale": 2.0, "mscale_all_dim": 0.5},
    ),
    "qwen3": transformers.Qwen3Config(
        **WIDE, attention_bias=True, rope_parameters=PLAIN_ROPE
    ),
    "qwen3_yarn": transformers.Qwen3Config(**WIDE, rope_parameters=YARN_ROPE),
    "smollm3": transformers.SmolLM3Config(
        **SIZES,
        attention_bias=True,
        no_rope_layer_interval=2,
        rope_parameters=YARN_ROPE,
    ),
    "smollm3_sliding": transformers.SmolLM3Config(
        **SIZES,
        no_rope_layers=[0, 1, 0],
        use_sliding_window=True,
        sliding_window=5,
        layer_types=[
            "sliding_attention",
            "sliding_attention",
            "full_attention",
        ],
        rope_parameters=PLAIN_ROPE,
    ),
}

# Lengths of rows: two are full, two are padded on the left.
LENGTH = 14
ROWS = [
    np.random.default_rng(1).integers(3, 61, n).tolist()
    for n in (LENGTH, LENGTH, 9, 1)
]
TOKENS, MASK = tokenization.left_pad(ROWS, LENGTH, 0)
# The same rows in more columns: padding on the left, holes inside of a window,
# padding on the right, and a single token behind and before holes.
LAYOUTS = (
    range(4, 18),
    (0, 1, 3, 4, 5, 6, 7, 9, 10, 12, 13, 14, 16, 17),
    range(2, 11),
    (9,),
)
COLUMNS = 18
LAYOUT_MASK = np.array([[c in row for c in range(COLUMNS)] for row in LAYOUTS])

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

QUESTIONS = {
    "What is the capital of France?": "paris",
    "What color is the sky on a clear day?": "blue",
    "What is 2 + 3?": "5",
}


def _torch_model(path, dtype=torch.float32):
  """The model and what transformers could not match while loading it."""
  model, problems = transformers.AutoModelForCausalLM.from_pretrained(
      path,
      dtype=dtype,
      attn_implementation="eager",
      output_loading_info=True,
  )
  return model.eval(), {k: v for k, v in problems.items() if v}


def _torch_logits(model, tokens, mask, **options):
  """float32[R, T, V]; positions count valid tokens, as in `generate`."""
  with torch.no_grad():
    positions = np.maximum(np.cumsum(mask, axis=1) - 1, 0)
    return model(
        input_ids=torch.tensor(tokens, dtype=torch.long),
        attention_mask=torch.tensor(mask, dtype=torch.long),
        position_ids=torch.tensor(positions),
        **options,
    ).logits.numpy()


def _torch_greedy(model, prompt, max_new_tokens, stop_ids):
  """What `generate` writes behind one prompt, and its log-probabilities."""
  generated = model.generate(
      torch.tensor([prompt]),
      attention_mask=torch.ones((1, len(prompt)), dtype=torch.long),
      do_sample=False,
      max_new_tokens=max_new_tokens,
      eos_token_id=list(stop_ids),
      pad_token_id=stop_ids[0],
      output_logits=True,
      return_dict_in_generate=True,
  )
  tokens = generated.sequences[0, len(prompt) :].tolist()
  logprobs = torch.log_softmax(torch.cat(generated.logits).float(), dim=-1)
  return tokens, logprobs.numpy()[np.arange(len(tokens)), tokens]


def _our_greedy(params, config, prompts, max_new_tokens, stop_ids, jit=jax.jit):
  """The same from our sampler, for all prompts at once."""
  longest = max(map(len, prompts))
  tokens, mask = tokenization.left_pad(prompts, longest, 0)
  spec = ConversationSpec(
      num_attempts=1,
      samples_per_problem=1,
      max_prompt_tokens=longest,
      max_new_tokens=(max_new_tokens,),
      sampling=SamplingSpec(
          temperature=0.0,
          eos_id=stop_ids[0],
          stop_ids=tuple(stop_ids),
          pad_id=0,
      ),
      turn_ids=(0,),
  )

  @jit
  def sample(params):
    (attempt,) = sampler.sample_messages(
        decoding.layout(params, config),
        config,
        Prompts(tokens, mask, np.arange(len(prompts))),
        spec.turns,
        Occasion(jax.random.key(0), step=0),
        spec,
    )
    return attempt

  attempt = jax.device_get(sample(params))
  return [
      (attempt.tokens[r][row].tolist(), attempt.behaviour_logprobs[r][row])
      for r, row in enumerate(attempt.mask)
  ]


class Checkpoint(NamedTuple):
  """A tiny model in both worlds.

  Attributes:
    path: directory that transformers wrote.
    model: in torch.
    config: read by us.
    params: read by us.
    logits: float32[R, T, V], torch's for TOKENS and MASK.
  """

  path: pathlib.Path
  model: Any
  config: ModelConfig
  params: Params
  logits: np.ndarray


def _make_checkpoint(path, config):
  """A random model of transformers' own making.

  Norms and biases get noise of their own: initialised by transformers they are
  all ones or zeros, and swapping two would not show. Embeddings are small, or
  tied models would write the same token for ever.
  """
  torch.manual_seed(0)
  classes = {"gemma3": transformers.Gemma3ForConditionalGeneration}
  make = classes.get(config.model_type, transformers.AutoModelForCausalLM)
  make = getattr(make, "from_config", getattr(make, "_from_config", None))
  model = make(config, attn_implementation="eager").float().eval()
  with torch.no_grad():
    for name, parameter in model.named_parameters():
      if parameter.ndim > 1:
        parameter.normal_(std=0.15 if "embed" in name else 0.3)
      else:
        parameter += 0.8 * torch.randn_like(parameter)
  model.save_pretrained(path)
  logits = _torch_logits(model, TOKENS, MASK)
  return Checkpoint(path, model, *hf.load(path), logits)


def _text_weights(model):
  """Weights of the language model, by the names that it has on its own."""
  return {
      name.replace("language_model.", ""): weight
      for name, weight in model.state_dict().items()
      if "vision_tower" not in name and "multi_modal" not in name
  }


def _write_old_layout(source, target):
  """Copies a checkpoint with its config.json as transformers 4 wrote it."""
  target.mkdir()
  (target / "model.safetensors").symlink_to(source / "model.safetensors")
  content = json.loads((source / "config.json").read_text())
  text = content.get("text_config", content)
  ropes = text.pop("rope_parameters")
  if "full_attention" in ropes:
    text["rope_local_base_freq"] = ropes["sliding_attention"]["rope_theta"]
    text["sliding_window_pattern"] = 2
    ropes = ropes["full_attention"]
  text["rope_theta"] = ropes.pop("rope_theta")
  if "partial_rotary_factor" in ropes:
    text["partial_rotary_factor"] = ropes.pop("partial_rotary_factor")
  is_plain = ropes["rope_type"] == "default"
  text["rope_scaling"] = None if is_plain else ropes
  if text["model_type"] not in ("olmo3", "smollm3"):  # of any other order
    text.pop("layer_types", None)
  content["torch_dtype"] = content.pop("dtype")
  (target / "config.json").write_text(json.dumps(content))


def _swapped(params: Params) -> Iterator[tuple[str, Params]]:
  """Parameters with two of a shape swapped, or two layers of one of them."""
  stack = params["layers"]
  names = sorted(stack)
  for i, a in enumerate(names):
    layers = {**stack, a: stack[a][np.array([1, 0, 2])]}
    yield f"{a} of two layers", {**params, "layers": layers}
    for b in names[i + 1 :]:
      if stack[a].shape == stack[b].shape:
        layers = {**stack, a: stack[b], b: stack[a]}
        yield f"{a} and {b}", {**params, "layers": layers}


# Once loaded, the others have no arithmetic that is not here too.
DECODED = [
    name
    for name in FAMILIES
    if name not in ("gemma3", "mistral_everywhere", "olmo2", "qwen2")
]
_EACH_FAMILY = parameterized.named_parameters((name, name) for name in FAMILIES)


class FamiliesTest(parameterized.TestCase):
  """Tiny checkpoints of every family."""

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    parent = cls.enterClassContext(tempfile.TemporaryDirectory())
    cls.parent = pathlib.Path(parent)

    @functools.cache
    def checkpoint(name):
      return _make_checkpoint(cls.parent / name, FAMILIES[name])

    cls.checkpoint = staticmethod(checkpoint)

  def _assert_close(self, actual, expected, tolerance=TOLERANCE):
    self.assertGreater(expected.std(), 0.5)  # large enough to mean something
    difference = np.abs(actual - expected).max()
    print(
        f"{self.id().rsplit('.', 1)[-1]}: largest difference {difference:.1e}"
    )
    self.assertLessEqual(difference, tolerance)

  @_EACH_FAMILY
  def test_logits_equal(self, name):
    """Full and left-padded rows."""
    _, _, config, params, expected = self.checkpoint(name)
    actual = np.asarray(fast_logits(params, config, TOKENS, MASK))
    self._assert_close(actual[MASK], expected[MASK])

  @parameterized.named_parameters(
      (f"{name}_{how}", name, sizes)
      for name in DECODED
      for how, sizes in (
          ("in_pieces", (8, 5, 1, 1, 1, 1, 1)),
          ("token_by_token", (0,) + (1,) * COLUMNS),
      )
  )
  @pytest.mark.slow
  def test_cached_logits_equal(self, name, sizes):
    """Over padding and holes."""
    _, _, config, params, expected = self.checkpoint(name)
    tokens = np.full(LAYOUT_MASK.shape, 60)
    tokens[LAYOUT_MASK] = TOKENS[MASK]
    cuts = np.cumsum(sizes)
    first, *pieces = np.split(tokens, cuts[:-1], axis=1)
    first_mask, *masks = np.split(LAYOUT_MASK, cuts[:-1], axis=1)
    cache = fast_prefill(params, config, first, first_mask, COLUMNS)
    logits = []
    for piece, mask in zip(pieces, masks, strict=True):
      new, cache = fast_continue(params, config, piece, mask, cache)
      logits.append(new)
    logits = np.concatenate(logits, axis=1)
    # Expected as they lie in the layout, without those of the prefill.
    spread = np.zeros((*LAYOUT_MASK.shape, expected.shape[-1]), np.float32)
    spread[LAYOUT_MASK] = expected[MASK]
    seen = LAYOUT_MASK[:, sizes[0] :]
    self._assert_close(logits[seen], spread[:, sizes[0] :][seen])

  @parameterized.named_parameters((name, name) for name in DECODED)
  @pytest.mark.slow
  def test_greedy_text_equals_generate(self, name):
    """Mixed prompt lengths in one batch against one prompt at a time.

    Log-probabilities too: tiny models fall into loops, where tokens alone
    would say little.
    """
    _, model, config, params, _ = self.checkpoint(name)
    prompts = [row[:9] for row in ROWS[1:]]
    prompts[1] = prompts[1][:4]
    written = _our_greedy(params, config, prompts, 12, (2,), fast_jit)
    for prompt, (tokens, logprobs) in zip(prompts, written, strict=True):
      expected, expected_logprobs = _torch_greedy(model, prompt, 12, (2,))
      self.assertEqual(tokens, expected)
      np.testing.assert_allclose(logprobs, expected_logprobs, atol=TOLERANCE)
    # One token for ever would agree too easily.
    self.assertGreater(len({t for tokens, _ in written for t in tokens}), 1)

  @_EACH_FAMILY
  @pytest.mark.slow
  def test_an_export_is_the_same_model(self, name):
    like, original, config, params, expected = self.checkpoint(name)
    path = self.parent / f"{name}-export"
    hf.save(path, config, params, like=like, max_shard_bytes=20_000)
    self.assertGreater(len(list(path.glob("*.safetensors"))), 1)
    model, problems = _torch_model(path)
    self.assertEqual(problems, {})
    weights, found = _text_weights(original), model.state_dict()
    self.assertEqual(set(found), set(weights))
    for key, weight in weights.items():
      self.assertTrue(torch.equal(found[key], weight), key)
    self._assert_close(_torch_logits(model, TOKENS, MASK)[MASK], expected[MASK])
    self.assertEqual(hf.load_config(path), config)

  @_EACH_FAMILY
  @pytest.mark.slow
  def test_an_export_in_bfloat16_is_the_rounded_model(self, name):
    like, original, config, params, _ = self.checkpoint(name)
    path = self.parent / f"{name}-half"
    hf.save(path, config, params, like=like, dtype=jnp.bfloat16)
    model, problems = _torch_model(path, "auto")
    self.assertEqual(problems, {})
    self.assertEqual(model.dtype, torch.bfloat16)
    for key, weight in _text_weights(original).items():
      found = model.state_dict()[key]
      self.assertTrue(torch.equal(found, weight.to(torch.bfloat16)), key)
    # The same rounded numbers, computed in float32 by both.
    rounded = jax.tree.map(
        lambda a: a.astype(jnp.bfloat16).astype(jnp.float32), params
    )
    actual = fast_logits(rounded, config, TOKENS, MASK)
    expected = _torch_logits(_torch_model(path)[0], TOKENS, MASK)
    self._assert_close(np.asarray(actual)[MASK], expected[MASK])

  @_EACH_FAMILY
  @pytest.mark.slow
  def test_both_layouts_of_the_config_are_one_model(self, name):
    path, _, config, _, expected = self.checkpoint(name)
    self.assertIn("rope_parameters", (path / "config.json").read_text())
    old = self.parent / f"{name}-old"
    _write_old_layout(path, old)
    self.assertEqual(hf.load_config(old), config)
    # And the old one is written here as transformers understands it.
    actual = _torch_logits(_torch_model(old)[0], TOKENS, MASK)
    self._assert_close(actual[MASK], expected[MASK], 0.0)

  @_EACH_FAMILY
  def test_without_any_of_its_features_it_is_another_model(self, name):
    """So that a feature which we lose shows in the tests of equality.

    Shown with the slow decoder, which needs no compilation.
    """
    _, _, config, params, logits = self.checkpoint(name)
    expected = logits[0]  # of a row without padding
    self._assert_close(decode(params, config, ROWS[0]), expected)
    for feature, other in without_features(config):
      actual = decode(params, other, ROWS[0])
      difference = np.abs(actual - expected).max()
      print(f"{name}: {feature} {getattr(other, feature)}: {difference:.2f}")
      self.assertGreater(difference, VISIBLE, feature)

  def test_every_feature_is_switched_off_in_some_family(self):
    features = {
        feature
        for name in FAMILIES
        for feature, _ in without_features(self.checkpoint(name).config)
    }
    self.assertEqual(features, optional_features())

  @_EACH_FAMILY
  def test_with_swapped_parameters_it_is_another_model(self, name):
    _, _, config, params, expected = self.checkpoint(name)
    for swap, others in _swapped(params):
      actual = np.asarray(fast_logits(others, config, TOKENS, MASK))
      self.assertGreater(np.abs(actual - expected)[MASK].max(), VISIBLE, swap)


def _needs(model, variable):
  """Skips a class unless a real model is there, or can be made."""
  parts = convert_gguf.MODELS[model].source.parts
  packages = ("gguf", *(package for package, _ in parts))
  return unittest.skipUnless(
      os.environ.get(variable)
      or all(importlib.util.find_spec(package) for package in packages),
      f"needs {variable}, or {convert_gguf.MODELS[model].source.install}",
  )


@functools.partial(jax.jit, static_argnums=(1, 4))
def _last_logits(params, config, tokens, mask, count):
  hidden = transformer.hidden_states(params, config, tokens, mask)
  table = transformer.output_table(params, config)
  return transformer.unembed(hidden[:, -count:], table, config)


class _RealModelTests:
  """Tests of a real model; subclasses say which.

  Attributes:
    name: of `convert_gguf.MODELS`.
    variable: environment variable with its directory.
    before: number of tokens in front of the text.
    answer_tokens: enough for the answers to QUESTIONS.
  """

  name: str
  variable: str
  before: int
  answer_tokens: int

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    path = os.environ.get(cls.variable)
    if not path:
      parent = cls.enterClassContext(tempfile.TemporaryDirectory())
      path = os.path.join(parent, cls.name)
      convert_gguf.convert(cls.name, path)
    cls.addClassCleanup(cls._forget)
    cls.model, _ = _torch_model(path)
    cls.config, cls.params = hf.load(path)
    cls.tokenizer = tokenization.load(path)
    licence = pathlib.Path(__file__).parents[2] / "LICENSE"
    # With BOS in front where the tokenizer puts it, but none within.
    before = cls.tokenizer.tokenizer(licence.read_text())["input_ids"]
    (text,) = cls.tokenizer.encode([TEXT])
    cls.tokens = np.array([before[: cls.before] + text])
    cls.mask = np.ones(cls.tokens.shape, bool)
    cls.count = len(text)
    cls.logits = _torch_logits(
        cls.model, cls.tokens, cls.mask, logits_to_keep=cls.count
    )

  @classmethod
  def _forget(cls):
    del cls.model, cls.params, cls.logits

  def test_logits_of_real_text_equal(self):
    self.assertGreaterEqual(self.count, 256)
    actual = np.asarray(
        _last_logits(
            self.params, self.config, self.tokens, self.mask, self.count
        )
    )
    difference = np.abs(actual - self.logits).max()
    agreement = np.mean(actual.argmax(-1) == self.logits.argmax(-1))
    print(
        f"{self.name}: {self.count} tokens behind {self.before}: largest"
        f" difference {difference:.1e}, argmax {agreement:.2%}"
    )
    self.assertLessEqual(difference, 1e-3)
    self.assertEqual(agreement, 1.0)

  def test_logprobs_of_real_text_equal(self):
    logprobs = jax.jit(
        policy.token_logprobs, static_argnums=1, static_argnames="execution"
    )(
        self.params,
        self.config,
        self.tokens,
        self.mask,
        execution=transformer.Execution(logprob_chunk=64),
    )
    actual = np.asarray(logprobs)[0, 1 - self.count :]
    logits = torch.tensor(self.logits[0, :-1])
    targets = torch.tensor(self.tokens[:, 1 - self.count :])
    expected = -torch.nn.functional.cross_entropy(
        logits, targets[0], reduction="none"
    ).numpy()
    difference = np.abs(actual - expected).max()
    print(f"{self.name}: log-probabilities: {difference:.1e}")
    print(f"{self.name}: {-actual.mean():.2f} nats per token")
    self.assertLessEqual(difference, 1e-3)
    # It reads English: a model of mixed-up weights is worse than 10 nats.
    self.assertLess(-actual.mean(), 4.0)

  def test_greedy_answers_equal_those_of_generate(self):
    """Mixed prompt lengths in one batch against one prompt at a time."""
    prompts = self.tokenizer.prompt_ids(list(QUESTIONS))
    stop_ids, limit = self.tokenizer.stop_ids, self.answer_tokens
    written = _our_greedy(self.params, self.config, prompts, limit, stop_ids)
    for i, question in enumerate(QUESTIONS):
      tokens, _ = written[i]
      (answer,) = self.tokenizer.decode_attempts([np.array(tokens)])
      print(f"{self.name}: {question} {answer!r}")
      expected, _ = _torch_greedy(self.model, prompts[i], limit, stop_ids)
      self.assertEqual(tokens, expected)
      self.assertIn(QUESTIONS[question], answer.lower())


@pytest.mark.slow
@pytest.mark.smollm2
@_needs("smollm2-135m", "SCORE_JAX_SMOLLM2")
class SmolLM2Test(_RealModelTests, absltest.TestCase):
  name = "smollm2-135m"
  variable = "SCORE_JAX_SMOLLM2"
  before = 0
  answer_tokens = 20


@pytest.mark.slow
@pytest.mark.smollm2
@_needs("gemma3-270m", "SCORE_JAX_GEMMA3")
class Gemma3Test(_RealModelTests, absltest.TestCase):
  name = "gemma3-270m"
  variable = "SCORE_JAX_GEMMA3"
  before = 512  # its window, so that no token of the text sees them all
  answer_tokens = 10

  def test_the_window_matters(self):
    """Without it the logits of the same text are others."""
    config = dataclasses.replace(self.config, sliding_window=None, is_local=())
    actual = np.asarray(
        _last_logits(self.params, config, self.tokens, self.mask, self.count)
    )
    difference = np.abs(actual - self.logits).max()
    print(f"{self.name} without a window: {difference:.2f}")
    self.assertGreater(difference, 0.1)


if __name__ == "__main__":
  absltest.main()
