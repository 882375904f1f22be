"""The text of an optimised HLO module as data: computations, instructions.

Only what is needed to follow calls and loops is understood; the rest of a line
is kept as text.
"""

from collections.abc import Iterator
from collections.abc import Mapping
import dataclasses
import re

_HEADER = re.compile(r"(ENTRY )?%?([\w.\-]+) \(.*\{$")
_INSTRUCTION = re.compile(r"  (ROOT )?%?([\w.\-]+) = ")
_OPCODE = re.compile(r" *([a-z][a-z0-9\-]*)\(")
_COMMENT = re.compile(r"/\*.*?\*/")
_ARRAY = re.compile(r"([a-z]+)([0-9]*)[a-z0-9]*\[([0-9,<=]*)\]")
_CLOSING = {"(": ")", "{": "}", "[": "]"}


@dataclasses.dataclass(frozen=True)
class Instruction:
  """One line of a computation.

  Attributes:
    name: unique in its computation.
    shape: the type of its result, as text.
    opcode: what it does, such as "all-gather" or "while".
    operands: names of its operands; of a constant or a parameter, its value.
    attributes: what stands behind the operands, as text.
  """

  name: str
  shape: str
  opcode: str
  operands: tuple[str, ...]
  attributes: str

  def called(self, attribute: str) -> str | None:
    """Name of the computation that an attribute such as "body" names."""
    found = re.search(rf"\b{attribute}=%?([\w.\-]+)", self.attributes)
    return found and found[1]

  def branches(self) -> tuple[str, ...]:
    """Names of the computations of a conditional."""
    found = re.search(r"\bbranch_computations=\{(.*?)\}", self.attributes)
    if found:
      return tuple(name.strip(" %") for name in found[1].split(","))
    two = (self.called("true_computation"), self.called("false_computation"))
    return tuple(name for name in two if name)


@dataclasses.dataclass(frozen=True)
class Computation:
  """Instructions by name, in the order of the text."""

  name: str
  instructions: Mapping[str, Instruction]
  root: Instruction


@dataclasses.dataclass(frozen=True)
class Module:
  """A compiled program.

  Attributes:
    computations: all computations by name.
    entry: the computation that is run.
    num_devices: chips that run it together.
  """

  computations: Mapping[str, Computation]
  entry: Computation
  num_devices: int


_END = re.compile(r"}(, execution_thread=.*)?$")


def parse(text: str) -> Module:
  """Parses what `jax.stages.Compiled.as_text()` returns.

  Raises:
    ValueError: the text is no HLO module.
  """
  computations, entry, lines = {}, None, iter(text.splitlines())
  header = next(lines, "")
  for line in lines:
    found = _HEADER.match(line)
    if found:
      computation = _parse_computation(found[2], lines)
      computations[computation.name] = computation
      if found[1]:
        entry = computation
  if not header.startswith("HloModule") or entry is None:
    raise ValueError(
        f"no HLO module with an ENTRY computation in a text of {len(text)}"
        f" characters that starts with {header[:60]!r}"
    )
  sizes = re.findall(r"\b(?:num_partitions|replica_count)=(\d+)", header)
  num_devices = 1
  for size in sizes:
    num_devices *= int(size)
  return Module(computations, entry, num_devices)


def _parse_computation(name: str, lines: Iterator[str]) -> Computation:
  """Reads up to the closing brace; kernels have attributes of several lines."""
  instructions, root = {}, None
  for line in lines:
    if line == "}":
      break
    found = _INSTRUCTION.match(line)
    if found:
      instruction = _parse_instruction(found[2], line[found.end() :])
      instructions[instruction.name] = instruction
      if found[1]:
        root = instruction
  if root is None:
    raise ValueError(f"HLO computation {name} has no ROOT instruction")
  return Computation(name, instructions, root)


def _parse_instruction(name: str, rest: str) -> Instruction:
  """Parses `shape opcode(operands), attributes`."""
  if rest.startswith("("):
    end = _balanced_end(rest, 0)
  else:
    end = rest.index(" ")
  shape, rest = rest[:end], rest[end:]
  opcode = _OPCODE.match(rest)
  if opcode is None:
    raise ValueError(f"HLO instruction {name}: no opcode in {rest[:80]!r}")
  end = _balanced_end(rest, opcode.end() - 1)
  operands = tuple(
      operand.split(" ")[-1].lstrip("%")
      for operand in split(rest[opcode.end() : end - 1])
  )
  return Instruction(
      name, _COMMENT.sub("", shape), opcode[1], operands, rest[end:]
  )


def _balanced_end(text: str, start: int) -> int:
  """Index behind the parenthesis that closes the one at `start`."""
  depth = 0
  for found in re.compile(r"[()]").finditer(text, start):
    depth += 1 if found[0] == "(" else -1
    if depth == 0:
      return found.end()
  raise ValueError(f"unbalanced parentheses in {text[:80]!r}")


def split(text: str) -> list[str]:
  """Splits at commas that stand outside of all brackets; drops comments."""
  parts, start, depth = [], 0, 0
  text = _COMMENT.sub("", text)
  for i, char in enumerate(text):
    if char in _CLOSING:
      depth += 1
    elif char in _CLOSING.values():
      depth -= 1
    elif char == "," and depth == 0:
      parts.append(text[start:i])
      start = i + 1
  parts.append(text[start:])
  return [part.strip() for part in parts if part.strip()]


def tuple_shapes(shape: str) -> list[str]:
  """Shapes of a tuple's elements; for an array, its own shape."""
  return split(shape[1:-1]) if shape.startswith("(") else [shape]


def num_bytes(shape: str) -> int:
  """Bytes of a shape, of all elements of a tuple together; no tile padding."""
  bits = 0
  for kind, width, dims in _ARRAY.findall(shape):
    size = 1
    for dim in dims.replace("<=", "").split(","):
      size *= int(dim) if dim else 1
    # Names end with their width: bf16, s4, f8e4m3fn. A predicate is a byte.
    bits += size * (int(width) if width else 8 * (kind == "pred"))
  return -(-bits // 8)
