"""Tests of score_jax.models.lora, and of the decoder with its factors."""

import dataclasses
import functools
import math

from absl.testing import absltest
from absl.testing import parameterized
import jax
from jax.extend import core
import jax.numpy as jnp
import numpy as np

from score_jax import policy
from score_jax.models import decoding
from score_jax.models import lora
from score_jax.models import transformer
from score_jax.models.config import ModelConfig
from score_jax.models.config import QkNorm
from score_jax.models.config import Rope
from score_jax.models.lora import Adapted
from score_jax.models.transformer import Execution
from tests.helpers import eight_heads
from tests.helpers.compiling import fast_jit
from tests.helpers.fast_models import fast_logits

# head_dim is not D / H, and no two sizes agree: a mixed-up axis shows.
LLAMA = ModelConfig(
    model_type="llama",
    vocab_size=13,
    d_model=16,
    num_layers=3,
    num_heads=4,
    num_kv_heads=2,
    head_dim=6,
    d_ff=20,
    rope=Rope(100.0),
    norm_eps=1e-5,
    is_tied=False,
    max_positions=64,
)
GEMMA = eight_heads.CONFIG
BIASED = dataclasses.replace(
    LLAMA, has_qkv_bias=True, has_output_bias=True, qk_norm=QkNorm.PROJECTION
)
MATRICES = ("query", "key", "value", "output", "gate", "up", "down")
RANK, SCALE = 3, 1.7
# Rows padded on the left, on the right, and in between.
MASK = np.array(
    [[0, 0, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0], [1, 0, 1, 1, 0, 1]], bool
)
TOKENS = np.arange(18).reshape(3, 6) * 5 % 11


@functools.cache
def _params(config):
  """Noise everywhere, so that no norm is a vector of ones."""
  params = transformer.init_params(jax.random.key(0), config)
  leaves, structure = jax.tree.flatten(params)
  rng = np.random.default_rng(0)
  return structure.unflatten(
      jnp.asarray(0.4 * rng.normal(size=x.shape), x.dtype) for x in leaves
  )


@functools.cache
def _adapted(config, rank=RANK):
  """Factors of which none is zero."""
  factors = lora.init_factors(
      jax.random.key(1), _params(config)["layers"], rank
  )
  rng = np.random.default_rng(1)
  factors = {
      name: f + jnp.asarray(0.3 * rng.normal(size=f.shape), f.dtype)
      for name, f in factors.items()
  }
  return Adapted(_params(config), factors, SCALE)


def _product(a, b):
  """A B of all layers, in float64."""
  flat = np.einsum(
      "lik,lko->lio",
      np.asarray(a, np.float64).reshape(len(a), -1, a.shape[-1]),
      np.asarray(b, np.float64).reshape(len(b), b.shape[1], -1),
  )
  return flat.reshape(*a.shape[:-1], *b.shape[2:])


def _merged(adapted):
  """Parameters with W + scale A B, made without the module under test."""
  layers = dict(adapted.frozen["layers"])
  for name in MATRICES:
    a, b = (adapted.factors[f"{name}_lora_{x}"] for x in "ab")
    update = SCALE * _product(a, b)
    layers[name] = jnp.asarray(np.asarray(layers[name]) + update, jnp.float32)
  return {**adapted.frozen, "layers": layers}


def _loss(params, weights):
  logprobs = policy.token_logprobs(params, LLAMA, TOKENS, MASK)
  return jnp.sum(logprobs * weights)


def _weights():
  return np.random.default_rng(2).normal(size=(3, 5)).astype(np.float32)


class ForwardTest(parameterized.TestCase):

  @parameterized.parameters((LLAMA,), (GEMMA,), (BIASED,))
  def test_factors_are_as_good_as_merged_matrices(self, config):
    adapted = _adapted(config)
    found = fast_logits(adapted.params, config, TOKENS, MASK)
    expected = fast_logits(_merged(adapted), config, TOKENS, MASK)
    np.testing.assert_allclose(found[MASK], expected[MASK], atol=1e-5)
    base = fast_logits(_params(config), config, TOKENS, MASK)
    self.assertGreater(np.abs(found - base)[MASK].max(), 0.1)

  @parameterized.parameters(*MATRICES)
  def test_every_matrix_has_factors(self, name):
    adapted = _adapted(LLAMA)
    b = f"{name}_lora_b"
    without = {**adapted.factors, b: jnp.zeros_like(adapted.factors[b])}
    found = fast_logits(
        Adapted(adapted.frozen, without, SCALE).params, LLAMA, TOKENS, MASK
    )
    whole = fast_logits(adapted.params, LLAMA, TOKENS, MASK)
    self.assertGreater(np.abs(found - whole)[MASK].max(), 1e-3)

  def test_a_new_adapter_changes_no_bit(self):
    factors = lora.init_factors(
        jax.random.key(1), _params(LLAMA)["layers"], RANK
    )
    adapted = Adapted(_params(LLAMA), factors, SCALE)
    np.testing.assert_array_equal(
        fast_logits(adapted.params, LLAMA, TOKENS, MASK),
        fast_logits(_params(LLAMA), LLAMA, TOKENS, MASK),
    )
    copy = decoding.make_copy(LLAMA, None, None)
    jax.tree.map(
        np.testing.assert_array_equal, copy(adapted), copy(_params(LLAMA))
    )

  def test_new_factors_are_random_within_the_bound_and_zero(self):
    stack = _params(LLAMA)["layers"]
    factors = lora.init_factors(jax.random.key(1), stack, RANK)
    self.assertLen(factors, 2 * len(MATRICES))
    for name in MATRICES:
      a, b = (factors[f"{name}_lora_{x}"] for x in "ab")
      inputs = math.prod(a.shape[1:-1])
      self.assertEqual((*a.shape[:-1], *b.shape[2:]), stack[name].shape, name)
      self.assertEqual((a.shape[-1], b.shape[1]), (RANK, RANK))
      self.assertLessEqual(np.abs(a).max(), inputs**-0.5)
      self.assertGreater(np.abs(a).max(), 0.9 * inputs**-0.5)
      self.assertLess(abs(np.mean(a)), 0.2 * inputs**-0.5)
      np.testing.assert_array_equal(b, 0)
    self.assertFalse(
        np.array_equal(factors["gate_lora_a"], factors["up_lora_a"])
    )

  def test_full_rank_gives_any_update(self):
    rng = np.random.default_rng(3)
    layers, factors = dict(_params(LLAMA)["layers"]), {}
    for name in MATRICES:
      shape = layers[name].shape
      a, b = (f.shape for f in _factor_shapes(name, rank=24))
      update = 0.3 * rng.normal(size=shape)
      flat = update.reshape(a[0], math.prod(a[1:-1]), -1)
      u, s, vt = np.linalg.svd(flat, full_matrices=False)
      rest = 24 - s.shape[-1]
      left = np.pad(u * s[:, None], ((0, 0), (0, 0), (0, rest))) / SCALE
      factors[f"{name}_lora_a"] = jnp.asarray(left.reshape(a), jnp.float32)
      right = np.pad(vt, ((0, 0), (0, rest), (0, 0)))
      factors[f"{name}_lora_b"] = jnp.asarray(right.reshape(b), jnp.float32)
      layers[name] = layers[name] + jnp.asarray(update, jnp.float32)
    adapted = Adapted(_params(LLAMA), factors, SCALE)
    np.testing.assert_allclose(
        fast_logits(adapted.params, LLAMA, TOKENS, MASK)[MASK],
        fast_logits({**_params(LLAMA), "layers": layers}, LLAMA, TOKENS, MASK)[
            MASK
        ],
        atol=3e-5,
    )


def _factor_shapes(name, rank):
  factors = jax.eval_shape(
      lambda: lora.init_factors(
          jax.random.key(0), _params(LLAMA)["layers"], rank
      )
  )
  return [factors[f"{name}_lora_{x}"] for x in "ab"]


class MergeTest(parameterized.TestCase):

  @parameterized.parameters((LLAMA,), (GEMMA,))
  def test_the_samplers_copy_is_merged(self, config):
    adapted = _adapted(config)
    copy = decoding.make_copy(config, None, None)
    found, expected = copy(adapted), copy(_merged(adapted))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6),
        found,
        expected,
    )

  def test_the_sum_is_rounded_once(self):
    adapted = _adapted(LLAMA)
    frozen = transformer.cast(adapted.frozen, jnp.bfloat16)
    copy = decoding.make_copy(LLAMA, jnp.bfloat16, None)
    found = copy(Adapted(frozen, adapted.factors, SCALE))["layers"][1]["gate"]
    self.assertEqual(found.dtype, jnp.bfloat16)
    a, b = (
        np.asarray(factor.astype(jnp.bfloat16)[1], np.float32)
        for factor in (
            SCALE * adapted.factors["gate_lora_a"],
            adapted.factors["gate_lora_b"],
        )
    )
    whole = np.asarray(frozen["layers"]["gate"][1], np.float32) + a @ b
    np.testing.assert_array_equal(found, jnp.asarray(whole, jnp.bfloat16))


class GradientTest(absltest.TestCase):

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.adapted, cls.weights = _adapted(LLAMA), _weights()

    def loss(factors):
      adapted = Adapted(cls.adapted.frozen, factors, SCALE)
      return _loss(adapted.params, cls.weights)

    cls.loss = staticmethod(fast_jit(loss))
    cls.gradient = fast_jit(jax.grad(loss))(cls.adapted.factors)

  def test_it_follows_from_that_of_merged_matrices(self):
    full = fast_jit(jax.grad(_loss))(_merged(self.adapted), self.weights)
    for name in MATRICES:
      a, b = (self.adapted.factors[f"{name}_lora_{x}"] for x in "ab")
      flat = np.asarray(full["layers"][name], np.float64).reshape(
          len(a), math.prod(a.shape[1:-1]), -1
      )
      flat_a = np.asarray(a, np.float64).reshape(len(a), -1, RANK)
      flat_b = np.asarray(b, np.float64).reshape(len(b), RANK, -1)
      expected_a = SCALE * np.einsum("lio,lko->lik", flat, flat_b)
      expected_b = SCALE * np.einsum("lik,lio->lko", flat_a, flat)
      for x, expected in (("a", expected_a), ("b", expected_b)):
        found = self.gradient[f"{name}_lora_{x}"]
        np.testing.assert_allclose(
            found, expected.reshape(found.shape), rtol=1e-3, atol=2e-5
        )
        self.assertGreater(np.abs(expected).max(), 1e-2)

  def test_it_is_the_slope(self):
    for name, gradient in self.gradient.items():
      step = 2e-3 * gradient / jnp.linalg.norm(gradient)
      up, down = (
          self.loss({**self.adapted.factors, name: moved})
          for moved in (
              self.adapted.factors[name] + step,
              self.adapted.factors[name] - step,
          )
      )
      slope = (up - down) / 4e-3
      np.testing.assert_allclose(slope, jnp.linalg.norm(gradient), rtol=2e-2)

  def test_no_gradient_of_a_matrix_is_made(self):
    matrices = {_params(LLAMA)["layers"][name].shape[1:] for name in MATRICES}

    def shapes(remat):
      execution = Execution(remat=remat)

      def loss(adapted_factors, frozen):
        params = Adapted(frozen, adapted_factors, SCALE).params
        return jnp.sum(
            policy.token_logprobs(
                params, LLAMA, TOKENS, MASK, execution=execution
            )
        )

      args = self.adapted.factors, self.adapted.frozen
      return (
          _products(jax.make_jaxpr(jax.grad(loss))(*args).jaxpr),
          _products(jax.make_jaxpr(jax.grad(loss, argnums=1))(*args).jaxpr),
      )

    for remat in ("none", "dots", "full"):
      ours, full = shapes(remat)
      self.assertEmpty({tuple(sorted(m)) for m in matrices} & ours, remat)
      self.assertNotEmpty({tuple(sorted(m)) for m in matrices} & full, remat)


def _products(jaxpr):
  """Shapes of all matrix products of a program, in whatever order of axes."""
  found = set()
  for equation in jaxpr.eqns:
    if equation.primitive.name == "dot_general":
      found.add(tuple(sorted(equation.outvars[0].aval.shape)))
    for value in equation.params.values():
      for item in value if isinstance(value, tuple | list) else (value,):
        if isinstance(item, core.ClosedJaxpr):
          found |= _products(item.jaxpr)
        elif isinstance(item, core.Jaxpr):
          found |= _products(item)
  return found


if __name__ == "__main__":
  absltest.main()
