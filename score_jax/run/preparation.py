"""What happens before anything is trained.

The base model is made or read, the context is opened, and the manifest, which
names what the run's numbers depend on, is put together.
"""

from collections.abc import Mapping
import dataclasses
import hashlib
import json
from typing import Any

import jax

from score_jax.devices import distributed
from score_jax.models import config as config_lib
from score_jax.models import hf_files
from score_jax.models import placement as placement_lib
from score_jax.models.transformer import Params
from score_jax.output import workdir as workdir_lib
from score_jax.output.workdir import Workdir
from score_jax.plan.programs import Job
from score_jax.rollouts import spec as spec_lib
from score_jax.rollouts.problems import RunProblems
from score_jax.run import tiny_base
from score_jax.run import warmup
from score_jax.settings import RunSettings
from score_jax.tasks.task import Task
from score_jax.training import context as context_lib
from score_jax.training.context import BaseModel
from score_jax.training.context import RunContext

_SPLITS = ("train", "validation", "test")


def base_model(settings: RunSettings, workdir: Workdir) -> BaseModel:
  """The model that a run starts from; one of its own need not be made yet."""
  if settings.model is None:
    return tiny_base.describe(settings.tiny_model, workdir.base)
  path = hf_files.resolve(settings.model.path, settings.model.revision)
  _check_commit(settings, path)
  base = context_lib.read_base(settings, path)
  if settings.warmup is None:
    return base
  return dataclasses.replace(base, directory=workdir.base)


def _check_commit(settings: RunSettings, path: str) -> None:
  """Refuses hosts that found different commits of a model on the hub."""
  commits = distributed.gather_json(hf_files.commit(path))
  if len(set(commits)) > 1:
    raise ValueError(
        f"the hosts found different commits of {settings.model.path!r}:"
        f" {commits}; pin one with config.model.revision"
    )


def open_run(settings: RunSettings, task: Task, workdir: Workdir) -> RunContext:
  """Opens a run, and refuses what would fail later.

  Raises:
    ValueError: model, task, settings and devices do not go together.
  """
  context = RunContext.open(
      settings, task, base_model(settings, workdir), _SPLITS
  )
  placement_lib.check_rows(settings, context.placement)
  for split, count in (
      ("validation", settings.evaluation.validation_problems),
      ("train", settings.rollout.problems_per_step),
  ):
    found = len(context.problems.splits[split])
    if found < count:
      raise ValueError(
          f"split {split!r} has {found} problems, {count} are asked for"
      )
  return context


def make_base(context: RunContext, workdir: Workdir) -> None:
  """Makes the base model, if the run has one of its own that is not there."""
  settings = context.settings
  is_made_here = settings.model is None or settings.warmup is not None
  if not is_made_here or distributed.agree(workdir.base.exists()):
    return
  # Every process makes the same one, and process 0 writes it.
  if settings.model is None:
    tiny_base.make(context)
  else:
    warmup.make(context, workdir)


def job(context: RunContext) -> Job:
  """The run in the form that plan/ compiles its programs from."""
  ids = spec_lib.token_ids(
      context.base.tokenizer, context.task.correction_prompt
  )
  return Job(context.settings, context.base.config, context.placement, ids)


def make_manifest(context: RunContext, ref_params: Params) -> dict[str, Any]:
  """What the numbers of a run depend on beside its config."""
  base, task, problems = context.base, context.task, context.problems
  splits = problems.splits.items()
  return {
      "reference_sha256": params_sha256(ref_params),
      "data_sha256": data_sha256(task, problems),
      "model_config": config_lib.description(base.config),
      "tokenizer": base.tokenizer.description(),
      "model": {
          "directory": base.source.name,
          "commit": hf_files.commit(base.source),
      },
      "num_problems": {split: len(those) for split, those in splits},
      "num_long_prompts_dropped": dict(problems.num_dropped),
      "task": {"name": task.name, **task.provenance()},
      "devices": [str(d) for d in jax.devices()],
      "versions": workdir_lib.versions(),
  }


def data_sha256(task: Task, problems: RunProblems) -> str:
  """Hash of all problems and prompts; prompts may come from a file."""
  rows = {
      split: [
          {**dataclasses.asdict(p), "first_prompt": task.first_prompt(p)}
          for p in those
      ]
      for split, those in problems.splits.items()
  }
  content = {"problems": rows, "correction_prompt": task.correction_prompt}
  encoded = json.dumps(content, sort_keys=True).encode()
  return hashlib.sha256(encoded).hexdigest()


def params_sha256(params: Mapping[str, Any]) -> str:
  """Hash of all parameters, with their names, shapes and types."""
  digest = hashlib.sha256()
  for path, leaf in jax.tree_util.tree_leaves_with_path(params):
    name = f"{jax.tree_util.keystr(path)} {leaf.shape} {leaf.dtype}"
    digest.update(name.encode())
    for part in distributed.host_parts(leaf):
      digest.update(part.tobytes())
  return digest.hexdigest()
