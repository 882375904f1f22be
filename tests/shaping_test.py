"""Tests of score_jax.shaping."""

import functools
import itertools

from absl.testing import absltest
from absl.testing import parameterized
import chex
import jax
import jax.numpy as jnp
import numpy as np

from score_jax import shaping

ALPHA = 10.0

# Rows with attempts of 2 and 1 tokens, 1 and 2, and 0 and 1.
IDS = np.array([[0, 1, 1, 0, 2], [0, 1, 0, 2, 2], [0, 0, 0, 2, 0]])
PER_TOKEN = np.array(
    [[1.0, 2.0, 100.0, 8.0], [16.0, 100.0, 32.0, 64.0], [100, 100, 3.0, 100]],
    np.float32,
)


def _stage2(rewards, sequence_kl=None, *, kl_coef=0.0, bonus_coef=ALPHA):
  rewards = jnp.asarray(rewards, jnp.float32)
  kl = jnp.zeros_like(rewards) if sequence_kl is None else sequence_kl
  return shaping.stage2_rewards(
      rewards, kl, kl_coef=kl_coef, bonus_coef=bonus_coef
  )


class Stage1RewardsTest(chex.TestCase, parameterized.TestCase):

  @chex.variants(with_jit=True, without_jit=True)
  def test_first_attempt_is_anchored_and_not_rewarded(self):
    shape = self.variant(
        functools.partial(
            shaping.stage1_rewards,
            kl_coef=0.5,
            first_attempt_kl_coef=2.0,
            num_anchored=1,
        )
    )
    kl = jnp.array([3.0, 4.0])
    for r1, r2 in itertools.product((0.0, 1.0), repeat=2):
      chex.assert_trees_all_equal(
          shape(jnp.array([r1, r2]), kl), jnp.array([-6.0, r2 - 2.0])
      )

  @parameterized.parameters((1, [-2.0, -1.0, -0.5]), (2, [-2.0, -4.0, -0.5]))
  def test_all_attempts_but_the_anchored_are_rewarded(self, anchored, expected):
    shaped = shaping.stage1_rewards(
        jnp.array([1.0, 0.0, 1.0]),
        jnp.array([1.0, 2.0, 3.0]),
        kl_coef=0.5,
        first_attempt_kl_coef=2.0,
        num_anchored=anchored,
    )
    chex.assert_trees_all_equal(shaped, jnp.array(expected))

  @parameterized.parameters(0, 2)
  def test_nothing_anchored_or_nothing_rewarded_is_refused(self, anchored):
    with self.assertRaisesRegex(ValueError, f"is {anchored}, expected 1 to 1"):
      shaping.stage1_rewards(
          jnp.zeros((4, 2)),
          jnp.zeros((4, 2)),
          kl_coef=0.5,
          first_attempt_kl_coef=2.0,
          num_anchored=anchored,
      )

  def test_kl_per_sample_is_not_shared(self):
    """A KL of another shape is refused, not broadcast."""
    with self.assertRaises(AssertionError):
      shaping.stage1_rewards(
          jnp.zeros((4, 2)),
          jnp.zeros((1, 2)),
          kl_coef=0.5,
          first_attempt_kl_coef=2.0,
          num_anchored=1,
      )


class Stage2RewardsTest(chex.TestCase):

  @chex.variants(with_jit=True, without_jit=True)
  def test_truth_table_of_the_bonus(self):
    """(r1, r2) -> attempt 2 gets 0, 11, -10, 1; attempt 1 keeps r1."""
    rewards = jnp.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    expected = jnp.array([[0.0, 0.0], [0.0, 11.0], [1.0, -10.0], [1.0, 1.0]])
    chex.assert_trees_all_equal(self.variant(_stage2)(rewards), expected)

  def test_no_bonus_leaves_the_rewards(self):
    rewards = jnp.array([[0.0, 1.0], [1.0, 0.0]])
    chex.assert_trees_all_equal(_stage2(rewards, bonus_coef=0.0), rewards)

  def test_bonus_compares_with_the_attempt_before(self):
    for rewards, expected in [
        ([0, 1, 0], [0, 11, -10]),
        ([1, 0, 1], [1, -10, 11]),
        ([0, 0, 1], [0, 0, 11]),
        ([1, 1, 1], [1, 1, 1]),
    ]:
      chex.assert_trees_all_equal(
          _stage2(rewards), jnp.array(expected, jnp.float32)
      )

  def test_one_attempt_is_single_turn_reinforcement_learning(self):
    """No bonus: r_1 - beta1 KL_1, whatever alpha."""
    shaped = _stage2([[0], [1]], jnp.array([[2.0], [4.0]]), kl_coef=0.5)
    chex.assert_trees_all_equal(shaped, jnp.array([[-1.0], [-1.0]]))

  def test_kl_of_each_attempt_is_its_own(self):
    shaped = _stage2([0, 1], jnp.array([2.0, 4.0]), kl_coef=0.5)
    chex.assert_trees_all_equal(shaped, jnp.array([-1.0, 9.0]))


class Stage2ScaledRewardsTest(chex.TestCase):

  @chex.variants(with_jit=True, without_jit=True)
  def test_truth_table(self):
    """(r1, r2) -> attempt 2 gets (1 + alpha) r2; attempt 1 keeps r1."""
    rewards = jnp.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    shape = self.variant(
        functools.partial(
            shaping.stage2_scaled_rewards, kl_coef=0.0, bonus_coef=ALPHA
        )
    )
    expected = jnp.array([[0.0, 0.0], [0.0, 11.0], [1.0, 0.0], [1.0, 11.0]])
    chex.assert_trees_all_equal(shape(rewards, 0 * rewards), expected)

  def test_differs_from_the_bonus_by_what_the_attempt_reads(self):
    """alpha r_{i-1}, and nothing of attempt i itself."""
    rewards = jnp.array(list(itertools.product((0.0, 1.0), repeat=3)))
    kl = jnp.arange(24.0).reshape(8, 3)
    scaled = shaping.stage2_scaled_rewards(
        rewards, kl, kl_coef=0.5, bonus_coef=ALPHA
    )
    difference = scaled - _stage2(rewards, kl, kl_coef=0.5)
    chex.assert_trees_all_equal(difference[:, 0], jnp.zeros(8))
    chex.assert_trees_all_equal(difference[:, 1:], ALPHA * rewards[:, :-1])


class CorrectionRewardsTest(chex.TestCase, parameterized.TestCase):

  @chex.variants(with_jit=True, without_jit=True)
  def test_truth_table(self):
    """A copy earns nothing, right or wrong."""
    rewards = jnp.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    change = self.variant(
        functools.partial(shaping.correction_rewards, broken_coef=0.25)
    )
    expected = jnp.array([[0.0, 0.0], [0.0, 1.0], [1.0, -0.25], [1.0, 0.0]])
    chex.assert_trees_all_equal(change(rewards), expected)

  def test_attempts_are_compared_with_the_one_before(self):
    for rewards, expected in [
        ([0, 1, 0], [0, 1, -0.25]),
        ([1, 0, 1], [1, -0.25, 1]),
        ([0, 0, 1], [0, 0, 1]),
        ([1, 1, 1], [1, 0, 0]),
    ]:
      changed = shaping.correction_rewards(
          jnp.array(rewards, jnp.float32), broken_coef=0.25
      )
      chex.assert_trees_all_equal(changed, jnp.array(expected, jnp.float32))

  @parameterized.parameters(0.0, 0.25, 1.0)
  def test_right_attempts_weigh_the_next_one_by_the_coefficient(self, coef):
    """Up to -coef r_{i-1}, which the next attempt reads."""
    rewards = jnp.array(list(itertools.product((0.0, 1.0), repeat=2)))
    before, after = rewards.T
    changed = shaping.correction_rewards(rewards, broken_coef=coef)[:, 1]
    weight = 1 - before + coef * before
    chex.assert_trees_all_equal(changed, weight * after - coef * before)


class EntropyBonusTest(chex.TestCase):

  @chex.variants(with_jit=True, without_jit=True)
  def test_later_attempts_get_minus_their_log_probability(self):
    logprobs = jnp.array([[-1.0, -2.0, -4.0], [-8.0, -16.0, 0.0]])
    for anchored, expected in (
        (1, [[0.0, 1.0, 2.0], [0.0, 8.0, 0.0]]),
        (2, [[0.0, 0.0, 2.0], [0.0, 0.0, 0.0]]),
    ):
      bonus = self.variant(
          functools.partial(
              shaping.entropy_bonus, entropy_coef=0.5, num_anchored=anchored
          )
      )
      chex.assert_trees_all_equal(bonus(logprobs), jnp.array(expected))

  def test_has_no_gradient(self):
    """As a differentiated loss its expected gradient would be zero."""
    gradient = jax.grad(
        lambda x: jnp.sum(
            shaping.entropy_bonus(x, entropy_coef=0.5, num_anchored=1)
        )
    )(jnp.array([-1.0, -2.0]))
    chex.assert_trees_all_equal(gradient, jnp.zeros(2))


class LeaveOneOutTest(chex.TestCase):

  def setUp(self):
    super().setUp()
    generator = np.random.default_rng(0)
    self.rewards = generator.normal(size=(3, 4, 2)).astype(np.float32)

  @chex.variants(with_jit=True, without_jit=True)
  def test_is_the_difference_to_the_mean_of_the_others(self):
    """Each problem and each attempt on its own."""
    advantages = self.variant(shaping.leave_one_out)(self.rewards)
    for b, k, a in np.ndindex(self.rewards.shape):
      others = [self.rewards[b, j, a] for j in range(4) if j != k]
      self.assertAlmostEqual(
          float(advantages[b, k, a]),
          float(self.rewards[b, k, a] - sum(others) / 3),
          places=6,
      )

  @chex.variants(with_jit=True, without_jit=True)
  def test_sums_to_zero_per_problem_and_attempt(self):
    advantages = self.variant(shaping.leave_one_out)(self.rewards)
    chex.assert_trees_all_close(
        jnp.sum(advantages, axis=1), jnp.zeros((3, 2)), atol=1e-6
    )

  def test_equal_rewards_have_no_advantage(self):
    rewards = jnp.broadcast_to(jnp.array([1.0, -10.0]), (3, 4, 2))
    chex.assert_trees_all_equal(
        shaping.leave_one_out(rewards), jnp.zeros((3, 4, 2))
    )

  def test_two_samples_are_compared_with_each_other(self):
    advantages = shaping.leave_one_out(jnp.array([[[1.0, 11.0], [0.0, -10.0]]]))
    chex.assert_trees_all_equal(
        advantages, jnp.array([[[1.0, 21.0], [-1.0, -21.0]]])
    )

  def test_one_sample_is_refused(self):
    with self.assertRaisesRegex(ValueError, "at least 2 samples"):
      shaping.leave_one_out(self.rewards[:, :1])

  def test_rows_without_a_problem_axis_are_refused(self):
    with self.assertRaises(AssertionError):
      shaping.leave_one_out(self.rewards[:, 0])


class ConditionalLeaveOneOutTest(chex.TestCase, parameterized.TestCase):

  @chex.variants(with_jit=True, without_jit=True)
  def test_numbers(self):
    """Two first attempts with shaped rewards 1 and 0, three corrections each.

    The second rewards of the truth table: the wrong first attempt is corrected
    once, the right one is kept once. Of the second problem all are the same.
    """
    rewards = [[1, 1], [1, -10], [1, -10], [0, 11], [0, 0], [0, 0]]
    rewards = jnp.array([rewards, [[1, 1]] * 6], jnp.float32)
    advantages = self.variant(
        functools.partial(
            shaping.conditional_leave_one_out, corrections_per_attempt=3
        )
    )(rewards)
    expected = [[1, 11], [1, -5.5], [1, -5.5], [-1, 11], [-1, -5.5], [-1, -5.5]]
    chex.assert_trees_all_close(
        advantages, jnp.array([expected, [[0, 0]] * 6], jnp.float32), atol=1e-5
    )

  def test_first_attempts_are_compared_with_the_other_first_attempts(self):
    first = jnp.repeat(jnp.array([1.0, 4.0, 10.0]), 2)
    rewards = jnp.stack([first, first], axis=-1)[None]
    advantages = shaping.conditional_leave_one_out(rewards, 2)
    expected = jnp.repeat(jnp.array([-6.0, -1.5, 7.5]), 2)
    chex.assert_trees_all_close(advantages[0, :, 0], expected, atol=1e-5)
    chex.assert_trees_all_equal(advantages[0, :, 1], jnp.zeros(6))

  def test_what_corrections_have_in_common_cancels(self):
    """So does -alpha r_1, which stays in the plain advantage as noise."""
    rewards = np.random.default_rng(0).integers(0, 2, (4, 6, 2))
    rewards[:, 1::2, 0] = rewards[:, ::2, 0]
    plain, shaped = _stage2(rewards, bonus_coef=0.0), _stage2(rewards)
    for estimator, is_equal in (
        (lambda r: shaping.conditional_leave_one_out(r, 2), True),
        (shaping.leave_one_out, False),
    ):
      scaled = (1 + ALPHA) * estimator(plain)[..., 1]
      found = np.allclose(estimator(shaped)[..., 1], scaled, atol=1e-4)
      self.assertEqual(found, is_equal)

  @parameterized.parameters(
      (6, 4, 2, "6 samples per problem with 4"),
      (2, 2, 2, "at least 2 first attempts"),
      (4, 1, 2, "at least 2 corrections"),
      (4, 0, 2, "at least 2 corrections"),
      (4, 2, 3, "found 3 attempts, expected 2"),
      (4, 2, 1, "found 1 attempts, expected 2"),
  )
  def test_groups_that_are_none_are_refused(
      self, samples, corrections, attempts, message
  ):
    with self.assertRaisesRegex(ValueError, message):
      shaping.conditional_leave_one_out(
          jnp.zeros((3, samples, attempts)), corrections
      )


class AttemptReductionTest(chex.TestCase):

  @chex.variants(with_jit=True, without_jit=True)
  def test_masks_are_shifted_to_the_predicted_tokens(self):
    masks = self.variant(lambda ids: shaping.attempt_masks(ids, 2))(IDS)
    expected = np.array(
        [
            [[1, 1, 0, 0], [0, 0, 0, 1]],
            [[1, 0, 0, 0], [0, 0, 1, 1]],
            [[0, 0, 0, 0], [0, 0, 1, 0]],
        ],
        bool,
    )
    chex.assert_trees_all_equal(masks, jnp.array(expected))

  @chex.variants(with_jit=True, without_jit=True)
  def test_sums(self):
    sums = self.variant(lambda x: shaping.attempt_sums(x, IDS, 2))(PER_TOKEN)
    expected = [[3.0, 8.0], [16.0, 96.0], [0.0, 3.0]]
    chex.assert_trees_all_equal(sums, jnp.array(expected))

  @chex.variants(with_jit=True, without_jit=True)
  def test_means(self):
    means = self.variant(lambda x: shaping.attempt_means(x, IDS, 2))(PER_TOKEN)
    expected = [[1.5, 8.0], [16.0, 48.0], [0.0, 3.0]]
    chex.assert_trees_all_equal(means, jnp.array(expected))

  @parameterized.parameters(np.nan, np.inf, -np.inf)
  def test_tokens_outside_the_attempts_are_not_read(self, poison):
    """Whatever a scorer left on prompts and padding."""
    poisoned = np.where(IDS[:, 1:] == 0, poison, PER_TOKEN)
    for reduce in (shaping.attempt_sums, shaping.attempt_means):
      value_and_grad = jax.value_and_grad(
          lambda x, reduce=reduce: jnp.sum(reduce(x, IDS, 2))
      )
      chex.assert_trees_all_equal(
          value_and_grad(poisoned), value_and_grad(PER_TOKEN)
      )

  def test_attempts_beyond_the_count_are_left_out(self):
    sums = shaping.attempt_sums(PER_TOKEN, IDS, 1)
    chex.assert_trees_all_equal(sums, jnp.array([[3.0], [16.0], [0.0]]))

  def test_values_per_token_of_tokens_and_not_of_predictions_are_refused(self):
    with self.assertRaises(AssertionError):
      shaping.attempt_sums(jnp.zeros(IDS.shape), IDS, 2)


class SequenceKlK1Test(chex.TestCase):

  @chex.variants(with_jit=True, without_jit=True)
  def test_is_the_sum_of_log_ratios_of_each_attempt(self):
    kl = self.variant(lambda p, q: shaping.sequence_kl_k1(p, q, IDS, 2))(
        -PER_TOKEN, -2 * PER_TOKEN
    )
    expected = [[3.0, 8.0], [16.0, 96.0], [0.0, 3.0]]
    chex.assert_trees_all_equal(kl, jnp.array(expected))

  @chex.variants(with_jit=True, without_jit=True)
  def test_is_the_mean_where_tokens_are_averaged(self):
    kl = self.variant(
        lambda p, q: shaping.sequence_kl_k1(
            p, q, IDS, 2, reduce=shaping.attempt_means
        )
    )(-PER_TOKEN, -2 * PER_TOKEN)
    expected = [[1.5, 8.0], [16.0, 48.0], [0.0, 3.0]]
    chex.assert_trees_all_equal(kl, jnp.array(expected))

  def test_is_positive_where_the_policy_is_more_likely(self):
    kl = shaping.sequence_kl_k1(
        jnp.log(jnp.array([[0.8]])),
        jnp.log(jnp.array([[0.2]])),
        np.array([[0, 1]]),
        1,
    )
    chex.assert_trees_all_close(kl, jnp.log(jnp.array([[4.0]])))

  def test_has_no_gradient(self):
    """As a differentiated loss it would be a dead anchor."""
    gradients = jax.grad(
        lambda p, q: jnp.sum(shaping.sequence_kl_k1(p, q, IDS, 2)),
        argnums=(0, 1),
    )(PER_TOKEN, 2 * PER_TOKEN)
    zeros = jnp.zeros_like(PER_TOKEN)
    chex.assert_trees_all_equal(gradients, (zeros, zeros))


if __name__ == "__main__":
  absltest.main()
