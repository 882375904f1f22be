"""Tables of results for readers: on the terminal and in Markdown.

Nothing is computed here; the numbers come from evaluate.py.
"""

from collections.abc import Mapping
from typing import Any

import rich.box
import rich.console
import rich.table
import rich.text

from score_jax.output.progress import console
from score_jax.output.progress import is_terminal

_PHASE_LABELS = {
    "base": "base",
    "stage1": "Stage I",
    "stage1b": "Stage I(b)",
    "stage2": "Stage II",
    "first_part": "first part",
    "second_part": "second part",
    "star_1": "STaR, round 1",
    "star_2": "STaR, round 2",
    "star_3": "STaR, round 3",
    "pair_sft": "Pair-SFT",
    "self_refine": "Self-Refine",
}


def manifest_lines(manifest: Mapping[str, Any]) -> list[str]:
  """What a run tells of its data and grader when it starts."""
  dropped = manifest["num_long_prompts_dropped"]
  counts = [
      f"{number:,} {split}"
      + (f" ({dropped[split]:,} too long)" * bool(dropped[split]))
      for split, number in manifest["num_problems"].items()
  ]
  lines = [f"Problems: {', '.join(counts)}"]
  for name, value in manifest["task"].items():
    lines.append(f"Task {name}: {_brief(value)}")
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
  """Makes a terminal table of the results, in percent.

  Args:
    results: metrics by name of the evaluated policy ("base", "stage1",
      "stage2"), as in `results.json`: fractions of all n problems. Names may be
      missing while a run is not finished; rows keep the mapping's order.
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
  for header in _COLUMNS:
    table.add_column(rich.text.Text("\n".join(header)), justify="right")
  for name, metrics in results.items():
    cells = ["\n".join(cell(metrics)) for cell in _COLUMNS.values()]
    # Text, not str: an interval's brackets are no markup.
    table.add_row(phase_label(name), *(rich.text.Text(cell) for cell in cells))
  return table


def print_results(
    results: Mapping[str, Mapping], title: str = "Results"
) -> None:
  """Prints the results table on standard output."""
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
  """Prints something that a reader of the log should not miss."""
  console.print(f"warning: {text}", markup=False, soft_wrap=True)


def phase_label(name: str) -> str:
  """Names a phase in what people read; an unknown one keeps its key."""
  return _PHASE_LABELS.get(name, name)


def _percent(fraction: float) -> str:
  # Adding zero turns -0.0 into 0.0.
  return f"{round(100 * fraction, 1) + 0.0:.1f}"


def _with_interval(metrics: Mapping, name: str) -> list[str]:
  if name not in metrics["ci95"]:
    return [_percent(metrics[name])]
  low, high = metrics["ci95"][name]
  return [_percent(metrics[name]), f"[{_percent(low)}, {_percent(high)}]"]


# Lines of a header -> lines of a cell, in the order of the paper's tables.
# ASCII: the end of a long run must not fail on a terminal's encoding.
_COLUMNS = {
    ("acc@t1",): lambda m: _with_interval(m, "accuracy_t1"),
    ("acc@t2",): lambda m: _with_interval(m, "accuracy_t2"),
    ("delta(t1,t2)",): lambda m: _with_interval(m, "delta_t1_t2"),
    ("i->c",): lambda m: [_percent(m["delta_i_to_c"])],
    ("c->i",): lambda m: [_percent(m["delta_c_to_i"])],
    ("changed",): lambda m: [_percent(m["answer_change_rate"])],
    ("cut t1", "cut t2"): lambda m: [
        _percent(m["truncated_t1"]),
        _percent(m["truncated_t2"]),
    ],
}


def _caption(results: Mapping[str, Mapping]) -> str:
  counts = sorted({metrics["n"] for metrics in results.values()})
  problems = " or ".join(str(count) for count in counts) or "no"
  return (
      f"Percent of {problems} problems; 95 % intervals in brackets. i->c: "
      "wrong, then correct; c->i: correct, then wrong; changed: the final "
      "answers differ; cut: ended by the length limit."
  )
