"""Floating-point operations of the matrix products of a traced program.

Operations are counted on the jaxpr, where the number of trips of a scan is
known; the compiler's own count takes the body of every loop once. What is
recomputed in the backward pass is in the jaxpr and counts. Only products are
counted, so a time derived from the count is a lower bound.
"""

from collections import Counter
from collections.abc import Callable
from collections.abc import Iterator
import dataclasses
import math
from typing import Any

import jax
from jax.extend import core


@dataclasses.dataclass(frozen=True)
class MatmulFlops:
  """Operations of all devices together; a multiply-add is two.

  Attributes:
    total: operations of code that is run a known number of times.
    per_iteration: operations of one iteration of the loops whose number of
      trips is decided while they run, such as the loop of decoding. A loop
      inside of such a loop counts with one iteration too.
    uncounted: number of calls of each kernel, by name; kernels are not looked
      into. A place in the program counts once, however often it is run.
  """

  total: int = 0
  per_iteration: int = 0
  uncounted: Counter[str] = dataclasses.field(default_factory=Counter)

  def __add__(self, other: "MatmulFlops") -> "MatmulFlops":
    return MatmulFlops(
        self.total + other.total,
        self.per_iteration + other.per_iteration,
        self.uncounted + other.uncounted,
    )

  def times(self, count: int) -> "MatmulFlops":
    """The operations of `count` executions."""
    return MatmulFlops(
        count * self.total, count * self.per_iteration, self.uncounted
    )

  def in_unknown_loop(self) -> "MatmulFlops":
    """The operations, if they are a loop's whose number of trips is unknown."""
    return MatmulFlops(0, self.total + self.per_iteration, self.uncounted)


def matmul_flops(function: Callable[..., Any], *args: Any) -> MatmulFlops:
  """Counts a function's operations, on arrays or `jax.ShapeDtypeStruct`s."""
  return count(jax.make_jaxpr(function)(*args).jaxpr)


def count(jaxpr: core.Jaxpr) -> MatmulFlops:
  """Counts the operations of a jaxpr: `jax.jit(f).trace(...).jaxpr.jaxpr`."""
  total = MatmulFlops()
  for equation in jaxpr.eqns:
    total += _count_equation(equation)
  return total


def _count_equation(equation: core.JaxprEqn) -> MatmulFlops:
  name, params = equation.primitive.name, equation.params
  if name == "dot_general":
    return MatmulFlops(_dot_flops(equation))
  if name == "pallas_call":
    name = params["jaxpr"].debug_info.func_name
    return MatmulFlops(uncounted=Counter([name]))
  if name == "scan":
    return count(params["jaxpr"].jaxpr).times(params["length"])
  if name == "while":
    body = count(params["body_jaxpr"].jaxpr)
    return (body + count(params["cond_jaxpr"].jaxpr)).in_unknown_loop()
  if name == "cond":
    branches = [count(branch.jaxpr) for branch in params["branches"]]
    return max(branches, key=lambda b: (b.total, b.per_iteration))
  inner = sum(map(count, _jaxprs(params)), start=MatmulFlops())
  if name == "shard_map":  # the jaxpr is that of one part
    # JAX 0.10 renamed the parameter in a minor version.
    key = "newly_manual_axes"
    axes = params[key] if key in params else params["manual_axes"]
    return inner.times(math.prod(params["mesh"].shape[a] for a in axes))
  return inner


def _dot_flops(equation: core.JaxprEqn) -> int:
  """2 x elements of the result x elements that are summed for each."""
  left = equation.invars[0].aval.shape
  (contracted, _), _ = equation.params["dimension_numbers"]
  summed = math.prod(left[axis] for axis in contracted)
  return 2 * math.prod(equation.outvars[0].aval.shape) * summed


def _jaxprs(params: dict[str, Any]) -> Iterator[core.Jaxpr]:
  """Programs that an equation calls: of jit, checkpoint, custom gradients."""
  for value in params.values():
    for item in value if isinstance(value, tuple | list) else (value,):
      if isinstance(item, core.ClosedJaxpr):
        yield item.jaxpr
      elif isinstance(item, core.Jaxpr):
        yield item
