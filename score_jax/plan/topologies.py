"""TPU slices that plans are made for: what their chips have, how to name them.

HBM is what the compiler lets a program use, as its own messages state it. Peaks
are those of public specifications; times derived from them are bounds.
"""

from collections.abc import Sequence
import dataclasses
import importlib.metadata
import importlib.util
import math
import os
import re
from typing import Any

GIB = 2**30

# What libtpu reads when it is loaded, on a host that may have no TPU.
_ENVIRONMENT = {
    "TPU_SKIP_MDS_QUERY": "1",  # ask no metadata server what this host is
    # It locks the machine, against a second process that would run programs.
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "true",
    # Without these two it complains, whatever is compiled for.
    "TPU_ACCELERATOR_TYPE": "v5litepod-16",
    "TPU_WORKER_HOSTNAMES": "localhost",
}


@dataclasses.dataclass(frozen=True)
class Chip:
  """One kind of TPU chip; JAX sees each as one device.

  Attributes:
    hbm_bytes: memory that a program may use.
    peak_flops: bfloat16 operations per second of its matrix units.
    hbm_bandwidth: bytes per second.
    ici_bandwidth: bytes per second that it can send to other chips of its
      slice: the published peak of all its links together, one way.
    layouts: slices that it comes in, by the chips along each dimension.
    accelerator_type: the cloud's name of a slice, without the number at its
      end.
    count_per_chip: what one chip counts in that number.
  """

  hbm_bytes: int
  peak_flops: float
  hbm_bandwidth: float
  ici_bandwidth: float
  layouts: tuple[str, ...]
  accelerator_type: str
  count_per_chip: int


_FLAT = ("1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16")
_CUBES = (
    "2x2x1",
    "2x2x2",
    "2x2x4",
    "2x4x4",
    "4x4x4",
    "4x4x8",
    "4x8x8",
    "8x8x8",
)

# Interconnect: Google Cloud's pages have had 1,600, 3,584 (now 3,200) and 4,800
# Gbit/s a chip, half of what they call bidirectional bandwidth. That is of four
# links together, six of a v5p, and a collective seldom uses them all.
CHIPS = {
    "v5e": Chip(
        hbm_bytes=int(15.75 * GIB),
        peak_flops=197e12,
        hbm_bandwidth=819e9,
        ici_bandwidth=1600e9 / 8,
        layouts=_FLAT,
        accelerator_type="v5litepod-",
        count_per_chip=1,
    ),
    "v6e": Chip(
        hbm_bytes=int(31.24 * GIB),
        peak_flops=918e12,
        hbm_bandwidth=1640e9,
        ici_bandwidth=3584e9 / 8,
        layouts=_FLAT,
        accelerator_type="v6e-",
        count_per_chip=1,
    ),
    "v5p": Chip(
        hbm_bytes=int(95.73 * GIB),
        peak_flops=459e12,
        hbm_bandwidth=2765e9,
        ici_bandwidth=4800e9 / 8,
        layouts=_CUBES,
        accelerator_type="v5p-",
        count_per_chip=2,
    ),
}


@dataclasses.dataclass(frozen=True)
class Slice:
  """A slice, or several of them that the data centre's network connects.

  Attributes:
    kind: key of CHIPS.
    layout: chips along each dimension of one slice, such as "4x4".
    num_slices: how many there are.
  """

  kind: str
  layout: str
  num_slices: int = 1

  @property
  def chip(self) -> Chip:
    return CHIPS[self.kind]

  @property
  def num_chips(self) -> int:
    return self.num_slices * chips_of(self.layout)

  @property
  def name(self) -> str:
    """The slice's name, which `parse` reads."""
    several = f"{self.num_slices}*" if self.num_slices > 1 else ""
    return f"{several}{self.kind}:{self.layout}"

  @property
  def accelerator_type(self) -> str:
    """The cloud's name of one slice."""
    number = chips_of(self.layout) * self.chip.count_per_chip
    return f"{self.chip.accelerator_type}{number}"


def chips_of(layout: str) -> int:
  """Chips of a layout: 16 of "4x4"."""
  return math.prod(int(size) for size in layout.split("x"))


def parse(name: str) -> Slice:
  """Reads "v5e:4x4", or "2*v5e:16x16" for two slices.

  Raises:
    ValueError: no such slice; the message names the nearest or all.
  """
  found = re.fullmatch(r"(?:(\d+)\*)?(\w+):([\dx]+)", name)
  if found and int(found[1] or 1) >= 1:
    chip = CHIPS.get(found[2])
    if chip is not None and found[3] in chip.layouts:
      return Slice(found[2], found[3], int(found[1] or 1))
  raise ValueError(f"topology {name!r} is not known: {_advice(name)}")


def _advice(name: str) -> str:
  """What to write instead."""
  for kind, chip in CHIPS.items():
    prefixes = (re.escape(chip.accelerator_type), rf"{kind}-", rf"{kind}:")
    found = re.fullmatch(rf"(?:{'|'.join(prefixes)})(\d+)", name)
    for layout in chip.layouts if found else ():
      if Slice(kind, layout).accelerator_type.endswith(f"-{found[1]}"):
        return f"write {kind}:{layout}"
    if name.startswith(kind) or found:
      return f"{kind} has the slices {_layouts(kind)}"
  known = "; ".join(_layouts(kind) for kind in CHIPS)
  return f"write one of {known}, or 2*{next(iter(CHIPS))}:... for two slices"


def _layouts(kind: str) -> str:
  return ", ".join(f"{kind}:{layout}" for layout in CHIPS[kind].layouts)


def is_available() -> bool:
  """Whether libtpu, which holds the compiler, is installed."""
  return importlib.util.find_spec("libtpu") is not None


def compiler_version() -> str:
  """Version of libtpu. Figures hold for it: runs should have the same one."""
  return importlib.metadata.version("libtpu")


def prepare_environment() -> None:
  """Sets what libtpu wants to know, before JAX is imported.

  A plan runs nothing: JAX is kept on the CPU, also where there is a TPU, which
  another process may be using.
  """
  os.environ["JAX_PLATFORMS"] = "cpu"
  for name, value in _ENVIRONMENT.items():
    os.environ.setdefault(name, value)


def devices(where: Slice) -> Sequence[Any]:
  """Devices of a slice that is not there, to compile for.

  Raises:
    ValueError: libtpu is not installed.
  """
  if not is_available():
    raise ValueError(
        "libtpu, which holds the compiler, is not installed: pip install -e"
        ' ".[tpu-plan]"'
    )
  # Not at the top: JAX is imported after `prepare_environment`.
  from jax.experimental import topologies

  options: dict[str, Any] = {}
  if where.num_slices > 1:
    options["num_slices"] = where.num_slices
  if chips_of(where.layout) == 1:  # hosts have four chips unless told
    options["chips_per_host_bounds"] = (1, 1, 1)
  return topologies.get_topology_desc(
      platform="tpu", topology_name=f"{where.kind}:{where.layout}", **options
  ).devices
