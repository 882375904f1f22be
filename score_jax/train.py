"""The training step: gradients of any loss over micro-batches, then Adam."""

from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from score_jax.models.transformer import Params


@flax.struct.dataclass
class TrainState:
  """Everything that an update changes.

  Attributes:
    params: of the policy.
    opt_state: of the optimiser.
    step: int32[], updates done.
  """

  params: Params
  opt_state: optax.OptState
  step: jax.Array


# (params, ref_params, batch) -> (float32[] loss, metrics), means over rows. The
# reference is an argument: closed over, it would become a constant of the
# program. It is None for losses without one.
LossFn = Callable[
    [Params, Params | None, Any], tuple[jax.Array, dict[str, jax.Array]]
]
TrainStep = Callable[
    [TrainState, Params | None, Any], tuple[TrainState, dict[str, jax.Array]]
]


def init_train_state(
    params: Params, optimizer: optax.GradientTransformation
) -> TrainState:
  """A fresh state around a copy of `params`, which a step may donate."""
  params = jax.tree.map(jnp.copy, params)
  return TrainState(params, optimizer.init(params), jnp.zeros((), jnp.int32))


def make_train_step(
    loss_fn: LossFn,
    optimizer: optax.GradientTransformation,
    *,
    num_microbatches: int = 1,
) -> TrainStep:
  """Makes the jitted update; the state that goes in is donated.

  Args:
    loss_fn: a mean over the rows of its batch. Micro-batches have equally many
      rows, so the mean of their losses is the loss of the whole batch.
    optimizer: the optax chain.
    num_microbatches: pieces that the batch is cut into along its rows.

  Returns:
    (state, ref_params, batch) -> (state, metrics), where metrics holds what
    the loss reports, `loss` and `grad_norm` (before clipping).
  """

  def train_step(state, ref_params, batch):
    grads, metrics = microbatch_gradients(
        lambda params, batch: loss_fn(params, ref_params, batch),
        state.params,
        batch,
        num_microbatches,
    )
    metrics["grad_norm"] = optax.tree.norm(grads)
    updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    return TrainState(params, opt_state, state.step + 1), metrics

  return jax.jit(train_step, donate_argnums=0)


def microbatch_gradients(
    loss_fn: Callable, params: Params, batch: Any, num_microbatches: int
) -> tuple[Params, dict[str, jax.Array]]:
  """Gradient and metrics of the mean loss, one micro-batch alive at a time.

  Raises:
    ValueError: the rows cannot be divided by `num_microbatches`.
  """
  rows = jax.tree.leaves(batch)[0].shape[0]
  if num_microbatches < 1 or rows % num_microbatches:
    raise ValueError(
        f"a batch of {rows} rows is not divisible into {num_microbatches}"
        " micro-batches"
    )

  def gradients(microbatch):
    (loss, metrics), grads = jax.value_and_grad(loss_fn, has_aux=True)(
        params, microbatch
    )
    return grads, metrics | {"loss": loss}

  if num_microbatches == 1:
    return gradients(batch)
  pieces = jax.tree.map(
      lambda a: a.reshape(num_microbatches, -1, *a.shape[1:]), batch
  )

  def add(total, microbatch):
    return jax.tree.map(jnp.add, total, gradients(microbatch)), None

  shapes = jax.eval_shape(gradients, jax.tree.map(lambda a: a[0], pieces))
  zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
  total, _ = jax.lax.scan(add, zeros, pieces)
  return jax.tree.map(lambda a: a / num_microbatches, total)
