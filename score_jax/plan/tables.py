"""The tables of a plan, for a terminal of 80 columns."""

import rich.box
import rich.table

from score_jax.plan.outcome import Plan
from score_jax.plan.topologies import GIB

# What a resident is needed for, where that is not the whole step.
_WHEN = {
    "sampler copy": "sampling",
    "cache": "sampling",
    "gradients": "update, within its temporaries",
}


def _table(title: str, *columns: str) -> rich.table.Table:
  table = rich.table.Table(title=title, box=rich.box.SIMPLE, title_style="")
  for i, column in enumerate(columns):
    table.add_column(column, justify="right" if i else "left", no_wrap=True)
  return table


def resident_table(plan: Plan) -> rich.table.Table:
  """Lists what lies in the memory of each chip, and during which programs."""
  table = _table("Resident, by arithmetic", "what", "GiB per chip", "when")
  table.columns[2].justify = "left"
  for name, size in plan.residents.bytes.items():
    when = _WHEN.get(name, "always")
    if name == "reference" and plan.residents.is_reference_on_host:
      readers = ", ".join(plan.residents.reference_readers)
      when = f"{readers}; else on the host"
    table.add_row(name, f"{size / GIB:.2f}", when)
  return table


def program_table(plan: Plan) -> rich.table.Table:
  """Lists the memory and the least time of each program."""
  table = _table(
      "Programs, as compiled; seconds are lower bounds, never forecasts",
      "program",
      "runs",
      "temp GiB",
      "peak GiB",
      "HBM",
      "floor s",
      "step s",
  )
  for program in plan.programs:
    runs = f"{plan.runs_per_step[program.name]:,}"
    if program.refusal:
      table.add_row(program.name, runs, "refused")
      continue
    peak = plan.peaks[program.name]
    table.add_row(
        program.name,
        runs,
        f"{program.memory.temporaries / GIB:.2f}",
        f"{peak / GIB:.2f}",
        f"{peak / plan.where.chip.hbm_bytes:.0%}",
        f"{plan.work_seconds(program):.4f}",
        f"{plan.floor_seconds(program):.2f}",
    )
  return table


def wire_table(plan: Plan) -> rich.table.Table:
  """Lists what chips send each other, and what that adds to the least time."""
  table = _table(
      "Sent by each chip in a run; seconds are lower bounds",
      "program",
      "sent GB",
      "wire s",
      "floor s",
      "wire share",
      "efficiency",
  )
  for program in plan.programs:
    sent, bounds = plan.wire_bytes(program), plan.efficiency(program)
    if sent is None:
      if not program.refusal:
        table.add_row(program.name, "unknown")
      continue
    shares = ("", "")
    if bounds is not None:
      shares = (
          f"{plan.wire_share(program):.0%}",
          f"{bounds[0]:.0%} to {bounds[1]:.0%}",
      )
    table.add_row(
        program.name,
        f"{sent / 1e9:.3f}",
        f"{plan.wire_seconds(program):.4f}",
        f"{plan.work_seconds(program):.4f}",
        *shares,
    )
  return table
