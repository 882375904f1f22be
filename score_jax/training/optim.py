"""The optimizer: gradient clipping and Adam with a linear warm-up."""

import jax.numpy as jnp
import optax

# Type of parameters that are trained, and of Adam's second moment: an update of
# the paper's learning rates is a ten-thousandth of a weight, and changes the
# moment by a thousandth, both less than bfloat16 can tell apart.
PARAM_DTYPE = "float32"


def make_optimizer(
    *,
    learning_rate: float,
    warmup_steps: int,
    max_grad_norm: float,
    moment_dtype: jnp.dtype | None = None,
) -> optax.GradientTransformation:
  """Makes the optimizer: clipping by the global norm, then Adam with warm-up.

  Args:
    learning_rate: the learning rate after the warm-up, constant from there on.
    warmup_steps: updates of the warm-up; 0 for none.
    max_grad_norm: gradients of a larger global norm are scaled down to it.
    moment_dtype: type of Adam's first moment; None for the parameters' type.
      The second moment always has the parameters' type.
  """
  schedule = optax.join_schedules(
      [
          optax.linear_schedule(
              learning_rate / (warmup_steps + 1), learning_rate, warmup_steps
          ),
          optax.constant_schedule(learning_rate),
      ],
      [warmup_steps],
  )
  return optax.chain(
      optax.clip_by_global_norm(max_grad_norm),
      optax.adam(schedule, mu_dtype=moment_dtype),
  )
