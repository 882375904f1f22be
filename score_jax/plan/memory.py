"""What lies on each chip between the programs, by arithmetic alone.

A step has three parts: reshard the parameters into the sampler's copy, sample
with copy and cache, and update without them. What lies on the chips in each
part is listed here, so that a plan that cannot fit is refused before anything
is compiled.
"""

from collections.abc import Mapping
import dataclasses
import math
from typing import Any

import jax

from score_jax.plan.compiled import Program

# Kept over the whole step.
_STATE = ("parameters", "moments", "reference")
_SAMPLING = (*_STATE, "sampler copy", "cache")

# Residents that are alive while a program runs. Gradients are a part of the
# update's own temporaries.
ALIVE = {
    "reshard": (*_STATE, "sampler copy"),
    "prefill": _SAMPLING,
    "decode_first": _SAMPLING,
    "decode": _SAMPLING,
    "turn": _SAMPLING,
    "repeat": _SAMPLING,
    "reference": _STATE,
    "update": (*_STATE, "gradients"),
}

# Residents that are arguments or results of a program, beside the reference.
_ITS_OWN = {
    "reshard": ("parameters", "sampler copy"),
    "prefill": ("sampler copy", "cache"),
    "decode_first": ("sampler copy", "cache"),
    "decode": ("sampler copy", "cache"),
    "turn": ("sampler copy", "cache"),
    "repeat": ("cache",),
    "reference": (),
    "update": ("parameters", "moments"),
}


@dataclasses.dataclass(frozen=True)
class Residents:
  """Bytes per chip of what lies there between the programs.

  Attributes:
    bytes: bytes by name of the resident.
    is_reference_on_host: whether the reference policy waits in the host's
      memory, and is on the chips only for the program that reads it.
    reference_readers: names of the programs that read the reference policy.
  """

  bytes: Mapping[str, int]
  is_reference_on_host: bool
  reference_readers: tuple[str, ...]

  def alive(self, program: str) -> tuple[str, ...]:
    """Names of what lies on the chips while a program runs."""
    is_away = (
        self.is_reference_on_host and program not in self.reference_readers
    )
    return tuple(
        name for name in ALIVE[program] if not (name == "reference" and is_away)
    )

  def total(self, program: str) -> int:
    """Bytes of all residents alive: the least that the program can run in."""
    return sum(self.bytes[name] for name in self.alive(program))

  def peak(self, program: Program, code_bytes: int) -> int:
    """Bytes while a compiled program runs.

    Args:
      program: a compiled program. Its arguments may be larger than by
        arithmetic, because of padding, or smaller, because what it does not
        read is left out: the larger figure counts.
      code_bytes: bytes of the code of all programs.
    """
    its_own = set(_ITS_OWN[program.name])
    if program.name in self.reference_readers:
      its_own.add("reference")
    kept = sum(self.bytes[name] for name in its_own)
    beside = sum(
        self.bytes[name]
        for name in self.alive(program.name)
        if name not in its_own and name != "gradients"  # its temporaries
    )
    memory = program.memory
    return beside + max(kept, memory.kept) + memory.temporaries + code_bytes


def bytes_per_chip(tree: Any) -> int:
  """Bytes per chip of a tree of jax.ShapeDtypeStruct with shardings.

  Padding to the tiles of a TPU's memory is not in it.
  """
  return sum(
      math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize
      for leaf in jax.tree.leaves(tree)
  )
