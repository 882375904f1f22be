"""From the cells of a study to its numbers: study.json and the table.

Everything is read from the files of the cells, so that a study can be
summarised again, and also while some of its cells are missing.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import json
import pathlib
from typing import Any

import numpy as np

from score_jax import evaluate
from score_jax import scalars
from score_jax.evaluate import monitors
from score_jax.evaluate import statistics
from score_jax.output import files
from score_jax.output import metrics
from score_jax.report import histograms
from score_jax.report import tables
from score_jax.study import cell as cell_lib
from score_jax.study.methods import METHODS
from score_jax.study.settings import StudySettings


@dataclasses.dataclass(frozen=True)
class _Cell:
  """A finished cell.

  Attributes:
    path: relative to the study.
    summary: as `cell.run_cell` leaves it.
    conversations: graded, of all test problems, ordered by problem.
    values: float64[N] by metric.
    records: of metrics.jsonl.
  """

  path: str
  summary: Mapping[str, Any]
  conversations: Sequence[Mapping[str, Any]]
  values: Mapping[str, np.ndarray]
  records: Sequence[Mapping[str, Any]]


def collect(settings: StudySettings, root: pathlib.Path) -> dict[str, Any]:
  """Summarises the finished cells of a study, for study.json.

  Args:
    settings: of the study.
    root: directory of the study.

  Returns:
    `num_problems`; `methods`: by name, see `_method`; `comparisons`: of every
    method with the base model and with SCoRe; `score_phases`: metrics of each
    phase of SCoRe by seed; `warnings` of the monitors; `unfinished`: cells
    without results.
  """
  methods: dict[str, dict[int, _Cell]] = {}
  unfinished = []
  for name in dict.fromkeys(["base", *settings.methods]):
    for seed in range(settings.num_seeds):
      cell = _read_cell(root, name, seed)
      if cell is None:
        unfinished.append(f"{name}/{seed}")
      else:
        methods.setdefault(name, {})[seed] = cell
  if not methods:
    raise ValueError(f"no cell of the study in {str(root)!r} is finished")
  return {
      "num_problems": len(_any_cell(methods).conversations),
      "methods": {
          name: _method(name, cells) for name, cells in methods.items()
      },
      "comparisons": _comparisons(methods),
      "score_phases": {
          str(seed): cell.summary["results"]
          for seed, cell in methods.get("score", {}).items()
      },
      "warnings": [
          warning
          for name, cells in methods.items()
          for seed, cell in cells.items()
          for warning in _warnings(name, seed, cell)
      ],
      "unfinished": unfinished,
  }


def _metrics_of(result: Mapping[str, Any], name: str) -> dict[str, Any]:
  """A method's summary in the form of `evaluate.summarize`."""
  summary = result["methods"][name]["summary"]
  return {
      **{metric: s["mean"] for metric, s in summary.items()},
      "n": result["num_problems"],
      "ci95": {metric: s["ci95"] for metric, s in summary.items()},
  }


def _table(result: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
  """Metrics by the labels of the methods, see `tables.results_table`."""
  return {
      method["label"]: _metrics_of(result, name)
      for name, method in result["methods"].items()
  }


def _read_cell(root: pathlib.Path, name: str, seed: int) -> _Cell | None:
  path = cell_lib.cell_path(root, name, seed)
  file = cell_lib.summary_path(path)
  if not file.exists():
    return None
  summary = files.read_json(file)
  last = list(summary["results"])[-1]
  lines = (path / "rollouts" / f"test_{last}.jsonl").read_text().splitlines()
  conversations = evaluate.by_problem([json.loads(line) for line in lines])
  return _Cell(
      path=path.relative_to(root).as_posix(),
      summary=summary,
      conversations=conversations,
      values=evaluate.per_problem_of_records(conversations),
      records=metrics.read_metrics(path / "metrics.jsonl"),
  )


def _any_cell(methods: Mapping[str, Mapping[int, _Cell]]) -> _Cell:
  return next(iter(next(iter(methods.values())).values()))


def _method(name: str, cells: Mapping[int, _Cell]) -> dict[str, Any]:
  """What is told of a method, over its finished seeds."""
  those = list(cells.values())
  summary = {
      metric: _summary(_stack(those, metric), metric)
      for metric in those[0].values
  }
  changes = {
      metric: int(_stack(those, metric).sum()) for metric in scalars.TRANSITIONS
  }
  return {
      "label": METHODS[name].label,
      "is_trained": those[0].summary["conversations"] > 0,
      "summary": summary,
      # Over the conversations of all seeds.
      "mcnemar_p": statistics.mcnemar(*changes.values()),
      "conversations": those[0].summary["conversations"],
      "wall_s": [cell.summary["wall_s"] for cell in those],
      "cells": {str(seed): cell.path for seed, cell in cells.items()},
      "by_difficulty": _by_difficulty(those),
      "edit_distance": _edit_distances(those),
      "test_time": _test_time(those),
      "curve": _curve(those),
  }


def _summary(values: np.ndarray, metric: str) -> dict[str, Any]:
  """Mean over seeds; the interval is cut to what the metric can be."""
  summary = dataclasses.asdict(statistics.seed_summary(values))
  # With few seeds it is so wide that it may reach further.
  ends = np.clip(summary["ci95"], *scalars.metric(metric).format.range)
  return summary | {"ci95": ends.tolist()}


def _stack(cells: Sequence[_Cell], metric: str) -> np.ndarray:
  """float64[S, N]."""
  return np.stack([cell.values[metric] for cell in cells])


def _by_difficulty(cells: Sequence[_Cell]) -> dict[str, dict[str, float]]:
  """Means over seeds; all of them have the same problems."""
  return _mean(
      [evaluate.transitions_by_difficulty(c.conversations) for c in cells]
  )


def _edit_distances(cells: Sequence[_Cell]) -> dict[str, list]:
  """Histogram of the ratio between both attempts, over all seeds."""
  return histograms.edit_histogram(
      [record for cell in cells for record in cell.conversations]
  )


def _test_time(cells: Sequence[_Cell]) -> dict[str, Any] | None:
  """Means over seeds of what cells report of test time."""
  found = [cell.summary["test_time"] for cell in cells]
  if None in found:
    return None
  votes = [f["votes"] for f in found]
  return {
      "num_attempts": {"accuracy": _mean([f["accuracy"] for f in found])},
      "self_consistency": [_vote(those) for those in zip(*votes, strict=True)],
  }


def _vote(votes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
  """One budget of attempts, over seeds."""
  parallel, sequential = (
      np.asarray([vote[side] for vote in votes])
      for side in ("parallel", "sequential")
  )
  difference = statistics.paired_difference(sequential, parallel)
  return {
      "budget": 2 * votes[0]["k"],
      "parallel": float(parallel.mean()),
      "sequential": float(sequential.mean()),
      "difference": difference.mean,
      "difference_ci95": difference.ci95,
  }


def _curve(cells: Sequence[_Cell]) -> list[dict[str, float]]:
  """Greedy validation accuracy by conversations, means over seeds."""
  names = scalars.VALIDATION_ACCURACIES
  points: dict[int, list[list[float]]] = {}
  for cell in cells:
    latest = {
        int(r[scalars.CONVERSATIONS]): [r[name] for name in names]
        for r in cell.records
        if names[0] in r and scalars.CONVERSATIONS in r
    }
    for conversations, values in latest.items():
      points.setdefault(conversations, []).append(values)
  return [
      {
          "conversations": conversations,
          **dict(
              zip(
                  scalars.ACCURACIES,
                  np.mean(values, axis=0).tolist(),
                  strict=True,
              )
          ),
      }
      for conversations, values in sorted(points.items())
      if len(values) == len(cells)
  ]


def _warnings(name: str, seed: int, cell: _Cell) -> list[dict[str, Any]]:
  return [
      {"method": name, "seed": seed, **dataclasses.asdict(warning)}
      for warning in monitors.warnings(cell.records, cell.summary["anchored"])
  ]


def _comparisons(
    methods: Mapping[str, Mapping[int, _Cell]],
) -> list[dict[str, Any]]:
  """Every method less the base model, and SCoRe less every other method."""
  pairs = [(name, "base") for name in methods if name != "base"]
  if "score" in methods:
    pairs += [("score", n) for n in methods if n not in ("score", "base")]
  return [
      _comparison(methods, a, b, metric)
      for a, b in pairs
      if b in methods
      for metric in scalars.COMPARED
      if methods[a].keys() & methods[b].keys()
  ]


def _comparison(
    methods: Mapping[str, Mapping[int, _Cell]], a: str, b: str, metric: str
) -> dict[str, Any]:
  """On the seeds that both have finished."""
  seeds = sorted(methods[a].keys() & methods[b].keys())
  values = [
      _stack([methods[name][seed] for seed in seeds], metric) for name in (a, b)
  ]
  difference = statistics.paired_difference(*values)
  return {
      "a": a,
      "b": b,
      "metric": metric,
      "seeds": seeds,
      "difference": difference.mean,
      "ci95": difference.ci95,
      "p": difference.p_value,
      "statement": statistics.statement(
          difference,
          METHODS[a].label,
          METHODS[b].label,
          scalars.metric(metric).phrase,
      ),
  }


def _mean(trees: Sequence[Any]) -> Any:
  """Means of the numbers of equally shaped JSON values; texts are equal."""
  first = trees[0]
  if isinstance(first, Mapping):
    return {key: _mean([tree[key] for tree in trees]) for key in first}
  if isinstance(first, list | tuple):
    return [_mean(items) for items in zip(*trees, strict=True)]
  if isinstance(first, str | bool) or first is None:
    return first
  return float(np.mean(trees))


def print_study(result: Mapping[str, Any]) -> None:
  """Prints the table of results, and the notices of the monitors.

  Args:
    result: what `collect` returns.
  """
  tables.print_results(_table(result), "Methods, means over seeds")
  for warning in result["warnings"]:
    tables.print_warning(
        f"{warning['method']}/{warning['seed']}, {warning['phase']}, step"
        f" {warning['step']}: {warning['message']}"
    )
