"""What lies on each chip between the programs, by arithmetic alone.

A step has three phases: reshard the parameters into the sampler's copy, sample
with copy and cache, and update without them. What each phase holds is listed
here, so that a plan that cannot fit is refused before anything is compiled.
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

# Residents that are alive while a program runs. Gradients are of the program.
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

# Of them, what goes into it and comes out of it.
_ITS_OWN = {
    "reshard": ("parameters", "sampler copy"),
    "prefill": ("sampler copy", "cache"),
    "decode_first": ("sampler copy", "cache"),
    "decode": ("sampler copy", "cache"),
    "turn": ("sampler copy", "cache"),
    "repeat": ("cache",),
    "reference": ("reference",),
    "update": ("parameters", "moments"),
}


@dataclasses.dataclass(frozen=True)
class Residents:
  """Bytes per chip.

  Attributes:
    bytes: by name.
    is_reference_on_host: it waits in the host's memory, and is on the chips
      for the program that reads it.
    reads_reference: the program that does.
  """

  bytes: Mapping[str, int]
  is_reference_on_host: bool
  reads_reference: str

  def alive(self, program: str) -> tuple[str, ...]:
    """Names of what lies on the chips while a program runs."""
    is_away = self.is_reference_on_host and program != self.reads_reference
    return tuple(
        name for name in ALIVE[program] if not (name == "reference" and is_away)
    )

  def total(self, program: str) -> int:
    """Bytes of all of it: the least that the program can run in."""
    return sum(self.bytes[name] for name in self.alive(program))

  def peak(self, program: Program, code_bytes: int) -> int:
    """Bytes while a compiled program runs.

    Args:
      program: as the compiler has laid it out. Its arguments may be larger
        than by arithmetic, because of padding, or smaller, because what it
        does not read is left out: the larger figure counts.
      code_bytes: of the code of all programs.
    """
    its_own = _ITS_OWN[program.name]
    if program.name == self.reads_reference == "update":
      its_own += ("reference",)
    kept = sum(self.bytes[name] for name in its_own)
    beside = sum(
        self.bytes[name]
        for name in self.alive(program.name)
        if name not in its_own and name != "gradients"  # its temporaries
    )
    memory = program.memory
    return beside + max(kept, memory.kept) + memory.temporaries + code_bytes


def bytes_per_chip(tree: Any) -> int:
  """Of a tree of jax.ShapeDtypeStruct with shardings; no tile padding."""
  return sum(
      math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize
      for leaf in jax.tree.leaves(tree)
  )
