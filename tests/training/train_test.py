"""Tests of score_jax.training.train.

The model is the tiny policy of `enumerable` under the Stage I loss; learning
rates are large so that a wrong gradient shows.
"""

import functools

from absl.testing import absltest
from absl.testing import parameterized
import chex
import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec
import numpy as np
import optax
import pytest

from score_jax import losses
from score_jax.training import optim
from score_jax.training import train
from tests.helpers import enumerable

ROWS = 8
MODEL = enumerable.TwoAttempts(vocab_size=3, max_tokens=2)


def _float32(array):
  return jnp.asarray(array, jnp.float32)


def _optimizer():
  return optim.make_optimizer(
      learning_rate=0.1, warmup_steps=0, max_grad_norm=1.0
  )


@functools.cache
def _step(num_microbatches=1):
  """Compiled once for all tests."""
  return train.make_train_step(
      _loss, _optimizer(), num_microbatches=num_microbatches
  )


def _loss(params, ref_params, batch):
  """Stage I with the exact KL; metrics are means over rows."""
  ids = batch["attempt_ids"]

  def scores(logits):
    logp = jax.nn.log_softmax(logits)[batch["contexts"]]
    targets = batch["tokens"][:, 1:, None]
    return logp, jnp.take_along_axis(logp, targets, axis=-1)[..., 0]

  logp, logprobs = scores(params["logits"])
  ref_logp, _ = scores(ref_params["logits"])
  token_kl = jnp.sum(jnp.exp(logp) * (logp - ref_logp), axis=-1)
  loss = losses.stage1_loss(
      logprobs,
      ids,
      batch["advantages"],
      losses.exact_kl(token_kl, logprobs, ids, 2),
      kl_coef=0.3,
      first_attempt_kl_coef=0.7,
      num_anchored=1,
  )
  return loss, {"advantage": jnp.mean(batch["advantages"])}


@jax.jit
def _gradient(params, ref_params, batch):
  return jax.grad(lambda p: _loss(p, ref_params, batch)[0])(params)


class TrainStepTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    params, ref_params, _ = enumerable.free_policy(MODEL, vocab_size=3)
    self.params = {"logits": _float32(params)}
    self.ref_params = {"logits": _float32(ref_params)}
    rows = np.random.default_rng(0).choice(len(MODEL.tokens), ROWS)
    advantages = np.random.default_rng(1).normal(size=(ROWS, 2))
    self.batch = {
        "tokens": MODEL.tokens[rows],
        "attempt_ids": MODEL.attempt_ids[rows],
        "contexts": MODEL.contexts[rows],
        "advantages": _float32(advantages),
    }

  def _run(self, *, steps=3, num_microbatches=1, batch=None):
    """State and metrics after some steps on the same batch."""
    params = jax.tree.map(jnp.copy, self.params)
    state = train.init_train_state(params, _optimizer())
    batch = self.batch if batch is None else batch
    for _ in range(steps):
      state, metrics = _step(num_microbatches)(state, self.ref_params, batch)
    return state, metrics

  def _expected_gradient(self, params=None):
    return _gradient(
        self.params if params is None else params, self.ref_params, self.batch
    )

  @parameterized.parameters(1, 2, 4)
  @pytest.mark.slow
  def test_microbatches_have_the_gradient_of_the_batch(self, num_microbatches):
    """Also where attempts of the pieces differ in length."""

    def loss_fn(params, batch):
      return _loss(params, self.ref_params, batch)

    grads, metrics = jax.jit(
        lambda p: train.microbatch_gradients(
            loss_fn, p, self.batch, num_microbatches
        )
    )(self.params)
    chex.assert_trees_all_close(grads, self._expected_gradient(), atol=1e-6)
    loss, _ = _loss(self.params, self.ref_params, self.batch)
    chex.assert_trees_all_close(
        metrics,
        {"loss": loss, "advantage": jnp.mean(self.batch["advantages"])},
        atol=1e-6,
    )

  @pytest.mark.slow
  def test_microbatches_lead_to_the_same_parameters(self):
    expected, expected_metrics = self._run()
    for num_microbatches in (2, 4):
      state, metrics = self._run(num_microbatches=num_microbatches)
      chex.assert_trees_all_close(state.params, expected.params, atol=1e-6)
      chex.assert_trees_all_close(metrics, expected_metrics, atol=1e-6)

  def test_indivisible_batch_is_refused(self):
    with self.assertRaisesRegex(ValueError, "8 rows is not divisible into 3"):
      self._run(num_microbatches=3)

  @pytest.mark.slow
  def test_step_is_clipped_adam_on_the_gradient(self):
    """The update against optax by hand, from the second gradient on too."""
    state, _ = self._run(steps=2)
    params, adam = self.params, optax.adam(0.1)
    opt_state = adam.init(params)
    for _ in range(2):
      grads = self._expected_gradient(params)
      scale = jnp.minimum(1.0, 1.0 / optax.tree.norm(grads))
      grads = jax.tree.map(lambda g, scale=scale: g * scale, grads)
      updates, opt_state = adam.update(grads, opt_state)
      params = optax.apply_updates(params, updates)
    chex.assert_trees_all_close(state.params, params, atol=1e-5)

  @pytest.mark.slow
  def test_grad_norm_is_reported_before_clipping(self):
    self.batch["advantages"] = 100 * self.batch["advantages"]
    _, metrics = self._run(steps=1)
    norm = optax.tree.norm(self._expected_gradient())
    self.assertGreater(norm, 10.0)
    chex.assert_trees_all_close(metrics["grad_norm"], norm, rtol=1e-5)

  @pytest.mark.slow
  def test_loss_is_reported_before_the_update(self):
    _, metrics = self._run(steps=1)
    loss, _ = _loss(self.params, self.ref_params, self.batch)
    chex.assert_trees_all_close(metrics["loss"], loss, rtol=1e-5)

  def test_loss_falls(self):
    _, first = self._run(steps=1)
    _, last = self._run(steps=20)
    self.assertLess(last["loss"], first["loss"] - 0.1)

  def test_step_counts_updates(self):
    state, _ = self._run(steps=3, num_microbatches=4)
    self.assertEqual(state.step, 3)
    self.assertEqual(state.step.dtype, jnp.int32)

  def test_state_is_donated_with_its_source(self):
    # The policy starts as the reference, as in Stage I.
    params = jax.tree.map(jnp.copy, self.ref_params)
    before = train.init_train_state(params, _optimizer())
    self.assertIs(before.params["logits"], params["logits"])
    after, _ = _step()(before, self.ref_params, self.batch)
    self.assertTrue(all(a.is_deleted() for a in jax.tree.leaves(before)))
    self.assertFalse(any(a.is_deleted() for a in jax.tree.leaves(after)))
    self.assertFalse(self.ref_params["logits"].is_deleted())
    self.assertFalse(self.batch["advantages"].is_deleted())

  @parameterized.parameters("bfloat16", "float16")
  def test_parameters_that_round_small_updates_away_are_refused(self, dtype):
    params = {"a": jnp.ones(2), "b": jnp.ones(2, dtype)}
    with self.assertRaisesRegex(ValueError, f"{dtype} cannot be trained"):
      train.init_train_state(params, _optimizer())

  def test_small_updates_of_a_model_in_bfloat16_add_up(self):
    """At the paper's learning rate, with rounded weights in the loss."""
    optimizer = optim.make_optimizer(
        learning_rate=1e-5,
        warmup_steps=0,
        max_grad_norm=1.0,
        moment_dtype=jnp.bfloat16,
    )

    def loss(params, ref_params, batch):
      weights = params["w"].astype(jnp.bfloat16).astype(jnp.float32)
      return jnp.mean(batch @ weights), {}

    weights = jax.random.uniform(jax.random.key(0), (256,), minval=0.5)
    state = train.init_train_state({"w": jnp.copy(weights)}, optimizer)
    (adam,) = [s for s in state.opt_state[1] if hasattr(s, "nu")]
    self.assertEqual(adam.nu["w"].dtype, jnp.float32)
    step = train.make_train_step(loss, optimizer)
    for _ in range(100):
      state, _ = step(state, None, jnp.ones((1, 256)))
    moved = weights - state.params["w"]
    np.testing.assert_allclose(moved, 100 * 1e-5, rtol=0.05)

  def test_reference_stays(self):
    """Bit for bit, over several steps of a moving policy."""
    before = np.array(self.ref_params["logits"])
    state, _ = self._run()
    np.testing.assert_array_equal(self.ref_params["logits"], before)
    self.assertTrue(np.any(state.params["logits"] != self.params["logits"]))

  @parameterized.parameters(1, 2)
  def test_reference_gets_no_gradient(self, num_microbatches):
    """d(params * ref) is ref, also where both are the same array."""
    params = {"w": jnp.array([2.0, -3.0])}

    def loss(params, ref_params, batch):
      return jnp.mean(batch) * jnp.sum(params["w"] * ref_params["w"]), {}

    grads, _ = train.microbatch_gradients(
        lambda p, batch: loss(p, params, batch),
        params,
        jnp.ones(4),
        num_microbatches,
    )
    chex.assert_trees_all_close(grads, params)

  def test_loss_without_a_reference(self):
    optimizer = _optimizer()

    def loss(params, ref_params, batch):
      self.assertIsNone(ref_params)
      return jnp.mean(jnp.square(params["w"][None] - batch["x"])), {}

    step = train.make_train_step(loss, optimizer, num_microbatches=2)
    state = train.init_train_state({"w": jnp.zeros(1)}, optimizer)
    # None is an absent field of the batch, as TrainBatch.ref_logprobs.
    batch = {"absent": None, "x": jnp.ones((4, 1))}
    state, metrics = step(state, None, batch)
    self.assertEqual(metrics["loss"], 1.0)
    chex.assert_trees_all_close(
        state.params, {"w": jnp.full(1, 0.1)}, rtol=1e-4
    )

  @parameterized.parameters(1, 2)
  @pytest.mark.slow
  def test_second_call_does_not_trace_again(self, num_microbatches):
    optimizer = _optimizer()
    traces = []

    def loss(params, ref_params, batch):
      traces.append(None)
      return _loss(params, ref_params, batch)

    step = train.make_train_step(
        loss, optimizer, num_microbatches=num_microbatches
    )
    state = train.init_train_state(self.params, optimizer)
    state, _ = step(state, self.ref_params, self.batch)
    count = len(traces)
    for _ in range(2):
      state, _ = step(state, self.ref_params, self.batch)
    self.assertLen(traces, count)
    self.assertEqual(step._cache_size(), 1)

  @parameterized.parameters(1, 2)
  @pytest.mark.slow
  def test_rows_on_many_devices_give_the_same_update(self, num_microbatches):
    """Global means over all devices, unlike lengths on each."""
    expected, expected_metrics = self._run(num_microbatches=num_microbatches)
    mesh = Mesh(np.array(jax.devices()[:4]), ("data",))
    rows = NamedSharding(mesh, PartitionSpec("data"))
    self.params, self.ref_params = jax.device_put(
        (self.params, self.ref_params), NamedSharding(mesh, PartitionSpec())
    )
    state, metrics = self._run(
        num_microbatches=num_microbatches,
        batch=jax.device_put(self.batch, rows),
    )
    chex.assert_trees_all_close(
        jax.device_get(state.params),
        jax.device_get(expected.params),
        atol=1e-6,
    )
    chex.assert_trees_all_close(
        jax.device_get(metrics), jax.device_get(expected_metrics), atol=1e-6
    )


if __name__ == "__main__":
  absltest.main()
