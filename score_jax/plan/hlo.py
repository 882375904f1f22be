"""Collectives of a compiled program: which, how often, how many bytes.

Text in, data out; nothing here compiles. Bytes are counted on the program that
runs, after the compiler has chosen its collectives. A collective that it splits
into a loop of permutes, to overlap it with a matrix product, appears as
permutes.
"""

from collections.abc import Iterator
import dataclasses
import re

from score_jax.plan import hlo_text
from score_jax.plan.hlo_loops import Frame
from score_jax.plan.hlo_loops import trip_count
from score_jax.plan.hlo_text import Computation
from score_jax.plan.hlo_text import Instruction

KINDS = (
    "all-gather",
    "all-reduce",
    "reduce-scatter",
    "all-to-all",
    "ragged-all-to-all",
    "collective-broadcast",
    "collective-permute",
    "slice-send",
)
# Collectives of which every chip sends all bytes.
_WHOLE = ("collective-permute", "collective-broadcast", "slice-send")
# Opcodes that call a computation. The -update and -done of an asynchronous call
# name the computation that its -start has already called.
_CALLS = ("fusion", "call", "async-start")


@dataclasses.dataclass(frozen=True)
class Collective:
  """One collective instruction, at one place of the program.

  Attributes:
    kind: one of KINDS.
    name: the instruction's name.
    op_name: JAX's path to the operation that it comes from, '' if unknown.
    result_bytes: bytes of the result on each chip.
    group_size: number of chips that take part with each other.
    loop_depth: number of while loops around it.
    trips: product of the known trip counts of these loops.
    unknown_loops: number of loops around it whose trip count the program
      decides, such as that of decoding; `trips` counts one iteration of each.
  """

  kind: str
  name: str
  op_name: str
  result_bytes: int
  group_size: int
  loop_depth: int
  trips: int
  unknown_loops: int

  @property
  def is_in_loop(self) -> bool:
    """Whether a while loop is around it, however far out."""
    return self.loop_depth > 0

  @property
  def wire_bytes(self) -> float:
    """Bytes that each chip sends when it is run once, on a ring.

    all-gather: result (n - 1) / n; reduce-scatter: operand (n - 1) / n;
    all-reduce, which is both: 2 bytes (n - 1) / n; all-to-all: bytes
    (n - 1) / n; permute, broadcast and what leaves the slice: bytes.
    """
    n = self.group_size
    if n == 1:
      return 0.0
    if self.kind == "reduce-scatter":  # its operand is n times its result
      return self.result_bytes * (n - 1.0)
    if self.kind in _WHOLE:
      return float(self.result_bytes)
    passes = 2 if self.kind == "all-reduce" else 1
    return passes * self.result_bytes * (n - 1.0) / n

  @property
  def total_wire_bytes(self) -> float:
    """`wire_bytes` times `trips`: one iteration of each unknown loop counts."""
    return self.trips * self.wire_bytes


def collectives(text: str) -> tuple[Collective, ...]:
  """All collectives of a module, from `jax.stages.Compiled.as_text()`.

  An instruction counts once for each place that it is called from. Start and
  done of an asynchronous one are one collective. All branches of a conditional
  count, as if each was taken.
  """
  module = hlo_text.parse(text)
  return tuple(_walk(Frame(module, module.entry), depth=0, trips=1, unknown=0))


def wire_bytes(found: tuple[Collective, ...]) -> float:
  """Bytes that each chip sends in one run of the program.

  Of loops whose trip count is unknown one iteration is counted.
  """
  return sum(collective.total_wire_bytes for collective in found)


def wire_bytes_by_kind(found: tuple[Collective, ...]) -> dict[str, float]:
  """Bytes that each chip sends in one run, by kind of collective.

  Kinds that do not occur are left out.
  """
  totals = {}
  for collective in found:
    so_far = totals.get(collective.kind, 0.0)
    totals[collective.kind] = so_far + collective.total_wire_bytes
  return totals


def _walk(
    frame: Frame, *, depth: int, trips: int, unknown: int
) -> Iterator[Collective]:
  """Collectives of a computation and of all that it calls."""
  around = {"depth": depth, "trips": trips, "unknown": unknown}
  for instruction in frame.computation.instructions.values():
    kind = _kind(instruction)
    if kind is not None and not _is_continued(instruction, frame.computation):
      yield _collective(kind, instruction, frame, around)
    elif instruction.opcode == "while":
      count = trip_count(frame, instruction)
      yield from _walk(
          frame.inside(instruction, "body"),
          depth=depth + 1,
          trips=trips if count is None else trips * count,
          unknown=unknown + (count is None),
      )
    elif instruction.opcode in _CALLS:
      called = instruction.called(
          "to_apply" if instruction.opcode == "call" else "calls"
      )
      yield from _walk(_called(frame, called), **around)
    elif instruction.opcode == "conditional":
      for branch in instruction.branches():
        yield from _walk(_called(frame, branch), **around)


def _called(frame: Frame, name: str) -> Frame:
  return Frame(frame.module, frame.module.computations[name])


def _kind(instruction: Instruction) -> str | None:
  if instruction.opcode == "send":
    # To other slices, over the data centre's network, by way of the host.
    return "slice-send" if "megascale" in instruction.attributes else None
  kind = instruction.opcode.removesuffix("-start")
  return kind if kind in KINDS else None


def _is_continued(instruction: Instruction, computation: Computation) -> bool:
  """Whether it only continues a collective that another fusion has started.

  The TPU compiler cuts a collective into a start, parts inside of the fusions
  that it overlaps with, and a done; each shows the whole instruction.
  """
  if "chain_id=" not in instruction.attributes:
    return False
  return not any(
      'custom_call_target="AsyncCollectiveStart"' in other.attributes
      and instruction.name in other.operands
      for other in computation.instructions.values()
  )


def _collective(
    kind: str,
    instruction: Instruction,
    frame: Frame,
    around: dict[str, int],
) -> Collective:
  group_size = _group_size(instruction, frame.module.num_devices)
  shape = instruction.shape
  if kind == "slice-send":  # (what is sent, context, token)
    shape, group_size = hlo_text.tuple_shapes(shape)[0], 2
  elif instruction.opcode.endswith("-start") and kind != "all-reduce":
    # (operands, results, context ...); an all-reduce has no operands there.
    shape = hlo_text.tuple_shapes(shape)[1]
  result_bytes = hlo_text.num_bytes(shape)
  if frame.computation.name.startswith("all-reduce-scatter"):
    # A reduce-scatter on TPU: a fusion of an all-reduce and of slices of it.
    kind, result_bytes = "reduce-scatter", result_bytes // group_size
  op_name = re.search(r'op_name="(.*?)"', instruction.attributes)
  return Collective(
      kind=kind,
      name=instruction.name,
      op_name=op_name[1] if op_name else "",
      result_bytes=result_bytes,
      group_size=group_size,
      loop_depth=around["depth"],
      trips=around["trips"],
      unknown_loops=around["unknown"],
  )


def _group_size(instruction: Instruction, num_devices: int) -> int:
  """Chips of a group, from any of the ways that groups are written in."""
  attributes = instruction.attributes
  if instruction.opcode.startswith("collective-permute"):
    return _longest_path(attributes)
  listed = re.search(r"replica_groups=\{(\{[^=]*?\})?\}", attributes)
  if listed:
    groups = re.findall(r"\{([\d,]*)\}", listed[1] or "")
    return max((g.count(",") + 1 for g in groups), default=num_devices)
  # [groups,size]<=[dimensions of all devices]T(their order)
  iota = re.search(r"replica_groups=\[\d+,(\d+)\]<=", attributes)
  if iota:
    return int(iota[1])
  # mesh['a'=4,'b'=8] {'a','b':(2)4}: whole axes, or a part of given size.
  mesh = re.search(r"replica_groups=mesh\[(.*?)\].*? \{(.*?)\}", attributes)
  if mesh is None:
    return num_devices
  sizes = dict(re.findall(r"'([^']+)'=(\d+)", mesh[1]))
  group_size = 1
  for axis, part in re.findall(r"'([^']+)'(?::\(\d+\)(\d+))?", mesh[2]):
    group_size *= int(part or sizes[axis])
  return group_size


def _longest_path(attributes: str) -> int:
  """Chips that a permute connects, on its longest cycle or chain."""
  listed = re.search(r"source_target_pairs=\{(.*?)\}\}", attributes)
  pairs = re.findall(r"(\d+),(\d+)", listed[1] if listed else "")
  target = {source: to for source, to in pairs if source != to}
  longest = 1
  for start in target:
    seen = {start}
    while (start := target.get(start)) is not None and start not in seen:
      seen.add(start)
    longest = max(longest, len(seen))
  return longest
