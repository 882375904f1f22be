"""Adapters on meshes: the numbers of one device, and everything divided."""

import dataclasses
import functools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from score_jax import settings as settings_lib
from score_jax import shaping
from score_jax.devices import sharding
from score_jax.models import placement as placement_lib
from score_jax.models import transformer
from score_jax.objectives import Stage1
from score_jax.settings import MeshSettings
from score_jax.settings import TrainSettings
from score_jax.training import adapt
from score_jax.training import optim
from score_jax.training import reinforce
from score_jax.training import scoring as scoring_lib
from score_jax.training import train
from score_jax.types import TrainBatch
from tests.helpers import smoke
from tests.helpers.eight_heads import CONFIG

UNTIED = dataclasses.replace(CONFIG, is_tied=False, num_kv_heads=4)
ROWS, TOKENS = 16, 16
# float32, sums in another order.
TOLERANCE = 2e-5


def _batch():
  """Rows with padding behind, attempts of several lengths."""
  rng = np.random.default_rng(1)
  columns = np.arange(TOKENS)[None]
  mask = columns < rng.integers(TOKENS - 4, TOKENS + 1, (ROWS, 1))
  attempt_ids = np.where(columns < 4, 0, np.where(columns < 9, 1, 2))
  tokens = rng.integers(2, CONFIG.vocab_size, (ROWS, TOKENS), np.int32)
  return TrainBatch(
      tokens=tokens,
      mask=mask,
      attempt_ids=np.where(mask, attempt_ids, 0).astype(np.int32),
      advantages=rng.normal(size=(ROWS, 2)).astype(np.float32),
      ref_logprobs=rng.normal(-2, 1, (ROWS, TOKENS - 1)).astype(np.float32),
      targets=tokens,
  )


def _settings(estimator):
  changes = {"lora_rank": 3, "kl_estimator": estimator}
  values = smoke.SETTINGS["train"] | changes
  return settings_lib.from_mapping(TrainSettings, values)


def _moved(factors):
  """Factors of which none is zero, as they are behind the first updates."""
  rng = np.random.default_rng(2)
  return {
      name: f
      + jax.device_put(
          jnp.asarray(0.3 * rng.normal(size=f.shape), f.dtype), f.sharding
      )
      for name, f in factors.items()
  }


def _update(config, sizes=None, estimator="k2", **execution):
  """State after a step, its metrics, the sampler's copy before it."""
  mesh = sizes and MeshSettings(1, *sizes, sampler_tensor=sizes[-1])
  placement = placement_lib.make_placement(config, mesh)
  settings = _settings(estimator)
  scoring = scoring_lib.Scoring(
      model=config,
      num_attempts=2,
      temperature=1.0,
      reduce=shaping.attempt_sums,
      execution=transformer.Execution(logprob_chunk=24, **execution),
  )
  objective = Stage1(kl_coef=0.01, first_attempt_kl_coef=0.1, num_anchored=1)
  optimizer = optim.make_optimizer(
      learning_rate=1e-3, warmup_steps=0, max_grad_norm=1.0
  )
  places = adapt.trained_shardings(settings, config, placement)
  step = train.make_train_step(
      reinforce.make_loss_fn(settings, objective, scoring),
      optimizer,
      num_microbatches=2,
      param_shardings=places,
  )
  params = transformer.init_params(jax.random.key(0), config)
  frozen = jax.tree.map(lambda a: 4 * a, params)
  if sizes:
    frozen = jax.device_put(frozen, placement.params)
  key = jax.random.key(1)
  factors = _moved(adapt.init_factors(key, settings, config, placement))
  copy = placement.copy(adapt.policy(settings, factors, frozen))
  with sharding.use(placement.mesh):
    state = train.init_train_state(factors, optimizer, places)
    state, metrics = step(state, frozen, _batch())
  return state, jax.device_get(metrics), jax.device_get(copy)


@functools.cache
def _reference(config, **options):
  return _update(config, **options)


@pytest.mark.slow
class LoraMeshesTest(parameterized.TestCase):

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    # Programs of one run each: compiling them is all that takes time.
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    cls.addClassCleanup(
        jax.config.update, "jax_disable_most_optimizations", before
    )

  def assert_same(self, found, expected):
    """Factors, moments (the gradients), metrics, and the merged copy."""
    self.assertGreater(float(expected[1]["grad_norm"]), 0.1)
    jax.tree.map(
        functools.partial(
            np.testing.assert_allclose, rtol=10 * TOLERANCE, atol=TOLERANCE
        ),
        jax.device_get(found),
        jax.device_get(expected),
    )

  @parameterized.parameters((8, 1, 1), (1, 8, 1), (1, 1, 8), (2, 2, 2))
  def test_update_and_copy_are_those_of_one_device(self, *sizes):
    self.assert_same(_update(CONFIG, sizes), _reference(CONFIG))

  def test_an_untied_model_with_grouped_heads_and_exact_kl(self):
    found = _update(UNTIED, (2, 2, 2), "exact", remat="full")
    self.assert_same(found, _reference(UNTIED, estimator="exact"))

  def test_what_is_divided(self):
    state = _update(CONFIG, (1, 4, 2))[0]
    adam = state.opt_state[1][0]
    over_model, over_heads = 4, 2
    parts = {
        "query_lora_a": over_model,
        "query_lora_b": over_heads,
        "output_lora_a": over_heads,
        "output_lora_b": over_model,
        "gate_lora_a": over_model,
        "gate_lora_b": over_heads,
        "down_lora_a": over_heads,
        "down_lora_b": over_model,
    }
    for tree in (state.params, adam.mu, adam.nu):
      self.assertLen(tree, 14)
      for name, count in parts.items():
        shard = tree[name].addressable_shards[0].data
        self.assertEqual(shard.size * count, tree[name].size, name)


if __name__ == "__main__":
  absltest.main()
