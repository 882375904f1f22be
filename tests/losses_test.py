"""Proofs of score_jax.losses by listing every episode of a tiny policy.

The exact objectives treat each attempt as a one-step problem given its context
(gamma = 0). With theta_0 = theta a copy that is not differentiated,

  J(theta; theta_0) = E_{y1 ~ theta} R_1(y1)
                    + E_{y1 ~ theta_0} E_{y2 ~ theta(. | y1)} R_2(y1, y2)

so no reward or KL of the second attempt moves the first attempt. What other
implementations were found to get wrong is shown to be right here: an anchor
without gradient, credit that both attempts share, gradients of the wrong
attempt, a bonus that is not used, no policy gradient at all, baselines, means
where sums belong.
"""

import functools

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
from tests.helpers.loss_cases import BETA2
from tests.helpers.loss_cases import COEFS
from tests.helpers.loss_cases import POLICIES
from tests.helpers.loss_cases import Case
from tests.helpers.loss_cases import Float64TestCase
from tests.helpers.loss_cases import named

# (max_tokens, policy). The shared policy is a linear map of free logits, so one
# size of it is enough to see the map at work.
CASES = ((1, "free"), (2, "free"), (3, "free"), (3, "shared"))
SOME_CASES = ((2, "free"), (3, "shared"))


def _per_row(function, *arrays):
  """Calls `function` on every row as if it was the whole batch: float[R]."""
  arrays = [jnp.asarray(a)[:, None] for a in arrays]
  return jax.vmap(function)(*arrays)


def _gradient(objective, params):
  return fast_jit(jax.grad(objective))(params)


def _relative_error(actual, expected):
  return np.linalg.norm(actual - expected) / np.linalg.norm(expected)


def _kl_surrogate(case, estimator):
  """params -> float[R, 2], a differentiated KL estimator of the library."""
  if estimator == "exact":
    return lambda p: losses.exact_kl(
        case.token_kl(p), case.logprobs(p), case.ids, 2
    )
  if estimator == "k2":
    return lambda p: losses.k2_kl(
        case.logprobs(p), case.ref_logprobs, case.ids, 2
    )
  if estimator == "per_position":
    return lambda p: losses.per_position_kl(case.token_kl(p), case.ids, 2)
  raise ValueError(estimator)


def _stage1_kl_gradient(case, estimator):
  """Expected gradient of stage1_loss where the KL is a loss term."""
  surrogate = _kl_surrogate(case, estimator)

  def loss(logprobs, ids, kl):
    rewards = jnp.zeros((1, 2))
    shaped = shaping.stage1_rewards(rewards, jnp.zeros((1, 2)), **COEFS)
    return losses.stage1_loss(logprobs, ids, shaped, kl, **COEFS)

  return case.expected_gradient(
      lambda p: _per_row(loss, case.logprobs(p), case.ids, surrogate(p))
  )


@functools.cache
def _exact_stage1_kl_gradient(max_tokens, policy):
  case = Case(max_tokens, policy)

  def objective(params):
    first, second = case.attempt_kls(params, case.params)
    return BETA2 * first + BETA1 * second

  return _gradient(objective, case.params)


class AnchorTest(Float64TestCase):
  """Stage I with zero rewards pulls both attempts to the reference."""

  @parameterized.named_parameters(named(CASES, ["exact", "k2"]))
  @pytest.mark.slow
  def test_kl_loss_has_gradient_of_sequence_kl(
      self, max_tokens, policy, estimator
  ):
    case = Case(max_tokens, policy)
    self.assert_equal_gradients(
        _stage1_kl_gradient(case, estimator),
        _exact_stage1_kl_gradient(max_tokens, policy),
    )

  @parameterized.named_parameters(named(CASES))
  @pytest.mark.slow
  def test_k1_in_reward_has_gradient_of_sequence_kl(self, max_tokens, policy):
    case = Case(max_tokens, policy)

    def loss(logprobs, ref_logprobs, ids):
      kl = shaping.sequence_kl_k1(logprobs, ref_logprobs, ids, 2)
      shaped = shaping.stage1_rewards(jnp.zeros((1, 2)), kl, **COEFS)
      return losses.reinforce_loss(logprobs, ids, shaped)

    actual = case.expected_gradient(
        lambda p: _per_row(loss, case.logprobs(p), case.ref_logprobs, case.ids)
    )
    self.assert_equal_gradients(
        actual, _exact_stage1_kl_gradient(max_tokens, policy)
    )

  @parameterized.named_parameters(named(SOME_CASES))
  def test_k1_in_reward_keeps_it_under_leave_one_out(self, max_tokens, policy):
    case = Case(max_tokens, policy)

    def loss(logprobs, ids, ref_logprobs):
      kl = shaping.sequence_kl_k1(logprobs, ref_logprobs, ids, 2)
      shaped = shaping.stage1_rewards(jnp.zeros((2, 2)), kl, **COEFS)
      advantages = shaping.leave_one_out(shaped[None])[0]
      return losses.reinforce_loss(logprobs, ids, advantages)

    actual = case.expected_group_gradient(2, loss, case.ref_logprobs)
    self.assert_equal_gradients(
        actual, _exact_stage1_kl_gradient(max_tokens, policy)
    )

  def test_anchor_gradient_agrees_with_finite_differences(self):
    case = Case(2, "shared")

    def objective(params):
      first, second = case.attempt_kls(params, case.params)
      return BETA2 * first + BETA1 * second

    chex.assert_trees_all_close(
        _stage1_kl_gradient(case, "exact"),
        enumerable.finite_differences(objective, case.params),
        atol=1e-8,
    )

  @parameterized.parameters("exact", "k2", "per_position")
  def test_anchor_rests_at_the_reference(self, estimator):
    case = Case(2, "shared")
    case.params = case.ref_params
    gradient = _stage1_kl_gradient(case, estimator)
    chex.assert_trees_all_close(gradient, np.zeros_like(gradient), atol=1e-12)

  def test_reference_gets_no_gradient(self):
    case = Case(2, "shared")
    gradient = jax.grad(
        lambda ref: jnp.sum(
            losses.k2_kl(case.logprobs(case.params), ref, case.ids, 2)
        )
    )(case.ref_logprobs)
    chex.assert_trees_all_equal(gradient, jnp.zeros_like(gradient))


class BiasTest(Float64TestCase):
  """Why the other estimators are not the default, or not there at all."""

  @parameterized.parameters(*POLICIES)
  def test_per_position_kl_is_exact_for_one_token(self, policy):
    case = Case(1, policy)
    self.assert_equal_gradients(
        _stage1_kl_gradient(case, "per_position"),
        _exact_stage1_kl_gradient(1, policy),
    )

  # Measured relative errors: .29 and .22 (free, 2 and 3 tokens), .20 (shared).
  @parameterized.named_parameters(named(CASES[1:]))
  def test_per_position_kl_is_biased_for_sequences(self, max_tokens, policy):
    case = Case(max_tokens, policy)
    error = _relative_error(
        _stage1_kl_gradient(case, "per_position"),
        _exact_stage1_kl_gradient(max_tokens, policy),
    )
    self.assertGreater(error, 0.1)

  @parameterized.named_parameters(named(SOME_CASES))
  def test_k1_as_a_loss_would_have_no_gradient(self, max_tokens, policy):
    case = Case(max_tokens, policy)

    def k1(params):
      difference = case.logprobs(params) - case.ref_logprobs
      return jnp.sum(shaping.attempt_sums(difference, case.ids, 2), axis=1)

    gradient = case.expected_gradient(k1)
    chex.assert_trees_all_close(gradient, np.zeros_like(gradient), atol=1e-12)

  @parameterized.parameters(*POLICIES)
  def test_k3_as_a_loss_would_have_the_forward_kl_gradient(self, policy):
    case = Case(1, policy)

    def k3(params):
      difference = case.logprobs(params) - case.ref_logprobs
      values = jnp.exp(-difference) - 1 + difference
      return jnp.sum(shaping.attempt_sums(values, case.ids, 2), axis=1)

    def forward_kl(params):
      """KL(pi_ref || pi) of both attempts, contexts held fixed."""
      logp = case.model.completion_logprobs(case.logits(params))
      logq = case.model.completion_logprobs(case.logits(case.ref_params))
      kls = jnp.sum(jnp.exp(logq) * (logq - logp), axis=1)
      first, _ = case.model.split(
          jnp.exp(case.model.completion_logprobs(case.logits(case.params)))
      )
      return kls[0] + jnp.sum(first * kls[1:])

    def reverse_kl(params):
      return sum(case.attempt_kls(params, case.params))

    actual = case.expected_gradient(k3)
    self.assert_equal_gradients(actual, _gradient(forward_kl, case.params))
    error = _relative_error(actual, _gradient(reverse_kl, case.params))
    self.assertGreater(error, 0.1)


class PolicyGradientTest(Float64TestCase):
  """Sampled gradients are the objectives' in expectation."""

  @parameterized.named_parameters(
      named(SOME_CASES, [2]) + named([(3, "free")], [3])
  )
  @pytest.mark.slow
  def test_stage1_has_gradient_of_its_objective(
      self, max_tokens, policy, samples
  ):
    """-E[r_2 - beta1 KL_2] + beta2 KL_1 with k1 KLs in the rewards of J."""
    case = Case(max_tokens, policy)
    actual = self._group_gradient(case, samples, self._stage1_shaped)

    def objective(params):
      kl_1, kl_2 = case.attempt_kls(params, case.params)
      _, reward = case.attempt_rewards(case.rewards, params, case.params)
      return -reward + BETA2 * kl_1 + BETA1 * kl_2

    self.assert_equal_gradients(actual, _gradient(objective, case.params))

  @parameterized.named_parameters(
      named(SOME_CASES, [2]) + named([(3, "free")], [3])
  )
  @pytest.mark.slow
  def test_stage2_has_gradient_of_its_objective(
      self, max_tokens, policy, samples
  ):
    """-E[r_1 - beta1 KL_1] - E[r_2 + alpha (r_2 - r_1) - beta1 KL_2] as J."""
    case = Case(max_tokens, policy)
    actual = self._group_gradient(case, samples, self._stage2_shaped)
    shaped = np.stack(
        [
            case.rewards[:, 0],
            (1 + ALPHA) * case.rewards[:, 1] - ALPHA * case.rewards[:, 0],
        ],
        axis=1,
    )

    def objective(params):
      rewards = case.attempt_rewards(shaped, params, case.params)
      kls = case.attempt_kls(params, case.params)
      return -sum(rewards) + BETA1 * sum(kls)

    self.assert_equal_gradients(actual, _gradient(objective, case.params))

  def test_stage2_with_kl_loss_agrees_with_finite_differences(self):
    case = Case(2, "shared")
    shaped = self._stage2_shaped(case.rewards, jnp.zeros_like(case.rewards))
    surrogate = _kl_surrogate(case, "exact")

    def loss(logprobs, ids, advantages, kl):
      return losses.stage2_loss(logprobs, ids, advantages, kl, kl_coef=BETA1)

    actual = case.expected_gradient(
        lambda p: _per_row(
            loss, case.logprobs(p), case.ids, shaped, surrogate(p)
        )
    )

    def objective(params):
      rewards = case.attempt_rewards(shaped, params, case.params)
      kls = case.attempt_kls(params, case.params)
      return -sum(rewards) + BETA1 * sum(kls)

    chex.assert_trees_all_close(
        actual,
        enumerable.finite_differences(objective, case.params),
        atol=1e-7,
    )

  @parameterized.named_parameters(named(SOME_CASES))
  @pytest.mark.slow
  def test_bonus_only_scales_the_second_attempt(self, max_tokens, policy):
    """E[shaped gradient] = (1 + alpha) x plain: -alpha r_1 is a baseline.

    Without a KL, on the second attempt alone, with and without leave-one-out.
    """
    case = Case(max_tokens, policy)

    def gradient(bonus_coef, use_groups):
      def loss(logprobs, ids, rewards):
        shaped = shaping.stage2_rewards(
            rewards, 0 * rewards, kl_coef=0.0, bonus_coef=bonus_coef
        )
        if use_groups:
          shaped = shaping.leave_one_out(shaped[None])[0]
        return losses.reinforce_loss(logprobs, ids, shaped.at[:, 0].set(0.0))

      if use_groups:
        return case.expected_group_gradient(2, loss, case.rewards)
      return case.expected_gradient(
          lambda p: _per_row(loss, case.logprobs(p), case.ids, case.rewards)
      )

    plain = gradient(0.0, False)
    for use_groups in (False, True):
      self.assert_equal_gradients(
          gradient(ALPHA, use_groups), (1 + ALPHA) * plain
      )

  def _group_gradient(self, case, samples, shape_rewards):
    """Expected gradient of REINFORCE with k1 in reward and leave-one-out."""
    difference = case.logprobs(case.params) - case.ref_logprobs
    kl = shaping.attempt_sums(difference, case.ids, 2)
    shaped = shape_rewards(case.rewards, kl)

    def loss(logprobs, ids, shaped):
      advantages = shaping.leave_one_out(shaped[None])[0]
      return losses.reinforce_loss(logprobs, ids, advantages)

    return case.expected_group_gradient(samples, loss, shaped)

  def _stage1_shaped(self, rewards, kl):
    return shaping.stage1_rewards(rewards, kl, **COEFS)

  def _stage2_shaped(self, rewards, kl):
    return shaping.stage2_rewards(rewards, kl, kl_coef=BETA1, bonus_coef=ALPHA)


class CreditTest(Float64TestCase):
  """Whose reward moves whose tokens."""

  def setUp(self):
    super().setUp()
    self.case = Case(2, "free")
    self.is_first = self.case.ids[:, 1:] == 1
    self.is_second = self.case.ids[:, 1:] == 2

  def _gradient(self, rewards, *, bonus_coef=ALPHA, ids=None):
    """Of stage2_loss on the batch of all episodes, by log-prob: [R, T - 1]."""
    ids = self.case.ids if ids is None else ids
    no_kl = jnp.zeros_like(rewards)
    shaped = shaping.stage2_rewards(
        rewards, no_kl, kl_coef=0.0, bonus_coef=bonus_coef
    )
    return jax.grad(losses.stage2_loss)(
        self.case.logprobs(self.case.params), ids, shaped, no_kl, kl_coef=0.0
    )

  def test_first_attempt_sees_its_own_reward_with_coefficient_one(self):
    rewards = self.case.rewards
    expected = -np.where(self.is_first, rewards[:, :1], 0.0) / len(rewards)
    for bonus_coef in (0.0, 1.0, ALPHA):
      gradient = self._gradient(rewards, bonus_coef=bonus_coef)
      chex.assert_trees_all_close(
          np.where(self.is_first, gradient, 0.0), expected, atol=1e-15
      )

  def test_first_attempt_does_not_see_the_second_reward(self):
    flipped = self.case.rewards.copy()
    flipped[:, 1] = 1 - flipped[:, 1]
    before, after = self._gradient(self.case.rewards), self._gradient(flipped)
    chex.assert_trees_all_equal(before[self.is_first], after[self.is_first])
    self.assertTrue((before != after)[self.is_second].all())

  @parameterized.parameters(0.0, 1.0, ALPHA)
  def test_derivative_of_shaped_rewards_by_raw_rewards(self, bonus_coef):
    def shape(rewards):
      return shaping.stage2_rewards(
          rewards, jnp.zeros(2), kl_coef=0.0, bonus_coef=bonus_coef
      )

    expected = [[1.0, 0.0], [-bonus_coef, 1 + bonus_coef]]
    chex.assert_trees_all_equal(
        jax.jacobian(shape)(jnp.zeros(2)), np.array(expected)
    )

  def test_bonus_changes_the_second_attempt_alone(self):
    plain = self._gradient(self.case.rewards, bonus_coef=0.0)
    shaped = self._gradient(self.case.rewards)
    difference = plain != shaped
    progress = self.case.rewards[:, 1:] != self.case.rewards[:, :1]
    np.testing.assert_array_equal(difference, self.is_second & progress)
    self.assertTrue(difference.any())

  @parameterized.parameters(1, 2)
  def test_attempt_without_mask_loses_just_its_gradient(self, attempt):
    ids = np.where(self.case.ids == attempt, 0, self.case.ids)
    rewards = np.ones_like(self.case.rewards)  # all tokens get a gradient
    full, cut = self._gradient(rewards), self._gradient(rewards, ids=ids)
    is_attempt = self.case.ids[:, 1:] == attempt
    chex.assert_trees_all_equal(cut, np.where(is_attempt, 0.0, full))
    self.assertTrue((full != 0)[is_attempt].all())

  @parameterized.parameters(1, 2)
  def test_gradient_reaches_the_parameters_of_its_attempt(self, attempt):
    case = self.case
    advantages = np.zeros_like(case.rewards)
    advantages[:, attempt - 1] = 1.0
    gradient = jax.grad(
        lambda p: losses.reinforce_loss(case.logprobs(p), case.ids, advantages)
    )(case.params)
    touched = np.unique(case.model.contexts[case.ids[:, 1:] == attempt])
    moved = np.flatnonzero(np.abs(gradient).max(axis=1) > 1e-12)
    np.testing.assert_array_equal(moved, touched)

  def test_stage1_coefficients_belong_to_their_attempts(self):
    zeros = jnp.zeros((3, 2))
    gradient = jax.grad(losses.stage1_loss, argnums=3)(
        jnp.zeros((3, 4)), np.zeros((3, 5), int), zeros, zeros, **COEFS
    )
    chex.assert_trees_all_close(
        gradient, np.broadcast_to([[BETA2 / 3, BETA1 / 3]], (3, 2))
    )

  def test_stage1_of_three_attempts_anchors_the_first_two(self):
    zeros = jnp.zeros((2, 3))
    coefs = COEFS | {"num_anchored": 2}
    gradient = jax.grad(losses.stage1_loss, argnums=3)(
        jnp.zeros((2, 4)), np.zeros((2, 5), int), zeros, zeros, **coefs
    )
    expected = [[BETA2 / 2, BETA2 / 2, BETA1 / 2]]
    chex.assert_trees_all_close(gradient, np.broadcast_to(expected, (2, 3)))

  def test_stage2_coefficient_is_that_of_both_attempts(self):
    zeros = jnp.zeros((3, 2))
    gradient = jax.grad(losses.stage2_loss, argnums=3)(
        jnp.zeros((3, 4)), np.zeros((3, 5), int), zeros, zeros, kl_coef=BETA1
    )
    chex.assert_trees_all_close(gradient, np.full((3, 2), BETA1 / 3))

  def test_advantages_get_no_gradient(self):
    case = self.case
    gradient = jax.grad(losses.reinforce_loss, argnums=2)(
        case.logprobs(case.params), case.ids, jnp.asarray(case.rewards)
    )
    chex.assert_trees_all_equal(gradient, jnp.zeros_like(gradient))


class SandbaggingTest(Float64TestCase):
  """Two-turn bandit, exact gradients: failing first must not pay."""

  def setUp(self):
    super().setUp()
    # Completions are 0 (wrong) and 1 (right). P(y1 right) = .5,
    # P(y2 right | y1 wrong) = .7, P(y2 right | y1 right) = .2.
    self.model = enumerable.TwoAttempts(vocab_size=2, max_tokens=1)
    self.start = np.log([[0.5, 0.5], [0.3, 0.7], [0.8, 0.2]])
    self.rewards = jnp.asarray(self.model.rewards(np.array([0, 1])))

  def _train(self, advantages, *, steps=500):
    """Probabilities to be right: [first, after wrong, after right]."""

    def step(logits, _):
      gradient = enumerable.expected_gradient(
          lambda p: _per_row(
              losses.reinforce_loss,
              self.model.logprobs(p),
              self.model.attempt_ids,
              advantages,
          ),
          self.model.probabilities,
          logits,
      )
      return logits - gradient, None

    logits, _ = jax.lax.scan(step, jnp.asarray(self.start), None, length=steps)
    return jax.nn.softmax(logits)[:, 1]

  def _shaped(self, bonus_coef):
    return shaping.stage2_rewards(
        self.rewards,
        jnp.zeros_like(self.rewards),
        kl_coef=0.0,
        bonus_coef=bonus_coef,
    )

  def test_start_is_the_stated_bandit(self):
    chex.assert_trees_all_close(
        self._train(self.rewards, steps=0), np.array([0.5, 0.7, 0.2])
    )

  @parameterized.parameters(0.0, ALPHA)
  def test_credit_per_attempt_learns_both(self, bonus_coef):
    probabilities = self._train(self._shaped(bonus_coef))
    self.assertGreater(probabilities[0], 0.95)
    self.assertGreater(probabilities[2], 0.95)

  def test_shared_credit_would_learn_to_fail_first(self):
    shaped = self._shaped(ALPHA)
    total = jnp.sum(shaped, axis=1, keepdims=True)
    shared = jnp.broadcast_to(total, shaped.shape)
    probabilities = self._train(shared)
    self.assertLess(probabilities[0], 0.05)
    self.assertGreater(probabilities[1], 0.95)


if __name__ == "__main__":
  absltest.main()
