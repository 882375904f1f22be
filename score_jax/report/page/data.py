"""What a report shows, collected from the directory of a run or of a study.

A run and a study become mappings with equal keys: where a study has methods, a
run has its phases (base, Stage I, Stage II).
"""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import json
import os
import pathlib
from typing import Any

from score_jax import evaluate
from score_jax import scalars
from score_jax.output import files
from score_jax.output import metrics
from score_jax.report import histograms
from score_jax.report import tables
from score_jax.report.page import conversations
from score_jax.report.page import series

# Conversations of the last phase of a cell, and of each earlier one.
_LAST_COUNT, _EARLIER_COUNT = 60, 16
# Characters of text of all conversations of a report: what the first seed's
# last phases, the other seeds' and all earlier phases have at the most.
_CHARACTERS = (1_200_000, 800_000, 500_000)
# Figures that the page draws over budgets; the first is shown at first.
_BUDGET_METRICS = (*reversed(scalars.ACCURACIES), scalars.DELTA)


@dataclasses.dataclass(frozen=True)
class Cell:
  """One run that a report shows: the only one, or a cell of a study.

  Attributes:
    method: key of the method; "run" in the report of one run.
    label: name of the method for readers.
    seed: seed of the run, as text; "" in the report of one run.
    path: run directory.
    results: metrics by phase, in the order of the phases.
  """

  method: str
  label: str
  seed: str
  path: pathlib.Path
  results: Mapping[str, Mapping]


def collect(directory: str | os.PathLike) -> dict[str, Any]:
  """Reads all that the report of a directory shows.

  Args:
    directory: of a study (with `study.json`) or of a run, which need not be
      finished.

  Returns:
    JSON-serialisable: `kind` ("study" or "run"), `title`, `num_problems`,
    `methods`, `comparisons`, `warnings`, `unfinished`, `wall_s`, `cells`
    (curves), `conversations` (in groups of one method, seed and phase),
    `documents` (settings and versions). How numbers are called and shown:
    `metrics`, `columns` and `budget_metrics` (lists of their names), `scalars`.

  Raises:
    ValueError: the directory is neither of the two, or parts are missing.
  """
  directory = pathlib.Path(directory)
  if not directory.is_dir():
    raise ValueError(
        f"workdir {str(directory)!r} is not a directory: name that of a run or"
        " of a study"
    )
  if (directory / "study.json").exists():
    return _with_declarations(_collect_study(directory))
  if (directory / "cells").exists():
    raise ValueError(
        f"study {str(directory)!r} has no study.json, it has not ended: run"
        " experiments.study with the same --workdir once more"
    )
  return _with_declarations(_collect_run(directory))


def _with_declarations(content: dict[str, Any]) -> dict[str, Any]:
  """Adds how the page is to call and to show the numbers of the content."""
  drawn = series.drawn_scalars(cell["series"] for cell in content["cells"])
  return content | {
      "metrics": {m.name: dataclasses.asdict(m) for m in scalars.METRICS},
      "columns": [[m.name for m in column] for column in scalars.columns()],
      "budget_metrics": list(_BUDGET_METRICS),
      "scalars": [
          {
              **dataclasses.asdict(scalar),
              "attempt": scalar.attempt,
              "is_validation": scalar.is_validation,
          }
          for scalar in drawn
      ],
  }


def _collect_study(directory: pathlib.Path) -> dict[str, Any]:
  study = files.read_json(directory / "study.json")
  cells = [
      _read_cell(directory / path, name, method["label"], str(seed))
      for name, method in study["methods"].items()
      for seed, path in method["cells"].items()
  ]
  return {
      "kind": "study",
      "title": directory.resolve().name,
      "num_problems": study["num_problems"],
      "methods": [
          {
              "name": name,
              **{k: v for k, v in method.items() if k != "cells"},
              "curve": [_with_delta(point) for point in method["curve"]],
          }
          for name, method in study["methods"].items()
      ],
      "comparisons": study["comparisons"],
      "warnings": study["warnings"],
      "unfinished": study["unfinished"],
      "wall_s": study["wall_s"],
      "cells": [_cell_curves(cell) for cell in cells],
      "conversations": _conversations(cells, has_base_method=True),
      "documents": [
          {"title": "Settings of the study", "content": study["config"]},
          *(_documents(cells[0]) if cells else []),
      ],
  }


def _with_delta(point: Mapping[str, float]) -> dict[str, float]:
  first, second = (point[name] for name in scalars.ACCURACIES)
  return {**point, scalars.DELTA: second - first}


def _collect_run(directory: pathlib.Path) -> dict[str, Any]:
  cell = _read_cell(directory, "run", "Run", "")
  rollouts = {phase: _rollouts(cell, phase) for phase in cell.results}
  curves = _cell_curves(cell)
  counts = {result["n"] for result in cell.results.values()}
  return {
      "kind": "run",
      "title": directory.resolve().name,
      "num_problems": max(counts, default=0),
      "methods": [
          _phase_as_method(phase, result, rollouts[phase])
          for phase, result in cell.results.items()
      ],
      "comparisons": [],
      "warnings": None,
      "unfinished": [],
      "wall_s": curves["wall_s"],
      "cells": [curves],
      "conversations": _conversations([cell], has_base_method=False),
      "documents": _documents(cell),
  }


def _phase_as_method(
    phase: str, result: Mapping, records: Sequence[Mapping]
) -> dict[str, Any]:
  intervals = result["ci95"]
  return {
      "name": phase,
      "label": tables.phase_label(phase),
      "is_trained": phase != "base",
      "summary": {
          name: {"mean": result[name], "ci95": intervals.get(name)}
          for name in (metric.name for metric in scalars.METRICS)
          if name in result
      },
      "by_difficulty": evaluate.transitions_by_difficulty(records),
      "edit_distance": histograms.edit_histogram(records) if records else None,
  }


def _read_cell(path: pathlib.Path, method: str, label: str, seed: str) -> Cell:
  if not (path / "config.json").exists():
    raise ValueError(
        f"{str(path)!r} holds no run (there is no config.json): name the"
        " directory of a run or of a study, with all of its cells"
    )
  return Cell(method, label, seed, path, _results(path))


def _results(path: pathlib.Path) -> dict[str, Any]:
  """Metrics by phase; of a run that goes on, those that are there."""
  if (path / "results.json").exists():
    return files.read_json(path / "results.json")
  found = sorted(
      (path / "evaluations").glob("*.json"), key=lambda f: f.stat().st_mtime_ns
  )
  return {file.stem: files.read_json(file) for file in found}


def _cell_curves(cell: Cell) -> dict[str, Any]:
  path = cell.path / "metrics.jsonl"
  records = metrics.read_metrics(path) if path.exists() else []
  return {
      "method": cell.method,
      "label": cell.label,
      "seed": cell.seed,
      "wall_s": records[-1]["time_s"] if records else None,
      **series.curves(records),
  }


def _documents(cell: Cell) -> list[dict[str, Any]]:
  """Settings and versions of a cell."""
  name = f"{cell.label}, seed {cell.seed}" if cell.seed else "the run"
  return [
      {
          "title": f"{title} of {name}",
          "content": files.read_json(cell.path / file),
      }
      for title, file in (
          ("Settings", "config.json"),
          ("Data, versions and devices", "manifest.json"),
      )
      if (cell.path / file).exists()
  ]


def _rollouts(cell: Cell, phase: str) -> list[dict[str, Any]]:
  """Test conversations of a phase; none where they were not kept."""
  path = cell.path / "rollouts" / f"test_{phase}.jsonl"
  if not path.exists():
    return []
  with open(path, encoding="utf-8") as f:
    # Older runs name no difficulty.
    return [{"difficulty": "", **json.loads(line)} for line in f]


def _conversations(
    cells: Sequence[Cell], has_base_method: bool
) -> list[dict[str, Any]]:
  """Groups of conversations, each with an equal share of what there is.

  Args:
    cells: all of them.
    has_base_method: the base model is a method, so that its conversations are
      not shown as a phase of the other methods again.
  """
  tiers: list[list[tuple[Cell, str, int]]] = [[], [], []]
  first_seeds: dict[str, str] = {}
  for cell in cells:
    first_seeds.setdefault(cell.method, cell.seed)
    for phase in cell.results:
      is_last = phase == list(cell.results)[-1]
      if has_base_method and phase == "base" and not is_last:
        continue
      tier = int(cell.seed != first_seeds[cell.method]) if is_last else 2
      count = _LAST_COUNT if is_last else _EARLIER_COUNT
      tiers[tier].append((cell, phase, count))
  groups = []
  for tier, characters in zip(tiers, _CHARACTERS, strict=True):
    for cell, phase, count in tier:
      records = _rollouts(cell, phase)
      groups.append(
          {
              "method": cell.method,
              "label": cell.label,
              "seed": cell.seed,
              "phase": phase,
              "phase_label": tables.phase_label(phase),
              "num_evaluated": len(records),
              "items": conversations.choose(
                  records, count, characters // len(tier)
              ),
          }
      )
  return [group for group in groups if group["items"]]
