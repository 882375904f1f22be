"""What a run is made of before anything is trained.

Its problems, its base model and tokenizer, where they lie, how they are
evaluated, and the manifest that says so.
"""

from collections.abc import Mapping
import dataclasses
import hashlib
import json
import pathlib
from typing import Any

import jax

from score_jax.devices import distributed
from score_jax.models import hf
from score_jax.models import hf_files
from score_jax.models import placement as placement_lib
from score_jax.models import transformer
from score_jax.models.config import ModelConfig
from score_jax.models.placement import Placement
from score_jax.models.transformer import Params
from score_jax.output import workdir as workdir_lib
from score_jax.output.workdir import Workdir
from score_jax.rollouts import problems as problems_lib
from score_jax.rollouts.problems import RunProblems
from score_jax.rollouts.protocols import Evaluation
from score_jax.run import tiny_base
from score_jax.settings import RunSettings
from score_jax.tasks.task import Task
from score_jax.text import tokenization
from score_jax.text.tokenization import ConversationTokenizer
from score_jax.training import reinforce as stage_lib

# Key streams of a run, folded into its seed; that of training is 0.
_EVALUATION, _WARMUP = 1, 2
_SPLITS = ("train", "validation", "test")


def make_placement(settings: RunSettings, config: ModelConfig) -> Placement:
  """Where the arrays of a run lie."""
  return placement_lib.make_placement(
      config, settings.mesh, placement_lib.compute_dtype(settings)
  )


def make_evaluation(
    settings: RunSettings,
    config: ModelConfig,
    tokenizer: ConversationTokenizer,
    task: Task,
    placement: Placement,
    num_attempts: int,
) -> Evaluation:
  """Greedy conversations as a run evaluates them."""
  return Evaluation(
      config=config,
      tokenizer=tokenizer,
      task=task,
      spec=stage_lib.conversation_spec(
          settings,
          tokenizer,
          task,
          placement,
          temperature=0.0,
          samples=1,
          num_attempts=num_attempts,
      ),
      batch_size=settings.evaluation.batch_size,
      key=jax.random.fold_in(jax.random.key(settings.seed), _EVALUATION),
      placement=placement,
  )


def load_tokenizer(
    settings: RunSettings, base: str | pathlib.Path, config: ModelConfig
) -> ConversationTokenizer:
  """The tokenizer of a run's base model, checked against its embedding."""
  model = settings.model
  options = {} if model is None else model.chat_template_options
  tokenizer = tokenization.load(base, options)
  return tokenization.check_vocabulary(tokenizer, config.vocab_size, base)


def check_positions(evaluation: Evaluation) -> None:
  """Refuses conversations that may be longer than the model was made for."""
  limit = evaluation.config.max_positions
  if evaluation.spec.max_tokens > limit:
    raise ValueError(
        f"a conversation may have {evaluation.spec.max_tokens} tokens, the"
        f" model was made for {limit}: lower rollout.max_prompt_tokens,"
        " max_new_tokens or num_attempts"
    )


def check_data(settings: RunSettings, task: Task) -> RunProblems:
  """Refuses, before anything is compiled or loaded, what would fail later."""
  placement_lib.check_processes(settings.mesh)
  if settings.model is None:
    tokenizer = tiny_base.make_tokenizer()
  else:
    directory = hf_files.resolve(settings.model.path)
    config = hf.load_config(directory)
    tokenizer = load_tokenizer(settings, directory, config)
    placement = make_placement(settings, config)
    placement_lib.check_rows(settings, placement)
    check_positions(
        make_evaluation(
            settings,
            config,
            tokenizer,
            task,
            placement,
            settings.rollout.num_attempts,
        )
    )
  problems = problems_lib.select_problems(
      task,
      _SPLITS,
      tokenizer,
      max_prompt_tokens=settings.rollout.max_prompt_tokens,
      long_prompts=settings.rollout.long_prompts,
  )
  for split, count in (
      ("validation", settings.evaluation.validation_problems),
      ("train", settings.rollout.problems_per_step),
  ):
    if len(problems.splits[split]) < count:
      raise ValueError(
          f"split {split!r} has {len(problems.splits[split])} problems, {count}"
          " are asked for"
      )
  return problems


def base_directory(
    settings: RunSettings, task: Task, workdir: Workdir
) -> pathlib.Path:
  """The base model's Hugging Face directory; a tiny model is made once."""
  if settings.model is not None:
    return pathlib.Path(hf_files.resolve(settings.model.path))
  if not distributed.agree(workdir.base.exists()):
    # Every process makes the same one, and process 0 writes it.
    key = jax.random.fold_in(jax.random.key(settings.seed), _WARMUP)
    tiny_base.make_base_model(
        settings.tiny_model,
        settings.rollout,
        task,
        workdir.base,
        key,
        settings.seed,
    )
  return workdir.base


def make_manifest(
    task: Task, problems: RunProblems, ref_params: Params
) -> dict[str, Any]:
  """What the numbers of a run depend on beside its config.

  The hash of the data covers the prompts, which may come from a file.
  """
  rows = {
      split: [
          {**dataclasses.asdict(p), "first_prompt": task.first_prompt(p)}
          for p in those
      ]
      for split, those in problems.splits.items()
  }
  content = {"problems": rows, "correction_prompt": task.correction_prompt}
  encoded = json.dumps(content, sort_keys=True).encode()
  return {
      "reference_sha256": params_sha256(ref_params),
      "data_sha256": hashlib.sha256(encoded).hexdigest(),
      "num_problems": {split: len(those) for split, those in rows.items()},
      "num_long_prompts_dropped": dict(problems.num_dropped),
      "task": {"name": task.name, **task.provenance()},
      "devices": [str(d) for d in jax.devices()],
      "versions": workdir_lib.versions(),
  }


def params_sha256(params: Mapping[str, Any]) -> str:
  """Hash of all parameters, with their names, shapes and types."""
  digest = hashlib.sha256()
  for path, leaf in jax.tree_util.tree_leaves_with_path(params):
    name = f"{jax.tree_util.keystr(path)} {leaf.shape} {leaf.dtype}"
    digest.update(name.encode())
    for part in distributed.host_parts(leaf):
      digest.update(part.tobytes())
  return digest.hexdigest()


def reference_params(settings: RunSettings, params: Params) -> Params:
  """The base model as it is computed, where it waits to be asked."""
  reference = transformer.cast(params, placement_lib.compute_dtype(settings))
  if settings.train.reference == "host":
    reference = stage_lib.to_memory(reference, "pinned_host")
  return reference
