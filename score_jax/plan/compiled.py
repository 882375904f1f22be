"""Compiles one program ahead of time: what it takes, or why it is refused."""

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
    arguments: bytes of the arguments.
    outputs: bytes of the results.
    aliased: bytes of results that take over the memory of a donated argument.
    temporaries: bytes beside arguments and results while the program runs.
    code: bytes of the program itself.
  """

  arguments: int
  outputs: int
  aliased: int
  temporaries: int
  code: int

  @property
  def kept(self) -> int:
    """Bytes of arguments and results, with shared memory counted once."""
    return self.arguments + self.outputs - self.aliased


@dataclasses.dataclass(frozen=True)
class Program:
  """What is known of a program after compiling it.

  Attributes:
    name: the program's name.
    flops: operations of its matrix products, over all chips.
    seconds: time of tracing and compiling.
    memory: bytes per chip; None where the compiler refused the program.
    refusal: the compiler's reason in one line, '' where it did not refuse.
    collectives: its collective instructions; None where they cannot be read.
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
  """Compiles a jitted function for the devices of its arguments or of a mesh.

  Args:
    name: the program's name.
    function: as `jax.jit` returned it.
    args: trees of jax.ShapeDtypeStruct with shardings, and static arguments, by
      position.
    mesh: ambient mesh while the function is traced; None for none.

  Returns:
    What is known of the program, also where the compiler refuses it for lack of
    memory.

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
  """A message about lack of memory in one line; None for any other message."""
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
