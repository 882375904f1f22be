"""Tests of score_jax.policy."""

from collections.abc import Iterator
import functools

from absl.testing import absltest
from absl.testing import parameterized
import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from score_jax import policy
from score_jax.models import transformer
from score_jax.models.config import ModelConfig
from score_jax.models.config import Rope
from score_jax.models.transformer import Execution

CONFIG = ModelConfig(
    model_type="llama",
    vocab_size=11,
    d_model=12,
    num_layers=2,
    num_heads=4,
    num_kv_heads=2,
    head_dim=4,
    d_ff=16,
    rope=Rope(100.0),
    norm_eps=1e-5,
    is_tied=True,
    max_positions=64,
)
# Left-padded, right-padded, with holes, whole.
MASK = np.array(
    [
        [0, 0, 0, 1, 1, 1, 1],
        [1, 1, 0, 0, 0, 0, 0],
        [0, 1, 0, 1, 1, 0, 1],
        [1, 1, 1, 1, 1, 1, 1],
    ],
    bool,
)
TOKENS = np.where(MASK, np.arange(28).reshape(4, 7) * 5 % 11, 10)

_token_logprobs = jax.jit(
    policy.token_logprobs, static_argnums=1, static_argnames="execution"
)
_with_kl = jax.jit(policy.token_logprobs_and_kl, static_argnums=2)


@functools.cache
def _params(seed=0, config=CONFIG):
  shapes = jax.eval_shape(
      functools.partial(transformer.init_params, config=config),
      jax.random.key(0),
  )
  leaves, structure = jax.tree.flatten(shapes)
  rng = np.random.default_rng(seed)
  return structure.unflatten(
      jnp.asarray(0.5 * rng.normal(size=x.shape), x.dtype) for x in leaves
  )


@jax.jit
def _distributions(params, temperature=1.0):
  """float32[R, T - 1, V], log-probabilities before each of TOKENS[:, 1:]."""
  logits = transformer.logits(params, CONFIG, TOKENS, MASK) / temperature
  before = np.maximum.accumulate(
      np.where(MASK, np.arange(MASK.shape[1]), 0), axis=1
  )[:, :-1]
  logits = jnp.stack([row[b] for row, b in zip(logits, before, strict=True)])
  return jax.nn.log_softmax(logits)


IS_SCORED = MASK[:, 1:] & (np.cumsum(MASK, axis=1)[:, :-1] > 0)
WEIGHTS = np.random.default_rng(9).normal(size=IS_SCORED.shape)


@jax.jit
def _direct_logprobs(params, temperature=1.0):
  logp = _distributions(params, temperature)
  picked = jnp.take_along_axis(logp, TOKENS[:, 1:, None], axis=-1)[..., 0]
  return jnp.where(IS_SCORED, picked, 0.0)


@jax.jit
def _direct_kl(params, ref_params, temperature=1.0):
  logp = _distributions(params, temperature)
  ref_logp = _distributions(ref_params, temperature)
  kl = jnp.sum(jnp.exp(logp) * (logp - ref_logp), axis=-1)
  return jnp.where(IS_SCORED, kl, 0.0)


@jax.jit
@jax.value_and_grad
def _value_and_gradient(params, tokens):
  # 24 positions: the last chunk is not full.
  logprobs = policy.token_logprobs(
      params, CONFIG, tokens, MASK, execution=Execution(logprob_chunk=5)
  )
  return jnp.sum(WEIGHTS * logprobs)


class TokenLogprobsTest(parameterized.TestCase):

  # Of 24 positions: one, some that do not divide, more than there are.
  @parameterized.parameters(1, 5, 1024)
  @pytest.mark.slow
  def test_any_chunk_equals_log_softmax_of_logits(self, chunk):
    np.testing.assert_allclose(
        _token_logprobs(
            _params(),
            CONFIG,
            TOKENS,
            MASK,
            execution=Execution(logprob_chunk=chunk),
        ),
        _direct_logprobs(_params()),
        atol=1e-5,
    )

  @pytest.mark.slow
  def test_gradient_equals_that_of_log_softmax(self):
    _, actual = _value_and_gradient(_params(), TOKENS)
    expected = jax.grad(lambda p: jnp.sum(WEIGHTS * _direct_logprobs(p)))
    chex.assert_trees_all_close(actual, expected(_params()), atol=1e-5)

  @pytest.mark.slow
  def test_mixed_lengths_equal_one_by_one(self):
    """Holes and padding on both sides."""
    batch = _token_logprobs(_params(), CONFIG, TOKENS, MASK)
    for r in range(len(MASK)):
      # Whole rows, padded on the right to share one compiled shape.
      valid = TOKENS[r][MASK[r]]
      tokens = np.zeros((1, 7), np.int32)
      tokens[0, : len(valid)] = valid
      mask = np.arange(7)[None] < len(valid)
      alone = _token_logprobs(_params(), CONFIG, tokens, mask)
      np.testing.assert_allclose(
          batch[r][IS_SCORED[r]],
          alone[0, : len(valid) - 1],
          atol=1e-5,
      )

  def test_a_single_token_is_refused(self):
    with self.assertRaisesRegex(ValueError, "nothing is predicted"):
      _token_logprobs(_params(), CONFIG, TOKENS[:, :1], MASK[:, :1])

  def test_padding_and_first_tokens_score_zero(self):
    logprobs = _token_logprobs(_params(), CONFIG, TOKENS, MASK)
    np.testing.assert_array_equal(logprobs[~IS_SCORED], 0)
    self.assertTrue((logprobs[IS_SCORED] < 0).all())

  @parameterized.parameters(0, -100, 10**6)
  def test_padding_content_cannot_leak_into_gradient(self, padding):
    """No sentinel is ever used as an index."""
    tokens = np.where(MASK, TOKENS, padding)
    actual = _value_and_gradient(_params(), tokens)
    expected = _value_and_gradient(_params(), TOKENS)
    chex.assert_tree_all_finite(actual)
    chex.assert_trees_all_close(actual, expected, rtol=1e-6, atol=1e-6)

  def test_probabilities_of_all_tokens_sum_to_one(self):
    tokens = np.tile(TOKENS[3:], (CONFIG.vocab_size, 1))
    tokens[:, -1] = np.arange(CONFIG.vocab_size)
    logprobs = _token_logprobs(
        _params(), CONFIG, tokens, np.ones(tokens.shape, bool)
    )
    self.assertAlmostEqual(float(jnp.exp(logprobs[:, -1]).sum()), 1, places=5)

  @pytest.mark.slow
  def test_temperature_divides_logits(self):
    actual = _token_logprobs(_params(), CONFIG, TOKENS, MASK, temperature=0.7)
    expected = _direct_logprobs(_params(), 0.7)
    np.testing.assert_allclose(actual, expected, atol=1e-5)
    difference = np.abs(actual - _direct_logprobs(_params()))
    self.assertGreater(difference[IS_SCORED].min(), 1e-3)


class KlTest(parameterized.TestCase):

  @parameterized.parameters(1.0, 0.7)
  @pytest.mark.slow
  def test_kl_equals_the_sum_over_the_vocabulary(self, temperature):
    logprobs, kl = _with_kl(
        _params(), _params(1), CONFIG, TOKENS, MASK, temperature=temperature
    )
    np.testing.assert_allclose(
        kl, _direct_kl(_params(), _params(1), temperature), atol=1e-5
    )
    np.testing.assert_allclose(
        logprobs, _direct_logprobs(_params(), temperature), atol=1e-5
    )
    self.assertGreater(kl[IS_SCORED].min(), 1e-3)

  @pytest.mark.slow
  def test_equal_policies_have_no_kl(self):
    _, kl = _with_kl(_params(), _params(), CONFIG, TOKENS, MASK)
    np.testing.assert_allclose(kl, 0, atol=1e-6)

  @pytest.mark.slow
  def test_the_policy_gets_the_gradient_of_kl_and_the_reference_none(self):
    """A dead anchor has no gradient at all."""

    def total(params, ref_params):
      _, kl = policy.token_logprobs_and_kl(
          params,
          ref_params,
          CONFIG,
          TOKENS,
          MASK,
          execution=Execution(logprob_chunk=5),
      )
      return jnp.sum(WEIGHTS * kl)

    grads, ref_grads = jax.jit(jax.grad(total, argnums=(0, 1)))(
        _params(), _params(1)
    )
    expected = jax.grad(lambda p: jnp.sum(WEIGHTS * _direct_kl(p, _params(1))))(
        _params()
    )
    chex.assert_trees_all_close(grads, expected, atol=2e-5)
    self.assertGreater(np.abs(expected["embedding"]).max(), 1e-2)
    chex.assert_trees_all_equal(ref_grads, jax.tree.map(jnp.zeros_like, grads))


def _result_sizes(jaxpr) -> Iterator[int]:
  """Elements of every intermediate array, in nested programs too."""
  for equation in jaxpr.eqns:
    yield from (v.aval.size for v in equation.outvars)
    for value in jax.tree.leaves(
        equation.params, is_leaf=lambda x: hasattr(x, "eqns")
    ):
      inner = getattr(value, "jaxpr", value)
      if hasattr(inner, "eqns"):
        yield from _result_sizes(inner)


class MemoryTest(absltest.TestCase):

  # Logits [2, 16, 400] would be twice as large as any parameter.
  CONFIG = ModelConfig(
      **{**vars(CONFIG), "vocab_size": 400, "d_model": 16, "is_tied": False}
  )
  SHAPE = (2, 17)
  LOGITS = 2 * 16 * 400
  EXECUTION = Execution(logprob_chunk=4)

  def _largest(self, scores):
    tokens, mask = np.zeros(self.SHAPE, int), np.ones(self.SHAPE, bool)
    params = jax.eval_shape(
        functools.partial(transformer.init_params, config=self.CONFIG),
        jax.random.key(0),
    )
    program = jax.make_jaxpr(
        jax.value_and_grad(lambda p, q: jnp.sum(scores(p, q, tokens, mask)))
    )(params, params)
    return max(_result_sizes(program.jaxpr))

  def test_no_array_of_all_logits_is_alive(self):
    def scores(params, _, tokens, mask):
      return policy.token_logprobs(
          params, self.CONFIG, tokens, mask, execution=self.EXECUTION
      )

    self.assertLess(self._largest(scores), self.LOGITS)

  def test_no_array_of_all_logits_is_alive_with_kl(self):
    def scores(params, ref_params, tokens, mask):
      logprobs, kl = policy.token_logprobs_and_kl(
          params,
          ref_params,
          self.CONFIG,
          tokens,
          mask,
          execution=self.EXECUTION,
      )
      return logprobs + kl

    self.assertLess(self._largest(scores), self.LOGITS)

  def test_the_test_above_would_see_such_an_array(self):
    def scores(params, _, tokens, mask):
      logits = transformer.logits(params, self.CONFIG, tokens, mask)
      return jax.nn.log_softmax(logits)

    self.assertGreaterEqual(self._largest(scores), self.LOGITS)


if __name__ == "__main__":
  absltest.main()
