"""How many devices lie along each axis of a mesh; needs no JAX."""

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class MeshShape:
  """Devices along each axis; one axis may be -1, for all that are left.

  Attributes:
    slice: TPU slices that the data centre's network connects.
    data: copies of the training state within a slice.
    fsdp: parts of a copy.
    tensor: parts of a layer.
  """

  slice: int = 1
  data: int = 1
  fsdp: int = 1
  tensor: int = 1

  def __post_init__(self):
    sizes = dataclasses.astuple(self)
    if any(size < 1 and size != -1 for size in sizes) or sizes.count(-1) > 1:
      raise ValueError(
          f"mesh {dataclasses.asdict(self)}: every axis has 1 device or more,"
          " and one of them at most is -1, for what is left"
      )

  def filled(self, num_devices: int) -> "MeshShape":
    """The shape with -1 replaced, of exactly `num_devices` devices.

    Raises:
      ValueError: the shape does not fit that number of devices.
    """
    sizes = list(dataclasses.astuple(self))
    known = math.prod(size for size in sizes if size != -1)
    if -1 in sizes and num_devices % known == 0:
      sizes[sizes.index(-1)] = num_devices // known
    if math.prod(sizes) != num_devices:
      raise ValueError(
          f"mesh {dataclasses.asdict(self)} does not fit {num_devices} devices:"
          " the product of its axes must be their number; give -1 to one axis,"
          " for what is left"
      )
    return MeshShape(*sizes)
