"""An evaluation on its own: a checkpoint, a task, a directory of results."""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import pathlib
from typing import Any

from score_jax import evaluate
from score_jax.datasets import tables
from score_jax.devices import distributed
from score_jax.models import hf_files
from score_jax.models.transformer import Params
from score_jax.output import conversations
from score_jax.output import files
from score_jax.output.progress import console
from score_jax.report import tables as report_tables
from score_jax.rollouts import protocols
from score_jax.rollouts.protocols import MoreAttempts
from score_jax.run import preparation
from score_jax.settings import RunSettings
from score_jax.tasks.task import Task
from score_jax.training import context as context_lib
from score_jax.training.context import RunContext
from score_jax.types import Problem
from score_jax.types import Rollouts


@dataclasses.dataclass(frozen=True)
class Output:
  """Files of an evaluation.

  Attributes:
    results: the metrics.
    rollouts: the graded greedy conversations, one JSON line each.
    samples: the graded sampled conversations, one JSON line each; not written
      where no samples are asked for.
    manifest: checkpoint, settings, data, devices and versions.
  """

  results: pathlib.Path
  rollouts: pathlib.Path
  samples: pathlib.Path
  manifest: pathlib.Path


def make_output(workdir: str) -> Output:
  """Makes the directory of an evaluation.

  Raises:
    ValueError: the directory is not empty, or cannot be written.
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


@dataclasses.dataclass(frozen=True)
class Request:
  """What is asked of an evaluation beside the settings.

  Attributes:
    first_attempts: file of given first attempts; None where the checkpoint
      writes its own.
    more: more attempts than in training, or sampled ones; None for the greedy
      attempts of the settings alone.
  """

  first_attempts: str | None = None
  more: MoreAttempts | None = None

  def check(self, settings: RunSettings) -> None:
    """Refuses what does not go together.

    Raises:
      ValueError: first attempts are given, and more than one repair of each is
        asked for.
    """
    if self.first_attempts is None:
      return
    if self.more is not None:
      raise ValueError(
          "where the first attempts are given, one other attempt repairs each:"
          " leave out --num_attempts and --samples, or --first_attempts"
      )
    if settings.rollout.num_attempts != 2:
      raise ValueError(
          f"rollout.num_attempts is {settings.rollout.num_attempts}, expected 2"
          " where the first attempts are given"
      )


def run(
    settings: RunSettings,
    task: Task,
    checkpoint: str,
    output: Output,
    request: Request,
) -> dict[str, Any]:
  """Evaluates a checkpoint on the task's test split.

  Args:
    settings: shapes of prompts and attempts, batch size, dtype.
    task: gives problems, prompts and grades.
    checkpoint: Hugging Face directory, id on the hub, or directory of a
      finished run.
    output: where results go.
    request: given first attempts, or more attempts.

  Returns:
    The metrics, see `evaluate.summarize`; where more attempts are asked for,
    see `protocols.test_time`. Among them are the shares of attempts by the
    status of their grade, `grade/status_*`, and by the method that decided it,
    `grade/method_*`.

  Raises:
    ValueError: checkpoint, task, settings and devices do not go together.
  """
  request.check(settings)
  base = context_lib.read_base(settings, _resolve(checkpoint))
  context = RunContext.open(settings, task, base, ["test"])
  if request.more is not None:
    context.check_positions(context.spec.greedy(request.more.num_attempts))
  given = None
  if request.first_attempts is not None:
    test = context.problems.splits["test"]
    given = read_first_attempts(request.first_attempts, test)
    context = _with_test(context, [p for p in test if p.id in given])
  params = context.load_frozen()
  _write_manifest(context, params, checkpoint, output, request)
  result, rollouts, sampled = _roll_out(context, params, request, given)
  grades = [g for r in rollouts for row in r.grades for g in row]
  result |= evaluate.grade_shares(grades)
  if distributed.is_main():
    lines = conversations.jsonl(rollouts, task.correction_prompt)
    files.write_text(output.rollouts, lines)
    if sampled:
      lines = conversations.jsonl(sampled, task.correction_prompt)
      files.write_text(output.samples, lines)
    files.write_json(output.results, result)
  return result


def _with_test(context: RunContext, problems: Sequence[Problem]) -> RunContext:
  """The context with other test problems."""
  chosen = dataclasses.replace(context.problems, splits={"test": problems})
  return dataclasses.replace(context, problems=chosen)


def _write_manifest(
    context: RunContext,
    params: Params,
    checkpoint: str,
    output: Output,
    request: Request,
) -> None:
  """Writes what is evaluated, and with what."""
  more = request.more
  manifest = {
      "checkpoint": checkpoint,
      "first_attempts": request.first_attempts,
      "test_time": None if more is None else dataclasses.asdict(more),
      "settings": dataclasses.asdict(context.settings),
      **preparation.make_manifest(context, params),
  }
  if distributed.is_main():
    files.write_json(output.manifest, manifest)
  for line in report_tables.manifest_lines(manifest):
    console.print(line, markup=False, soft_wrap=True)


def _roll_out(
    context: RunContext,
    params: Params,
    request: Request,
    given: Mapping[int, str] | None,
) -> tuple[dict[str, Any], list[Rollouts], list[Rollouts]]:
  """Results, the greedy conversations behind them, and sampled ones."""
  collector = context.greedy_collector(context.settings.rollout.num_attempts)
  problems = context.problems.splits["test"]
  if request.more is not None:
    return protocols.test_time(
        params, collector, problems, request.more, "Evaluation"
    )
  if given is None:
    rollouts = protocols.own_attempts(params, collector, problems, "Evaluation")
  else:
    rollouts = protocols.repairs(params, collector, problems, given, "Repairs")
  values = evaluate.concatenate(evaluate.per_problem(r) for r in rollouts)
  return evaluate.summarize(values), rollouts, []


def read_first_attempts(
    path: str, problems: Sequence[Problem]
) -> dict[int, str]:
  """Reads given first attempts, by problem id.

  Args:
    path: table with the columns `id`, a problem's source_id, and `completion`.
    problems: the problems that may be attempted.

  Raises:
    ValueError: the file or a column is missing, or an id is used twice or names
      no problem.
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
