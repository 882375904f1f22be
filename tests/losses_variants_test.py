"""Proofs for objectives that are not the paper's, by listing every episode.

The exact objectives are those of losses_test.py with other rewards of attempt
2. Estimated are they as in training: the KL in the rewards, a leave-one-out
baseline, REINFORCE.
"""

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from score_jax import losses
from score_jax import shaping
from score_jax.objectives import Stage1
from score_jax.objectives import Stage1Corrections
from score_jax.objectives import Stage1Entropy
from score_jax.objectives import Stage2
from score_jax.objectives import Stage2Scaled
from tests.helpers.compiling import fast_jit
from tests.helpers.loss_cases import ALPHA
from tests.helpers.loss_cases import BETA1
from tests.helpers.loss_cases import BETA2
from tests.helpers.loss_cases import Case
from tests.helpers.loss_cases import Float64TestCase
from tests.helpers.loss_cases import named

CASES = named([(2, "free"), (3, "shared")])
STAGE1 = (BETA1, BETA2, 1)
LAMBDA = 0.3
TAU = 0.4


def _estimated(case, objective):
  """Expected gradient of REINFORCE on groups of two samples."""
  logprobs = case.logprobs(case.params)
  kl, sequence_logprobs = (
      shaping.attempt_sums(values, case.ids, 2)
      for values in (logprobs - case.ref_logprobs, logprobs)
  )
  shaped = objective.shaped_rewards(
      jnp.asarray(case.rewards), kl, sequence_logprobs
  )

  def loss(logprobs, ids, shaped):
    advantages = shaping.leave_one_out(shaped[None])[0]
    return losses.reinforce_loss(logprobs, ids, advantages)

  return case.expected_group_gradient(2, loss, shaped)


def _exact(case, second, *, bonus=lambda params: 0.0):
  """Gradient of -E[R_2] + beta2 KL_1 + beta1 KL_2 - bonus.

  Args:
    case: the model.
    second: float[R], reward R_2 of attempt 2.
    bonus: params -> what is added to R_2.
  """
  rewards = np.stack([case.rewards[:, 0], second], axis=1)

  def objective(params):
    kl_1, kl_2 = case.attempt_kls(params, case.params)
    _, reward = case.attempt_rewards(rewards, params, case.params)
    return -reward + BETA2 * kl_1 + BETA1 * kl_2 - bonus(params)

  return fast_jit(jax.grad(objective))(case.params)


class Stage1VariantsTest(Float64TestCase):

  @parameterized.named_parameters(CASES)
  @pytest.mark.slow
  def test_corrections_are_rewards_weighted_by_the_first_attempt(
      self, max_tokens, policy
  ):
    """1 behind a wrong attempt, lambda behind a right one."""
    case = Case(max_tokens, policy)
    r1, r2 = case.rewards.T
    for coef in (0.0, LAMBDA, 1.0):
      self.assert_equal_gradients(
          _estimated(case, Stage1Corrections(*STAGE1, broken_coef=coef)),
          _exact(case, np.where(r1, coef, 1.0) * r2),
      )

  def test_corrections_at_full_price_have_the_gradient_of_stage_1(self):
    case = Case(2, "shared")
    self.assert_equal_gradients(
        _estimated(case, Stage1Corrections(*STAGE1, broken_coef=1.0)),
        _estimated(case, Stage1(*STAGE1)),
    )

  @parameterized.named_parameters(CASES)
  @pytest.mark.slow
  def test_entropy_is_that_of_whole_second_attempts(self, max_tokens, policy):
    """Given what each reads, and of the second attempt alone."""
    case = Case(max_tokens, policy)
    frozen = case.model.completion_logprobs(case.logits(case.params))
    first, _ = case.model.split(jnp.exp(frozen))

    def bonus(params):
      logp = case.model.completion_logprobs(case.logits(params))
      _, second = case.model.split(-jnp.exp(logp) * logp)
      return TAU * jnp.sum(first * jnp.sum(second, axis=1))

    actual = _estimated(case, Stage1Entropy(*STAGE1, entropy_coef=TAU))
    _, r2 = case.rewards.T
    self.assert_equal_gradients(actual, _exact(case, r2, bonus=bonus))
    without = _exact(case, r2)
    self.assertGreater(np.linalg.norm(actual - without), 1e-2)

  def test_no_entropy_is_paid_to_the_first_attempt(self):
    case = Case(2, "free")
    with_bonus, without = (
        np.asarray(_estimated(case, objective))
        for objective in (
            Stage1Entropy(*STAGE1, entropy_coef=TAU),
            Stage1(*STAGE1),
        )
    )
    first = np.unique(case.model.contexts[case.ids[:, 1:] == 1])
    np.testing.assert_allclose(with_bonus[first], without[first], atol=1e-12)
    self.assertGreater(np.abs(with_bonus - without).max(), 1e-2)


class Stage2ScaledTest(Float64TestCase):

  @parameterized.named_parameters(CASES)
  @pytest.mark.slow
  def test_has_the_gradient_of_stage_2(self, max_tokens, policy):
    case = Case(max_tokens, policy)
    r1, r2 = case.rewards.T
    shaped = np.stack([r1, (1 + ALPHA) * r2], axis=1)

    def objective(params):
      rewards = case.attempt_rewards(shaped, params, case.params)
      return -sum(rewards) + BETA1 * sum(case.attempt_kls(params, case.params))

    expected = fast_jit(jax.grad(objective))(case.params)
    for variant in (Stage2Scaled(BETA1, ALPHA), Stage2(BETA1, ALPHA)):
      self.assert_equal_gradients(_estimated(case, variant), expected)


if __name__ == "__main__":
  absltest.main()
