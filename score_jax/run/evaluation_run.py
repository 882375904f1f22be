"""An evaluation on its own: a checkpoint, a task, a directory of results."""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import pathlib
from typing import Any

from score_jax import evaluate
from score_jax.datasets import tables
from score_jax.devices import distributed
from score_jax.models import hf
from score_jax.models import hf_files
from score_jax.models import placement as placement_lib
from score_jax.models.transformer import Params
from score_jax.output import conversations
from score_jax.output import files
from score_jax.output.progress import console
from score_jax.report import tables as tables_lib
from score_jax.rollouts import problems as problems_lib
from score_jax.rollouts import protocols
from score_jax.rollouts.protocols import Evaluation
from score_jax.rollouts.protocols import MoreAttempts
from score_jax.run import preparation
from score_jax.settings import RunSettings
from score_jax.tasks.task import Task
from score_jax.training import reinforce
from score_jax.types import Problem
from score_jax.types import Rollouts


@dataclasses.dataclass(frozen=True)
class Output:
  """Files of an evaluation.

  Attributes:
    results: the metrics.
    rollouts: the graded conversations, one JSON line each.
    samples: likewise those that were sampled, where that is asked for.
    manifest: what was evaluated, on what and with what.
  """

  results: pathlib.Path
  rollouts: pathlib.Path
  samples: pathlib.Path
  manifest: pathlib.Path


def make_output(workdir: str) -> Output:
  """Makes the directory of an evaluation.

  Raises:
    ValueError: it holds something, or cannot be written.
  """
  directory = pathlib.Path(workdir)
  distributed.on_main(lambda: _make_empty(directory))
  return Output(
      results=directory / "results.json",
      rollouts=directory / "rollouts.jsonl",
      samples=directory / "samples.jsonl",
      manifest=directory / "manifest.json",
  )


def _make_empty(directory: pathlib.Path) -> None:
  try:
    directory.mkdir(parents=True, exist_ok=True)
    is_used = any(directory.iterdir())
  except OSError as error:
    raise ValueError(
        f"workdir {str(directory)!r} cannot be written ({error}): choose"
        " another --workdir"
    ) from error
  if is_used:
    raise ValueError(
        f"workdir {str(directory)!r} is not empty: choose another one"
    )


def run(
    settings: RunSettings,
    task: Task,
    checkpoint: str,
    output: Output,
    first_attempts: str | None,
    asked: MoreAttempts | None = None,
) -> dict[str, Any]:
  """Evaluates a checkpoint on the task's test split.

  Args:
    settings: shapes of prompts and attempts, batch size, dtype.
    task: prompts and grades.
    checkpoint: Hugging Face directory, id on the hub, or directory of a
      finished run.
    output: where results go.
    first_attempts: file of given first attempts; None to make them.
    asked: more attempts, sampled ones; None for those of the settings alone.

  Returns:
    The metrics, see `evaluate.summarize`; where more is asked for, see
    `protocols.test_time`. And the share of each status of the attempts' grades,
    `grade/status_*`, and of what decided them, `grade/method_*`.

  Raises:
    ValueError: checkpoint, task, settings and devices do not go together.
  """
  if first_attempts is not None and asked is not None:
    raise ValueError(
        "where the first attempts are given, one other attempt repairs each:"
        " leave out --num_attempts and --samples, or --first_attempts"
    )
  if first_attempts is not None and settings.rollout.num_attempts != 2:
    raise ValueError(
        f"rollout.num_attempts is {settings.rollout.num_attempts}, expected 2"
        " where the first attempts are given"
    )
  base = _resolve(checkpoint)
  config = hf.load_config(base)
  tokenizer = preparation.load_tokenizer(settings, base, config)
  placement = preparation.make_placement(settings, config)
  placement_lib.check_evaluation(settings, placement)
  evaluation = preparation.make_evaluation(
      settings,
      config,
      tokenizer,
      task,
      placement,
      settings.rollout.num_attempts,
  )
  preparation.check_positions(
      evaluation
      if asked is None
      else protocols.with_attempts(evaluation, asked.num_attempts)
  )
  problems = problems_lib.select_problems(
      task,
      ["test"],
      tokenizer,
      max_prompt_tokens=settings.rollout.max_prompt_tokens,
      long_prompts=settings.rollout.long_prompts,
  )
  given = None
  if first_attempts is not None:
    given = read_first_attempts(first_attempts, problems.splits["test"])
    chosen = [p for p in problems.splits["test"] if p.id in given]
    problems = dataclasses.replace(problems, splits={"test": chosen})
  _, params = hf.load(
      base, placement_lib.param_dtype(settings), placement.params
  )
  manifest = {
      "checkpoint": checkpoint,
      "first_attempts": first_attempts,
      "test_time": None if asked is None else dataclasses.asdict(asked),
      "settings": dataclasses.asdict(settings),
      **preparation.make_manifest(task, problems, params),
  }
  if distributed.is_main():
    files.write_json(output.manifest, manifest)
  for line in tables_lib.manifest_lines(manifest):
    console.print(line)
  test, sampled = problems.splits["test"], []
  if asked is None:
    rollouts = _roll_out(params, evaluation, test, given)
    values = evaluate.concatenate(evaluate.per_problem(r) for r in rollouts)
    result = evaluate.summarize(values)
  else:
    result, rollouts, sampled = protocols.test_time(
        params, evaluation, test, asked, "Evaluation"
    )
  grades = [g for r in rollouts for row in r.grades for g in row]
  result |= reinforce.grade_shares(grades)
  if distributed.is_main():
    lines = conversations.jsonl(rollouts, task.correction_prompt)
    files.write_text(output.rollouts, lines)
    if sampled:
      lines = conversations.jsonl(sampled, task.correction_prompt)
      files.write_text(output.samples, lines)
    files.write_json(output.results, result)
  return result


def _roll_out(
    params: Params,
    evaluation: Evaluation,
    problems: Sequence[Problem],
    given: Mapping[int, str] | None,
) -> list[Rollouts]:
  if given is None:
    return protocols.own_attempts(params, evaluation, problems, "Evaluation")
  return protocols.repairs(params, evaluation, problems, given, "Repairs")


def read_first_attempts(
    path: str, problems: Sequence[Problem]
) -> dict[int, str]:
  """Given first attempts by problem id.

  Raises:
    ValueError: no such file or columns, an id twice, or no problem's name.
  """
  id_of_name = {p.source_id: p.id for p in problems}
  rows = tables.read_table(path, ["id", "completion"])
  unknown = [row["id"] for row in rows if row["id"] not in id_of_name]
  if unknown:
    raise ValueError(
        f"{path}: {len(unknown)} of {len(rows)} ids are no test problems, the"
        f" first is {unknown[0]!r}; test problems are called"
        f" {next(iter(id_of_name))!r} and the like, and some may be left out"
        " (task.exclude, or no verdict on their own programs)"
    )
  return {id_of_name[row["id"]]: row["completion"] for row in rows}


def _resolve(checkpoint: str) -> pathlib.Path:
  """Hugging Face directory of a checkpoint; of a run, what it exported."""
  directory = pathlib.Path(checkpoint)
  if (directory / "checkpoints").is_dir():
    if not (directory / "export").is_dir():
      raise ValueError(
          f"{checkpoint!r} is a run that has not come to its end: export one of"
          " its checkpoints with python -m experiments.export, and evaluate"
          " that"
      )
    return directory / "export"
  return pathlib.Path(hf_files.resolve(checkpoint))
