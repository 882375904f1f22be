"""Figures of a study as PNGs, from `study.json`.

Nothing is computed here: means and intervals stand in `study.json`.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import math
import os
import pathlib
import textwrap
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from matplotlib.ticker import StrMethodFormatter
import numpy as np

from score_jax import scalars
from score_jax.report import curves

# After Okabe and Ito, two of them darker, so that names in them can be read on
# white; with the styles of a line they are enough for sixteen methods.
METHOD_COLORS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#B07C00",
    "#3D9BD1",
    "#000000",
    "#777777",
)
_LINE_STYLES = ("-", (0, (5, 2)))
_ACCURACIES = scalars.ACCURACIES
_UNIT = scalars.metric(_ACCURACIES[0]).unit


def plot_all(
    study: Mapping[str, Any], directory: str | os.PathLike[str]
) -> list[pathlib.Path]:
  """Draws every figure that the study has something for.

  Args:
    study: content of `study.json`.
    directory: directory of the figures, created when missing.

  Returns:
    The files that were written.
  """
  directory = pathlib.Path(directory)
  directory.mkdir(parents=True, exist_ok=True)
  methods = study["methods"].values()
  plots: list[tuple[str, Callable, bool]] = [
      ("methods.png", plot_method_bars, bool(methods)),
      (
          "budget_curves.png",
          plot_budget_curves,
          any(m["is_trained"] and m["curve"] for m in methods),
      ),
      (
          "edit_distance.png",
          plot_edit_distance,
          any(m["edit_distance"] for m in methods),
      ),
  ]
  written = []
  for name, plot, has_data in plots:
    if has_data:
      plot(study, directory / name)
      written.append(directory / name)
  return written


def plot_method_bars(
    study: Mapping[str, Any], path: str | os.PathLike[str]
) -> None:
  """Draws both accuracies of every method, with intervals.

  The method with the most accurate second attempts is on top.

  Args:
    study: content of `study.json`.
    path: the PNG to write, 1600 pixels wide.
  """
  methods = sorted(
      study["methods"].values(),
      key=lambda m: m["summary"][_ACCURACIES[1]]["mean"],
  )
  _check_any(methods, "method")
  with curves.plot_style():
    figure = _make_figure(1.3 + 0.36 * len(methods))
    axes = figure.add_subplot()
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", visible=True)
    axes.set_title("Accuracy of both attempts", pad=8)
    axes.set_xlabel(f"{_UNIT}, 95 % intervals")
    axes.set_yticks(range(len(methods)), [m["label"] for m in methods])
    axes.set_ylim(-0.6, len(methods) - 0.4)
    for y, method in enumerate(methods):
      _draw_method(axes, y, method["summary"])
    handles = [
        Line2D([], [], color=color, marker="o", linestyle="", label=name)
        for name, color in zip(
            curves.ATTEMPT_NAMES, curves.ATTEMPT_COLORS, strict=True
        )
    ]
    figure.legend(handles=handles, ncols=2, loc="outside lower center")
    figure.savefig(os.fspath(path), format="png")


def _draw_method(axes: Axes, y: int, summary: Mapping[str, Any]) -> None:
  """Two dots on one row, joined; intervals apart, so that both are seen."""
  first, second = (100 * summary[name]["mean"] for name in _ACCURACIES)
  axes.plot([first, second], [y, y], color="#BBBBBB", linewidth=1.2, zorder=1)
  for name, color, shift in zip(
      _ACCURACIES, curves.ATTEMPT_COLORS, (0.13, -0.13), strict=True
  ):
    low, high = (100 * end for end in summary[name]["ci95"])
    axes.plot([low, high], [y + shift] * 2, color=color, linewidth=1.8)
    axes.plot([100 * summary[name]["mean"]], [y], "o", color=color, ms=5)


def plot_budget_curves(
    study: Mapping[str, Any], path: str | os.PathLike[str]
) -> None:
  """Draws accuracy of attempt 2 over the conversations sampled for training.

  Args:
    study: content of `study.json`. Drawn is the `curve` of each method that is
      trained: greedy, on validation problems, mean over seeds.
    path: the PNG to write, 1600 pixels wide.
  """
  methods = study["methods"].values()
  trained = [m for m in methods if m["is_trained"] and m["curve"]]
  _check_any(trained, "curve of a trained method")
  with curves.plot_style():
    figure = _make_figure(4.4)
    axes = figure.add_subplot()
    axes.set_title("What a budget of samples buys", pad=8)
    axes.set_xlabel("conversations sampled for training")
    axes.set_ylabel(f"{_UNIT}, attempt 2, validation")
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    lines = [_draw_budget(axes, i, m) for i, m in enumerate(trained)]
    axes.set_xlim(left=0)
    _label_ends(axes, lines)
    figure.savefig(os.fspath(path), format="png")


def _draw_budget(axes: Axes, index: int, method: Mapping[str, Any]) -> Line2D:
  points = method["curve"]
  style = index // len(METHOD_COLORS) % len(_LINE_STYLES)
  (line,) = axes.plot(
      [p["conversations"] for p in points],
      [100 * p[_ACCURACIES[1]] for p in points],
      color=METHOD_COLORS[index % len(METHOD_COLORS)],
      linestyle=_LINE_STYLES[style],
      linewidth=1.6,
      marker="o",
      markersize=3,
      label=method["label"],
  )
  return line


def _label_ends(axes: Axes, lines: Sequence[Line2D]) -> None:
  """Names the lines beside the axes, in the order of their ends."""
  low, high = axes.get_ylim()
  right = axes.get_xlim()[1]
  ends = np.asarray([line.get_ydata()[-1] for line in lines])
  places = spread((ends - low) / (high - low), min(0.055, 1 / len(lines)))
  for line, end, place in zip(lines, ends, places, strict=True):
    axes.annotate(
        line.get_label(),
        xy=(line.get_xdata()[-1], end),
        xytext=(1.04, place),
        textcoords="axes fraction",
        color=line.get_color(),
        va="center",
        annotation_clip=False,
        arrowprops={
            "arrowstyle": "-",
            "color": line.get_color(),
            "linewidth": 0.6,
            "linestyle": ":",
            "relpos": (0, 0.5),
            "shrinkA": 1,
            "shrinkB": 2,
        },
    )
  axes.set_xlim(right=right)


def spread(places: np.ndarray, gap: float) -> np.ndarray:
  """Moves labels apart that would overlap.

  Args:
    places: float64[N], wanted places, on an axis from 0 to 1.
    gap: least distance of two labels, at most 1 / (N - 1).

  Returns:
    float64[N], a place within [0, 1] for each wanted one. Labels keep their
    order on the axis.
  """
  order = np.argsort(places, kind="stable")
  steps = gap * np.arange(len(places))
  # In the moved coordinates the condition is: never falling.
  free = np.maximum.accumulate(places[order] - steps)
  free = np.clip(free, 0.0, max(1.0 - steps[-1], 0.0))
  result = np.empty(len(places))
  result[order] = free + steps
  return result


def plot_edit_distance(
    study: Mapping[str, Any], path: str | os.PathLike[str]
) -> None:
  """Draws how much second attempts differ from first ones, by method.

  Args:
    study: content of `study.json`. Each method that has an `edit_distance` gets
      a panel; all panels have equal axes.
    path: the PNG to write, 1600 pixels wide.
  """
  methods = [m for m in study["methods"].values() if m["edit_distance"]]
  _check_any(methods, "edit_distance")
  columns = min(4, len(methods))
  rows = math.ceil(len(methods) / columns)
  with curves.plot_style():
    figure = _make_figure(0.5 + 1.5 * rows)
    panels = figure.subplots(
        rows, columns, sharex=True, sharey=True, squeeze=False
    ).ravel()
    for axes, method in zip(panels, methods, strict=False):
      _draw_histogram(axes, method)
    for axes in panels[len(methods) :]:
      axes.set_axis_off()
    for axes in panels[len(methods) - columns : len(methods)]:
      axes.tick_params(labelbottom=True)
    figure.supxlabel("edit distance / length of both attempts", fontsize=8.5)
    figure.supylabel("percent of problems", fontsize=8.5)
    figure.savefig(os.fspath(path), format="png")


def _draw_histogram(axes: Axes, method: Mapping[str, Any]) -> None:
  edges = np.asarray(method["edit_distance"]["edges"])
  counts = np.asarray(method["edit_distance"]["counts"], float)
  axes.set_title(textwrap.fill(method["label"], 26), pad=4, fontsize=8)
  axes.bar(
      edges[:-1],
      100 * counts / max(counts.sum(), 1.0),
      width=np.diff(edges),
      align="edge",
      color=curves.ATTEMPT_COLORS[1],
      edgecolor="white",
      linewidth=0.5,
  )


def _make_figure(height_inches: float) -> Figure:
  figure = Figure(figsize=(8, height_inches), dpi=200, layout="constrained")
  FigureCanvasAgg(figure)
  return figure


def _check_any(found: Sequence, what: str) -> None:
  if not found:
    raise ValueError(
        f"the study holds no {what}: there is nothing to draw; pass a study"
        " that has ended"
    )
