"""Curves of a run's `metrics.jsonl` as the report stores them."""

from collections.abc import Mapping
from collections.abc import Sequence
import re
from typing import Any

import numpy as np

from score_jax.output import phase_axis
from score_jax.report import tables

_NAMES = re.compile(
    r"(train|validation)/(accuracy|kl|truncated)_t\d+"
    r"|train/loss|validation/answer_change_rate"
)
# More points of one curve than this are averaged in groups.
MAX_POINTS = 240


def curves(records: Sequence[Mapping]) -> dict[str, Any]:
  """Puts the phases of a run side by side on one axis of steps.

  Args:
    records: of `metrics.jsonl`, see `metrics.read_metrics`.

  Returns:
    `phases`: a list of `label`, `start`, `end` in steps since the base model;
    `series`: by scalar, `[x, y]`, two lists of numbers, where y is finite.
  """
  spans = phase_axis.recorded_spans(records)
  points: dict[str, list[tuple[int, float]]] = {}
  for record in records:
    x = spans[record["stage"]][0] + record["step"]
    for name, value in record.items():
      if _NAMES.fullmatch(name) and value is not None:
        points.setdefault(name, []).append((x, value))
  return {
      "phases": [
          {"label": tables.phase_label(phase), "start": start, "end": end}
          for phase, (start, end) in spans.items()
          if end > start
      ],
      "series": {name: thin(xy) for name, xy in sorted(points.items())},
  }


def thin(points: Sequence[tuple[float, float]]) -> list[list[float]]:
  """At most MAX_POINTS points: the means of groups of neighbours."""
  size = -(-len(points) // MAX_POINTS)
  groups = [points[i : i + size] for i in range(0, len(points), size)]
  means = [np.mean(group, axis=0) for group in groups]
  return [
      [float(f"{x:.6g}") for x, _ in means],
      [float(f"{y:.4g}") for _, y in means],
  ]
