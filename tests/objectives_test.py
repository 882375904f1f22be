"""Tests of score_jax.objectives."""

import re

from absl.testing import absltest
from absl.testing import parameterized
import chex
import jax.numpy as jnp
import numpy as np

from score_jax import losses
from score_jax import objectives
from score_jax import shaping
from score_jax.objectives import Stage1
from score_jax.objectives import Stage1Corrections
from score_jax.objectives import Stage1Entropy
from score_jax.objectives import Stage2
from score_jax.objectives import Stage2Scaled

PATH = "stage1.objective"
STAGE1 = {
    "name": "stage1",
    "kl_coef": 0.5,
    "first_attempt_kl_coef": 0.25,
    "num_anchored": 1,
}
STAGE2 = {"name": "stage2", "kl_coef": 0.5, "bonus_coef": 10.0}
CORRECTIONS = STAGE1 | {"name": "stage1_corrections", "broken_coef": 0.5}
ENTROPY = STAGE1 | {"name": "stage1_entropy", "entropy_coef": 0.125}
SCALED = STAGE2 | {"name": "stage2_scaled"}

REWARDS = np.array([[[0, 1], [1, 0]]], np.float32)
SEQUENCE_KL = np.array([[[4, 8], [16, 32]]], np.float32)
SEQUENCE_LOGPROBS = -np.array([[[64, 128], [256, 512]]], np.float32)
ARRAYS = (REWARDS, SEQUENCE_KL, SEQUENCE_LOGPROBS)
# One token of attempt 1 and two of attempt 2, then the other way round.
IDS = np.array([[0, 1, 2, 2, 0], [0, 1, 1, 0, 2]])
LOGPROBS = -np.arange(1.0, 9.0, dtype=np.float32).reshape(2, 4)
ADVANTAGES = np.array([[1, -2], [-3, 4]], np.float32)
KL = np.array([[0.5, 0.25], [2, 1]], np.float32)


def _changed(settings, **changes):
  """Settings of an objective; those that are None are left out."""
  changed = settings | changes
  return {name: value for name, value in changed.items() if value is not None}


class ObjectiveTest(parameterized.TestCase):
  """Each coefficient goes where the paper has it."""

  def test_stage1_rewards_the_second_attempt_alone(self):
    shaped = Stage1(0.5, 0.25, num_anchored=1).shaped_rewards(*ARRAYS)
    expected = [[[-0.25 * 4, 1 - 0.5 * 8], [-0.25 * 16, 0 - 0.5 * 32]]]
    np.testing.assert_array_equal(shaped, expected)

  def test_stage1_anchors_as_many_attempts_as_it_says(self):
    arrays = [np.repeat(a, [1, 2], -1) for a in ARRAYS]
    _, kl, _ = arrays
    shaped = Stage1(0.5, 0.25, num_anchored=2).shaped_rewards(*arrays)
    np.testing.assert_array_equal(shaped[..., :2], -0.25 * kl[..., :2])
    np.testing.assert_array_equal(shaped[..., 2], [[1 - 4, -16]])

  def test_stage2_has_the_bonus_and_one_coefficient(self):
    shaped = Stage2(0.5, 10.0).shaped_rewards(*ARRAYS)
    expected = [[[0 - 2, 1 + 10 - 4], [1 - 8, 0 - 10 - 16]]]
    np.testing.assert_array_equal(shaped, expected)
    self.assertEqual(Stage2(0.5, 10.0).num_anchored, 0)

  def test_corrections_earn_and_broken_answers_cost(self):
    objective = Stage1Corrections(0.5, 0.25, num_anchored=1, broken_coef=0.5)
    shaped = objective.shaped_rewards(*ARRAYS)
    expected = [[[-0.25 * 4, 1 - 0.5 * 8], [-0.25 * 16, -0.5 - 0.5 * 32]]]
    np.testing.assert_array_equal(shaped, expected)

  @parameterized.parameters(1, 2)
  def test_entropy_is_that_of_the_rewarded_attempts(self, anchored):
    arrays = [np.repeat(a, [1, 2], -1) for a in ARRAYS]
    plain = Stage1(0.5, 0.25, anchored).shaped_rewards(*arrays)
    objective = Stage1Entropy(0.5, 0.25, anchored, entropy_coef=0.125)
    bonus = objective.shaped_rewards(*arrays) - plain
    expected = np.array([[[0, 16, 16], [0, 64, 64]]])
    expected[..., :anchored] = 0
    np.testing.assert_array_equal(bonus, expected)

  def test_stage2_scaled_has_no_first_reward_in_the_second(self):
    shaped = Stage2Scaled(0.5, 10.0).shaped_rewards(*ARRAYS)
    expected = [[[0 - 2, 1 + 10 - 4], [1 - 8, 0 - 16]]]
    np.testing.assert_array_equal(shaped, expected)

  def test_variants_have_the_losses_of_their_stages(self):
    arrays = (LOGPROBS, IDS, ADVANTAGES, KL)
    stage1 = (0.5, 0.25, 1)
    for variant, stage in (
        (Stage1Corrections(*stage1, broken_coef=0.5), Stage1(*stage1)),
        (Stage1Entropy(*stage1, entropy_coef=0.5), Stage1(*stage1)),
        (Stage2Scaled(0.5, 10.0), Stage2(0.5, 10.0)),
    ):
      chex.assert_trees_all_equal(
          *(
              o.loss(*arrays, reduce=shaping.attempt_sums)
              for o in (variant, stage)
          )
      )
      self.assertEqual(variant.num_anchored, stage.num_anchored)

  @parameterized.parameters(shaping.attempt_sums, shaping.attempt_means)
  def test_losses_are_those_of_the_stages(self, reduce):
    arrays = (LOGPROBS, IDS, ADVANTAGES, KL)
    chex.assert_trees_all_equal(
        Stage1(0.5, 0.25, num_anchored=1).loss(*arrays, reduce=reduce),
        losses.stage1_loss(
            *arrays,
            kl_coef=0.5,
            first_attempt_kl_coef=0.25,
            num_anchored=1,
            reduce=reduce,
        ),
    )
    chex.assert_trees_all_equal(
        Stage2(0.5, 10.0).loss(*arrays, reduce=reduce),
        losses.stage2_loss(*arrays, kl_coef=0.5, reduce=reduce),
    )

  def test_losses_by_hand(self):
    """Mean over both rows of -A log pi, and of the KL by its coefficient."""
    arrays = tuple(map(jnp.asarray, (LOGPROBS, IDS, ADVANTAGES, KL)))
    reward = ((1 * 1 + -2 * 5) + (-3 * 11 + 4 * 8)) / 2
    first, second = KL.mean(axis=0)
    for objective, first_coef in (
        (Stage1(0.5, 0.25, num_anchored=1), 0.25),
        (Stage2(0.5, 10.0), 0.5),
    ):
      loss = objective.loss(*arrays, reduce=shaping.attempt_sums)
      expected = reward + first_coef * first + 0.5 * second
      np.testing.assert_allclose(loss, expected, rtol=1e-6)


class MakeObjectiveTest(parameterized.TestCase):

  def test_by_name(self):
    self.assertEqual(
        objectives.make_objective(STAGE1, PATH), Stage1(0.5, 0.25, 1)
    )
    self.assertEqual(objectives.make_objective(STAGE2, PATH), Stage2(0.5, 10.0))
    self.assertEqual(STAGE1["name"], "stage1")  # still there
    for settings, expected in (
        (CORRECTIONS, Stage1Corrections(0.5, 0.25, 1, 0.5)),
        (ENTROPY, Stage1Entropy(0.5, 0.25, 1, 0.125)),
        (SCALED, Stage2Scaled(0.5, 10.0)),
    ):
      found = objectives.make_objective(settings, PATH)
      self.assertEqual(found, expected)

  @parameterized.parameters("stage3", None, [["stage1"]])
  def test_an_unknown_name_is_refused(self, name):
    message = (
        f"^config: {PATH}.name is {re.escape(repr(name))}, expected one of"
        " stage1, stage2, stage1_corrections, stage1_entropy, stage2_scaled$"
    )
    with self.assertRaisesRegex(ValueError, message):
      objectives.make_objective(_changed(STAGE1, name=name), PATH)

  @parameterized.parameters(
      (STAGE1, {"bonus_coef": 1.0}, "unknown key stage1.objective.bonus_coef"),
      (STAGE2, {"bonus": 1.0}, r"objective.bonus \(did you mean bonus_coef\?"),
      # What an objective says of itself is no coefficient.
      (STAGE2, {"num_anchored": 0}, "unknown key .*objective.num_anchored"),
      (STAGE1, {"num_anchored": None}, "missing key .*objective.num_anchored"),
      (STAGE2, {"bonus_coef": None}, "missing key .*objective.bonus_coef"),
      (STAGE1, {"num_anchored": 1.0}, "num_anchored is 1.0 of type float"),
      (STAGE2, {"kl_coef": "0.1"}, "kl_coef is '0.1' of type str"),
      # Off by default: a coefficient of another objective is no setting.
      (STAGE1, {"entropy_coef": 0.1}, "unknown key .*objective.entropy_coef"),
      (STAGE1, {"broken_coef": 0.1}, "unknown key .*objective.broken_coef"),
      (ENTROPY, {"entropy_coef": None}, "missing key .*entropy_coef"),
      (CORRECTIONS, {"broken_coef": None}, "missing key .*broken_coef"),
      (CORRECTIONS, {"bonus_coef": 1.0}, "unknown key .*bonus_coef"),
      (SCALED, {"num_anchored": 0}, "unknown key .*objective.num_anchored"),
  )
  def test_coefficients_that_do_not_fit_are_refused(
      self, settings, changes, message
  ):
    with self.assertRaisesRegex(ValueError, message):
      objectives.make_objective(_changed(settings, **changes), PATH)

  @parameterized.parameters(
      (STAGE1, "kl_coef"),
      (STAGE1, "first_attempt_kl_coef"),
      (STAGE2, "kl_coef"),
      (STAGE2, "bonus_coef"),
      (CORRECTIONS, "broken_coef"),
      (CORRECTIONS, "kl_coef"),
      (ENTROPY, "entropy_coef"),
      (ENTROPY, "first_attempt_kl_coef"),
      (SCALED, "bonus_coef"),
  )
  def test_a_negative_coefficient_is_refused(self, settings, name):
    message = rf"^config.{PATH}: {name} is -0.1, expected 0 or more$"
    with self.assertRaisesRegex(ValueError, message):
      objectives.make_objective(_changed(settings, **{name: -0.1}), PATH)


if __name__ == "__main__":
  absltest.main()
