"""The whole recipe: base model, then one phase after the other, evaluated.

SCoRe has two phases, Stage I and Stage II; study/methods.py has other recipes.

Every part leaves its result in the run directory and is skipped when that is
there already, so that a second call goes on where the first one ended.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from score_jax.devices import distributed
from score_jax.models import hf
from score_jax.models.lora import Policy
from score_jax.models.transformer import Params
from score_jax.output import files
from score_jax.output import metrics
from score_jax.output import workdir as workdir_lib
from score_jax.output.progress import console
from score_jax.output.workdir import Workdir
from score_jax.plan import precompile
from score_jax.report import curves
from score_jax.report import tables
from score_jax.rollouts.rollout import Collector
from score_jax.run import preparation
from score_jax.run.phase_runner import PhaseRunner
from score_jax.run.run_log import RunLog
from score_jax.settings import RunSettings
from score_jax.tasks.task import Task
from score_jax.text import export as text_export
from score_jax.training import adapt
from score_jax.training import optim
from score_jax.training import phases as phases_lib
from score_jax.training.context import RunContext
from score_jax.training.phases import BASE
from score_jax.training.phases import PRETRAINED
from score_jax.training.phases import Phase
from score_jax.types import Problem


@dataclasses.dataclass(frozen=True)
class Outcome:
  """What a run leaves in memory.

  Attributes:
    results: metrics of the base and after each phase, as in results.json.
    collector: collects greedy conversations as the run's evaluations do.
    policy: the trained policy.
    problems: the run's problems by split.
  """

  results: dict[str, Any]
  collector: Collector
  policy: Policy
  problems: Mapping[str, Sequence[Problem]]


def run(settings: RunSettings, task: Task, workdir: Workdir) -> dict[str, Any]:
  """Runs SCoRe, or what is left of it.

  Args:
    settings: the run's settings.
    task: problems, prompts and grades.
    workdir: the run's directory.

  Returns:
    Metrics of the base model and after each phase, as in results.json.

  Raises:
    ValueError: settings, task, model and devices do not go together, or the run
      directory holds another run.
  """
  return run_phases(settings, task, workdir, phases_lib.score(settings)).results


def run_phases(
    settings: RunSettings,
    task: Task,
    workdir: Workdir,
    phases: Sequence[Phase],
) -> Outcome:
  """Runs a recipe, or what is left of it.

  Args:
    settings: the run's settings. What is trained is read from `phases`, not
      from stage1 and stage2.
    task: problems, prompts and grades.
    workdir: the run's directory.
    phases: the phases in their order; no two have the same name.

  Raises:
    ValueError: settings, task, model and devices do not go together, or the run
      directory holds another run.
  """
  adapt.check_phases(settings.train, phases)
  context = preparation.open_run(settings, task, workdir)
  preparation.make_base(context, workdir)
  with _compiling(context, phases):
    policy = context.load_start()
  _check_manifest(context, policy, workdir)
  with RunLog(context, workdir, phases) as log:
    results = {}
    if settings.warmup is not None:
      results[PRETRAINED] = log.test(PRETRAINED, context.load_pretrained())
    results[BASE] = log.test(BASE, policy)
    runner = PhaseRunner(context, workdir, log, context.frozen_base(policy))
    first_step = 0
    for phase in phases:
      policy = runner.run(phase, policy, first_step)
      first_step += phase.sampling_steps
      results[phase.name] = log.test(phase.name, policy)
  _write_end(context, workdir, policy, results)
  return Outcome(results, log.collector, policy, context.problems.splits)


def _check_manifest(
    context: RunContext, params: Params, workdir: Workdir
) -> None:
  """Writes what the run is made with, or holds a resumed run to it."""
  manifest = preparation.make_manifest(context, params)
  distributed.on_main(
      lambda: workdir_lib.check_manifest(workdir.manifest, manifest)
  )
  for line in tables.manifest_lines(manifest):
    console.print(line, markup=False, soft_wrap=True)


def _write_end(
    context: RunContext,
    workdir: Workdir,
    policy: Policy,
    results: Mapping[str, Any],
) -> None:
  """Writes the trained policy, the results and the learning curves."""
  if not distributed.agree(workdir.export.exists()):
    base = context.base
    hf.save(
        workdir.export,
        base.config,
        policy,
        dtype=jnp.dtype(optim.PARAM_DTYPE),
        like=base.directory,
        write_format=functools.partial(
            text_export.write_format, base.tokenizer
        ),
    )
  if distributed.is_main():
    files.write_json(workdir.results, results)
    records = metrics.read_metrics(workdir.metrics)
    if records:  # none where nothing was trained
      curves.plot_learning_curves(records, workdir.curves)


def _compiling(
    context: RunContext, phases: Sequence[Phase]
) -> contextlib.AbstractContextManager:
  """Compiles the run's programs beside the block, where they are kept.

  Without a cache on disk they would be compiled twice, and without a mesh they
  are small.
  """
  if context.placement.mesh is None or not jax.config.jax_compilation_cache_dir:
    return contextlib.nullcontext()
  attempts = phases_lib.evaluated_attempts(phases)
  return precompile.compiling(
      preparation.job(context), phases, context.spec.greedy(attempts)
  )
