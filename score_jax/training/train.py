"""The training step: gradients of any loss over micro-batches, then Adam."""

from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec
import optax

from score_jax.devices import sharding
from score_jax.models.transformer import Params
from score_jax.training import optim

_MANTISSA_BITS = jnp.finfo(optim.PARAM_DTYPE).nmant


@flax.struct.dataclass
class TrainState:
  """Everything that an update changes.

  Attributes:
    params: the policy's parameters.
    opt_state: the optimizer's state.
    step: int32[], number of updates done.
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


def state_shardings(
    optimizer: optax.GradientTransformation, param_shardings: Params | None
) -> TrainState | None:
  """Shardings of a state: moments as their parameters, counters undivided.

  Args:
    optimizer: the optax chain.
    param_shardings: NamedSharding of each parameter; None without a mesh.

  Returns:
    A TrainState of NamedShardings; None without a mesh.
  """
  if param_shardings is None:
    return None
  mesh = jax.tree.leaves(param_shardings)[0].mesh
  everywhere = NamedSharding(mesh, PartitionSpec())
  # Only the structure of the optimizer's state is asked for.
  opt_state = optax.tree.map_params(
      optimizer,
      lambda _, place: place,
      jax.eval_shape(
          optimizer.init,
          jax.tree.map(lambda _: jnp.zeros(()), param_shardings),
      ),
      param_shardings,
      transform_non_params=lambda _: everywhere,
  )
  return TrainState(param_shardings, opt_state, everywhere)


def init_train_state(
    params: Params,
    optimizer: optax.GradientTransformation,
    param_shardings: Params | None = None,
) -> TrainState:
  """A fresh state that takes `params` over: the first update donates them.

  Args:
    params: the policy's parameters; copy what must live on.
    optimizer: the optax chain.
    param_shardings: where each parameter lies; None without a mesh.

  Raises:
    ValueError: parameters of a type in which small updates are lost.
  """
  _check_dtypes(params)
  places = state_shardings(optimizer, param_shardings)

  def init(params):
    return optimizer.init(params), jnp.zeros((), jnp.int32)

  if places is not None:
    init = jax.jit(init, out_shardings=(places.opt_state, places.step))
  return TrainState(params, *init(params))


def _check_dtypes(params: Params) -> None:
  dtypes = {str(a.dtype) for a in jax.tree.leaves(params)}
  wrong = sorted(d for d in dtypes if jnp.finfo(d).nmant < _MANTISSA_BITS)
  if wrong:
    raise ValueError(
        f"parameters of type {', '.join(wrong)} cannot be trained, their small"
        " updates would be rounded away: train float32 parameters, and choose"
        " the type that they are computed in with Execution.dtype"
    )


def make_train_step(
    loss_fn: LossFn,
    optimizer: optax.GradientTransformation,
    *,
    num_microbatches: int = 1,
    param_shardings: Params | None = None,
) -> TrainStep:
  """Makes the jitted update; the state that goes in is donated.

  Args:
    loss_fn: a mean over the rows of its batch. Micro-batches have equally many
      rows, so the mean of their losses is the loss of the whole batch.
    optimizer: the optax chain.
    num_microbatches: pieces that the batch is cut into along its rows.
    param_shardings: where each parameter lies, and its gradient and moments;
      None without a mesh.

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
        param_shardings,
    )
    metrics["grad_norm"] = optax.tree.norm(grads)
    updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    return TrainState(params, opt_state, state.step + 1), metrics

  places = state_shardings(optimizer, param_shardings)
  out = None if places is None else (places, places.step)
  return jax.jit(train_step, donate_argnums=0, out_shardings=out)


def microbatch_gradients(
    loss_fn: Callable,
    params: Params,
    batch: Any,
    num_microbatches: int,
    param_shardings: Params | None = None,
) -> tuple[Params, dict[str, jax.Array]]:
  """Gradient and metrics of the mean loss, one micro-batch alive at a time.

  Args:
    loss_fn: (params, batch) -> (loss, metrics), means over rows.
    params: parameters that the gradient is taken of.
    batch: tree of arrays [R, ...]; those of another number of rows, such as
      one for several of the others, are cut into as many pieces.
    num_microbatches: pieces that the batch is cut into along its rows.
    param_shardings: where each gradient lies; None without a mesh.

  Returns:
    The gradient, and the loss's metrics with `loss` added.

  Raises:
    ValueError: the rows cannot be divided by `num_microbatches`.
  """
  for rows in sorted({array.shape[0] for array in jax.tree.leaves(batch)}):
    if num_microbatches < 1 or rows % num_microbatches:
      raise ValueError(
          f"a batch of {rows} rows is not divisible into {num_microbatches}"
          " micro-batches"
      )

  def gradients(microbatch):
    (loss, metrics), grads = jax.value_and_grad(loss_fn, has_aux=True)(
        params, microbatch
    )
    if param_shardings is not None:
      grads = jax.lax.with_sharding_constraint(grads, param_shardings)
    return grads, metrics | {"loss": loss}

  if num_microbatches == 1:
    return gradients(batch)

  pieces = microbatches(batch, num_microbatches)

  def add(total, microbatch):
    return jax.tree.map(jnp.add, total, gradients(microbatch)), None

  shapes = jax.eval_shape(gradients, jax.tree.map(lambda a: a[0], pieces))
  zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
  total, _ = jax.lax.scan(add, zeros, pieces)
  return jax.tree.map(lambda a: a / num_microbatches, total)


def microbatches(batch: Any, count: int) -> Any:
  """Arrays [R, ...] cut along their rows: [count, R / count, ...]."""

  def cut(array):
    pieces = array.reshape(count, -1, *array.shape[1:])
    whole = (None,) * (array.ndim - 1)
    return sharding.constrain(pieces, None, "rows", *whole)

  return jax.tree.map(cut, batch)
