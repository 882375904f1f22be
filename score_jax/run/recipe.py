"""The whole recipe: base model, then one phase after the other, evaluated.

SCoRe has two phases, Stage I and Stage II; see phases.py for others.

Every part leaves its result in the run directory and is skipped when that is
there already, so that a second call goes on where the first one ended.
"""

from collections.abc import Sequence
import contextlib
import functools
from typing import Any

import jax

from score_jax.devices import distributed
from score_jax.models import hf
from score_jax.models import placement as placement_lib
from score_jax.models.config import ModelConfig
from score_jax.models.placement import Placement
from score_jax.output import files
from score_jax.output import metrics
from score_jax.output import workdir as workdir_lib
from score_jax.output.progress import console
from score_jax.output.workdir import Workdir
from score_jax.plan import precompile
from score_jax.plan.programs import Job
from score_jax.report import curves
from score_jax.report import tables
from score_jax.run import preparation
from score_jax.run.phase_runner import Outcome
from score_jax.run.phase_runner import PhaseRunner
from score_jax.settings import RunSettings
from score_jax.tasks.task import Task
from score_jax.text.tokenization import ConversationTokenizer
from score_jax.training import phases as phases_lib
from score_jax.training import reinforce as stage_lib
from score_jax.training.phases import Phase
from score_jax.training.reinforce import Policy

# Key streams of a run, folded into its seed; for others see preparation.py.
_TRAINING = 0


def run(settings: RunSettings, task: Task, workdir: Workdir) -> dict[str, Any]:
  """Runs SCoRe, or what is left of it; see `run_phases`."""
  return run_phases(settings, task, workdir, phases_lib.score(settings)).results


def run_phases(
    settings: RunSettings,
    task: Task,
    workdir: Workdir,
    phases: Sequence[Phase],
) -> Outcome:
  """Runs a recipe, or what is left of it.

  Args:
    settings: of the run; its stages are not read here, but by phases.py.
    task: problems, prompts and grades.
    workdir: of the run.
    phases: what is trained one after the other; their names differ.
  """
  problems = preparation.check_data(settings, task)
  base = preparation.base_directory(settings, task, workdir)
  config = hf.load_config(base)
  placement = preparation.make_placement(settings, config)
  placement_lib.check_rows(settings, placement)
  tokenizer = preparation.load_tokenizer(settings, base, config)
  with _compiling(settings, config, tokenizer, task, placement):
    _, params = hf.load(
        base, placement_lib.param_dtype(settings), placement.params
    )
  reference = preparation.reference_params(settings, params)
  fixed = Policy(
      config=config,
      tokenizer=tokenizer,
      placement=placement,
      base_params=reference,
      ref_params=reference,
      task=task,
      problems=problems.splits,
      key=jax.random.fold_in(jax.random.key(settings.seed), _TRAINING),
  )
  manifest = preparation.make_manifest(task, problems, params)
  distributed.on_main(
      lambda: workdir_lib.check_manifest(workdir.manifest, manifest)
  )
  for line in tables.manifest_lines(manifest):
    console.print(line)
  recipe = PhaseRunner(settings, fixed, workdir, base, params, phases)
  del params  # from here on the recipe alone holds the policy
  results = recipe.run()
  if distributed.is_main():
    files.write_json(workdir.results, results)
    records = metrics.read_metrics(workdir.metrics)
    if records:  # none where nothing was trained
      curves.plot_learning_curves(records, workdir.curves)
  return recipe.outcome(results)


def _compiling(
    settings: RunSettings,
    config: ModelConfig,
    tokenizer: ConversationTokenizer,
    task: Task,
    placement: Placement,
) -> contextlib.AbstractContextManager:
  """Compiles what is compiled once and kept, beside the block.

  Without a cache on disk it would be compiled twice, and without a mesh it is
  little.
  """
  if placement.mesh is None or not jax.config.jax_compilation_cache_dir:
    return contextlib.nullcontext()
  spec = functools.partial(
      stage_lib.conversation_spec,
      settings,
      tokenizer,
      task,
      placement,
      num_attempts=settings.rollout.num_attempts,
  )
  training = spec(
      temperature=settings.rollout.temperature,
      samples=settings.rollout.samples_per_problem,
      corrections_per_attempt=settings.rollout.corrections_per_attempt,
  )
  return precompile.compiling(
      Job(settings, config, placement, training),
      evaluation=spec(temperature=0.0, samples=1),
  )
