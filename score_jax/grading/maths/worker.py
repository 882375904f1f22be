"""Entry point of math_answer's worker processes, which never import JAX."""

import sys

from score_jax.grading import worker_loop

_WARM_UP = {"gold": r"\frac{\sqrt{2}}{2}x", "answer": r"x\cos\frac{\pi}{4}"}


def main() -> None:
  """Serves until the parent is gone; the argument is the memory in MB."""
  # Only workers pay for the import of sympy.
  from score_jax.grading.maths import symbolic

  worker_loop.serve(
      symbolic.handle,
      memory_mb=int(sys.argv[1]),
      warm_up=(_WARM_UP, {"verdict": "correct"}),
  )
