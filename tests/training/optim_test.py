"""Tests of score_jax.training.optim."""

from absl.testing import absltest
from absl.testing import parameterized
import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax

from score_jax.training import optim

LEARNING_RATE = 1e-2


def _updates(optimizer, gradients):
  """What the optimiser adds to the parameters for each gradient in turn."""
  state = optimizer.init(gradients[0])
  update = jax.jit(optimizer.update)
  results = []
  for gradient in gradients:
    result, state = update(gradient, state)
    results.append(result)
  return results


def _optimizer(*, warmup_steps=0, max_grad_norm=1e9):
  return optim.make_optimizer(
      learning_rate=LEARNING_RATE,
      warmup_steps=warmup_steps,
      max_grad_norm=max_grad_norm,
  )


class WarmupTest(parameterized.TestCase):
  """Adam moves by the learning rate where the gradient is constant."""

  @parameterized.parameters(
      (0, [1, 1, 1, 1]),
      (1, [1 / 2, 1, 1, 1]),
      (3, [1 / 4, 2 / 4, 3 / 4, 1, 1, 1]),
  )
  def test_learning_rate_rises_linearly_and_stays(self, warmup, fractions):
    gradient = jnp.array([3.0, -2.0])
    updates = _updates(
        _optimizer(warmup_steps=warmup), [gradient] * len(fractions)
    )
    for update, fraction in zip(updates, fractions, strict=True):
      expected = LEARNING_RATE * fraction * jnp.array([-1.0, 1.0])
      chex.assert_trees_all_close(update, expected, rtol=1e-4)

  def test_first_step_moves(self):
    """A warm-up from 0 would waste the first batch."""
    (update,) = _updates(_optimizer(warmup_steps=100), [jnp.array([1.0])])
    self.assertLess(update[0], 0.0)


class ClippingTest(parameterized.TestCase):

  # Norm of the whole tree 13, of its leaves 5 and 12.
  BIG = {"a": np.array([3.0, 4.0], np.float32), "b": np.float32(12.0)}
  SMALL = {"a": np.array([0.3, -0.4], np.float32), "b": np.float32(0.1)}

  def test_large_gradients_are_scaled_to_the_global_norm(self):
    # Adam forgets the scale of the first gradient, not of the later ones.
    gradients = [self.BIG, self.SMALL, self.BIG, self.SMALL]
    clipped = [
        jax.tree.map(lambda g: g / 13, self.BIG),
        self.SMALL,  # its norm is .51
    ] * 2
    actual = _updates(_optimizer(max_grad_norm=1.0), gradients)
    expected = _updates(optax.adam(LEARNING_RATE), clipped)
    chex.assert_trees_all_close(actual, expected, rtol=1e-4)

  def test_clipping_changes_the_updates(self):
    gradients = [self.BIG, self.SMALL]
    clipped = _updates(_optimizer(max_grad_norm=1.0), gradients)[1]
    free = _updates(_optimizer(), gradients)[1]
    self.assertGreater(float(jnp.max(jnp.abs(clipped["a"] - free["a"]))), 1e-3)

  def test_zero_gradient_is_no_update(self):
    zeros = jax.tree.map(np.zeros_like, self.BIG)
    (update,) = _updates(_optimizer(max_grad_norm=1.0), [zeros])
    chex.assert_trees_all_equal(update, zeros)


if __name__ == "__main__":
  absltest.main()
