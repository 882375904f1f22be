"""Evaluates a model on a config's test problems, greedy, two attempts.

  python -m experiments.evaluate --config=configs/gemma_math.py
      --checkpoint=HF_DIR --workdir=DIR [--first_attempts=FILE]
      [--num_attempts=N] [--samples=K --temperature=0.7]

The checkpoint is a Hugging Face directory, the id of a model on the hub, or the
directory of a finished run. With --first_attempts the first attempts are given
and the model repairs them: a jsonl, json or parquet file with the columns `id`
(name of the problem in its data set) and `completion` (what a model wrote).
Problems without a given attempt are left out.

With --num_attempts every conversation has N attempts, and each is compared with
the one before. With --samples conversations are sampled too: for k = 1, 2, 4
and so on up to K, the majority of k corrections stands against that of 2k first
attempts. It costs 4K attempts at each problem. On several hosts every one of
them runs the command, see experiments.run.
"""

from collections.abc import Mapping
import contextlib
import json
import pathlib
import sys
from typing import Any

from absl import app
from absl import flags
from absl import logging
import jax
import rich.text

from experiments import commands
from experiments import processes
from score_jax import settings as settings_lib
from score_jax.evaluate import statistics
from score_jax.grading.errors import GraderError
from score_jax.output.progress import console
from score_jax.report import tables
from score_jax.rollouts.protocols import MoreAttempts
from score_jax.run import evaluation
from score_jax.tasks import make


def evaluate(
    config: Any,
    checkpoint: str,
    workdir: str,
    first_attempts: str | None,
    *,
    num_attempts: int | None = None,
    samples: int = 0,
    temperature: float = 0.7,
) -> dict[str, Any]:
  """Evaluates a config (an ml_collections ConfigDict) in a new directory.

  Args:
    config: task and shapes.
    checkpoint: Hugging Face directory, id on the hub, or directory of a
      finished run.
    workdir: directory to make.
    first_attempts: file of given first attempts; None for the model's own.
    num_attempts: attempts of a conversation; None for the config's number.
    samples: K of self-consistency, 0 for none.
    temperature: temperature that samples are drawn at.

  Returns:
    What is in results.json.
  """
  settings = settings_lib.from_mapping(
      settings_lib.RunSettings, json.loads(config.to_json())
  )
  asked = None
  if num_attempts is not None or samples:
    asked = MoreAttempts(
        settings.rollout.num_attempts if num_attempts is None else num_attempts,
        samples,
        temperature,
    )
  output = evaluation.make_output(workdir)
  with contextlib.closing(make.make_task(settings.task)) as task:
    result = evaluation.run(
        settings,
        task,
        checkpoint,
        output,
        evaluation.Request(first_attempts, asked),
    )
  name = pathlib.Path(checkpoint).name
  if asked is None:
    tables.print_results({name: result})
  else:
    _print_test_time(name, result)
  console.print(f"Results: {output.results}")
  return result


def _print_test_time(name: str, result: Mapping[str, Any]) -> None:
  tables.print_results(
      {f"{name} {m['pair'][0]}, {m['pair'][1]}": m for m in result["attempts"]}
  )
  if "self_consistency" not in result:
    return
  for point in result["self_consistency"]["points"]:
    text = statistics.statement(
        statistics.Difference(**point["difference"]),
        "the vote of corrections",
        "that of parallel samples",
        f"{point['budget']} attempts",
    )
    console.print(rich.text.Text(text))


def _main(argv: list[str]) -> None:
  if len(argv) > 1:
    raise app.UsageError(f"unknown arguments: {argv[1:]}")
  logging.set_verbosity(logging.WARNING)
  values = flags.FLAGS
  try:
    with processes.joined():
      evaluate(
          values.config,
          values.checkpoint,
          values.workdir,
          values.first_attempts,
          num_attempts=values.num_attempts,
          samples=values.samples,
          temperature=values.temperature,
      )
  except (ValueError, GraderError) as error:
    sys.exit(f"error: {error}")


if __name__ == "__main__":
  jax.config.parse_flags_with_absl()
  commands.define_config("File with task and shapes.")
  flags.DEFINE_string("checkpoint", None, "Model to evaluate.")
  flags.DEFINE_string("workdir", None, "Directory to make for the results.")
  flags.DEFINE_string(
      "first_attempts", None, "File of given first attempts; none: its own."
  )
  flags.DEFINE_integer(
      "num_attempts", None, "Attempts of a conversation; none: the config's."
  )
  flags.DEFINE_integer("samples", 0, "K of self-consistency; 0: not asked for.")
  flags.DEFINE_float("temperature", 0.7, "At which samples are drawn.")
  processes.define_flags()
  flags.mark_flags_as_required(["config", "checkpoint", "workdir"])
  commands.run(_main)
