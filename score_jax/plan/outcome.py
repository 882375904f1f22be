"""A plan: what lies where, what each program takes, and whether it all fits."""

from collections.abc import Callable
import dataclasses
import math

import jax

from score_jax.models import hf
from score_jax.models.config import ModelConfig
from score_jax.plan import hlo
from score_jax.plan import memory
from score_jax.plan import programs as programs_lib
from score_jax.plan import topologies
from score_jax.plan.compiled import Program
from score_jax.plan.memory import Residents
from score_jax.plan.programs import Job
from score_jax.plan.topologies import Slice
from score_jax.settings import RunSettings

# Share of a chip's memory from which on a plan that fits is called tight:
# allocations leave gaps.
TIGHT = 0.9


@dataclasses.dataclass(frozen=True)
class Plan:
  """What is known of a step.

  Attributes:
    job: the run whose step is planned.
    where: the slice that it is planned for.
    residents: bytes per chip of what lies there between programs.
    programs: the programs that were compiled or refused; none where the
      residents alone do not fit.
  """

  job: Job
  where: Slice
  residents: Residents
  programs: tuple[Program, ...] = ()

  @property
  def num_parameters(self) -> int:
    """Number of the model's parameters."""
    shapes = hf.parameter_shapes(self.job.model)
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))

  @property
  def code_bytes(self) -> int:
    """Bytes of the code of all programs, which stay loaded."""
    return sum(p.memory.code for p in self.programs if p.memory)

  @property
  def peaks(self) -> dict[str, int]:
    """Bytes per chip while each compiled program runs."""
    return {
        program.name: self.residents.peak(program, self.code_bytes)
        for program in self.programs
        if program.memory
    }

  @property
  def too_large(self) -> str | None:
    """Name of the program with least room: refused, or with the highest peak.

    None where all have room.
    """
    for program in self.programs:
      if program.refusal:
        return program.name
    needs = self.peaks or {n: self.residents.total(n) for n in memory.ALIVE}
    name = max(needs, key=needs.get)
    return name if needs[name] > self.where.chip.hbm_bytes else None

  @property
  def fits(self) -> bool:
    """Whether all programs were compiled and have room."""
    return bool(self.programs) and self.too_large is None

  @property
  def runs_per_step(self) -> dict[str, int]:
    """How often each program runs in a step.

    For the programs that decode, these are tokens of attempts at full length.
    """
    rollout = self.job.settings.rollout
    groups = rollout.problems_per_step // rollout.problems_per_batch
    spec = self.job.conversations
    first, *later = spec.limits(spec.num_attempts)
    apart = first if spec.decodes_first_apart else 0
    return {
        "reshard": 1,
        "prefill": groups,
        "decode_first": groups * apart,
        "decode": groups * (first - apart + sum(later)),
        "turn": groups * len(later),
        "repeat": groups * int(spec.corrections_per_attempt > 1),
        "reference": 1,
        "update": 1,
    }

  def matmul_flops(self, program: Program) -> int:
    """Operations of one run's (one token's) matrix products, on all chips."""
    counted = program.flops
    return counted.per_iteration if _is_decode(program) else counted.total

  def mxu_seconds(self, program: Program) -> float:
    """Least time of one run's (one token's) matrix products, at peak."""
    chip = self.where.chip
    return self.matmul_flops(program) / self.where.num_chips / chip.peak_flops

  def hbm_seconds_per_token(self, name: str = "decode") -> float:
    """Least time of one decoded token: weights and cache are read once.

    The whole cache counts: decoding reads all columns, whether used or not.

    Args:
      name: name of the program that decodes.
    """
    sizes, shared = self.residents.bytes, 1
    if name == "decode_first":
      shared = self.job.settings.rollout.corrections_per_attempt
    read = sizes["sampler copy"] + sizes["cache"] / shared
    return read / self.where.chip.hbm_bandwidth

  def work_seconds(self, program: Program) -> float:
    """Least time of one run's (one token's) work, communication left out."""
    seconds = self.mxu_seconds(program)
    if _is_decode(program):
      seconds = max(seconds, self.hbm_seconds_per_token(program.name))
    return seconds

  def floor_seconds(self, program: Program) -> float:
    """Least time of all of a step's runs, communication left out."""
    return self.runs_per_step[program.name] * self.work_seconds(program)

  @property
  def floor_seconds_per_step(self) -> float:
    """Least time of a step: all compiled programs, attempts at full length."""
    return sum(self.floor_seconds(program) for program in self.programs)

  def wire_bytes(self, program: Program) -> float | None:
    """Bytes that each chip sends in one run (one token); None if unknown."""
    if program.collectives is None:
      return None
    found = program.collectives
    if _is_decode(program):
      found = tuple(c for c in found if c.unknown_loops)
    return hlo.wire_bytes(found)

  def wire_seconds(self, program: Program) -> float | None:
    """Least time to send one run's (one token's) bytes; None if unknown.

    It holds at the peak of all links of a chip together. What leaves the slice
    takes longer still.
    """
    sent = self.wire_bytes(program)
    return None if sent is None else sent / self.where.chip.ici_bandwidth

  def wire_share(self, program: Program) -> float | None:
    """Part of a run that is communication, by floors, if nothing overlaps.

    wire / (wire + work), in 0..1; None if unknown or if both are zero.
    """
    wire, work = self.wire_seconds(program), self.work_seconds(program)
    return wire / (wire + work) if wire is not None and wire + work else None

  def efficiency(self, program: Program) -> tuple[float, float] | None:
    """Part of a run that is work, by floors, in 0..1: the least and the most.

    work / (work + wire) if nothing overlaps, work / max(work, wire) if all of
    it does. Both times are lower bounds, so this compares layouts and sizes; it
    bounds no run. None where `wire_share` is.
    """
    wire, work = self.wire_seconds(program), self.work_seconds(program)
    if wire is None or not wire + work:
      return None
    return work / (work + wire), work / max(work, wire)


def _is_decode(program: Program) -> bool:
  """Whether figures of a program are those of one decoded token."""
  return program.name.startswith("decode")


def make_plan(
    settings: RunSettings,
    model: ModelConfig,
    where: Slice,
    on_program: Callable[[Program], None] = lambda _: None,
) -> Plan:
  """Plans a step on a slice.

  Args:
    settings: the run's settings.
    model: its architecture.
    where: the slice to plan for.
    on_program: called with each program, as soon as it is compiled.

  Raises:
    ValueError: settings, model and slice do not go together.
  """
  job = make_job(settings, model, where)
  residents = programs_lib.residents(job)
  plan = Plan(job, where, residents)
  if plan.too_large:
    return plan
  compiled = []

  def keep(program: Program) -> None:
    # Later attempts of other limits are decoded by programs of the same name: a
    # token of theirs takes the same.
    is_known = program.name in [p.name for p in compiled]
    if program.refusal or not is_known:
      compiled.append(program)
      on_program(program)

  programs_lib.compile_programs(job, keep)
  return dataclasses.replace(plan, programs=tuple(compiled))


def make_job(settings: RunSettings, model: ModelConfig, where: Slice) -> Job:
  """Makes a job of settings, checked against a model and a slice.

  Raises:
    ValueError: settings, model and slice do not go together.
  """
  if settings.mesh and settings.mesh.slice != where.num_slices:
    raise ValueError(
        f"config.mesh.slice is {settings.mesh.slice}, the topology"
        f" {where.name} has {where.num_slices}: make them equal"
    )
  return programs_lib.make_job(settings, model, topologies.devices(where))
