"""Tests of score_jax.training.scoring."""

import functools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from score_jax import policy
from score_jax import settings
from score_jax import shaping
from score_jax.models import transformer
from score_jax.models.transformer import Execution
from score_jax.objectives import Stage1
from score_jax.objectives import Stage1Entropy
from score_jax.objectives import Stage2
from score_jax.training import scoring as scoring_lib
from score_jax.training.scoring import Scoring
from score_jax.types import TrainBatch
from tests.helpers.tiny_rollouts import CONFIG
from tests.helpers.tiny_rollouts import model_params

ROWS, TOKENS, LENGTHS = 4, 7, np.array([7, 6, 7, 5])
MASK = np.arange(TOKENS)[None] < LENGTHS[:, None]
IDS = np.where(MASK, np.array([0, 1, 1, 0, 2, 2, 2]), 0)
IDS[0, 2] = 0  # attempts of one token and of two


class TablesTest(parameterized.TestCase):
  """Settings name what the library has, and name all of it."""

  @parameterized.parameters(
      (settings.REMAT_POLICIES, transformer.REMAT_POLICIES),
      (settings.KL_ESTIMATORS, scoring_lib.KL_ESTIMATORS),
      (settings.TOKEN_REDUCTIONS, scoring_lib.TOKEN_REDUCTIONS),
  )
  def test_names_are_the_keys_of_their_table(self, names, table):
    self.assertEqual(names, tuple(table))

  @parameterized.product(
      attention=settings.ATTENTIONS, remat=settings.REMAT_POLICIES
  )
  def test_a_model_is_computed_in_every_way_that_settings_name(
      self, attention, remat
  ):
    """Traced alone: there is no such device."""
    scoring = _scoring(attention=attention, remat=remat)
    gradient = jax.grad(lambda p: jnp.sum(scoring.logprobs(p, _tokens(), MASK)))
    found = jax.eval_shape(gradient, model_params())
    self.assertEqual(
        jax.tree.map(jnp.shape, found), jax.tree.map(jnp.shape, model_params())
    )

  @parameterized.parameters("attention", "remat")
  def test_an_execution_of_another_name_is_refused(self, name):
    with self.assertRaisesRegex(ValueError, f"{name} is 'other', expected"):
      Execution(**{name: "other"})


def _scoring(reduce=shaping.attempt_sums, **execution):
  return Scoring(
      model=CONFIG,
      num_attempts=2,
      temperature=0.7,
      reduce=reduce,
      execution=Execution(**execution),
  )


def _ref_params():
  return jax.tree.map(lambda a: 0.8 * jnp.flip(a, -1), model_params())


def _tokens():
  return np.random.default_rng(0).integers(3, 18, (ROWS, TOKENS), np.int32)


@functools.cache
def _logprobs(is_reference=False):
  params = _ref_params() if is_reference else model_params()
  return policy.token_logprobs(params, CONFIG, _tokens(), MASK, temperature=0.7)


@functools.cache
def _token_kl():
  _, kl = policy.token_logprobs_and_kl(
      model_params(), _ref_params(), CONFIG, _tokens(), MASK, temperature=0.7
  )
  return kl


def _batch():
  advantages = np.random.default_rng(1).normal(size=(ROWS, 2))
  return TrainBatch(
      tokens=_tokens(),
      mask=MASK,
      attempt_ids=IDS,
      advantages=advantages.astype(np.float32),
      ref_logprobs=_logprobs(is_reference=True),
  )


class ScoringTest(parameterized.TestCase):

  @parameterized.parameters(1, 2, 4)
  @pytest.mark.slow
  def test_pieces_have_the_log_probabilities_of_the_whole(self, count):
    """Those of `policy`, at the temperature and with the chunk of the run."""
    scoring = _scoring(logprob_chunk=5)
    score = jax.jit(scoring.logprobs_by_microbatch, static_argnums=3)
    found = score(model_params(), _tokens(), MASK, count)
    np.testing.assert_allclose(found, _logprobs(), atol=1e-5)


class LossTest(parameterized.TestCase):

  @parameterized.parameters(*scoring_lib.KL_ESTIMATORS)
  @pytest.mark.slow
  def test_reported_is_the_kl_of_each_attempt(self, name):
    """Summed over its tokens, whatever the loss makes of them."""
    estimator = scoring_lib.KL_ESTIMATORS[name]
    loss_fn = scoring_lib.make_loss_fn(
        Stage2(0.5, 10.0), estimator, _scoring(shaping.attempt_means)
    )
    batch = _batch()
    if not estimator.needs_ref_logprobs:
      batch = batch.replace(ref_logprobs=None)
    reference = None if estimator.needs_ref_logprobs else _ref_params()
    _, metrics = jax.jit(loss_fn)(model_params(), reference, batch)
    per_token = _token_kl()
    if estimator.needs_ref_logprobs:
      per_token = _logprobs() - _logprobs(is_reference=True)
    expected = shaping.attempt_sums(per_token, IDS, 2).mean(axis=0)
    self.assertEqual(list(metrics), ["kl_t1", "kl_t2"])
    np.testing.assert_allclose(list(metrics.values()), expected, atol=1e-5)

  @parameterized.parameters(*scoring_lib.KL_ESTIMATORS)
  @pytest.mark.slow
  def test_only_the_kl_in_the_reward_is_no_term_of_the_loss(self, name):
    estimator = scoring_lib.KL_ESTIMATORS[name]
    self.assertEqual(estimator.is_in_reward, name == "k1_in_reward")

    def loss(kl_coef):
      loss_fn = scoring_lib.make_loss_fn(
          Stage2(kl_coef, 10.0), estimator, _scoring()
      )
      return jax.jit(loss_fn)(model_params(), _ref_params(), _batch())[0]

    with_kl, without = loss(0.5), loss(0.0)
    if estimator.is_in_reward:
      self.assertEqual(with_kl, without)
    else:
      self.assertGreater(abs(with_kl - without), 1e-3)


class AdvantagesTest(parameterized.TestCase):

  REWARDS = (
      np.random.default_rng(2).integers(0, 2, (2, 4, 2)).astype(np.float32)
  )
  KL = np.random.default_rng(3).normal(size=(8, 2)).astype(np.float32)
  SEQUENCE_LOGPROBS = (
      np.random.default_rng(4).normal(size=(8, 2)).astype(np.float32)
  )
  OBJECTIVES = (
      Stage1(0.5, 0.25, num_anchored=1),
      Stage2(0.5, 10.0),
      Stage1Entropy(0.5, 0.25, num_anchored=1, entropy_coef=0.5),
  )

  @parameterized.product(objective=OBJECTIVES, has_kl=(True, False))
  def test_are_leave_one_out_of_shaped_rewards(self, objective, has_kl):
    kl = self.KL if has_kl else np.zeros_like(self.KL)
    shaped = objective.shaped_rewards(
        self.REWARDS,
        kl.reshape(2, 4, 2),
        self.SEQUENCE_LOGPROBS.reshape(2, 4, 2),
    )
    found = scoring_lib.advantages(
        objective,
        self.REWARDS,
        self.KL if has_kl else None,
        self.SEQUENCE_LOGPROBS,
    )
    expected = shaping.leave_one_out(shaped).reshape(8, 2)
    np.testing.assert_allclose(found, expected, atol=1e-5)

  def test_corrections_have_the_conditional_baseline(self):
    objective = Stage2(0.5, 10.0)
    rewards = self.REWARDS.copy()
    rewards[..., 0] = np.repeat(rewards[:, ::2, 0], 2, axis=1)
    nothing = np.zeros_like(rewards)
    shaped = objective.shaped_rewards(rewards, nothing, nothing)
    found = scoring_lib.advantages(objective, rewards, None, nothing, 2)
    expected = shaping.conditional_leave_one_out(shaped, 2).reshape(8, 2)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    plain = scoring_lib.advantages(objective, rewards, None, nothing)
    self.assertGreater(np.abs(found - plain).max(), 0.1)


class SequenceLogprobsTest(absltest.TestCase):

  def test_are_those_of_each_attempt_as_it_was_recorded(self):
    """The record has a column for the first token too."""
    recorded = jnp.pad(_logprobs(), ((0, 0), (1, 0)), constant_values=7.0)
    values = np.asarray(_logprobs(), np.float64)
    for reduce, mean in (
        (shaping.attempt_sums, np.sum),
        (shaping.attempt_means, np.mean),
    ):
      found = scoring_lib.sequence_logprobs(recorded, IDS, 2, reduce)
      expected = [
          [mean(row[ids[1:] == i]) for i in (1, 2)]
          for row, ids in zip(values, IDS, strict=True)
      ]
      np.testing.assert_allclose(found, expected, atol=1e-5)


class RewardKlTest(absltest.TestCase):

  def test_is_that_of_recorded_log_probabilities(self):
    """Which have a column for the first token too."""
    recorded = jnp.pad(_logprobs(), ((0, 0), (1, 0)), constant_values=7.0)
    reference = _logprobs(is_reference=True)
    ratios = np.asarray(_logprobs() - reference, np.float64)
    for reduce, mean in (
        (shaping.attempt_sums, np.sum),
        (shaping.attempt_means, np.mean),
    ):
      found = scoring_lib.reward_kl(recorded, reference, IDS, 2, reduce)
      expected = [
          [mean(row[ids[1:] == i]) for i in (1, 2)]
          for row, ids in zip(ratios, IDS, strict=True)
      ]
      np.testing.assert_allclose(found, expected, atol=1e-5)


if __name__ == "__main__":
  absltest.main()
