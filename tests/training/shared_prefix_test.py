"""An update that computes shared prompts once is the update of whole rows."""

import dataclasses
import functools
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from score_jax import settings as settings_lib
from score_jax import shaping
from score_jax.models import transformer
from score_jax.models.config import ModelConfig
from score_jax.models.config import QkNorm
from score_jax.models.config import Rope
from score_jax.models.transformer import Execution
from score_jax.objectives import Stage1
from score_jax.rollouts import prefixes
from score_jax.run import preparation
from score_jax.settings import RunSettings
from score_jax.tasks import make
from score_jax.training import phases as phases_lib
from score_jax.training import scoring as scoring_lib
from score_jax.training import train
from score_jax.training.reinforce import FrozenPolicies
from score_jax.training.reinforce import Reinforcement
from score_jax.training.scoring import Scoring
from score_jax.types import Conversations
from score_jax.types import TrainBatch
from tests.helpers import smoke
from tests.helpers.compiling import fast_jit
from tests.helpers.tiny_rollouts import SPEC

CONFIG = ModelConfig(
    model_type="gemma3_text",
    vocab_size=17,
    d_model=12,
    num_layers=3,
    num_heads=4,
    num_kv_heads=2,
    head_dim=6,
    d_ff=16,
    rope=Rope(100.0),
    norm_eps=0.05,
    is_tied=True,
    max_positions=64,
    has_qkv_bias=True,
    qk_norm=QkNorm.HEAD,
    attention_softcap=2.0,
    logit_softcap=3.0,
    sliding_window=4,
    is_local=(True, False, True),
    has_rope=(True, False, True),
)
PROMPTS = (1, 6, 3)  # tokens


@functools.cache
def _params(seed=0):
  shapes = jax.eval_shape(
      functools.partial(transformer.init_params, config=CONFIG),
      jax.random.key(0),
  )
  leaves, structure = jax.tree.flatten(shapes)
  rng = np.random.default_rng(seed)
  return structure.unflatten(
      jnp.asarray(0.5 * rng.normal(size=x.shape), x.dtype) for x in leaves
  )


def _spec(samples):
  return dataclasses.replace(
      SPEC,
      samples_per_problem=samples,
      max_prompt_tokens=8,
      max_new_tokens=(4,),
      turn_ids=(5, 6, 7),
  )


def _conversations(samples):
  """Prompts and attempts of several lengths; the last problem is offline."""
  spec, rng = _spec(samples), np.random.default_rng(samples)
  shape = (len(PROMPTS) * samples, spec.row_tokens)
  ids, mask = np.zeros(shape, np.int32), np.zeros(shape, bool)
  tokens = rng.integers(3, CONFIG.vocab_size, shape, np.int32)
  for row in range(shape[0]):
    problem = row // samples
    tokens[row, :8] = tokens[problem * samples, :8]
    attempts = [[i] * rng.integers(1, 5) for i in (1, 2)]
    labels = [0] * PROMPTS[problem] + attempts[0] + [0] * 4 + attempts[1]
    tokens[row, PROMPTS[problem] :] = rng.integers(
        3, CONFIG.vocab_size, shape[1] - PROMPTS[problem]
    )
    ids[row, : len(labels)] = labels
    mask[row, : len(labels)] = True
  trained = ids.copy()
  trained[-samples:][ids[-samples:] == 1] = 0
  return Conversations(
      problems=(),
      tokens=tokens,
      mask=mask,
      attempt_ids=ids,
      trained_attempt_ids=trained,
      behaviour_logprobs=np.zeros(shape, np.float32),
      texts=(),
      is_truncated=np.zeros((len(PROMPTS), samples, 2), bool),
      # How attempts ended is not what is read behind them.
      targets=np.where(ids > 0, (tokens + ids) % CONFIG.vocab_size, tokens),
  )


def _gradients(name, samples, is_shared, count=1, remat="none"):
  """Gradient and metrics of a batch; rows are whole or behind a prefix."""
  scoring = Scoring(
      CONFIG,
      2,
      0.7,
      shaping.attempt_sums,
      Execution(logprob_chunk=7, remat=remat),
  )
  prefix, rows = None, _conversations(samples)
  if is_shared:
    prefix, rows = prefixes.share(rows, _spec(samples))
  estimator = scoring_lib.KL_ESTIMATORS[name]
  loss_fn = scoring_lib.make_loss_fn(Stage1(0.3, 0.7, 1), estimator, scoring)
  advantages = np.random.default_rng(9).normal(size=(len(rows.tokens), 2))

  @fast_jit
  def gradients(params, reference):
    batch = TrainBatch(
        tokens=jnp.asarray(rows.tokens),
        mask=jnp.asarray(rows.mask),
        attempt_ids=jnp.asarray(rows.trained_attempt_ids),
        advantages=jnp.asarray(advantages, jnp.float32),
        targets=jnp.asarray(rows.targets),
        prefix=jax.tree.map(jnp.asarray, prefix),
    )
    if estimator.needs_ref_logprobs:
      logprobs = scoring.logprobs_by_microbatch(
          reference,
          batch.tokens,
          batch.mask,
          count,
          batch.targets,
          batch.prefix,
      )
      batch = batch.replace(ref_logprobs=logprobs)
    return train.microbatch_gradients(
        lambda p, b: loss_fn(p, reference, b), params, batch, count
    )

  return gradients(_params(), _params(1))


@functools.cache
def _whole(name, samples):
  return _gradients(name, samples, is_shared=False)


class LossTest(parameterized.TestCase):

  def assert_same(self, found, expected):
    """Gradients and metrics, the loss among them."""
    (gradient, metrics), (expected_gradient, expected_metrics) = found, expected
    self.assertEqual(set(metrics), {"loss", "kl_t1", "kl_t2"})
    chex.assert_trees_all_close(metrics, expected_metrics, rtol=1e-5, atol=1e-5)
    largest = max(np.abs(g).max() for g in jax.tree.leaves(expected_gradient))
    self.assertGreater(largest, 1.0)
    chex.assert_trees_all_close(
        gradient, expected_gradient, rtol=1e-5, atol=1e-5 * largest
    )

  @parameterized.parameters(*scoring_lib.KL_ESTIMATORS)
  @pytest.mark.slow
  def test_loss_and_gradient_are_those_of_whole_rows(self, name):
    found = _gradients(name, 2, is_shared=True)
    self.assert_same(found, _whole(name, 2))

  @parameterized.parameters(1, 3, 4)
  @pytest.mark.slow
  def test_any_number_of_samples_shares_a_prompt(self, samples):
    found = _gradients("exact", samples, is_shared=True)
    self.assert_same(found, _whole("exact", samples))

  @parameterized.parameters("exact", "k2")
  @pytest.mark.slow
  def test_micro_batches_are_whole_problems(self, name):
    found = _gradients(name, 2, is_shared=True, count=3)
    self.assert_same(found, _whole(name, 2))

  @parameterized.parameters("dots", "full")
  @pytest.mark.slow
  def test_what_is_computed_again_is_the_same(self, remat):
    found = _gradients("exact", 2, is_shared=True, remat=remat)
    self.assert_same(found, _whole("exact", 2))

  def test_micro_batches_that_cut_a_problem_are_refused(self):
    with self.assertRaisesRegex(ValueError, "a batch of 3 rows is not .* 2 mi"):
      _gradients("exact", 2, is_shared=True, count=2)


class RefusalTest(absltest.TestCase):

  def test_kernels_of_one_row_are_refused(self):
    prefix, rows = prefixes.share(_conversations(2), _spec(2))
    scoring = Scoring(
        CONFIG, 2, 1.0, shaping.attempt_sums, Execution(attention="splash")
    )
    with self.assertRaisesRegex(ValueError, "attention is 'splash', whose"):
      scoring.logprobs(_params(), rows.tokens, rows.mask, prefix=prefix)

  def test_rows_that_prefixes_cannot_share_evenly_are_refused(self):
    prefix, rows = prefixes.share(_conversations(2), _spec(2))
    scoring = Scoring(CONFIG, 2, 1.0, shaping.attempt_sums)
    with self.assertRaisesRegex(ValueError, "5 rows behind 3 prefixes"):
      scoring.logprobs(_params(), rows.tokens[:5], rows.mask[:5], prefix=prefix)


class StepTest(parameterized.TestCase):
  """A run's own step, from sampling to the new parameters."""

  def _step(self, is_shared, **changes):
    settings = settings_lib.from_mapping(
        RunSettings, smoke.settings(train__shared_prefix=is_shared, **changes)
    )
    context = preparation.open_run(
        settings, make.make_task(settings.task), mock.MagicMock()
    )
    params = transformer.init_params(jax.random.key(0), context.base.config)
    reference = jax.tree.map(lambda a: 1.1 * a, params)
    reinforcement = Reinforcement(
        context,
        phases_lib.score(settings)[0],
        FrozenPolicies(reference, reference),
        0,
    )
    state, rollouts, scalars = reinforcement.step(
        reinforcement.init_state(params), 0
    )
    return state, rollouts, scalars

  @parameterized.parameters(
      {"train__kl_estimator": "exact"},
      {"train__kl_estimator": "k1_in_reward"},
      {
          "train__kl_estimator": "k2",
          "rollout__offline_first_attempt_fraction": 0.5,
      },
  )
  @pytest.mark.slow
  def test_an_update_is_that_of_whole_rows(self, **changes):
    state, rollouts, scalars = self._step(True, **changes)
    expected_state, expected_rollouts, expected = self._step(False, **changes)
    np.testing.assert_array_equal(
        rollouts.conversations.tokens, expected_rollouts.conversations.tokens
    )
    for name in ("loss", "grad_norm", "kl_t1", "kl_t2"):
      np.testing.assert_allclose(
          scalars[f"train/{name}"], expected[f"train/{name}"], 1e-4, 1e-5
      )
    self.assertGreater(expected["train/grad_norm"], 1e-3)
    moments, expected_moments = (
        [a for a in jax.tree.leaves(s.opt_state) if a.ndim]
        for s in (state, expected_state)
    )
    chex.assert_trees_all_close(moments, expected_moments, rtol=1e-3, atol=1e-6)


if __name__ == "__main__":
  absltest.main()
