"""Curves of a run's `metrics.jsonl` as the report stores them."""

from collections.abc import Mapping
from collections.abc import Sequence
import re
from typing import Any

import numpy as np

from score_jax.report import tables

_NAMES = re.compile(
    r"(train|validation)/(accuracy|kl|truncated)_t\d+"
    r"|train/loss|validation/answer_change_rate"
)
# More points of one curve than this are averaged in groups.
MAX_POINTS = 240


def curves(records: Sequence[Mapping]) -> dict[str, Any]:
  """Puts the stages of a run side by side on one axis of steps.

  Args:
    records: of `metrics.jsonl`, see `metrics.read_metrics`.

  Returns:
    `stages`: a list of `label`, `start`, `end` in steps since the base model;
    `series`: by scalar, `[x, y]`, two lists of numbers, where y is finite.
  """
  lengths: dict[str, int] = {}
  for record in records:
    stage = record["stage"]
    lengths[stage] = max(lengths.get(stage, 0), record["step"])
  ends = np.cumsum(list(lengths.values())).tolist()
  starts = {s: e - n for (s, n), e in zip(lengths.items(), ends, strict=True)}
  points: dict[str, list[tuple[int, float]]] = {}
  for record in records:
    for name, value in record.items():
      if _NAMES.fullmatch(name) and value is not None:
        x = starts[record["stage"]] + record["step"]
        points.setdefault(name, []).append((x, value))
  return {
      "stages": [
          {"label": tables.stage_label(s), "start": starts[s], "end": end}
          for s, end in zip(lengths, ends, strict=True)
          if lengths[s]
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
