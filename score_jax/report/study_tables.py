"""The tables of a study in Markdown, as the README shows them.

Headings and formats come from `score_jax.scalars`.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from score_jax import scalars
from score_jax.report import tables
from score_jax.scalars import Format
from score_jax.scalars import Metric

_METRICS = [metric for metric in scalars.METRICS if metric.markdown]
_HEADER = [metric.markdown for metric in _METRICS]


def markdown(result: Mapping[str, Any]) -> str:
  """Makes all tables of a study, in percent.

  Args:
    result: content of `study.json`.
  """
  parts = [
      "Methods: means over seeds, 95 % intervals over problems and seeds.",
      _methods(result),
      "Seeds.",
      _phases(result),
      "SCoRe less other methods, paired.",
      _comparisons(result, "score"),
      "Methods less the base model, paired.",
      _comparisons(result, None),
      "Votes: 2K first attempts against K corrections.",
      _votes(result),
  ]
  return "\n\n".join(part for part in parts if part) + "\n"


def _methods(result: Mapping[str, Any]) -> str:
  rows = [("method", *_HEADER, "delta by seed", "seconds by seed")]
  for method in result["methods"].values():
    summary = method["summary"]
    cells = [
        _cell(
            metric, summary[metric.name]["mean"], summary[metric.name]["ci95"]
        )
        for metric in _METRICS
    ]
    deltas = summary[scalars.DELTA]["per_seed"]
    rows.append(
        (
            method["label"],
            *cells,
            ", ".join(_signed(delta) for delta in deltas),
            ", ".join(f"{seconds:.0f}" for seconds in method["wall_s"]),
        )
    )
  return _table(rows)


def _phases(result: Mapping[str, Any]) -> str:
  """What each seed had after each phase of SCoRe."""
  rows = [("seed", "", *_HEADER)]
  for seed, phases in result["score_phases"].items():
    for phase, metrics in phases.items():
      cells = [
          _cell(metric, metrics[metric.name], metrics["ci95"].get(metric.name))
          for metric in _METRICS
      ]
      rows.append((seed, tables.phase_label(phase), *cells))
  return _table(rows) if len(rows) > 1 else ""


def _cell(metric: Metric, mean: float, ci95: Sequence[float] | None) -> str:
  """A mean; of the metrics that methods are compared by, its interval too."""
  text = tables.formatted(mean, metric.format)
  if ci95 is None or metric.name not in scalars.COMPARED:
    return text
  low, high = (tables.formatted(end, metric.format) for end in ci95)
  return f"{text} [{low}, {high}]"


def _comparisons(result: Mapping[str, Any], a: str | None) -> str:
  """Differences of one method to all others, or of all to the base model."""
  found: dict[str, dict[str, str]] = {}
  for c in result["comparisons"]:
    if (c["a"] == a and c["b"] != "base") or (a is None and c["b"] == "base"):
      other = c["b"] if a else c["a"]
      low, high = c["ci95"]
      found.setdefault(other, {})[
          c["metric"]
      ] = f"{_signed(c['difference'])} [{_signed(low)}, {_signed(high)}]"
  compared = [scalars.metric(name) for name in scalars.COMPARED]
  rows = [("", *(metric.markdown for metric in compared))]
  for name, cells in found.items():
    label = result["methods"][name]["label"]
    rows.append((label, *(cells[metric.name] for metric in compared)))
  return _table(rows) if found else ""


def _votes(result: Mapping[str, Any]) -> str:
  rows = []
  for method in result["methods"].values():
    points = (method["test_time"] or {}).get("self_consistency", [])
    if points and not rows:
      rows.append(("", *(f"{p['budget']} attempts" for p in points)))
    if points:
      rows.append((method["label"], *map(_vote, points)))
  return _table(rows) if rows else ""


def _vote(point: Mapping[str, Any]) -> str:
  low, high = point["difference_ci95"]
  return (
      f"{_percent(point['parallel'])} / {_percent(point['sequential'])}"
      f" [{_signed(low)}, {_signed(high)}]"
  )


def _percent(fraction: float) -> str:
  return tables.formatted(fraction, Format.PERCENT)


def _signed(fraction: float) -> str:
  return tables.formatted(fraction, Format.POINTS)


def _table(rows: Sequence[Sequence[str]]) -> str:
  lines = ["| " + " | ".join(row) + " |" for row in rows]
  return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]])
