"""How often loops of an HLO module run."""

import dataclasses
import re

from score_jax.plan.hlo_text import Computation
from score_jax.plan.hlo_text import Instruction
from score_jax.plan.hlo_text import Module

# Opcodes that pass one value on.
_COPIES = ("copy", "bitcast", "convert", "reshape", "copy-start", "copy-done")
_FLIPPED = {"LT": "GT", "GT": "LT", "LE": "GE", "GE": "LE", "NE": "NE"}


@dataclasses.dataclass(frozen=True)
class Frame:
  """A computation and how it was reached, for values that loops pass on.

  Attributes:
    module: the module of the computation.
    computation: the computation in which names are looked up.
    loop: the while instruction that the computation is the body or the
      condition of; None outside of all loops.
    outer: the frame in which `loop` stands; None outside of all loops.
  """

  module: Module
  computation: Computation
  loop: Instruction | None = None
  outer: "Frame | None" = None

  def inside(self, loop: Instruction, attribute: str) -> "Frame":
    """The frame of a loop's "body" or "condition"."""
    name = loop.called(attribute)
    return Frame(self.module, self.module.computations[name], loop, self)

  def source(self, name: str) -> Instruction:
    """The instruction behind a name, looking through copies."""
    instruction = self.computation.instructions[name]
    while instruction.opcode in _COPIES:
      instruction = self.computation.instructions[instruction.operands[0]]
    return instruction


def trip_count(frame: Frame, loop: Instruction) -> int | None:
  """Number of iterations of a while loop, None where the program decides.

  It is read off the attribute known_trip_count, else off a counter that is
  compared with a constant and moved by a constant.

  Args:
    frame: where the loop stands.
    loop: a while instruction.
  """
  known = re.search(r'"known_trip_count":\{"n":"(\d+)"', loop.attributes)
  if known:
    return int(known[1])
  condition, body = frame.inside(loop, "condition"), frame.inside(loop, "body")
  compare = condition.source(condition.computation.root.name)
  if compare.opcode != "compare":
    return None
  direction = re.search(r"direction=(\w+)", compare.attributes)[1]
  left, right = compare.operands
  for counter, limit, order in (
      (left, right, direction),
      (right, left, _FLIPPED.get(direction)),
  ):
    index = _carried(condition, counter)
    step = None if index is None else _step(body, index)
    limit = _constant(condition, limit)
    if step and limit is not None:
      start = _constant(frame, _element(frame, loop.operands[0], index))
      return None if start is None else _iterations(start, limit, step, order)
  return None


def _iterations(
    start: int, limit: int, step: int, direction: str | None
) -> int | None:
  """Steps that a counter takes until its comparison fails."""
  if direction in ("LE", "GE"):
    limit += 1 if direction == "LE" else -1
  is_towards = {"LT": step > 0, "LE": step > 0, "GT": step < 0, "GE": step < 0}
  distance = limit - start
  if direction == "NE":
    is_hit = distance % step == 0 and distance // step >= 0
    return distance // step if is_hit else None
  return max(0, -(-distance // step)) if is_towards.get(direction) else None


def _carried(frame: Frame, name: str) -> int | None:
  """Index of a carried value of the loop that `name` is, if it is one."""
  instruction = frame.source(name)
  if instruction.opcode != "get-tuple-element":
    return None
  if frame.source(instruction.operands[0]).opcode != "parameter":
    return None
  return _index(instruction)


def _index(element: Instruction) -> int:
  return int(re.search(r"index=(\d+)", element.attributes)[1])


def _element(frame: Frame, name: str, index: int) -> str | None:
  """Name of an element of a tuple that is put together in the frame."""
  made = frame.source(name)
  return made.operands[index] if made.opcode == "tuple" else None


def _constant(frame: Frame, name: str | None) -> int | None:
  """Value of an integer that is the same whenever the frame is run."""
  if name is None:
    return None
  instruction = frame.source(name)
  if instruction.opcode == "constant":
    is_integer = re.fullmatch(r"-?\d+", instruction.operands[0])
    return int(instruction.operands[0]) if is_integer else None
  index = _carried(frame, name)
  if index is None or frame.loop is None:
    return None
  body = frame.outer.inside(frame.loop, "body")
  passed_on = _element(body, body.computation.root.name, index)
  if passed_on is None or _carried(body, passed_on) != index:
    return None
  start = _element(frame.outer, frame.loop.operands[0], index)
  return _constant(frame.outer, start)


def _step(body: Frame, index: int) -> int | None:
  """What an iteration adds to a carried value, None if that varies."""
  name = _element(body, body.computation.root.name, index)
  moved = None if name is None else body.source(name)
  if moved is None or moved.opcode not in ("add", "subtract"):
    return None
  left, right = moved.operands
  if _carried(body, left) == index:
    step = _constant(body, right)
    is_minus = moved.opcode == "subtract"
    return -step if step is not None and is_minus else step
  if _carried(body, right) == index and moved.opcode == "add":
    return _constant(body, left)
  return None
