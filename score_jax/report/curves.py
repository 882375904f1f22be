"""Learning curves as a picture, from the records of `metrics.jsonl`.

Curves are smoothed here; everything else is drawn as it was recorded.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import os

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
import numpy as np

from score_jax import scalars
from score_jax.output import phase_axis
from score_jax.report import tables

# Okabe and Ito's blue and vermillion: apart for every kind of color vision.
ATTEMPT_COLORS = ("#0072B2", "#D55E00")
ATTEMPT_NAMES = ("first attempt", "second attempt")
_CURVES = (
    *scalars.TRAIN_ACCURACIES,
    *scalars.VALIDATION_ACCURACIES,
    *scalars.TRAIN_KLS,
)

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


def plot_style() -> contextlib.AbstractContextManager:
  """Sets the style of all pictures of this project for a `with` block."""
  return matplotlib.rc_context(_PLOT_STYLE)


def plot_learning_curves(
    records: Sequence[Mapping], path: str | os.PathLike[str]
) -> None:
  """Draws accuracy and KL of both attempts over all phases, as a PNG.

  Args:
    records: of `metrics.jsonl`, see `metrics.read_metrics`. Drawn are
      `train/accuracy_t*` (sampled at temperature 1), `validation/accuracy_t*`
      (greedy) and `train/kl_t*` (nats per attempt). A value that is missing or
      None leaves a gap.
    path: the PNG to write, 1600 x 700 pixels.
  """
  records = [r for r in records if any(name in r for name in _CURVES)]
  if not records:
    raise ValueError(
        f"no record holds any of {list(_CURVES)}: there is nothing to draw; "
        "pass the records of a run that has made a step"
    )
  spans = phase_axis.recorded_spans(records)
  with plot_style():
    figure = Figure(figsize=(8, 3.5), dpi=200, layout="constrained")
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.06, wspace=0.04)
    accuracy, kl = figure.subplots(1, 2, width_ratios=(1.9, 1))
    _draw_accuracy(accuracy, records, spans)
    _draw_kl(kl, records, spans)
    for axes in (accuracy, kl):
      _draw_phases(axes, spans)
    _draw_legend(figure)
    figure.savefig(os.fspath(path), format="png")


def _curve(
    records: Sequence[Mapping], phase: str, name: str, offset: int
) -> tuple[np.ndarray, np.ndarray]:
  """Positions and values of one number in one phase, where it is finite."""
  points = [
      (offset + record["step"], record[name])
      for record in records
      if record["stage"] == phase and record.get(name) is not None
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
  axes.set_ylabel(scalars.metric(scalars.ACCURACIES[0]).unit)
  for phase, (start, _) in spans.items():
    _draw_noisy(axes, records, phase, scalars.TRAIN_ACCURACIES, start, 100.0)
    _draw_gap(axes, records, phase, start)
    for name, color in zip(
        scalars.VALIDATION_ACCURACIES, ATTEMPT_COLORS, strict=True
    ):
      x, y = _curve(records, phase, name, start)
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
    phase: str,
    names: Sequence[str],
    start: int,
    scale: float,
) -> None:
  for name, color in zip(names, ATTEMPT_COLORS, strict=True):
    x, y = _curve(records, phase, name, start)
    axes.plot(x, scale * y, color=color, linewidth=0.6, alpha=0.25)
    axes.plot(x, scale * _smooth(y), color=color, linewidth=1.8, zorder=3)


def _draw_gap(
    axes: Axes, records: Sequence[Mapping], phase: str, start: int
) -> None:
  """Shades the gap in the color of the attempt that is ahead."""
  both = [
      r
      for r in records
      if all(r.get(n) is not None for n in scalars.TRAIN_ACCURACIES)
  ]
  (x, first), (_, second) = (
      _curve(both, phase, name, start) for name in scalars.TRAIN_ACCURACIES
  )
  first, second = 100 * _smooth(first), 100 * _smooth(second)
  for ahead, color in zip((first, second), ATTEMPT_COLORS, strict=True):
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
      for name, color in zip(ATTEMPT_NAMES, ATTEMPT_COLORS, strict=True)
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
  kl = scalars.find(scalars.TRAIN_KLS[0])
  axes.set_title(kl.chart)
  axes.set_xlabel("training step")
  axes.set_ylabel(kl.unit)
  for phase, (start, _) in spans.items():
    _draw_noisy(axes, records, phase, scalars.TRAIN_KLS, start, 1.0)


def _draw_phases(axes: Axes, spans: Mapping[str, tuple[int, int]]) -> None:
  """Marks where phases begin, and names those that have steps."""
  end = max(end for _, end in spans.values())
  axes.set_xlim(0, max(end, 1))
  ticks = (1, 2, 5, 10)
  axes.xaxis.set_major_locator(MaxNLocator(7, integer=True, steps=ticks))
  axes.yaxis.set_major_locator(MaxNLocator(6, steps=ticks))
  for phase, (start, stop) in spans.items():
    if start > 0:
      axes.axvline(start, color="#555555", linewidth=0.8, linestyle=(0, (4, 3)))
    if stop > start:
      axes.annotate(
          tables.phase_label(phase),
          ((start + stop) / 2, 1.015),
          xycoords=("data", "axes fraction"),
          ha="center",
          va="bottom",
          color="#555555",
      )
