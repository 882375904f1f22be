"""One program, compiled ahead of time: what it takes, or why it is refused."""

from collections.abc import Sequence
import dataclasses
import re
import time
from typing import Any

import jax
from jax.errors import JaxRuntimeError
from jax.sharding import Mesh

from score_jax.devices import sharding
from score_jax.plan import flops
from score_jax.plan import hlo
from score_jax.plan.flops import MatmulFlops
from score_jax.plan.hlo import Collective


@dataclasses.dataclass(frozen=True)
class Memory:
  """Bytes per chip of a program, as the compiler has laid it out.

  Attributes:
    arguments: what goes in.
    outputs: what comes out.
    aliased: of that, what takes over the memory of a donated argument.
    temporaries: beside both while it runs.
    code: the program itself.
  """

  arguments: int
  outputs: int
  aliased: int
  temporaries: int
  code: int

  @property
  def kept(self) -> int:
    """What goes in and comes out."""
    return self.arguments + self.outputs - self.aliased


@dataclasses.dataclass(frozen=True)
class Program:
  """What is known of a program after compiling it.

  Attributes:
    name: of the program.
    flops: of its matrix products, of all chips together.
    seconds: that tracing and compiling took.
    memory: None where the compiler refused it.
    refusal: the compiler's reason in one line, '' where there is none.
    collectives: None where they could not be read.
    outputs: tree of jax.ShapeDtypeStruct with the shardings that the compiler
      has chosen; None where it refused.
  """

  name: str
  flops: MatmulFlops
  seconds: float
  memory: Memory | None = None
  refusal: str = ""
  collectives: tuple[Collective, ...] | None = None
  outputs: Any = None


def compile_program(
    name: str, function: Any, args: Sequence[Any], mesh: Mesh | None
) -> Program:
  """Compiles a jitted function for the devices of a mesh.

  Args:
    name: of the program.
    function: as `jax.jit` returned it.
    args: trees of jax.ShapeDtypeStruct with shardings, and static arguments, by
      position.
    mesh: the ambient one while it is traced, if there is one.

  Raises:
    JaxRuntimeError: the compiler fails for another reason than memory.
  """
  started = time.monotonic()
  with sharding.use(mesh):
    traced = function.trace(*args)
    counted = flops.count(traced.jaxpr.jaxpr)
    try:
      executable = traced.lower().compile()
    except JaxRuntimeError as error:
      refusal = out_of_memory(str(error))
      if refusal is None:
        raise
      seconds = time.monotonic() - started
      return Program(name, counted, seconds, refusal=refusal)
  return Program(
      name,
      counted,
      time.monotonic() - started,
      memory=_memory(executable.memory_analysis()),
      collectives=_collectives(executable),
      outputs=jax.tree.map(
          lambda a, place: jax.ShapeDtypeStruct(
              a.shape, a.dtype, sharding=place
          ),
          traced.out_info,
          executable.output_shardings,
      ),
  )


def out_of_memory(message: str) -> str | None:
  """The compiler's message in one line; None if it is about something else."""
  if "RESOURCE_EXHAUSTED" not in message:
    return None
  sizes = re.search(
      r"\(([\d.]+[KMGT])\) exceeds available HBM \(([\d.]+[KMGT])\)", message
  )
  if sizes is None:
    return re.sub(r"\s+", " ", message)[:300]
  return f"the compiler needs {sizes[1]} of {sizes[2]} HBM for it alone"


def _memory(found: Any) -> Memory:
  return Memory(
      arguments=found.argument_size_in_bytes,
      outputs=found.output_size_in_bytes,
      aliased=found.alias_size_in_bytes,
      temporaries=found.temp_size_in_bytes,
      code=found.generated_code_size_in_bytes,
  )


def _collectives(executable: Any) -> tuple[Collective, ...] | None:
  try:
    text = executable.as_text()
  except JaxRuntimeError:
    # libtpu's HLO is newer than what jaxlib can print: training steps for v5p
    # and v6e. The program itself is compiled.
    return None
  return hlo.collectives(text)
