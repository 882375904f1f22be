"""The tables of a study in Markdown, as the README shows them."""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from score_jax.report import tables

_WITH_INTERVAL = ("accuracy_t1", "accuracy_t2", "delta_t1_t2")
_PLAIN = ("delta_i_to_c", "delta_c_to_i", "answer_change_rate")
_HEADER = ("t1", "t2", "delta", "i→c", "c→i", "changed")
_COMPARED = ("delta_t1_t2", "accuracy_t2", "accuracy_t1")


def markdown(result: Mapping[str, Any]) -> str:
  """All tables of study.json, in percent."""
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
    rows.append(
        (
            method["label"],
            *(_interval(summary[name], name) for name in _WITH_INTERVAL),
            *(_percent(summary[name]["mean"]) for name in _PLAIN),
            ", ".join(
                _signed(delta) for delta in summary["delta_t1_t2"]["per_seed"]
            ),
            ", ".join(f"{seconds:.0f}" for seconds in method["wall_s"]),
        )
    )
  return _table(rows)


def _phases(result: Mapping[str, Any]) -> str:
  """What each seed had after each phase of SCoRe."""
  rows = [("seed", "", *_HEADER)]
  for seed, phases in result["score_phases"].items():
    for phase, metrics in phases.items():
      values = [
          _interval(
              {"mean": metrics[name], "ci95": metrics["ci95"][name]}, name
          )
          for name in _WITH_INTERVAL
      ]
      plain = [_percent(metrics[name]) for name in _PLAIN]
      rows.append((seed, tables.phase_label(phase), *values, *plain))
  return _table(rows) if len(rows) > 1 else ""


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
  rows = [("", "delta", "t2", "t1")]
  for name, cells in found.items():
    label = result["methods"][name]["label"]
    rows.append((label, *(cells[metric] for metric in _COMPARED)))
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


def _interval(summary: Mapping[str, Any], name: str) -> str:
  number = _signed if name.startswith("delta") else _percent
  low, high = summary["ci95"]
  return f"{number(summary['mean'])} [{number(low)}, {number(high)}]"


def _percent(fraction: float) -> str:
  # Adding zero turns -0.0 into 0.0.
  return f"{round(100 * fraction, 1) + 0.0:.1f}"


def _signed(fraction: float) -> str:
  return f"{round(100 * fraction, 1) + 0.0:+.1f}"


def _table(rows: Sequence[Sequence[str]]) -> str:
  lines = ["| " + " | ".join(row) + " |" for row in rows]
  return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]])
