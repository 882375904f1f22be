"""Proofs for shared and for offline first attempts, by listing all outcomes.

The objectives are those of losses_test.py. Here the episodes of a batch are not
independent draws of the policy: several corrections share a first attempt, or
another policy wrote the first attempt.
"""

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
from tests.helpers import enumerable
from tests.helpers.compiling import fast_jit
from tests.helpers.loss_cases import ALPHA
from tests.helpers.loss_cases import BETA1
from tests.helpers.loss_cases import Case
from tests.helpers.loss_cases import Float64TestCase
from tests.helpers.loss_cases import named


class Bandit(Case):
  """Half of first attempts are right, and half of second ones after each.

  All second attempts are of one distribution with one set of parameters: first
  attempts do not differ in what they teach.
  """

  def __init__(self):
    self.model = enumerable.TwoAttempts(vocab_size=2, max_tokens=1)
    self.params = self.ref_params = np.zeros((2, 2))
    self.logits = lambda params: params[np.array([0, 1, 1])]
    self.rewards = self.model.rewards(np.array([False, True]))
    self.ids = self.model.attempt_ids


def _groups(count, samples, corrections):
  """Episodes int[M, K] of every outcome of one problem.

  Args:
    count: N completions.
    samples: K.
    corrections: K2; with 1 all episodes are independent.
  """
  distinct = samples // corrections
  axes = [range(count)] * (distinct + samples)
  drawn = np.array(list(itertools.product(*axes)))
  first, second = np.split(drawn, [distinct], axis=1)
  return np.repeat(first, corrections, axis=1) * count + second


def _probabilities(case, params, groups, corrections):
  """float[M], of every outcome."""
  first, second = case.model.split(
      jnp.exp(case.model.completion_logprobs(case.logits(params)))
  )
  y1, y2 = np.divmod(groups, len(case.model.completions))
  return jnp.prod(first[y1[:, ::corrections]], axis=1) * jnp.prod(
      second[y1, y2], axis=1
  )


def _advantages(shaped, corrections):
  if corrections == 1:
    return shaping.leave_one_out(shaped)
  return shaping.conditional_leave_one_out(shaped, corrections)


def _stage2_shaped(case, bonus_coef=ALPHA):
  """Shaped rewards of every episode, with the KL in them."""
  difference = case.logprobs(case.params) - case.ref_logprobs
  kl = shaping.attempt_sums(difference, case.ids, 2)
  return shaping.stage2_rewards(
      jnp.asarray(case.rewards), kl, kl_coef=BETA1, bonus_coef=bonus_coef
  )


def _exact_gradient(case):
  """Of -E[r_1 - beta1 KL_1] - E[r_2 + alpha (r_2 - r_1) - beta1 KL_2]."""
  r1, r2 = case.rewards.T
  shaped = np.stack([r1, (1 + ALPHA) * r2 - ALPHA * r1], axis=1)

  def objective(params):
    rewards = case.attempt_rewards(shaped, params, case.params)
    return -sum(rewards) + BETA1 * sum(case.attempt_kls(params, case.params))

  return fast_jit(jax.grad(objective))(case.params)


def _outcome_gradients(case, samples, corrections, ids, bonus_coef=ALPHA):
  """Gradient float[M, P] and probability float[M] of every outcome.

  Args:
    case: the model.
    samples: K.
    corrections: K2.
    ids: attempt_ids of the episodes.
    bonus_coef: alpha.
  """
  groups = _groups(len(case.model.completions), samples, corrections)
  advantages = _advantages(
      _stage2_shaped(case, bonus_coef)[groups], corrections
  )

  def loss(params, group, advantages):
    return losses.reinforce_loss(
        case.logprobs(params)[group], jnp.asarray(ids)[group], advantages
    )

  gradients = jax.vmap(jax.grad(loss), (None, 0, 0))
  gradients = fast_jit(gradients)(case.params, groups, advantages)
  return (
      gradients.reshape(len(groups), -1),
      _probabilities(case, case.params, groups, corrections),
  )


def _variance(gradients, probabilities):
  """Trace of the covariance."""
  mean = probabilities @ gradients
  return probabilities @ jnp.sum(jnp.square(gradients - mean[None]), axis=1)


class SharedFirstAttemptsTest(Float64TestCase):

  @parameterized.named_parameters(named([(1, "free"), (3, "shared")]))
  @pytest.mark.slow
  def test_conditional_baseline_is_unbiased(self, max_tokens, policy):
    case = Case(max_tokens, policy)
    gradients, probabilities = _outcome_gradients(case, 4, 2, case.ids)
    self.assertAlmostEqual(float(jnp.sum(probabilities)), 1.0)
    self.assert_equal_gradients(
        (probabilities @ gradients).reshape(case.params.shape),
        _exact_gradient(case),
    )

  @pytest.mark.slow
  def test_the_plain_baseline_estimates_the_same(self):
    """So their variances, below, can be compared."""
    case = Case(1, "free")
    gradients, probabilities = _outcome_gradients(case, 4, 1, case.ids)
    self.assert_equal_gradients(
        (probabilities @ gradients).reshape(case.params.shape),
        _exact_gradient(case),
    )

  @parameterized.parameters((2, 4, 0.542), (2, 2, 1.131), (4, 2, 1.626))
  @pytest.mark.slow
  def test_variance_of_attempt_2_falls_with_enough_corrections(
      self, distinct, corrections, expected
  ):
    """At equal K = K1 K2.

    The noise of -alpha r_1 goes, that of a mean over K2 - 1 others instead of
    K - 1 comes: two corrections are too few even where nothing else is lost.
    """
    ratio = self._variance_ratio(Bandit(), distinct * corrections, corrections)
    print(f"K1 {distinct} K2 {corrections}: {ratio:.3f} of the plain variance")
    self.assertAlmostEqual(ratio, expected, places=3)

  @pytest.mark.slow
  def test_variance_rises_where_first_attempts_teach_different_things(self):
    """Fewer of them are seen. Measured: 1.37."""
    self.assertGreater(self._variance_ratio(Case(1, "free"), 4, 2), 1.3)

  @pytest.mark.slow
  def test_no_noise_of_the_first_reward_is_left(self):
    """In each outcome, not in the mean: 1 + alpha times the plain gradient."""
    case = Bandit()
    ids = np.where(case.ids == 1, 0, case.ids)
    shaped, _ = _outcome_gradients(case, 4, 2, ids)
    plain, _ = _outcome_gradients(case, 4, 2, ids, bonus_coef=0.0)
    self.assert_equal_gradients(shaped, (1 + ALPHA) * plain)

  def _variance_ratio(self, case, samples, corrections):
    """Of the gradient of attempt 2: conditional over plain, at equal K."""
    ids = np.where(case.ids == 1, 0, case.ids)
    plain, conditional = (
        _variance(*_outcome_gradients(case, samples, k2, ids))
        for k2 in (1, corrections)
    )
    return float(conditional / plain)


class OfflineFirstAttemptsTest(Float64TestCase):

  def _gradient(self, case):
    """Expected gradient, two episodes with first attempts of the reference."""
    count = len(case.model.completions)
    rows = range(count * count)
    groups = np.array(list(itertools.product(rows, repeat=2)))
    ids = np.where(case.ids == 1, 0, case.ids)
    shaped = _stage2_shaped(case)

    def probabilities(params):
      first, _ = case.model.split(
          jnp.exp(case.model.completion_logprobs(case.logits(case.ref_params)))
      )
      _, second = case.model.split(
          jnp.exp(case.model.completion_logprobs(case.logits(params)))
      )
      return jnp.prod((first[:, None] * second).ravel()[groups], axis=1)

    def loss(logprobs, ids, shaped):
      advantages = shaping.leave_one_out(shaped[None])[0]
      return losses.reinforce_loss(logprobs, ids, advantages)

    def per_group(params):
      arrays = (case.logprobs(params), ids, shaped)
      return jax.vmap(loss)(*(jnp.asarray(a)[groups] for a in arrays))

    gradient = fast_jit(
        lambda params: enumerable.expected_gradient(
            per_group, probabilities, params
        )
    )
    return gradient(case.params)

  @parameterized.named_parameters(named([(2, "free"), (3, "shared")]))
  @pytest.mark.slow
  def test_attempt_2_is_trained_on_first_attempts_of_the_reference(
      self, max_tokens, policy
  ):
    case = Case(max_tokens, policy)
    r1, r2 = case.rewards.T
    shaped = np.stack([r1, (1 + ALPHA) * r2 - ALPHA * r1], axis=1)

    def objective(params):
      reward = case.attempt_rewards(shaped, params, case.ref_params)[1]
      return -reward + BETA1 * case.attempt_kls(params, case.ref_params)[1]

    self.assert_equal_gradients(
        self._gradient(case),
        fast_jit(jax.grad(objective))(case.params),
    )

  def test_attempt_1_gets_no_gradient(self):
    case = Case(2, "free")
    first = np.unique(case.model.contexts[case.ids[:, 1:] == 1])
    gradient = np.array(self._gradient(case))
    chex.assert_trees_all_equal(gradient[first], np.zeros_like(gradient[first]))
    self.assertGreater(np.linalg.norm(gradient), 1e-2)


if __name__ == "__main__":
  absltest.main()
