"""One cell of a study: one method with one seed, in a run directory."""

import contextlib
import dataclasses
import os
import pathlib
import shutil
import time
from typing import Any

from score_jax import evaluate
from score_jax.evaluate import votes as votes_lib
from score_jax.output import conversations
from score_jax.output import files
from score_jax.output.workdir import Workdir
from score_jax.rollouts import protocols
from score_jax.rollouts import self_refine
from score_jax.rollouts.protocols import MoreAttempts
from score_jax.run import recipe
from score_jax.run.recipe import Outcome
from score_jax.settings import RunSettings
from score_jax.study.methods import METHODS
from score_jax.study.settings import SelfRefineSettings
from score_jax.study.settings import StudySettings
from score_jax.study.settings import TestTimeSettings
from score_jax.tasks import make
from score_jax.training import phases as phases_lib
from score_jax.training.phases import BASE
from score_jax.training.phases import PRETRAINED
from score_jax.training.phases import Phase


def cell_path(root: pathlib.Path, method: str, seed: int) -> pathlib.Path:
  """Run directory of a cell in the directory `root` of a study."""
  return root / "cells" / method / f"seed{seed}"


def summary_path(cell: pathlib.Path) -> pathlib.Path:
  """The file that a cell writes when it is finished."""
  return cell / "cell.json"


def run_cell(
    settings: StudySettings,
    run_config: dict[str, Any],
    root: pathlib.Path,
    method: str,
    seed: int,
) -> dict[str, Any]:
  """Runs a cell, or what an interrupted process left of it.

  The cell that the base model comes from must be finished, see `base_seed`.

  Args:
    settings: settings of the study.
    run_config: the config that settings.run was made from.
    root: directory of the study.
    method: key of METHODS.
    seed: seed of the cell.

  Returns:
    The cell's summary, which is also written to `summary_path`: `method`,
    `seed`, `results` of all phases, `conversations` sampled for training,
    `trained_s` and `wall_s` in seconds, `test_time`, and `anchored`, the names
    of phases that hold a first attempt close to the reference policy.
  """
  started = time.perf_counter()
  run_settings = dataclasses.replace(settings.run, seed=seed)
  path = cell_path(root, method, seed)
  workdir = Workdir(path, run_config | {"seed": seed})
  if (source := base_seed(settings, method, seed)) is not None:
    _take_base(cell_path(root, "base", source), path)
  phases = METHODS[method].recipe(settings)
  with contextlib.closing(make.make_task(run_settings.task)) as task:
    outcome = recipe.run_phases(run_settings, task, workdir, phases)
    results = outcome.results
    if METHODS[method].is_self_refine:
      metrics = _self_refine(
          outcome, settings.method.self_refine, workdir, method
      )
      results = results | {method: metrics}
      files.write_json(workdir.results, results)
    trained_s = time.perf_counter() - started
    test_time = None
    if settings.test_time and not METHODS[method].is_self_refine:
      test_time = _test_time(outcome, settings.test_time)
  summary = {
      "method": method,
      "seed": seed,
      "results": results,
      "conversations": num_conversations(run_settings, phases),
      "trained_s": trained_s,
      "wall_s": time.perf_counter() - started,
      "test_time": test_time,
      "anchored": list(phases_lib.anchored(phases)),
  }
  files.write_json(summary_path(path), summary)
  return summary


def base_seed(settings: StudySettings, method: str, seed: int) -> int | None:
  """Seed of the cell of 'base' whose base model a cell copies.

  Cells of one seed share a base model. One out of a warm-up, which has a seed
  of its own, is that of all seeds.

  Returns:
    None where the cell makes its base model itself.
  """
  if settings.run.warmup is not None:
    return None if (method, seed) == ("base", 0) else 0
  return None if method == "base" else seed


def num_conversations(settings: RunSettings, phases: tuple[Phase, ...]) -> int:
  """Number of conversations that are sampled for training."""
  return settings.rollout.rows * sum(phase.sampling_steps for phase in phases)


def _take_base(base: pathlib.Path, path: pathlib.Path) -> None:
  """Copies the base model and its evaluations from a cell of 'base'."""
  names = [
      f"{file}{policy}.{ending}"
      for policy in (PRETRAINED, BASE)
      for file, ending in (
          ("evaluations/", "json"),
          ("rollouts/test_", "jsonl"),
      )
  ]
  for name in ("base", "warmup", *names):
    source, target = base / name, path / name
    if target.exists() or not source.exists():
      continue
    if source.is_dir():
      shutil.copytree(source, target, copy_function=_linked)
    else:
      shutil.copy(source, target)


def _linked(source: str, target: str) -> None:
  """Gives a file another name, or copies it where that is not possible.

  A base model is large and is never written again.
  """
  try:
    os.link(source, target)
  except OSError:
    shutil.copy(source, target)


def _self_refine(
    outcome: Outcome,
    settings: SelfRefineSettings,
    workdir: Workdir,
    name: str,
) -> dict[str, Any]:
  """Metrics of Self-Refine with the base model; writes its conversations."""
  rollouts = self_refine.self_refine(
      outcome.policy,
      outcome.collector,
      outcome.problems["test"],
      settings.feedback_prompt,
      settings.refine_prompt,
      "Self-Refine",
  )
  lines = conversations.jsonl(rollouts, settings.refine_prompt)
  files.write_text(workdir.rollouts(f"test_{name}"), lines)
  values = evaluate.concatenate(evaluate.per_problem(r) for r in rollouts)
  return evaluate.summarize(values)


def _test_time(outcome: Outcome, settings: TestTimeSettings) -> dict[str, Any]:
  """Greedy accuracy of several attempts, and votes of sampled ones."""
  numbers, _, sampled = protocols.test_time(
      outcome.policy,
      outcome.collector,
      outcome.problems["test"][: settings.problems],
      MoreAttempts(
          settings.num_attempts, settings.samples, settings.temperature
      ),
      "Test time",
  )
  votes = votes_lib.votes(sampled, sampled)
  return {
      "accuracy": [point["accuracy"] for point in numbers["curve"]],
      # One value for each problem: intervals over seeds need them.
      "votes": [
          {
              "k": vote.k,
              "parallel": vote.parallel.tolist(),
              "sequential": vote.sequential.tolist(),
          }
          for vote in votes
      ],
  }
