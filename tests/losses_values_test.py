"""Masks of score_jax.losses, and its values by hand."""

import itertools

from absl.testing import absltest
from absl.testing import parameterized
import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from score_jax import losses
from score_jax import shaping
from tests.helpers.compiling import fast_jit
from tests.helpers.loss_cases import BETA1
from tests.helpers.loss_cases import COEFS
from tests.helpers.loss_cases import Case
from tests.helpers.loss_cases import Float64TestCase
from tests.helpers.loss_cases import named


def _all_losses(logprobs, ref_logprobs, token_kl, ids, advantages, reduce):
  """Every scalar that the library can make of these arrays, by name."""
  kl = {
      "exact": losses.exact_kl(token_kl, logprobs, ids, 2, reduce=reduce),
      "k2": losses.k2_kl(logprobs, ref_logprobs, ids, 2, reduce=reduce),
      "per_position": losses.per_position_kl(token_kl, ids, 2, reduce=reduce),
  }
  k1 = shaping.sequence_kl_k1(logprobs, ref_logprobs, ids, 2)
  shaped = shaping.stage1_rewards(advantages, k1, **COEFS)
  values = {
      "k1_in_reward": losses.reinforce_loss(
          logprobs, ids, shaped, reduce=reduce
      )
  }
  for name in kl:
    values[name] = losses.stage1_loss(
        logprobs, ids, advantages, kl[name], **COEFS, reduce=reduce
    )
  values["stage2_exact"] = losses.stage2_loss(
      logprobs, ids, advantages, kl["exact"], kl_coef=BETA1, reduce=reduce
  )
  return values


NAMES = ("k1_in_reward", "exact", "k2", "per_position", "stage2_exact")
REDUCE = {"sums": shaping.attempt_sums, "means": shaping.attempt_means}


@fast_jit
def _all_values_and_grads(arrays, ids, advantages):
  """{(name, reduce): (loss, its gradient by each per-token array)}."""

  def value_and_grad(name, reduce):
    def loss(arrays):
      return _all_losses(
          **arrays, ids=ids, advantages=advantages, reduce=REDUCE[reduce]
      )[name]

    return jax.value_and_grad(loss)(arrays)

  return {
      f"{name}_{reduce}": value_and_grad(name, reduce)
      for name, reduce in itertools.product(NAMES, REDUCE)
  }


class MaskTest(Float64TestCase):
  """Only tokens that the model wrote count, whatever lies around."""

  def setUp(self):
    super().setUp()
    case = self.case = Case(2, "free")
    self.arrays = {
        "logprobs": case.logprobs(case.params),
        "ref_logprobs": case.ref_logprobs,
        "token_kl": case.token_kl(case.params),
    }
    self.advantages = np.random.default_rng(2).normal(size=case.rewards.shape)

  def _value_and_grad(self, name, reduce, arrays=None, ids=None, rows=None):
    """The loss and its gradient by each per-token array."""
    return _all_values_and_grads(
        self.arrays if arrays is None else arrays,
        self.case.ids if ids is None else ids,
        self.advantages if rows is None else self.advantages[rows],
    )[f"{name}_{reduce}"]

  @parameterized.named_parameters(named(NAMES, REDUCE))
  def test_values_outside_the_attempts_are_not_read(self, name, reduce):
    expected = self._value_and_grad(name, reduce)
    is_outside = self.case.ids[:, 1:] == 0
    for poison in (np.nan, np.inf, -np.inf, 1e300):
      poisoned = {
          key: jnp.where(is_outside, poison, array)
          for key, array in self.arrays.items()
      }
      with self.subTest(str(poison)):
        actual = self._value_and_grad(name, reduce, poisoned)
        chex.assert_trees_all_close(actual, expected, rtol=1e-12)
        chex.assert_tree_all_finite(actual)

  @parameterized.named_parameters(named(NAMES, REDUCE))
  def test_padding_columns_change_nothing(self, name, reduce):
    expected = self._value_and_grad(name, reduce)
    columns = ((0, 0), (3, 2))
    padded = {
        key: jnp.pad(array, columns, constant_values=-5.0)
        for key, array in self.arrays.items()
    }
    ids = np.pad(self.case.ids, columns)
    value, gradient = self._value_and_grad(name, reduce, padded, ids)
    chex.assert_trees_all_close(value, expected[0], rtol=1e-12)
    for key in gradient:
      chex.assert_trees_all_close(
          gradient[key][:, 3:-2], expected[1][key], rtol=1e-12
      )
      self.assertFalse(np.any(gradient[key][:, :3]))
      self.assertFalse(np.any(gradient[key][:, -2:]))

  @parameterized.named_parameters(named(NAMES, REDUCE))
  def test_order_of_rows_changes_nothing(self, name, reduce):
    expected = self._value_and_grad(name, reduce)
    rows = np.random.default_rng(3).permutation(len(self.advantages))
    permuted = {key: array[rows] for key, array in self.arrays.items()}
    value, gradient = self._value_and_grad(
        name, reduce, permuted, self.case.ids[rows], rows
    )
    chex.assert_trees_all_close(value, expected[0], rtol=1e-12)
    chex.assert_trees_all_close(
        gradient, {k: g[rows] for k, g in expected[1].items()}, rtol=1e-12
    )

  @parameterized.named_parameters(named(NAMES, REDUCE))
  @pytest.mark.slow
  def test_attempts_without_tokens_are_finite(self, name, reduce):
    ids = self.case.ids.copy()
    ids[::3][ids[::3] == 1] = 0
    ids[1::3][ids[1::3] == 2] = 0
    ids[5] = 0
    chex.assert_tree_all_finite(self._value_and_grad(name, reduce, ids=ids))
    value, gradient = self._value_and_grad(name, reduce, ids=0 * ids)
    self.assertEqual(value, 0.0)
    self.assertFalse(any(np.any(g) for g in gradient.values()))


class ReinforceLossTest(parameterized.TestCase):
  """Numbers by hand: two rows, the first with attempts of 2 and 1 tokens."""

  LOGPROBS = jnp.array([[-1.0, -2.0, -9.0, -4.0], [-9.0, -0.5, -9.0, -3.0]])
  IDS = np.array([[0, 1, 1, 0, 2], [0, 0, 1, 0, 2]])
  ADVANTAGES = jnp.array([[2.0, -1.0], [4.0, 3.0]])

  def test_sums(self):
    # Row 0: 2 (-1 - 2) - (-4) = -2; row 1: 4 (-.5) + 3 (-3) = -11.
    loss = losses.reinforce_loss(self.LOGPROBS, self.IDS, self.ADVANTAGES)
    self.assertEqual(loss, 6.5)

  def test_means(self):
    # Row 0: 2 (-1.5) - (-4) = 1; row 1 is as with sums.
    loss = losses.reinforce_loss(
        self.LOGPROBS,
        self.IDS,
        self.ADVANTAGES,
        reduce=shaping.attempt_means,
    )
    self.assertEqual(loss, 5.0)

  def test_gradient_per_token(self):
    gradient = jax.grad(losses.reinforce_loss)(
        self.LOGPROBS, self.IDS, self.ADVANTAGES
    )
    # -advantage / 2 rows, also at the last token of an attempt (EOS).
    expected = [[-1.0, -1.0, 0.0, 0.5], [0.0, -2.0, 0.0, -1.5]]
    chex.assert_trees_all_equal(gradient, jnp.array(expected))

  def test_advantages_per_token_are_refused(self):
    with self.assertRaises((AssertionError, ValueError)):
      losses.reinforce_loss(self.LOGPROBS, self.IDS, self.ADVANTAGES[:, 0])

  def test_integer_advantages_are_refused(self):
    with self.assertRaises(AssertionError):
      losses.reinforce_loss(
          self.LOGPROBS, self.IDS, self.ADVANTAGES.astype(jnp.int32)
      )


class KlEstimatorsTest(parameterized.TestCase):
  """Numbers by hand: one row, attempts of three tokens and of one."""

  IDS = np.array([[0, 1, 1, 1, 0, 2]])
  LOGPROBS = jnp.array([[-1.0, -2.0, -3.0, -7.0, -4.0]])
  REF_LOGPROBS = jnp.array([[-1.5, -1.0, -5.0, -9.0, -2.0]])
  TOKEN_KL = jnp.array([[0.25, 0.5, 1.0, 8.0, 2.0]])

  def test_exact_kl(self):
    value, gradients = jax.value_and_grad(
        lambda kl, logp: jnp.sum(losses.exact_kl(kl, logp, self.IDS, 2)),
        argnums=(0, 1),
    )(self.TOKEN_KL, self.LOGPROBS)
    # KLs 1.75 + 2; later KLs of the first attempt are 1.5, 1 and 0.
    self.assertEqual(value, 3.75 - 1.0 * 1.5 - 2.0 * 1.0)
    chex.assert_trees_all_equal(
        gradients,
        (
            jnp.array([[1.0, 1.0, 1.0, 0.0, 1.0]]),
            jnp.array([[1.5, 1.0, 0.0, 0.0, 0.0]]),
        ),
    )

  def test_k2_kl(self):
    gradient = jax.grad(
        lambda p: jnp.sum(losses.k2_kl(p, self.REF_LOGPROBS, self.IDS, 2))
    )(self.LOGPROBS)
    # Log-ratios are .5, -1, 2 and -2; a token gets its own and the later ones.
    chex.assert_trees_all_equal(
        gradient, jnp.array([[1.5, 1.0, 2.0, 0.0, -2.0]])
    )

  def test_per_position_kl(self):
    chex.assert_trees_all_equal(
        losses.per_position_kl(self.TOKEN_KL, self.IDS, 2),
        jnp.array([[1.75, 2.0]]),
    )
    chex.assert_trees_all_close(
        losses.per_position_kl(
            self.TOKEN_KL, self.IDS, 2, reduce=shaping.attempt_means
        ),
        jnp.array([[1.75 / 3, 2.0]]),
    )


class SftLossTest(parameterized.TestCase):

  LOGPROBS = jnp.array([[-1.0, -2.0, -4.0], [-8.0, -3.0, -16.0]])
  WEIGHTS = jnp.array([[1.0, 0.5, 0.0], [0.0, 2.0, 0.0]])

  def test_is_the_weighted_sum_averaged_over_rows(self):
    # Row 0: -1 - 1 = -2; row 1: -6.
    self.assertEqual(losses.sft_loss(self.LOGPROBS, self.WEIGHTS), 4.0)

  def test_tokens_without_weight_get_no_gradient(self):
    gradient = jax.grad(losses.sft_loss)(self.LOGPROBS, self.WEIGHTS)
    chex.assert_trees_all_equal(gradient, -self.WEIGHTS / 2)

  @parameterized.parameters(np.nan, np.inf, -np.inf)
  def test_tokens_without_weight_are_not_read(self, poison):
    logprobs = jnp.where(self.WEIGHTS == 0, poison, self.LOGPROBS)
    loss, gradient = jax.value_and_grad(losses.sft_loss)(logprobs, self.WEIGHTS)
    self.assertEqual(loss, 4.0)
    chex.assert_trees_all_equal(gradient, -self.WEIGHTS / 2)


if __name__ == "__main__":
  absltest.main()
