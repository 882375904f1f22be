"""Results for readers: tables, learning curves, conversations.

Nothing is computed here beyond a smoothed curve; the numbers come from
evaluate.py and from `metrics.jsonl`.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import os

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
import numpy as np
import rich.box
import rich.console
import rich.table
import rich.text

from score_jax.progress import console
from score_jax.progress import is_terminal
from score_jax.types import Rollouts

_STAGE_NAMES = {"base": "base", "stage1": "Stage I", "stage2": "Stage II"}

# Okabe and Ito's blue and vermillion: apart for every kind of color vision.
_ATTEMPT_COLORS = ("#0072B2", "#D55E00")
_ATTEMPT_NAMES = ("first attempt", "second attempt")
_TRAIN_ACCURACY = ("train/accuracy_t1", "train/accuracy_t2")
_VALIDATION_ACCURACY = ("validation/accuracy_t1", "validation/accuracy_t2")
_KL = ("train/kl_t1", "train/kl_t2")
_CURVES = (*_TRAIN_ACCURACY, *_VALIDATION_ACCURACY, *_KL)

_PLOT_STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.titlepad": 17,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.7,
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "legend.frameon": False,
}


# Tables


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
    table.add_row(_label(name), *(rich.text.Text(cell) for cell in cells))
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


def results_markdown(results: Mapping[str, Mapping]) -> str:
  """Makes the same table in Markdown, without a title."""
  rows = [["", *("<br>".join(header) for header in _COLUMNS)]]
  rows.append(["---", *("---:" for _ in _COLUMNS)])
  for name, metrics in results.items():
    cells = ["<br>".join(cell(metrics)) for cell in _COLUMNS.values()]
    rows.append([_label(name), *cells])
  lines = ["| " + " | ".join(row) + " |" for row in rows]
  return "\n".join([*lines, "", _caption(results), ""])


def _label(name: str) -> str:
  return _STAGE_NAMES.get(name, name)


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


# Learning curves


def plot_learning_curves(
    records: Sequence[Mapping], path: str | os.PathLike[str]
) -> None:
  """Draws accuracy and KL of both attempts over all stages, as a PNG.

  Args:
    records: records of `metrics.jsonl` (see metrics.read_metrics). Drawn are
      `train/accuracy_t*` (sampled at temperature 1), `validation/accuracy_t*`
      (greedy) and `train/kl_t*` (nats per attempt); missing and None values
      leave gaps.
    path: the PNG to write, 1600 x 700 pixels.
  """
  records = [r for r in records if any(name in r for name in _CURVES)]
  if not records:
    raise ValueError(
        f"no record holds any of {list(_CURVES)}: there is nothing to draw; "
        "pass the records of a run that has made a step"
    )
  spans = _stage_spans(records)
  with matplotlib.rc_context(_PLOT_STYLE):
    figure = Figure(figsize=(8, 3.5), dpi=200, layout="constrained")
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.06, wspace=0.04)
    accuracy, kl = figure.subplots(1, 2, width_ratios=(1.9, 1))
    _draw_accuracy(accuracy, records, spans)
    _draw_kl(kl, records, spans)
    for axes in (accuracy, kl):
      _draw_stages(axes, spans)
    _draw_legend(figure)
    figure.savefig(os.fspath(path), format="png")


def _stage_spans(records: Sequence[Mapping]) -> dict[str, tuple[int, int]]:
  """First and last step of each stage on the axis that all stages share."""
  lengths = {}
  for record in records:
    stage = record["stage"]
    lengths[stage] = max(lengths.get(stage, 0), record["step"])
  ends = np.cumsum(list(lengths.values())).tolist()
  return {s: (e - lengths[s], e) for s, e in zip(lengths, ends, strict=True)}


def _curve(
    records: Sequence[Mapping], stage: str, name: str, offset: int
) -> tuple[np.ndarray, np.ndarray]:
  """Positions and values of one number in one stage, where it is finite."""
  points = [
      (offset + record["step"], record[name])
      for record in records
      if record["stage"] == stage and record.get(name) is not None
  ]
  return tuple(np.asarray(points, np.float64).reshape(-1, 2).T)


def _smooth(values: np.ndarray) -> np.ndarray:
  """Centered moving mean over a seventh of the curve, shorter at its ends."""
  half = -(-len(values) // 14)
  sums = np.concatenate([[0.0], np.cumsum(values)])
  index = np.arange(len(values))
  low = np.maximum(index - half, 0)
  high = np.minimum(index + half + 1, len(values))
  return (sums[high] - sums[low]) / (high - low)


def _draw_accuracy(
    axes: Axes,
    records: Sequence[Mapping],
    spans: Mapping[str, tuple[int, int]],
) -> None:
  axes.set_title("Accuracy")
  axes.set_xlabel("training step")
  axes.set_ylabel("percent correct")
  for stage, (start, _) in spans.items():
    _draw_noisy(axes, records, stage, _TRAIN_ACCURACY, start, 100.0)
    _draw_gap(axes, records, stage, start)
    for name, color in zip(_VALIDATION_ACCURACY, _ATTEMPT_COLORS, strict=True):
      x, y = _curve(records, stage, name, start)
      axes.plot(
          x,
          100 * y,
          "o",
          color=color,
          markersize=4.5,
          markeredgecolor="white",
          markeredgewidth=0.8,
          zorder=4,
          clip_on=False,
      )


def _draw_noisy(
    axes: Axes,
    records: Sequence[Mapping],
    stage: str,
    names: Sequence[str],
    start: int,
    scale: float,
) -> None:
  for name, color in zip(names, _ATTEMPT_COLORS, strict=True):
    x, y = _curve(records, stage, name, start)
    axes.plot(x, scale * y, color=color, linewidth=0.6, alpha=0.25)
    axes.plot(x, scale * _smooth(y), color=color, linewidth=1.8, zorder=3)


def _draw_gap(
    axes: Axes, records: Sequence[Mapping], stage: str, start: int
) -> None:
  """Shades the gap in the color of the attempt that is ahead."""
  both = [
      r for r in records if all(r.get(n) is not None for n in _TRAIN_ACCURACY)
  ]
  (x, first), (_, second) = (
      _curve(both, stage, name, start) for name in _TRAIN_ACCURACY
  )
  first, second = 100 * _smooth(first), 100 * _smooth(second)
  for ahead, color in zip((first, second), _ATTEMPT_COLORS, strict=True):
    axes.fill_between(
        x,
        first,
        second,
        where=ahead >= np.maximum(first, second),
        interpolate=True,
        color=color,
        alpha=0.13,
        linewidth=0,
    )


def _draw_legend(figure: Figure) -> None:
  handles = [
      Line2D([], [], color=color, linewidth=1.8, label=name)
      for name, color in zip(_ATTEMPT_NAMES, _ATTEMPT_COLORS, strict=True)
  ]
  handles += [
      Line2D([], [], color="#777777", linewidth=1.8, label="training, T = 1"),
      Line2D(
          [],
          [],
          color="#777777",
          linestyle="",
          marker="o",
          markersize=4.5,
          label="validation, greedy",
      ),
  ]
  figure.legend(handles=handles, ncols=4, loc="outside lower center")


def _draw_kl(
    axes: Axes,
    records: Sequence[Mapping],
    spans: Mapping[str, tuple[int, int]],
) -> None:
  axes.set_title("KL to the base model")
  axes.set_xlabel("training step")
  axes.set_ylabel("nats per attempt")
  for stage, (start, _) in spans.items():
    _draw_noisy(axes, records, stage, _KL, start, 1.0)


def _draw_stages(axes: Axes, spans: Mapping[str, tuple[int, int]]) -> None:
  """Marks where stages begin, and names those that have steps."""
  end = max(end for _, end in spans.values())
  axes.set_xlim(0, max(end, 1))
  ticks = (1, 2, 5, 10)
  axes.xaxis.set_major_locator(MaxNLocator(7, integer=True, steps=ticks))
  axes.yaxis.set_major_locator(MaxNLocator(6, steps=ticks))
  for stage, (start, stop) in spans.items():
    if start > 0:
      axes.axvline(start, color="#555555", linewidth=0.8, linestyle=(0, (4, 3)))
    if stop > start:
      axes.annotate(
          _label(stage),
          ((start + stop) / 2, 1.015),
          xycoords=("data", "axes fraction"),
          ha="center",
          va="bottom",
          color="#555555",
      )


# Conversations


def conversation_record(
    rollouts: Rollouts, row: int, correction_prompt: str
) -> dict:
  """Picks one graded conversation, ready for a line of JSON.

  Args:
    rollouts: the conversations.
    row: which of the R = B * K rows.
    correction_prompt: the text between two attempts.

  Returns:
    `problem_id`, `question`, `gold`, `correction_prompt`, and `attempts`: a
    list of `text`, `answer`, `status`, `is_correct`, `is_truncated`.
  """
  if not 0 <= row < len(rollouts.texts):
    raise ValueError(
        f"row {row} is not one of the {len(rollouts.texts)} conversations; "
        "pass a row from 0"
    )
  num_attempts = rollouts.is_truncated.shape[-1]
  is_truncated = rollouts.is_truncated.reshape(-1, num_attempts)[row]
  samples_per_problem = rollouts.rewards.shape[1]
  problem = rollouts.problems[row // samples_per_problem]
  attempts = [
      {
          "text": text,
          "answer": grade.answer,
          "status": grade.status,
          "is_correct": bool(grade.is_correct),
          "is_truncated": bool(is_cut),
      }
      for text, grade, is_cut in zip(
          rollouts.texts[row], rollouts.grades[row], is_truncated, strict=True
      )
  ]
  return {
      "problem_id": int(problem.id),
      "question": problem.question,
      "gold": problem.answer,
      "correction_prompt": correction_prompt,
      "attempts": attempts,
  }


def format_conversation(record: Mapping) -> str:
  """Writes a `conversation_record` as text for people."""
  parts = [
      f"=== problem {record['problem_id']} (answer: {record['gold']})",
      record["question"],
  ]
  for number, attempt in enumerate(record["attempts"], start=1):
    if number > 1:
      parts += ["--- correction prompt", record["correction_prompt"]]
    verdict = attempt["status"].replace("_", " ")
    if attempt["answer"] is not None:
      verdict += f", answer {attempt['answer']}"
    if attempt["is_truncated"]:
      verdict += ", cut by the length limit"
    parts += [f"--- attempt {number}: {verdict}", attempt["text"]]
  return "\n".join(part.rstrip("\n") for part in parts) + "\n"
