"""A plan in words: on the terminal, and as JSON."""

from collections.abc import Mapping
import math
from typing import Any

from score_jax.output.progress import console
from score_jax.plan import hlo
from score_jax.plan import tables
from score_jax.plan import topologies
from score_jax.plan.advice import advice
from score_jax.plan.compiled import Program
from score_jax.plan.hlo import Collective
from score_jax.plan.memory import ALIVE
from score_jax.plan.outcome import TIGHT
from score_jax.plan.outcome import Plan
from score_jax.plan.programs import TURN_TOKENS
from score_jax.plan.programs import Job
from score_jax.plan.topologies import GIB
from score_jax.training import adapt


def compiled_line(program: Program) -> str:
  """Describes a program that has just been compiled, in one line."""
  if program.refusal:
    return f"{program.name}: refused, {program.refusal}"
  return (
      f"{program.name}: compiled in {program.seconds:.0f} s,"
      f" {program.memory.temporaries / GIB:.2f} GiB of temporaries"
  )


def print_plan(plan: Plan) -> None:
  """Prints the job, the tables and the verdict of a plan."""
  for line in _heading(plan):
    console.print(line, markup=False, soft_wrap=True)
  console.print(tables.resident_table(plan))
  if plan.programs:
    console.print(tables.program_table(plan))
    console.print(tables.wire_table(plan))
    for line in _notes(plan):
      console.print(line, markup=False, soft_wrap=True)
  for line in verdict_lines(plan):
    console.print(line, markup=False, soft_wrap=True)


def _heading(plan: Plan) -> list[str]:
  job, chip = plan.job, plan.where.chip
  settings = job.settings
  return [
      f"{settings.model.path}: {plan.num_parameters / 1e9:.2f} billion"
      f" parameters{_adapters(job)}, on {plan.where.name}:"
      f" {plan.where.num_chips} chips of {chip.hbm_bytes / GIB:.2f} GiB (libtpu"
      f" {topologies.compiler_version()})",
      f"mesh {_mesh_text(job.placement.mesh.shape)}; sampler"
      f" {_mesh_text(job.placement.sampler_mesh.shape)}",
      f"{job.settings.rollout.rows} conversations a step, of"
      f" {job.conversations.max_tokens} tokens at most (correction turn taken"
      f" as {TURN_TOKENS}); {job.rows_at_once} sampled at once, updates by"
      f" {job.rows_per_microbatch} rows of {job.conversations.row_tokens}",
  ]


def _adapters(job: Job) -> str:
  """How many parameters are trained, where they are not all of them."""
  rank = job.settings.train.lora_rank
  if rank is None:
    return ""
  shapes = adapt.factor_shapes(job.model, rank).values()
  count = sum(math.prod(shape.shape) for shape in shapes)
  return f" (trained: {count / 1e6:.1f} million of adapters)"


def _mesh_text(shape: Mapping[str, int]) -> str:
  return " x ".join(f"{n} {axis}" for axis, n in shape.items() if n > 1) or "1"


def _notes(plan: Plan) -> list[str]:
  lines = [
      "runs: in a step; of decode a run is a token of all rows, and the count"
      " that of attempts at full length. temp: temporaries of the program."
      " peak: with all that is resident, and the code of all programs"
      f" ({plan.code_bytes / GIB:.2f} GiB).",
      "floor: of a run; the products in the jaxpr at the chip's peak, of decode"
      " weights and cache read once"
      f" ({1e3 * plan.hbm_seconds_per_token():.2f} ms). step: of all its runs,"
      f" together {plan.floor_seconds_per_step:.1f} s.",
      "sent: on a ring. wire: at the published peak of all links of a chip"
      f" together ({plan.where.chip.ici_bandwidth / 1e9:.0f} GB/s one way)."
      " wire share: wire in wire + floor, if nothing overlaps. efficiency:"
      " floor in the time of both, from nothing overlapped to all of it; of"
      " floors alone: it compares slices and layouts, and promises no run.",
  ]
  kernels = {k for p in plan.programs for k in p.flops.uncounted}
  if kernels:
    names = ", ".join(sorted(kernels))
    lines.append(f"Not counted: products in kernels ({names}).")
  if any(p.memory and p.collectives is None for p in plan.programs):
    lines.append(
        "unknown: compiled, but jaxlib cannot read what this libtpu writes."
    )
  return lines


def verdict_lines(plan: Plan) -> list[str]:
  """Says whether the job fits; if not, why, and what to change."""
  hbm = plan.where.chip.hbm_bytes
  if plan.fits:
    name = max(plan.peaks, key=plan.peaks.get)
    share = plan.peaks[name] / hbm
    tight = ", which is tight: allocations leave gaps" if share > TIGHT else ""
    return [
        f"FITS: at most {plan.peaks[name] / GIB:.2f} GiB of"
        f" {hbm / GIB:.2f} ({share:.0%}), in {name}{tight}"
    ]
  lines = [f"DOES NOT FIT: {_reason(plan)}"]
  suggestions = advice(plan)
  if suggestions:
    lines += ["To change:"] + [f"  {line}" for line in suggestions]
  return lines


def _reason(plan: Plan) -> str:
  name, hbm = plan.too_large, plan.where.chip.hbm_bytes
  for program in plan.programs:
    if program.name == name and program.refusal:
      return f"{name}: {program.refusal}"
  if plan.programs:
    return (
        f"{name} needs {plan.peaks[name] / GIB:.2f} GiB with all that is"
        f" resident, of {hbm / GIB:.2f}"
    )
  parts = ", ".join(
      f"{part} {plan.residents.bytes[part] / GIB:.2f}"
      for part in plan.residents.alive(name)
  )
  return (
      f"{name} needs {plan.residents.total(name) / GIB:.2f} GiB of"
      f" {hbm / GIB:.2f} for what is resident alone ({parts})"
  )


def to_json(plan: Plan) -> dict[str, Any]:
  """Makes JSON values of a plan; bytes and operations are whole numbers."""
  job = plan.job
  return {
      "model": job.settings.model.path,
      "parameters": plan.num_parameters,
      "topology": plan.where.name,
      "libtpu": topologies.compiler_version(),
      "chips": plan.where.num_chips,
      "hbm_bytes": plan.where.chip.hbm_bytes,
      "ici_bytes_per_s": plan.where.chip.ici_bandwidth,
      "mesh": dict(job.placement.mesh.shape),
      "sampler_mesh": dict(job.placement.sampler_mesh.shape),
      "rows": job.settings.rollout.rows,
      "rows_at_once": job.rows_at_once,
      "rows_per_microbatch": job.rows_per_microbatch,
      "row_tokens": job.conversations.row_tokens,
      "fits": plan.fits,
      "peak_bytes": max(plan.peaks.values(), default=None),
      "verdict": verdict_lines(plan),
      "residents_bytes": dict(plan.residents.bytes),
      "resident_bytes_by_program": {
          name: plan.residents.total(name)
          for name in ALIVE
          if plan.runs_per_step[name]
      },
      "decode_hbm_floor_s_per_token": plan.hbm_seconds_per_token(),
      "floor_s_per_step": plan.floor_seconds_per_step,
      "programs": {p.name: _program_json(plan, p) for p in plan.programs},
  }


def _program_json(plan: Plan, program: Program) -> dict[str, Any]:
  result = {
      "compile_s": program.seconds,
      "refusal": program.refusal or None,
      "runs_per_step": plan.runs_per_step[program.name],
      "matmul_flops": plan.matmul_flops(program),
      "uncounted_kernels": dict(program.flops.uncounted),
      "mxu_floor_s": plan.mxu_seconds(program),
      "floor_s_per_step": plan.floor_seconds(program),
  }
  if program.memory is None:
    return result
  memory = program.memory
  return result | {
      "argument_bytes": memory.arguments,
      "output_bytes": memory.outputs,
      "aliased_bytes": memory.aliased,
      "temporary_bytes": memory.temporaries,
      "code_bytes": memory.code,
      "peak_bytes": plan.peaks[program.name],
      "wire_bytes": plan.wire_bytes(program),
      "wire_floor_s": plan.wire_seconds(program),
      "wire_share_of_floors": plan.wire_share(program),
      "efficiency_of_floors": plan.efficiency(program),
      "collectives": _collectives_json(program.collectives),
  }


def _collectives_json(
    found: tuple[Collective, ...] | None,
) -> dict[str, Any] | None:
  if found is None:
    return None
  in_loops = [c for c in found if c.is_in_loop]
  largest = {}
  for c in in_loops:
    largest[c.kind] = max(c.result_bytes, largest.get(c.kind, 0))
  return {
      "wire_bytes_by_kind": hlo.wire_bytes_by_kind(found),
      "largest_result_bytes_in_loops": largest,
  }
