"""Counted operations against counts by hand."""

import dataclasses

from absl.testing import absltest
from absl.testing import parameterized
import jax
from jax import lax
from jax.experimental import pallas as pl
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P

from score_jax.models import transformer
from score_jax.models.config import ModelConfig
from score_jax.models.config import Rope
from score_jax.plan import flops

X = jax.ShapeDtypeStruct((3, 5), jnp.float32)
W = jax.ShapeDtypeStruct((5, 5), jnp.float32)
ONE = 2 * 3 * 5 * 5  # of x @ w

CONFIG = ModelConfig(
    model_type="llama",
    vocab_size=40,
    d_model=24,
    num_layers=3,
    num_heads=4,
    num_kv_heads=2,
    head_dim=6,
    d_ff=32,
    rope=Rope(100.0),
    norm_eps=1e-6,
    is_tied=True,
    max_positions=64,
)
ROWS, LENGTH = 2, 8


def _scan(x, w):
  return lax.scan(lambda c, _: (c @ w, None), x, None, length=7)[0]


def _until(x, w):
  """Two products in each iteration, and one in each question."""

  def body(c):
    return lax.fori_loop(0, 2, lambda _, c: c @ w, c)

  return lax.while_loop(lambda c: jnp.sum(c @ w) > 0, body, x @ w)


@jax.custom_vjp
def _custom(x, w):
  return x @ w


_custom.defvjp(
    lambda x, w: (x @ w, w), lambda w, g: (g @ w.T @ w, jnp.zeros_like(w))
)


class PrimitivesTest(parameterized.TestCase):

  @parameterized.named_parameters(
      ("product", lambda x, w: x @ w, 1),
      ("transposed", lambda x, w: jnp.einsum("ij,kj->ki", x, w), 1),
      ("jit", lambda x, w: jax.jit(jnp.dot)(x, w) @ w, 2),
      ("scan", _scan, 7),
      ("loop", lambda x, w: lax.fori_loop(2, 6, lambda _, c: c @ w, x), 4),
      ("map", lambda x, w: lax.map(lambda _: x @ w, jnp.arange(5)), 5),
      (
          "scan_in_scan",
          lambda x, w: lax.scan(lambda c, _: (_scan(c, w), None), x, None, 2),
          14,
      ),
      (
          "the_dearest_branch",
          lambda x, w: lax.cond(
              x[0, 0] > 0, lambda: x @ w @ w, lambda: x @ w @ w @ w
          ),
          3,
      ),
      (
          "the_dearest_branch_first",
          lambda x, w: lax.cond(
              x[0, 0] > 0, lambda: x @ w @ w @ w, lambda: x @ w @ w
          ),
          3,
      ),
      ("gradient", jax.grad(lambda x, w: jnp.sum((x @ w) ** 2)), 2),
      (
          "recomputed",
          jax.grad(
              jax.checkpoint(lambda x, w: jnp.sum(jnp.sin(jnp.sin(x @ w) @ w)))
          ),
          # x @ w @ w, x @ w again, and the gradients of both. What the last
          # product is needed for is its own gradient: it is computed again too.
          6,
      ),
      ("custom_gradient", _custom, 1),
      (
          "gradient_of_custom_gradient",
          jax.grad(lambda x, w: jnp.sum(_custom(x, w))),
          3,
      ),
  )
  def test_products(self, function, products):
    found = flops.matmul_flops(function, X, W)
    self.assertEqual(found.total, products * ONE)
    self.assertEqual(found.per_iteration, 0)
    self.assertEmpty(found.uncounted)

  def test_batched_product_with_two_summed_axes(self):
    left = jax.ShapeDtypeStruct((2, 3, 4, 5), jnp.float32)
    right = jax.ShapeDtypeStruct((2, 4, 5, 7), jnp.float32)
    found = flops.matmul_flops(
        lambda a, b: jnp.einsum("bmij,bijn->bmn", a, b), left, right
    )
    self.assertEqual(found.total, 2 * 2 * 3 * 7 * 4 * 5)

  def test_loop_that_values_end_counts_one_iteration(self):
    found = flops.matmul_flops(_until, X, W)
    self.assertEqual(found.total, ONE)
    self.assertEqual(found.per_iteration, 3 * ONE)

  def test_times_of_a_loop_that_values_end(self):
    found = flops.matmul_flops(
        lambda x, w: lax.map(lambda _: _until(x, w), jnp.arange(4)), X, W
    )
    self.assertEqual(found.total, 4 * ONE)
    self.assertEqual(found.per_iteration, 12 * ONE)

  def test_parts_of_all_devices_count(self):
    mesh = jax.make_mesh(
        (2, 4), ("a", "b"), axis_types=(jax.sharding.AxisType.Auto,) * 2
    )
    w = jax.ShapeDtypeStruct((5, 8), jnp.float32)
    for axes, spec, parts in (
        ({"a", "b"}, P(None, "b"), 2),  # every product on both devices of a
        ({"b"}, P(None, "b"), 1),
    ):
      with jax.set_mesh(mesh):
        found = flops.matmul_flops(
            jax.shard_map(
                jnp.dot,
                in_specs=(P(), spec),
                out_specs=spec,
                axis_names=axes,
                check_vma=False,
            ),
            X,
            w,
        )
      self.assertEqual(found.total, parts * 2 * 3 * 5 * 8)

  def test_kernels_are_named_and_not_counted(self):
    def double(x_ref, y_ref):
      y_ref[...] = 2 * x_ref[...]

    kernel = pl.pallas_call(double, out_shape=X, interpret=True, name="double")
    found = flops.matmul_flops(lambda x, w: kernel(kernel(x)) @ w, X, W)
    self.assertEqual(found.total, ONE)
    self.assertEqual(dict(found.uncounted), {"double": 2})


class DecoderTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.params = jax.eval_shape(
        lambda: transformer.init_params(jax.random.key(0), CONFIG)
    )
    self.tokens = jax.ShapeDtypeStruct((ROWS, LENGTH), jnp.int32)
    self.mask = jax.ShapeDtypeStruct((ROWS, LENGTH), bool)
    # N: elements of all matrices; the tied table is used once, for the logits.
    sizes = [p.size for p in jax.tree.leaves(self.params) if p.ndim > 1]
    norms = 2 * CONFIG.num_layers * CONFIG.d_model  # stacked, not multiplied
    self.weights = sum(sizes) - norms
    # Scores and mixtures: queries x keys x head_dim, of every head and layer.
    self.attention = (
        2 * 2 * CONFIG.num_layers * ROWS * CONFIG.num_heads * LENGTH**2 * 6
    )

  def _logits(self, params, tokens, mask):
    return transformer.logits(params, CONFIG, tokens, mask)

  def test_forward_is_2_n_tokens_and_attention(self):
    found = flops.matmul_flops(
        self._logits, self.params, self.tokens, self.mask
    )
    expected = 2 * self.weights * ROWS * LENGTH + self.attention
    self.assertEqual(found.total, expected)

  def test_gradient_is_three_times_that(self):
    def loss(*args):
      return jnp.mean(jnp.square(self._logits(*args)))

    found = flops.matmul_flops(
        jax.grad(loss), self.params, self.tokens, self.mask
    )
    expected = 6 * self.weights * ROWS * LENGTH + 3 * self.attention
    self.assertEqual(found.total, expected)

  def test_more_layers(self):
    config = dataclasses.replace(CONFIG, num_layers=6)
    shapes = jax.eval_shape(
        lambda: transformer.init_params(jax.random.key(0), config)
    )
    counts = [
        flops.matmul_flops(
            lambda p, t, m, c=c: transformer.hidden_states(p, c, t, m),
            params,
            self.tokens,
            self.mask,
        ).total
        for c, params in ((CONFIG, self.params), (config, shapes))
    ]
    self.assertEqual(counts[1], 2 * counts[0])


if __name__ == "__main__":
  absltest.main()
