"""Evaluates a model on a config's test problems, greedy, two attempts.

  python -m experiments.evaluate --config=configs/gemma_math.py
      --checkpoint=HF_DIR --workdir=DIR [--first_attempts=FILE]

The checkpoint is a Hugging Face directory, the id of a model on the hub, or the
directory of a finished run. With --first_attempts the first attempts are given
and the model repairs them: a jsonl, json or parquet file with the columns `id`
(name of the problem in its data set) and `completion` (what a model wrote).
Problems without a given attempt are left out. On several hosts every one of
them runs the command, see experiments.run.
"""

import contextlib
import json
import pathlib
import sys
from typing import Any

from absl import app
from absl import flags
from absl import logging
import jax
from ml_collections import config_flags

from experiments import processes
from score_jax import evaluation_run
from score_jax import report
from score_jax import settings as settings_lib
from score_jax.grading.errors import GraderError
from score_jax.progress import console
from score_jax.tasks import make


def evaluate(
    config: Any, checkpoint: str, workdir: str, first_attempts: str | None
) -> dict[str, Any]:
  """Evaluates a config (an ml_collections ConfigDict) in a new directory."""
  settings = settings_lib.from_mapping(
      settings_lib.RunSettings, json.loads(config.to_json())
  )
  output = evaluation_run.make_output(workdir)
  with contextlib.closing(make.make_task(settings.task)) as task:
    result = evaluation_run.run(
        settings, task, checkpoint, output, first_attempts
    )
  report.print_results({pathlib.Path(checkpoint).name: result})
  console.print(f"Results: {output.results}")
  return result


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
      )
  except (ValueError, GraderError) as error:
    sys.exit(f"error: {error}")


if __name__ == "__main__":
  jax.config.parse_flags_with_absl()
  config_flags.DEFINE_config_file(
      "config", None, "File with task and shapes.", lock_config=True
  )
  flags.DEFINE_string("checkpoint", None, "Model to evaluate.")
  flags.DEFINE_string("workdir", None, "Directory to make for the results.")
  flags.DEFINE_string(
      "first_attempts", None, "File of given first attempts; none: its own."
  )
  processes.define_flags()
  flags.mark_flags_as_required(["config", "checkpoint", "workdir"])
  app.run(_main)
