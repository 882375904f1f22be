"""What a run tells on the terminal: its data, its results, warnings.

Nothing is computed here: the numbers come from `score_jax.evaluate`, their
headings and formats from `score_jax.scalars`.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import rich.box
import rich.console
import rich.table
import rich.text

from score_jax import scalars
from score_jax.datasets.rows import listed
from score_jax.output.progress import console
from score_jax.output.progress import is_terminal
from score_jax.scalars import Format
from score_jax.scalars import Metric

_PHASE_LABELS = {
    "pretrained": "pretrained",
    "base": "base",
    "stage1": "Stage I",
    "stage1b": "Stage I(b)",
    "stage2": "Stage II",
    "stage1_1": "Stage I, round 1",
    "stage2_1": "Stage II, round 1",
    "stage1_2": "Stage I, round 2",
    "stage2_2": "Stage II, round 2",
    "first_part": "first part",
    "second_part": "second part",
    "star_1": "STaR, round 1",
    "star_2": "STaR, round 2",
    "star_3": "STaR, round 3",
    "pair_sft": "Pair-SFT",
    "self_refine": "Self-Refine",
}


def manifest_lines(manifest: Mapping[str, Any]) -> list[str]:
  """Describes the data and the grader of a run, in lines for the terminal.

  Args:
    manifest: content of `manifest.json`.
  """
  dropped = manifest["num_long_prompts_dropped"]
  counts = [
      f"{number:,} {split}"
      + (f" ({dropped[split]:,} too long)" * bool(dropped[split]))
      for split, number in manifest["num_problems"].items()
  ]
  lines = [f"Problems: {', '.join(counts)}"]
  facts = dict(manifest["task"])
  left_out = facts.pop("left_out", {})
  lines += [f"Task {name}: {_brief(value)}" for name, value in facts.items()]
  lines += [
      f"Left out of {split}, {reason.replace('_', ' ')}: {len(names)}"
      f" ({listed(names)})"
      for split, reasons in left_out.items()
      for reason, names in reasons.items()
  ]
  return lines


def _brief(value: Any) -> str:
  """Lists by their length, for a line on a terminal."""
  if isinstance(value, Mapping):
    parts = [f"{name} {_brief(v)}" for name, v in value.items()]
    return f"({', '.join(parts)})" if parts else "none"
  return str(len(value)) if isinstance(value, list) else str(value)


def results_table(
    results: Mapping[str, Mapping], title: str = "Results"
) -> rich.table.Table:
  """Makes a table of results for a terminal, in percent.

  Args:
    results: metrics by name of the evaluated policy ("base", "stage1",
      "stage2"), as in `results.json`: fractions of all n problems. There is a
      row for each name, in the order of the mapping.
    title: heading of the table.

  Returns:
    The table, which fits 80 columns; intervals stand below their numbers.
  """
  table = rich.table.Table(
      title=title,
      caption=_caption(results),
      box=rich.box.SIMPLE_HEAD,
      show_edge=False,
      pad_edge=False,
      collapse_padding=True,
  )
  table.add_column("")
  for column in scalars.columns():
    header = "\n".join(metric.terminal for metric in column)
    table.add_column(rich.text.Text(header), justify="right")
  for name, metrics in results.items():
    cells = [_cell(metrics, column) for column in scalars.columns()]
    # Text, not str: an interval's brackets are no markup.
    table.add_row(phase_label(name), *(rich.text.Text(cell) for cell in cells))
  return table


def print_results(
    results: Mapping[str, Mapping], title: str = "Results"
) -> None:
  """Prints the `results_table` on standard output."""
  table = results_table(results, title)
  if is_terminal():
    console.print(table)
  else:
    # A log has no width, whatever COLUMNS says: never fold numbers there.
    log = rich.console.Console(
        file=console.file, width=100, force_terminal=False
    )
    log.print(table)


def print_warning(text: str) -> None:
  """Prints a line that starts with "warning"."""
  console.print(f"warning: {text}", markup=False, soft_wrap=True)


def phase_label(name: str) -> str:
  """Names a phase in what people read; an unknown one keeps its key."""
  return _PHASE_LABELS.get(name, name)


def formatted(value: float, style: Format) -> str:
  """Writes a value as people read it, see `scalars.Format`."""
  if style is Format.NUMBER:
    return f"{value:.4g}"
  # Adding zero turns -0.0 into 0.0.
  percent = round(100 * value, 1) + 0.0
  return f"{percent:+.1f}" if style is Format.POINTS else f"{percent:.1f}"


def _cell(metrics: Mapping, column: Sequence[Metric]) -> str:
  """The metrics of a column, one below the other, and their intervals."""
  lines = []
  # Results of an older version may lack a metric.
  for metric in (m for m in column if m.name in metrics):
    # Space is short: a difference that is not negative has no sign.
    is_number = metric.format is Format.NUMBER
    style = Format.NUMBER if is_number else Format.PERCENT
    lines.append(formatted(metrics[metric.name], style))
    if metric.name in scalars.COMPARED and metric.name in metrics["ci95"]:
      ends = [formatted(end, style) for end in metrics["ci95"][metric.name]]
      lines.append(f"[{', '.join(ends)}]")
  return "\n".join(lines)


def _caption(results: Mapping[str, Mapping]) -> str:
  counts = sorted({metrics["n"] for metrics in results.values()})
  problems = " or ".join(str(count) for count in counts) or "no"
  meanings = [
      f"{', '.join(metric.terminal for metric in column)}: {column[0].meaning}"
      for column in scalars.columns()
      if column[0].meaning
  ]
  return (
      f"Percent of {problems} problems; 95 % intervals in brackets."
      f" {'; '.join(meanings)}."
  )
