"""Which settings to change where a plan does not fit.

The bytes that a suggestion saves are computed from what would lie on the chips.
What a program needs beside that while it runs is not known before the program
is compiled again.
"""

from collections.abc import Iterator
import dataclasses

from score_jax.plan import outcome
from score_jax.plan import programs
from score_jax.plan.outcome import Plan
from score_jax.plan.topologies import GIB
from score_jax.plan.topologies import Slice
from score_jax.plan.topologies import chips_of
from score_jax.settings import RunSettings

_UPDATES = ("reference", "update")


def advice(plan: Plan) -> list[str]:
  """Suggestions, the one that saves most first; none where the plan fits."""
  program = plan.too_large
  if program is None:
    return []
  savings = []
  for change, settings in _changes(plan.job.settings, program):
    try:
      job = outcome.make_job(settings, plan.job.model, plan.where)
    except ValueError:
      continue  # the model or the mesh does not allow it
    before = plan.residents.total(program)
    saved = before - programs.residents(job).total(program)
    savings.append((saved, change))
  if not plan.programs:  # by arithmetic alone
    savings = [pair for pair in savings if pair[0] > 0]
  savings.sort(key=lambda pair: -pair[0])
  lines = [f"{change}{_saved(saved)}" for saved, change in savings]
  larger = _larger_slice(plan, program)
  return lines + ([larger] if larger else [])


def _saved(saved: int) -> str:
  if saved > 0:
    return f": {saved / GIB:.2f} GiB less on each chip"
  return ": less memory while it runs"


def _changes(
    settings: RunSettings, program: str
) -> Iterator[tuple[str, RunSettings]]:
  """Settings with one thing changed, and how to write that down."""

  def changed(group, **values):
    part = dataclasses.replace(getattr(settings, group), **values)
    text = " ".join(f"--config.{group}.{k}={v}" for k, v in values.items())
    return text, dataclasses.replace(settings, **{group: part})

  mesh, train, rollout = settings.mesh, settings.train, settings.rollout
  is_kept = train.lora_rank is not None  # every update reads it then
  if train.reference == "device" and program != "reference" and not is_kept:
    yield changed("train", reference="host")
  if train.moment_dtype == "float32":
    yield changed("train", moment_dtype="bfloat16")
  if mesh.data > 1:
    yield changed("mesh", data=1, fsdp=-1)
  if program not in _UPDATES:
    yield changed("mesh", sampler_tensor=2 * mesh.sampler_tensor)
    if rollout.problems_per_batch % 2 == 0:
      half = rollout.problems_per_batch // 2
      yield changed("rollout", problems_per_batch=half)
    return
  if train.remat != "full":
    yield changed("train", remat="full")
  yield changed("train", num_microbatches=2 * train.num_microbatches)
  yield changed("mesh", fsdp=-1, tensor=2 * mesh.tensor)


def _larger_slice(plan: Plan, program: str) -> str | None:
  """The smallest slice of the kind that has room, by arithmetic."""
  where = plan.where
  for layout in where.chip.layouts:
    larger = Slice(where.kind, layout, where.num_slices)
    if chips_of(layout) <= chips_of(where.layout):
      continue
    try:
      job = outcome.make_job(plan.job.settings, plan.job.model, larger)
    except ValueError:
      continue
    total = programs.residents(job).total(program)
    if total < outcome.TIGHT * where.chip.hbm_bytes:
      return (
          f"--topology={larger.name}: {total / GIB:.2f} GiB of what lies on"
          " each chip, beside what programs need while they run"
      )
  return None
