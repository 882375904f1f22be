"""Every family of models against a slow decoder in NumPy, without torch."""

import dataclasses
import functools

from absl.testing import absltest
from absl.testing import parameterized
import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from score_jax import policy
from score_jax.models import hf
from score_jax.models import shared_prefix
from score_jax.models import transformer
from score_jax.models.config import Activation
from score_jax.models.config import LinearScaling
from score_jax.models.config import Llama3Scaling
from score_jax.models.config import LongRopeScaling
from score_jax.models.config import ModelConfig
from score_jax.models.config import NormPlacement
from score_jax.models.config import QkNorm
from score_jax.models.config import Rope
from score_jax.models.config import YarnScaling
from score_jax.types import Prefix
from tests.helpers.compiling import fast_jit
from tests.helpers.fast_models import fast_continue
from tests.helpers.fast_models import fast_logits
from tests.helpers.fast_models import fast_prefill
from tests.helpers.model_features import optional_features
from tests.helpers.model_features import without_features
from tests.helpers.slow_decoder import decode

# No two sizes agree, products of heads and head_dim included.
PLAIN = ModelConfig(
    model_type="llama",
    vocab_size=19,
    d_model=12,
    num_layers=3,
    num_heads=4,
    num_kv_heads=2,
    head_dim=10,
    d_ff=16,
    rope=Rope(100.0),
    norm_eps=0.05,
    is_tied=False,
    max_positions=64,
)
LLAMA = dataclasses.replace(
    PLAIN,
    # Of five wavelengths one is short, one between and three are long.
    rope=Rope(500.0, Llama3Scaling(8.0, 1.0, 4.0, 64)),
    has_qkv_bias=True,
    has_output_bias=True,
)
MISTRAL = dataclasses.replace(
    PLAIN, model_type="mistral", sliding_window=4, is_local=(True,) * 3
)
QWEN2 = dataclasses.replace(
    PLAIN,
    model_type="qwen2",
    is_tied=True,
    has_qkv_bias=True,
    sliding_window=3,
    is_local=(False, True, True),
)
QWEN3 = dataclasses.replace(
    PLAIN, model_type="qwen3", num_kv_heads=1, qk_norm=QkNorm.HEAD
)
GEMMA2 = dataclasses.replace(
    PLAIN,
    model_type="gemma2",
    is_tied=True,
    activation=Activation.GELU_TANH,
    norm_offset=1.0,
    has_scaled_embedding=True,
    norm_placement=NormPlacement.AROUND,
    query_pre_attn_scalar=3,
    attention_softcap=2.0,
    logit_softcap=3.0,
    sliding_window=4,
    is_local=(True, False, True),
)
GEMMA3 = dataclasses.replace(
    GEMMA2,
    model_type="gemma3_text",
    attention_softcap=None,
    logit_softcap=None,
    qk_norm=QkNorm.HEAD,
    rope=Rope(100.0, LinearScaling(4.0)),
    local_rope=Rope(7.0),
)
QWEN3_YARN = dataclasses.replace(
    QWEN3, rope=Rope(100.0, YarnScaling(4.0, 8, 1.5, 0.8, 0.05))
)
OLMO2 = dataclasses.replace(
    PLAIN,
    model_type="olmo2",
    norm_placement=NormPlacement.BEHIND,
    qk_norm=QkNorm.PROJECTION,
)
OLMO3 = dataclasses.replace(
    OLMO2,
    model_type="olmo3",
    rope=Rope(100.0, YarnScaling(4.0, 8, 1.5, 0.8, 0.05)),
    local_rope=Rope(100.0),
    sliding_window=4,
    is_local=(True, True, False),
)
SMOLLM3 = dataclasses.replace(
    PLAIN,
    model_type="smollm3",
    is_tied=True,
    sliding_window=4,
    is_local=(True, True, False),
    has_rope=(True, False, False),
)
PHI3 = dataclasses.replace(
    PLAIN,
    model_type="phi3",
    # Six of ten numbers of a head are rotated.
    rope=Rope(
        100.0,
        LongRopeScaling((1.5, 2.5, 3.0), (5.0, 6.0, 7.0), 32, 1.4),
        share=0.6,
    ),
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
} | {"qwen3_yarn": QWEN3_YARN}

# Padding on the left, on the right, holes inside of every window, no token.
LAYOUTS = (
    (3, 4, 5, 6, 7, 8, 9, 10, 11),
    (0, 1, 2, 3, 4, 5, 6),
    (0, 2, 3, 5, 8, 9, 11),
    (),
)
COLUMNS = 12
MASK = np.array([[c in row for c in range(COLUMNS)] for row in LAYOUTS])
TOKENS = np.where(MASK, np.arange(4 * COLUMNS).reshape(MASK.shape) * 7 % 19, 11)


@functools.cache
def _params(config):
  """Noise everywhere, so that no norm is all ones and no bias zero."""
  leaves, structure = jax.tree.flatten(hf.parameter_shapes(config))
  rng = np.random.default_rng(0)
  return structure.unflatten(
      jnp.asarray(0.5 * rng.normal(size=x.shape), x.dtype) for x in leaves
  )


@functools.cache
def _expected(config):
  """The decoder's logits [R, T, V] for TOKENS, 0 on padding."""
  expected = np.zeros((*MASK.shape, config.vocab_size))
  for r, mask in enumerate(MASK):
    if mask.any():
      expected[r][mask] = decode(_params(config), config, TOKENS[r][mask])
  return expected


_WEIGHTS = np.random.default_rng(1).normal(size=(*MASK.shape, 19))


@functools.partial(fast_jit, static_argnums=1)
@jax.value_and_grad
def _weighted_sum(params, config, tokens):
  """A number that all valid logits go into, and its gradient."""
  logits = transformer.logits(params, config, tokens, MASK)
  return jnp.sum(jnp.where(MASK[..., None], logits * _WEIGHTS, 0.0))


# The first five columns stand before two rows each: their own rest and that of
# another row. One prefix is padding alone, others have holes.
_PREFIX = Prefix(TOKENS[:, :5], MASK[:, :5])


def _rest(array):
  rest = array[:, 5:]
  return np.stack([rest, np.roll(rest, 1, axis=0)], axis=1).reshape(8, -1)


_REST, _REST_MASK = _rest(TOKENS), _rest(MASK)


def _behind(array, rest):
  return np.concatenate([np.repeat(array, 2, axis=0), rest], axis=1)


def _rest_sum(hidden, params, config):
  """A number that the logits of all rests go into."""
  table = transformer.output_table(params, config)
  logits = transformer.unembed(hidden, table, config)
  weights = np.concatenate([_WEIGHTS, -_WEIGHTS])[:, 5:]
  return jnp.sum(jnp.where(_REST_MASK[..., None], logits * weights, 0.0))


@functools.partial(fast_jit, static_argnums=1)
@jax.value_and_grad
def _sum_in_whole_rows(params, config):
  tokens = _behind(_PREFIX.tokens, _REST)
  mask = _behind(_PREFIX.mask, _REST_MASK)
  hidden = transformer.hidden_states(params, config, tokens, mask)
  return _rest_sum(hidden[:, 5:], params, config)


@functools.partial(fast_jit, static_argnums=1)
@jax.value_and_grad
def _sum_behind_prefixes(params, config, prefix=_PREFIX):
  hidden = shared_prefix.hidden_states(
      params, config, prefix, _REST, _REST_MASK
  )
  return _rest_sum(hidden, params, config)


class FamiliesTest(parameterized.TestCase):

  @parameterized.named_parameters(*FAMILIES.items())
  @pytest.mark.slow
  def test_logits_equal_those_of_the_slow_decoder(self, config):
    expected = _expected(config)
    self.assertGreater(expected[MASK].std(), 0.5)
    actual = fast_logits(_params(config), config, TOKENS, MASK)
    np.testing.assert_allclose(actual[MASK], expected[MASK], atol=1e-4)

  @parameterized.named_parameters(*FAMILIES.items())
  @pytest.mark.slow
  def test_cached_logits_equal_those_of_the_slow_decoder(self, config):
    """A prefill and two pieces, with holes in all of them."""
    params = _params(config)
    tokens, masks = np.split(TOKENS, 3, axis=1), np.split(MASK, 3, axis=1)
    cache = fast_prefill(params, config, tokens[0], masks[0], COLUMNS)
    expected = np.split(_expected(config), 3, axis=1)
    for i in (1, 2):
      logits, cache = fast_continue(params, config, tokens[i], masks[i], cache)
      np.testing.assert_allclose(
          logits[masks[i]], expected[i][masks[i]], atol=1e-4
      )

  @parameterized.named_parameters(*FAMILIES.items())
  @pytest.mark.slow
  def test_gradient_equals_differences_of_the_slow_decoder(self, config):
    """Along a random direction through all parameters."""
    params = jax.tree.map(lambda a: np.asarray(a, np.float64), _params(config))
    rng = np.random.default_rng(2)
    direction = jax.tree.map(lambda a: rng.normal(size=a.shape), params)

    def value(step):
      moved = jax.tree.map(lambda a, d: a + step * d, params, direction)
      return sum(
          np.sum(_WEIGHTS[r][mask] * decode(moved, config, TOKENS[r][mask]))
          for r, mask in enumerate(MASK)
          if mask.any()
      )

    expected = (value(1e-5) - value(-1e-5)) / 2e-5
    _, gradient = _weighted_sum(_params(config), config, TOKENS)
    products = jax.tree.map(lambda g, d: np.sum(g * d), gradient, direction)
    actual = sum(jax.tree.leaves(products))
    self.assertGreater(abs(expected), 1.0)
    np.testing.assert_allclose(actual, expected, rtol=1e-3)

  @parameterized.named_parameters(*FAMILIES.items())
  @pytest.mark.slow
  def test_padding_reaches_neither_logits_nor_gradients(self, config):
    """Also with a row that is nothing but padding."""
    params = _params(config)
    expected = _weighted_sum(params, config, TOKENS)
    logits = fast_logits(params, config, TOKENS, MASK)
    for padding in (0, 18, -100, 10**6):
      tokens = np.where(MASK, TOKENS, padding)
      actual = _weighted_sum(params, config, tokens)
      chex.assert_tree_all_finite(actual)
      chex.assert_trees_all_close(actual, expected, rtol=1e-5, atol=1e-5)
      others = np.asarray(fast_logits(params, config, tokens, MASK))
      np.testing.assert_array_equal(others[MASK], logits[MASK])
      self.assertTrue(np.isfinite(others).all())

  @parameterized.named_parameters(*FAMILIES.items())
  @pytest.mark.slow
  def test_rows_behind_shared_prefixes_are_those_of_whole_rows(self, config):
    """Values and gradients, with holes in prefixes and in rows."""
    params = _params(config)
    expected, expected_gradient = _sum_in_whole_rows(params, config)
    actual, gradient = _sum_behind_prefixes(params, config)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)
    scale = max(np.abs(g).max() for g in jax.tree.leaves(expected_gradient))
    self.assertGreater(scale, 1.0)
    chex.assert_trees_all_close(
        gradient, expected_gradient, rtol=1e-4, atol=1e-5 * scale
    )

  @parameterized.named_parameters(*FAMILIES.items())
  @pytest.mark.slow
  def test_padding_of_a_prefix_reaches_nothing(self, config):
    params = _params(config)
    expected = _sum_behind_prefixes(params, config)
    for padding in (0, -100, 10**6):
      tokens = np.where(_PREFIX.mask, _PREFIX.tokens, padding)
      actual = _sum_behind_prefixes(
          params, config, _PREFIX.replace(tokens=tokens)
      )
      chex.assert_tree_all_finite(actual)
      chex.assert_trees_all_close(actual, expected, rtol=1e-5, atol=1e-5)

  @parameterized.named_parameters(*FAMILIES.items())
  def test_without_any_of_its_features_it_is_another_model(self, config):
    """So that a feature which is lost shows in the tests of equality."""
    row = TOKENS[0][MASK[0]]
    expected = decode(_params(config), config, row)
    for feature, other in without_features(config):
      difference = np.abs(decode(_params(config), other, row) - expected)
      self.assertGreater(difference.max(), 0.05, feature)

  def test_every_feature_is_switched_off_in_some_family(self):
    features = {
        feature
        for config in FAMILIES.values()
        for feature, _ in without_features(config)
    }
    self.assertEqual(features, optional_features())


class SlidingWindowTest(parameterized.TestCase):

  @parameterized.parameters(1, 3)
  @pytest.mark.slow
  def test_a_window_counts_positions_and_not_columns(self, window):
    config = dataclasses.replace(
        MISTRAL, num_layers=1, is_local=(True,), sliding_window=window
    )
    columns = np.flatnonzero(MASK[2])  # the row with holes
    tokens = np.zeros((1, COLUMNS), np.int32)
    tokens[0, columns] = np.arange(1, 1 + len(columns))  # all differ

    @fast_jit
    @jax.jacrev
    def influence(embedding):
      params = {**_params(config), "embedding": embedding}
      hidden = transformer.hidden_states(params, config, tokens, MASK[2:3])
      return hidden[0, columns].sum(-1)

    jacobian = influence(_params(config)["embedding"])
    sizes = np.abs(jacobian).max(-1)[:, 1 : 1 + len(columns)]  # [query, key]
    distance = np.subtract.outer(*[np.arange(len(columns))] * 2)
    np.testing.assert_array_equal(
        sizes > 1e-6, (distance >= 0) & (distance < window)
    )


# Row, column of a token and column of the next one.
_PAIRS = [
    (r, before, column)
    for r, columns in enumerate(LAYOUTS)
    for before, column in zip(columns, columns[1:], strict=False)
]


class CappedPolicyTest(absltest.TestCase):

  @pytest.mark.slow
  def test_log_probabilities_are_those_of_the_capped_logits(self):
    """Values and gradients, over holes, in chunks that do not fit."""
    weights, temperature = _WEIGHTS[:, 1:, 0], 0.7

    @fast_jit
    @jax.value_and_grad
    def scored(params):
      logprobs = policy.token_logprobs(
          params,
          GEMMA2,
          TOKENS,
          MASK,
          temperature=temperature,
          execution=transformer.Execution(logprob_chunk=5),
      )
      return jnp.sum(weights * logprobs)

    @fast_jit
    @jax.value_and_grad
    def plain(params):
      logits = transformer.logits(params, GEMMA2, TOKENS, MASK)
      logprobs = jax.nn.log_softmax(logits / temperature)
      rows, before, columns = np.array(_PAIRS).T
      picked = logprobs[rows, before, TOKENS[rows, columns]]
      return jnp.sum(weights[rows, columns - 1] * picked)

    chex.assert_trees_all_close(
        scored(_params(GEMMA2)), plain(_params(GEMMA2)), rtol=1e-4, atol=1e-4
    )

  def test_logits_are_capped_before_the_temperature_divides_them(self):
    actual = fast_jit(policy.token_logprobs, static_argnums=1)(
        _params(GEMMA2), GEMMA2, TOKENS, MASK, temperature=0.5
    )
    logits = _expected(GEMMA2) / 0.5
    logprobs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    expected = np.zeros((len(LAYOUTS), COLUMNS - 1))
    for r, before, column in _PAIRS:
      expected[r, column - 1] = logprobs[r, before, TOKENS[r, column]]
    np.testing.assert_allclose(actual, expected, atol=1e-4)


if __name__ == "__main__":
  absltest.main()
