"""Trains a model to correct itself: base, Stage I, Stage II.

  python -m experiments.run --config=configs/tiny.py [--workdir=DIR]
      [--config.seed=1 ...]

A second call with the same workdir continues where the first one ended, on
any number of hosts. Of several hosts each runs the command, with a workdir that
all of them see; on a TPU pod with --distributed, elsewhere with
  --coordinator=HOST:PORT --num_processes=N --process_id=I
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

from experiments import commands
from experiments import processes
from score_jax import settings as settings_lib
from score_jax.devices import distributed
from score_jax.grading.errors import GraderError
from score_jax.output.progress import console
from score_jax.output.workdir import Workdir
from score_jax.report import tables
from score_jax.report.page import page
from score_jax.run import recipe
from score_jax.tasks import make
from score_jax.training import phases


def train(config: Any, workdir: str) -> dict[str, Any]:
  """Runs a config (an ml_collections ConfigDict) in a directory."""
  resolved = json.loads(config.to_json())
  settings = settings_lib.from_mapping(settings_lib.RunSettings, resolved)
  phases.score(settings)  # refuses wrong objectives before a directory is made
  with contextlib.closing(make.make_task(settings.task)) as task:
    directory = Workdir(workdir, resolved)
    console.print(f"Run directory: {directory.path}")
    results = recipe.run(settings, task, directory)
  tables.print_results(results)
  console.print(f"Results: {directory.results}")
  if distributed.is_main():
    console.print(f"Report: {page.write(directory.path)}")
  return results


def _main(argv: list[str]) -> None:
  if len(argv) > 1:
    raise app.UsageError(f"unknown arguments: {argv[1:]}")
  logging.set_verbosity(logging.WARNING)  # Orbax tells each save in 30 lines
  values = flags.FLAGS
  config_file = config_flags.get_config_filename(values["config"])
  workdir = values.workdir or f"runs/{pathlib.Path(config_file).stem}"
  try:
    with processes.joined():
      train(values.config, workdir)
  except (ValueError, GraderError) as error:
    sys.exit(f"error: {error}")


if __name__ == "__main__":
  jax.config.parse_flags_with_absl()
  commands.define_config("File with the settings of the run.")
  flags.DEFINE_string(
      "workdir", None, "Directory of the run; runs/<config> when not given."
  )
  processes.define_flags()
  flags.mark_flag_as_required("config")
  commands.run(_main)
