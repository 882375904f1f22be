"""A step of reinforcement learning: what the update and the log are given."""

import dataclasses
from unittest import mock

from absl.testing import absltest
import jax
import numpy as np
import pytest

from score_jax import settings as settings_lib
from score_jax import shaping
from score_jax.models import transformer
from score_jax.objectives import Stage1Entropy
from score_jax.run import preparation
from score_jax.settings import RunSettings
from score_jax.tasks import make
from score_jax.training import phases as phases_lib
from score_jax.training import reinforce
from score_jax.training.reinforce import FrozenPolicies
from score_jax.training.reinforce import Reinforcement
from tests.helpers import smoke


@pytest.mark.slow
class StepTest(absltest.TestCase):

  is_prefix_shared = False

  @classmethod
  def setUpClass(cls):
    """One step whose objective pays for entropy; the update does nothing."""
    super().setUpClass()
    values = smoke.settings(train__shared_prefix=cls.is_prefix_shared)
    settings = settings_lib.from_mapping(RunSettings, values)
    context = preparation.open_run(
        settings, make.make_task(settings.task), mock.MagicMock()
    )
    params = transformer.init_params(jax.random.key(0), context.base.config)
    first, _ = phases_lib.score(settings)
    cls.objective = Stage1Entropy(0.0, 1.0, 1, entropy_coef=0.5)
    phase = dataclasses.replace(first, objective=cls.objective)
    given = []

    def update(state, reference, batch):
      del reference
      given.append(batch)
      return state, {}

    with mock.patch.object(
        reinforce.train, "make_train_step", lambda *_, **__: update
    ):
      step = Reinforcement(context, phase, FrozenPolicies(params, params), 0)
    state = step.init_state(params)
    _, cls.rollouts, cls.scalars = step.step(state, 0)
    (cls.batch,) = given

  def test_the_entropy_bonus_is_of_the_sampled_tokens(self):
    c = self.rollouts.conversations
    rewards = np.array(self.rollouts.rewards)
    rewards[..., 0] = 0  # the first attempt is anchored by the loss
    logprobs = [
        row[ids == 2].sum()
        for row, ids in zip(c.behaviour_logprobs, c.attempt_ids, strict=True)
    ]
    self.assertLess(max(logprobs), -0.1)
    rewards[..., 1] -= 0.5 * np.reshape(logprobs, rewards.shape[:2])
    np.testing.assert_allclose(
        self.batch.advantages,
        np.reshape(shaping.leave_one_out(rewards), (-1, 2)),
        atol=1e-5,
    )

  def test_copies_are_logged(self):
    answers = [[g.answer for g in row] for row in self.rollouts.grades]
    same = [one == two and one is not None for one, two in answers]
    self.assertAlmostEqual(self.scalars["train/same_answer"], np.mean(same))
    self.assertBetween(self.scalars["train/copied"], 0.0, 1.0)


@pytest.mark.slow
class SharedPrefixStepTest(StepTest):
  """The same where rows are without the prompt that they share."""

  is_prefix_shared = True

  def test_the_batch_has_a_prefix(self):
    self.assertIsNotNone(self.batch.prefix)


if __name__ == "__main__":
  absltest.main()
