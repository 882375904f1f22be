"""Where the arrays of a run lie: on one device, or on the meshes of a config.

The same devices form two meshes, one for training and one for sampling, to
which the parameters are copied once per update.
"""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jax.sharding import NamedSharding
import numpy as np

from score_jax.devices import distributed
from score_jax.devices import sharding
from score_jax.models import decoding
from score_jax.models import hf
from score_jax.models import transformer
from score_jax.models.config import ModelConfig
from score_jax.models.transformer import Params
from score_jax.settings import MeshSettings
from score_jax.settings import RunSettings

# On a mesh the lengths of rows and caches are multiples of this: blocks of the
# kernels, and tiles of a TPU's memory.
COLUMN_MULTIPLE = 128


@dataclasses.dataclass(frozen=True)
class Placement:
  """Where the arrays of a run lie.

  Attributes:
    mesh: for training; None for the default device alone.
    sampler_mesh: the same devices for sampling; None for the default device.
    params: NamedSharding of each parameter that is trained; None for the
      default device.
    copy: parameters -> the sampler's copy, see `decoding.make_copy`.
  """

  mesh: Mesh | None
  sampler_mesh: Mesh | None
  params: Params | None
  copy: Callable[[Params], Params]

  @property
  def column_multiple(self) -> int:
    """The number that lengths of rows and caches are multiples of."""
    return 1 if self.mesh is None else COLUMN_MULTIPLE

  def rows(self, array: np.ndarray) -> jax.Array:
    """Places an array of all rows for training; all processes pass the same."""
    if self.mesh is None:
      return distributed.place(array, None)
    logical = ("rows", *(None,) * (array.ndim - 1))
    spec = sharding.spec(array.shape, logical, self.mesh)
    return distributed.place(array, NamedSharding(self.mesh, spec))


def compute_dtype(settings: RunSettings) -> jnp.dtype | None:
  """Type that models are computed in; None for that of the parameters."""
  return settings.model and jnp.dtype(settings.model.compute_dtype)


def make_placement(
    config: ModelConfig,
    settings: MeshSettings | None = None,
    dtype: jnp.dtype | None = None,
    devices: Sequence[Any] | None = None,
) -> Placement:
  """Makes the meshes of a config, and says where the parameters lie on them.

  Args:
    config: the model's configuration.
    settings: shapes of the meshes; None for the default device alone.
    dtype: type of the sampler's copy; None for the type of the parameters.
    devices: devices of the meshes; None for all devices of all processes.

  Raises:
    ValueError: the meshes do not fit the devices or the model.
  """
  mesh, sampler_mesh, params = None, None, None
  if settings is not None:
    mesh = sharding.make_mesh(settings.shape, devices)
    sampler_mesh = sharding.sampler_mesh(mesh, settings.sampler_tensor)
    for each in (mesh, sampler_mesh):
      check_mesh(config, each.shape["tensor"])
    params = sharding.tree_shardings(
        mesh, hf.parameter_shapes(config), transformer.logical_axes(config)
    )
  check_processes(settings)
  copy = decoding.make_copy(config, dtype, sampler_mesh)
  return Placement(mesh, sampler_mesh, params, copy)


def check_processes(settings: MeshSettings | None) -> None:
  """Refuses a run of several processes without a mesh.

  Raises:
    ValueError: there is no mesh, and more than one process.
  """
  if settings is None and jax.process_count() > 1:
    raise ValueError(
        "config.mesh is None, which is one device, in a run of"
        f" {jax.process_count()} processes: give a mesh"
    )


def check_rows(settings: RunSettings, placement: Placement) -> None:
  """Refuses kernels and pieces of a step that the devices cannot take.

  Raises:
    ValueError: kernels for TPUs on other devices, or rows of a step or of an
      evaluation that the mesh does not divide evenly.
  """
  check_evaluation(settings, placement)
  rollout, rows = settings.rollout, settings.rollout.rows
  pieces = settings.train.num_microbatches
  _check_divided(
      rollout.problems_per_batch,
      "rollout.problems_per_batch",
      placement.sampler_mesh,
  )
  _check_divided(
      rows // pieces,
      f"{rows} rows in train.num_microbatches {pieces}",
      placement.mesh,
  )


def check_evaluation(settings: RunSettings, placement: Placement) -> None:
  """Refuses kernels and batches of an evaluation that devices cannot take.

  Raises:
    ValueError: kernels for TPUs on other devices, or problems of a batch that
      the mesh does not divide evenly.
  """
  _check_attention(settings, placement)
  _check_divided(
      settings.evaluation.batch_size,
      "evaluation.batch_size",
      placement.sampler_mesh,
  )


def _check_divided(count: int, name: str, mesh: Mesh | None) -> None:
  if mesh is None:
    return
  parts = math.prod(mesh.shape[axis] for axis in sharding.RULES["rows"])
  if count % parts:
    raise ValueError(
        f"{count} rows ({name}) are not divisible by the {parts} parts that"
        f" the mesh {dict(mesh.shape)} divides rows into: change the number of"
        " rows, or give more devices to the tensor axis"
    )


def _check_attention(settings: RunSettings, placement: Placement) -> None:
  mesh = placement.mesh
  devices = jax.local_devices() if mesh is None else mesh.devices.flat
  platform = next(iter(devices)).platform
  if settings.attention == "splash" and platform != "tpu":
    raise ValueError(
        "attention is 'splash', kernels for TPUs, and the devices are"
        f' {platform}: give attention "xla"'
    )


def check_mesh(config: ModelConfig, tensor: int) -> None:
  """Refuses a tensor axis that does not divide the model's heads or F.

  Raises:
    ValueError: there are heads, or F, that it does not divide.
  """
  sizes = {
      "num_heads": config.num_heads,
      "num_kv_heads": config.num_kv_heads,
      "d_ff": config.d_ff,
  }
  wrong = [f"{name} {n}" for name, n in sizes.items() if n % tensor]
  if wrong:
    raise ValueError(
        f"a tensor axis of {tensor} devices does not divide the model's"
        f" {' and '.join(wrong)}: choose a divisor, and give the other devices"
        " to fsdp (or to data)"
    )


def to_memory(params: Params, kind: str) -> Params:
  """Moves arrays to a kind of memory: "device" or "pinned_host"."""
  places = jax.tree.map(lambda a: a.sharding.with_memory_kind(kind), params)
  return jax.device_put(params, places)
