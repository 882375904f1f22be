"""Curves of a run's `metrics.jsonl` as the report stores them."""

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import numpy as np

from score_jax import scalars
from score_jax.output import phase_axis
from score_jax.report import tables
from score_jax.scalars import Scalar

# More points of one curve than this are averaged in groups.
MAX_POINTS = 240


def curves(records: Sequence[Mapping]) -> dict[str, Any]:
  """Puts the phases of a run side by side on one axis of steps.

  Args:
    records: of `metrics.jsonl`, see `metrics.read_metrics`.

  Returns:
    `phases`: a list of `label`, `start`, `end` in steps since the base model;
    `series`: by scalar that a chart shows, `[x, y]`: two lists of numbers, of
    the records whose y is finite.
  """
  spans = phase_axis.recorded_spans(records)
  drawn = {scalar.name for scalar in drawn_scalars(records)}
  points: dict[str, list[tuple[int, float]]] = {}
  for record in records:
    x = spans[record["stage"]][0] + record["step"]
    for name in drawn.intersection(record):
      if record[name] is not None:
        points.setdefault(name, []).append((x, record[name]))
  return {
      "phases": [
          {"label": tables.phase_label(phase), "start": start, "end": end}
          for phase, (start, end) in spans.items()
          if end > start
      ],
      "series": {name: thin(xy) for name, xy in sorted(points.items())},
  }


def drawn_scalars(records: Iterable[Iterable[str]]) -> list[Scalar]:
  """The scalars of some records that a chart of the page shows.

  Args:
    records: mappings by scalar, or their keys.

  Returns:
    In the order in which the page draws them.
  """
  names = {name for record in records for name in record}
  return [scalar for scalar in scalars.find_all(names) if scalar.chart]


def thin(points: Sequence[tuple[float, float]]) -> list[list[float]]:
  """Averages neighbours, so that at most MAX_POINTS points are left.

  Returns:
    `[x, y]`: two lists of numbers.
  """
  size = -(-len(points) // MAX_POINTS)
  groups = [points[i : i + size] for i in range(0, len(points), size)]
  means = [np.mean(group, axis=0) for group in groups]
  return [
      [float(f"{x:.6g}") for x, _ in means],
      [float(f"{y:.4g}") for _, y in means],
  ]
