"""The optimiser: gradient clipping and Adam with a linear warm-up."""

import jax.numpy as jnp
import optax


def make_optimizer(
    *,
    learning_rate: float,
    warmup_steps: int,
    max_grad_norm: float,
    moment_dtype: jnp.dtype | None = None,
) -> optax.GradientTransformation:
  """Adam with warm-up behind clipping by the global norm.

  Args:
    learning_rate: after the warm-up; constant from there on.
    warmup_steps: updates until it is reached; 0 for none.
    max_grad_norm: gradients of a larger global norm are scaled down to it.
    moment_dtype: of Adam's first moment, None for that of the parameters. The
      second moment always has theirs: its steps are a thousandth of its value,
      less than bfloat16 can tell apart.
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
