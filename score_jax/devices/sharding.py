"""Meshes, and along which of their axes each axis of an array lies.

Models name the axes of their arrays ("model", "heads", ...); the table RULES
says which axes of the mesh divide them. Functions here read the ambient mesh
(`jax.set_mesh`), and without one they do nothing: the same model runs on the
default device alone.
"""

from collections.abc import Sequence
import contextlib
import dataclasses
import functools
import math
from typing import Any

import jax
from jax.experimental import mesh_utils
from jax.sharding import AxisType
from jax.sharding import Mesh
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec
import numpy as np

from score_jax.devices.mesh_shape import MeshShape

# From the slowest connection to the fastest. slice: several TPU slices over the
# data centre's network; data: whole copies of the training state; fsdp: one
# copy, divided, and gathered layer by layer; tensor: divided inside of a layer.
AXES = ("slice", "data", "fsdp", "tensor")

# Logical axis -> axes of the mesh. Layers of a stack are never divided.
RULES = {
    "rows": ("slice", "data", "fsdp"),  # conversations
    "sequence": ("tensor",),  # tokens of a row, between two blocks
    "vocab": ("fsdp", "tensor"),  # rows of the embedding: see models/vocab.py
    "model": ("fsdp",),  # D of weights, gathered before use
    "heads": ("tensor",),  # query heads
    "kv_heads": ("tensor",),
    "ffn": ("tensor",),  # F
}

# Logical axes of an array, None for one that is never divided.
Logical = tuple[str | None, ...]


def make_mesh(shape: MeshShape, devices: Sequence[Any] | None = None) -> Mesh:
  """A mesh with the axes AXES.

  Args:
    shape: devices along each axis.
    devices: all devices of the run by default.

  Raises:
    ValueError: the shape does not fit the number of devices.
  """
  devices = jax.devices() if devices is None else list(devices)
  sizes = dataclasses.astuple(shape.filled(len(devices)))
  return _mesh(_device_array(sizes, devices))


def sampler_mesh(mesh: Mesh, tensor: int) -> Mesh:
  """A mesh of the same devices for sampling.

  Each copy of the model is divided over `tensor` devices.

  Raises:
    ValueError: `tensor` does not divide the devices of a slice.
  """
  slices = mesh.shape["slice"]
  per_slice = mesh.size // slices
  if tensor < 1 or per_slice % tensor:
    raise ValueError(
        f"the sampler's tensor axis is {tensor}, which does not divide"
        f" {per_slice} devices"
    )
  shape = (slices, per_slice // tensor, 1, tensor)
  # The order of the devices stays: one program takes arrays of both meshes.
  return _mesh(mesh.devices.reshape(shape))


def _mesh(devices: np.ndarray) -> Mesh:
  return Mesh(devices, AXES, axis_types=(AxisType.Auto,) * len(AXES))


def use(mesh: Mesh | None) -> contextlib.AbstractContextManager:
  """Makes a mesh the ambient one; None leaves the default device."""
  return contextlib.nullcontext() if mesh is None else jax.set_mesh(mesh)


def _ambient():
  """The ambient mesh, None where there is none."""
  mesh = jax.sharding.get_abstract_mesh()
  return None if mesh.empty else mesh


def axes_of(logical: str | None, size: int, mesh=None) -> tuple[str, ...]:
  """Axes of the mesh that divide a logical axis of `size` elements.

  An axis that its devices do not divide evenly stays whole, such as an odd
  vocabulary or a small batch. For heads and F of the weights,
  `models.placement.check_mesh` refuses that.

  Args:
    logical: a key of RULES, or None.
    size: elements of the axis.
    mesh: the ambient one by default.
  """
  mesh = _ambient() if mesh is None else mesh
  if mesh is None or logical is None:
    return ()
  axes = tuple(a for a in RULES[logical] if mesh.shape[a] > 1)
  parts = math.prod(mesh.shape[a] for a in axes)
  return axes if size % parts == 0 else ()


def spec(
    shape: Sequence[int], logical: Logical, mesh: Mesh | None = None
) -> PartitionSpec:
  """How an array is divided on a mesh, or on the ambient one.

  Args:
    shape: the array's shape.
    logical: its logical axes, one for each dimension.
    mesh: the ambient one by default.

  Raises:
    ValueError: the array has another number of axes.
  """
  if len(shape) != len(logical):
    raise ValueError(f"array of shape {tuple(shape)} with axes {logical}")
  axes = [
      axes_of(name, n, mesh) for name, n in zip(logical, shape, strict=True)
  ]
  return PartitionSpec(*(a if a else None for a in axes))


def constrain(x: jax.Array, *logical: str | None) -> jax.Array:
  """x, divided as RULES say for its logical axes; no values change."""
  if _ambient() is None:
    return x
  return jax.lax.with_sharding_constraint(x, spec(x.shape, logical))


def gather(weight: jax.Array, logical: Logical) -> jax.Array:
  """A weight whole along fsdp; its gradient is summed and divided again."""
  return weight if _ambient() is None else _gather(weight, logical)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _gather(weight, logical):
  whole = tuple(None if name == "model" else name for name in logical)
  return constrain(weight, *whole)


def _gather_fwd(weight, logical):
  return _gather(weight, logical), None


def _gather_bwd(logical, _, gradient):
  # Without this the gradient would be summed whole on every device.
  return (constrain(gradient, *logical),)


_gather.defvjp(_gather_fwd, _gather_bwd)


def tree_shardings(mesh: Mesh | None, shapes: Any, logical: Any) -> Any:
  """NamedShardings of a tree of arrays (or shapes); None without a mesh.

  Args:
    mesh: where the arrays lie.
    shapes: tree of anything with a shape.
    logical: tree of the same structure, with a Logical for each array.
  """
  if mesh is None:
    return None
  return jax.tree.map(
      lambda s, axes: NamedSharding(mesh, spec(s.shape, axes, mesh)),
      shapes,
      logical,
      is_leaf=lambda node: hasattr(node, "shape"),
  )


def _device_array(sizes: tuple[int, ...], devices: Sequence[Any]) -> np.ndarray:
  """Devices so that neighbours in the mesh are neighbours in the machine."""
  if devices[0].platform != "tpu":
    return np.asarray(devices).reshape(sizes)
  slices, *within = sizes
  if slices == 1:
    return mesh_utils.create_device_mesh(
        sizes, devices, allow_split_physical_axes=True
    )
  return mesh_utils.create_hybrid_device_mesh(
      (1, *within),
      (slices, 1, 1, 1),
      devices,
      allow_split_physical_axes=True,
  )
