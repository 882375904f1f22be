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
from score_jax.objectives import Stage2

PATH = "stage1.objective"
STAGE1 = {
    "name": "stage1",
    "kl_coef": 0.5,
    "first_attempt_kl_coef": 0.25,
    "num_anchored": 1,
}
STAGE2 = {"name": "stage2", "kl_coef": 0.5, "bonus_coef": 10.0}

REWARDS = np.array([[[0, 1], [1, 0]]], np.float32)
SEQUENCE_KL = np.array([[[4, 8], [16, 32]]], np.float32)
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
    shaped = Stage1(0.5, 0.25, num_anchored=1).shaped_rewards(
        REWARDS, SEQUENCE_KL
    )
    expected = [[[-0.25 * 4, 1 - 0.5 * 8], [-0.25 * 16, 0 - 0.5 * 32]]]
    np.testing.assert_array_equal(shaped, expected)

  def test_stage1_anchors_as_many_attempts_as_it_says(self):
    rewards, kl = (np.repeat(a, [1, 2], -1) for a in (REWARDS, SEQUENCE_KL))
    shaped = Stage1(0.5, 0.25, num_anchored=2).shaped_rewards(rewards, kl)
    np.testing.assert_array_equal(shaped[..., :2], -0.25 * kl[..., :2])
    np.testing.assert_array_equal(shaped[..., 2], [[1 - 4, -16]])

  def test_stage2_has_the_bonus_and_one_coefficient(self):
    shaped = Stage2(0.5, 10.0).shaped_rewards(REWARDS, SEQUENCE_KL)
    expected = [[[0 - 2, 1 + 10 - 4], [1 - 8, 0 - 10 - 16]]]
    np.testing.assert_array_equal(shaped, expected)
    self.assertEqual(Stage2(0.5, 10.0).num_anchored, 0)

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

  @parameterized.parameters("stage3", None, [["stage1"]])
  def test_an_unknown_name_is_refused(self, name):
    message = (
        f"^config: {PATH}.name is {re.escape(repr(name))}, expected one of"
        " stage1, stage2$"
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
  )
  def test_a_negative_coefficient_is_refused(self, settings, name):
    message = rf"^config.{PATH}: {name} is -0.1, expected 0 or more$"
    with self.assertRaisesRegex(ValueError, message):
      objectives.make_objective(_changed(settings, **{name: -0.1}), PATH)


if __name__ == "__main__":
  absltest.main()
