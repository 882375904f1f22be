"""One device or many, the same numbers: samples, loss, gradients, parameters.

Every mesh (data, fsdp, tensor) of eight devices, and some whose sizes do not
divide the arrays, against the default device without a mesh.
"""

import dataclasses
import functools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import numpy as np
import pytest

from score_jax import shaping
from score_jax.devices import sharding
from score_jax.devices.sharding import MeshShape
from score_jax.models import decoding
from score_jax.models import transformer
from score_jax.objectives import Stage1
from score_jax.rollouts import sampler
from score_jax.rollouts.sampler import Occasion
from score_jax.rollouts.sampler import Prompts
from score_jax.rollouts.spec import ConversationSpec
from score_jax.rollouts.spec import SamplingSpec
from score_jax.training import optim
from score_jax.training import scoring as scoring_lib
from score_jax.training import train
from score_jax.types import TrainBatch
from tests.helpers.eight_heads import CONFIG

UNTIED = dataclasses.replace(CONFIG, is_tied=False, num_kv_heads=4)
ROWS, TOKENS = 16, 16
# In all of this file: float32, sums in another order.
TOLERANCE = 2e-5


# data, fsdp, tensor: one axis alone, two together, and all of them.
_EIGHT_DEVICES = (
    (8, 1, 1),
    (1, 8, 1),
    (1, 1, 8),
    (4, 1, 2),
    (1, 4, 2),
    (2, 2, 2),
)


def _params(config):
  """Large enough for gradients that are not lost in rounding."""
  params = transformer.init_params(jax.random.key(0), config)
  return jax.tree.map(lambda a: 4 * a, params)


def _devices(sizes):
  return jax.devices()[: int(np.prod(sizes))]


def _mesh(data, fsdp, tensor, slices=1):
  shape = MeshShape(slices, data, fsdp, tensor)
  return sharding.make_mesh(shape, _devices(dataclasses.astuple(shape)))


@functools.cache
def _sample(config, data=None, tensor=None, samples=2, corrections=1):
  """Two attempts at eight problems, two samples each."""
  mesh = None
  if data is not None:
    train_mesh = _mesh(data, 1, tensor)
    mesh = sharding.sampler_mesh(train_mesh, tensor)
  rng = np.random.default_rng(0)
  prompts = rng.integers(2, config.vocab_size, (8, 6), np.int32)
  mask = np.arange(6)[None] >= rng.integers(0, 5, (8, 1))
  spec = ConversationSpec(
      num_attempts=2,
      samples_per_problem=samples,
      max_prompt_tokens=6,
      max_new_tokens=(4,),
      sampling=SamplingSpec(1.0, eos_id=1, stop_ids=(1,), pad_id=0),
      turn_ids=(3, 4),
      corrections_per_attempt=corrections,
  )
  copy = decoding.make_copy(config, None, mesh)(_params(config))
  with sharding.use(mesh):
    attempts = sampler.sample_messages(
        copy,
        config,
        Prompts(prompts, mask, np.arange(8, dtype=np.int32)),
        spec.turns,
        Occasion(jax.random.key(3), step=0),
        spec,
    )
  return jax.device_get(attempts)


def _batch(config, rows):
  """Rows with padding behind, attempts of several lengths."""
  rng = np.random.default_rng(1)
  lengths = rng.integers(TOKENS - 4, TOKENS + 1, (rows, 1))
  columns = np.arange(TOKENS)[None]
  attempt_ids = np.where(columns < 4, 0, np.where(columns < 9, 1, 2))
  mask = columns < lengths
  tokens = rng.integers(2, config.vocab_size, (rows, TOKENS), np.int32)
  return TrainBatch(
      tokens=tokens,
      mask=mask,
      attempt_ids=np.where(mask, attempt_ids, 0).astype(np.int32),
      advantages=rng.normal(size=(rows, 2)).astype(np.float32),
      ref_logprobs=rng.normal(-2, 1, (rows, TOKENS - 1)).astype(np.float32),
      targets=np.where(columns == 8, 1, tokens),  # how an attempt ended
  )


def _update(config, mesh, estimator="k2", rows=ROWS, **execution):
  """The state after one step, and the step's metrics."""
  scoring = scoring_lib.Scoring(
      model=config,
      num_attempts=2,
      temperature=1.0,
      reduce=shaping.attempt_sums,
      execution=transformer.Execution(
          logprob_chunk=24,  # does not divide the positions
          **execution,
      ),
  )
  loss_fn = scoring_lib.make_loss_fn(
      Stage1(kl_coef=0.01, first_attempt_kl_coef=0.1, num_anchored=1),
      scoring_lib.KL_ESTIMATORS[estimator],
      scoring,
  )
  optimizer = optim.make_optimizer(
      learning_rate=1e-3, warmup_steps=0, max_grad_norm=1.0
  )
  params = _params(config)
  places = sharding.tree_shardings(
      mesh, params, transformer.logical_axes(config)
  )
  ref_params = jax.tree.map(lambda a: 1.1 * a, params)
  if mesh is not None:
    params, ref_params = jax.device_put((params, ref_params), (places, places))
  step = train.make_train_step(
      loss_fn, optimizer, num_microbatches=2, param_shardings=places
  )
  with sharding.use(mesh):
    state = train.init_train_state(params, optimizer, places)
    donated = state.params["embedding"]
    state, metrics = step(state, ref_params, _batch(config, rows))
  return state, jax.device_get(metrics), donated


@functools.cache
def _reference(config, **kwargs):
  return _update(config, None, **kwargs)[:2]


class MeshesTest(parameterized.TestCase):

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    # Programs of one run each: compiling them is all that takes time.
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    cls.addClassCleanup(
        jax.config.update, "jax_disable_most_optimizations", before
    )

  def assert_same_samples(self, found, expected):
    for a, b in zip(found, expected, strict=True):
      np.testing.assert_array_equal(a.tokens, b.tokens)
      np.testing.assert_array_equal(a.mask, b.mask)
      np.testing.assert_allclose(
          a.behaviour_logprobs, b.behaviour_logprobs, atol=TOLERANCE
      )

  def assert_same_update(self, found, expected):
    """Parameters, Adam's moments (the gradients) and all metrics."""
    (state, metrics), (expected_state, expected_metrics) = found, expected
    self.assertGreater(float(expected_metrics["grad_norm"]), 0.1)
    # Terms of a KL are differences of log-probabilities of a few nats, which
    # float32 rounds by up to 5e-7 each, however small the KL is.
    jax.tree.map(
        functools.partial(
            np.testing.assert_allclose, rtol=TOLERANCE, atol=1e-6
        ),
        metrics,
        expected_metrics,
    )
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, atol=TOLERANCE),
        jax.device_get(state),
        jax.device_get(expected_state),
    )

  @parameterized.parameters(*_EIGHT_DEVICES)
  @pytest.mark.slow
  def test_update_is_that_of_one_device(self, *sizes):
    state, metrics, donated = _update(CONFIG, _mesh(*sizes))
    self.assert_same_update((state, metrics), _reference(CONFIG))
    self.assertTrue(donated.is_deleted())

  @parameterized.parameters((8, 1), (1, 8), (4, 2), (2, 4))
  @pytest.mark.slow
  def test_samples_are_those_of_one_device(self, data, tensor):
    self.assert_same_samples(_sample(CONFIG, data, tensor), _sample(CONFIG))

  @pytest.mark.slow
  def test_corrections_are_those_of_one_device(self):
    options = dict(samples=4, corrections=2)
    self.assert_same_samples(
        _sample(CONFIG, 4, 2, **options), _sample(CONFIG, **options)
    )

  @pytest.mark.slow
  def test_an_untied_model_with_grouped_heads_and_exact_kl(self):
    options = dict(estimator="exact", remat="full")
    found = _update(UNTIED, _mesh(2, 2, 2), **options)[:2]
    self.assert_same_update(found, _reference(UNTIED, estimator="exact"))
    self.assert_same_samples(_sample(UNTIED, 2, 4), _sample(UNTIED))

  @pytest.mark.slow
  def test_two_slices(self):
    found = _update(CONFIG, _mesh(1, 2, 2, slices=2))[:2]
    self.assert_same_update(found, _reference(CONFIG))

  @pytest.mark.slow
  def test_sizes_that_the_devices_do_not_divide(self):
    """Rows, vocabulary and tokens stay whole where they must."""
    odd = dataclasses.replace(CONFIG, vocab_size=31)
    found = _update(odd, _mesh(1, 3, 2), rows=10)[:2]
    self.assert_same_update(found, _reference(odd, rows=10))
    self.assert_same_samples(_sample(odd, 3, 2), _sample(odd))

  @pytest.mark.slow
  def test_what_is_divided(self):
    """Parameters, gradients and moments; nothing is whole on every device."""
    mesh = _mesh(1, 4, 2)
    state = _update(CONFIG, mesh)[0]
    adam = state.opt_state[1][0]
    for tree in (state.params, adam.mu, adam.nu):
      for name in ("query", "gate", "down", "output"):
        shard = tree["layers"][name].addressable_shards[0].data
        self.assertEqual(shard.size * 8, tree["layers"][name].size)
      shard = tree["embedding"].addressable_shards[0].data
      self.assertEqual(shard.size * 8, tree["embedding"].size)

  @pytest.mark.slow
  def test_bfloat16_computes_alike(self):
    """Rounded, but alike: no sum has moved to another place."""
    options = dict(dtype=np.dtype("bfloat16"), rows=8)
    _, metrics, _ = _update(CONFIG, _mesh(1, 2, 2), **options)
    _, expected = _reference(CONFIG, **options)
    for name, value in expected.items():
      self.assertAlmostEqual(metrics[name] / value, 1, delta=0.05)


if __name__ == "__main__":
  absltest.main()
