"""The optimiser: gradient clipping and Adam with a linear warm-up."""

import optax


def make_optimizer(
    *, learning_rate: float, warmup_steps: int, max_grad_norm: float
) -> optax.GradientTransformation:
  """Adam with warm-up behind clipping by the global norm.

  Args:
    learning_rate: after the warm-up; constant from there on.
    warmup_steps: updates until it is reached; 0 for none.
    max_grad_norm: gradients of a larger global norm are scaled down to it.
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
      optax.clip_by_global_norm(max_grad_norm), optax.adam(schedule)
  )
