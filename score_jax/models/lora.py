"""Low-rank adapters: small factors that are trained beside a frozen model.

LoRA (Hu et al., 2021, section 4.1): a matrix W that is not trained has factors
A and B beside it, and the layer computes x W + scale (x A) B, never the
product A B. All matrices of a layer have factors; embedding, head, norms and
biases have none. B starts at zero, so that training starts from the frozen
model.
"""

from collections.abc import Mapping
import math
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from score_jax.devices.sharding import Logical

Params = dict[str, Any]

# How many of a matrix's axes, the first ones, are its inputs.
_INPUT_AXES = {
    "query": 1,
    "key": 1,
    "value": 1,
    "output": 2,
    "gate": 1,
    "up": 1,
    "down": 1,
}
MATRICES = tuple(_INPUT_AXES)
_A, _B = "_lora_a", "_lora_b"


@flax.struct.dataclass
class Adapted:
  """A policy that shares its parameters with a frozen model, but for factors.

  Attributes:
    frozen: parameters of the frozen model.
    factors: A and B of each matrix by name, for all layers: A is [L, inputs,
      rank], B is [L, rank, outputs], where inputs and outputs are the axes of
      the matrix.
    scale: factor of the products A B.
  """

  frozen: Params
  factors: Params
  scale: float = flax.struct.field(pytree_node=False)

  @property
  def params(self) -> Params:
    """Parameters with factors beside matrices, the scale in A: for programs."""
    scaled = {
        name: self.scale * factor if name.endswith(_A) else factor
        for name, factor in self.factors.items()
    }
    return {**self.frozen, "layers": {**self.frozen["layers"], **scaled}}


Policy = Params | Adapted


def params_of(policy: Policy) -> Params:
  """Parameters of a policy, with factors where it is adapted."""
  return policy.params if isinstance(policy, Adapted) else policy


def init_factors(
    key: jax.Array, shapes: Mapping[str, Any], rank: int
) -> Params:
  """float32 factors: A uniform within 1 / sqrt(inputs), as in peft, B zero.

  Args:
    key: random key.
    shapes: anything with a shape for each parameter of the stack of layers.
    rank: columns of A, rows of B.
  """
  factors = {}
  for i, (name, count) in enumerate(_INPUT_AXES.items()):
    num_layers, *axes = shapes[name].shape
    inputs, outputs = axes[:count], axes[count:]
    bound = math.prod(inputs) ** -0.5
    factors[name + _A] = jax.random.uniform(
        jax.random.fold_in(key, i),
        (num_layers, *inputs, rank),
        minval=-bound,
        maxval=bound,
    )
    factors[name + _B] = jnp.zeros((num_layers, rank, *outputs))
  return factors


def factors_of(factors: Params, name: str) -> tuple[jax.Array, jax.Array]:
  """A and B of a matrix, for all layers."""
  return factors[name + _A], factors[name + _B]


def rank_of(factors: Params) -> int:
  """Columns of A, rows of B."""
  return factors[MATRICES[0] + _A].shape[-1]


def logical_axes(matrices: Mapping[str, Logical]) -> dict[str, Logical]:
  """Logical axes of a layer's factors, of those of its parameters.

  The rank is never divided.
  """
  axes = {}
  for name, count in _INPUT_AXES.items():
    axes[name + _A] = (*matrices[name][:count], None)
    axes[name + _B] = (None, *matrices[name][count:])
  return axes


def project(
    equation: str, x: jax.Array, weights: Mapping[str, jax.Array], name: str
) -> jax.Array:
  """A matrix applied to x, and its factors where there are some.

  Args:
    equation: einsum of x and the matrix, whose input axes are summed.
    x: what the matrix is applied to.
    weights: parameters of a layer by name.
    name: name of the matrix.
  """
  result = jnp.einsum(equation, x, weights[name])
  if name + _A not in weights:
    return result
  operands, made = equation.split("->")
  given, matrix = operands.split(",")
  count = _INPUT_AXES[name]
  inputs, outputs = matrix[:count], matrix[count:]
  kept = "".join(axis for axis in given if axis not in inputs)
  # k is the rank's axis.
  low = jnp.einsum(f"{given},{inputs}k->{kept}k", x, weights[name + _A])
  return result + jnp.einsum(
      f"{kept}k,k{outputs}->{made}", low, weights[name + _B]
  )


def matrix_and_factors(
    stacks: Mapping[str, jax.Array], name: str
) -> dict[str, jax.Array]:
  """A parameter of a stack of layers, and its factors where there are some."""
  names = (name, name + _A, name + _B)
  return {each: stacks[each] for each in names if each in stacks}


def merge(layer: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
  """Parameters of one layer, with W + A B in place of W, A and B.

  The sum is made in float32, and has the wider type of W and A.
  """
  merged = {n: w for n, w in layer.items() if not n.endswith((_A, _B))}
  for name in merged:
    if name + _A in layer:
      matrix, a, b = layer[name], layer[name + _A], layer[name + _B]
      product = jnp.tensordot(
          a,
          b,
          axes=1,
          precision=jax.lax.Precision.HIGHEST,
          preferred_element_type=jnp.float32,
      )
      total = matrix.astype(jnp.float32) + product
      merged[name] = total.astype(jnp.promote_types(matrix.dtype, a.dtype))
  return merged
