"""Compares methods: each of them with every seed, then one table.

  python -m experiments.study --config=configs/tiny_study.py [--workdir=DIR]
      [--methods=base,single_turn,score] [--seeds=1]

Cells (one method, one seed) are run directories below DIR/cells, several at a
time; finished ones are kept, so that a second call goes on where the first one
ended, also with other methods or more seeds. Ends with DIR/study.json,
DIR/report.html, DIR/tables.md and a table. Output of the cells goes to
DIR/logs.
"""

import json
import pathlib
import sys
import time
from typing import Any

from absl import app
from absl import flags
from absl import logging
import jax
from ml_collections import config_flags

from experiments import commands
from experiments import report
from score_jax import settings as settings_lib
from score_jax.grading.errors import GraderError
from score_jax.output import files
from score_jax.output import workdir as workdir_lib
from score_jax.output.progress import console
from score_jax.report import study_tables
from score_jax.study import cell as cell_lib
from score_jax.study import cells as cells_lib
from score_jax.study import results
from score_jax.study.settings import StudySettings

# Which cells there are is no part of what they are.
_CHOICES = ("methods", "num_seeds", "workers", "cell_memory_gb")


def run_study(config: Any, workdir: str) -> dict[str, Any]:
  """Runs what is left of a study (an ml_collections ConfigDict)."""
  started = time.monotonic()
  resolved = json.loads(config.to_json())
  settings = settings_lib.from_mapping(StudySettings, resolved)
  cells_lib.check_methods(settings)
  root = pathlib.Path(workdir)
  choices = {name: resolved.pop(name) for name in _CHOICES}
  workdir_lib.claim(root, resolved)
  files.write_json(root / "choices.json", choices)
  cells = cells_lib.all_cells(settings)
  workers = cells_lib.num_workers(settings, jax.default_backend())
  console.print(f"{len(cells)} cells, {workers} at a time, in {root}")
  command = [sys.executable, "-m", "experiments.study", f"--workdir={root}"]
  failed = cells_lib.run_cells(
      cells,
      [*command, "--cell"],
      root,
      workers,
      cells_lib.base_sources(settings, cells),
  )
  for cell, status in failed.items():
    console.print(f"{cell} failed ({status}): see {root}/logs")
  result = results.collect(settings, root)
  result["config"] = resolved | choices
  result["wall_s"] = _add_time(root, time.monotonic() - started)
  files.write_json(root / "study.json", result)
  files.write_text(root / "tables.md", study_tables.markdown(result))
  report.write_report(str(root))
  results.print_study(result)
  console.print(f"Results: {root}/study.json, {root}/report.html")
  if failed:
    raise ValueError(
        f"{len(failed)} of {len(cells)} cells failed; the same command runs"
        " them again"
    )
  return result


def _add_time(root: pathlib.Path, wall_s: float) -> float:
  """Seconds that all calls of a study have taken together."""
  file = root / "elapsed.json"
  before = files.read_json(file)["wall_s"] if file.exists() else 0.0
  files.write_json(file, {"wall_s": before + wall_s})
  return before + wall_s


def run_cell(workdir: str, name: str) -> None:
  """Runs one cell of a study that has been started."""
  root = pathlib.Path(workdir)
  config = files.read_json(root / "config.json")
  choices = files.read_json(root / "choices.json")
  settings = settings_lib.from_mapping(StudySettings, config | choices)
  cell = cells_lib.parse_cell(name)
  cell_lib.run_cell(settings, config["run"], root, cell.method, cell.seed)


def _main(argv: list[str]) -> None:
  if len(argv) > 1:
    raise app.UsageError(f"unknown arguments: {argv[1:]}")
  logging.set_verbosity(logging.WARNING)
  values = flags.FLAGS
  try:
    if values.cell is not None:
      run_cell(values.workdir, values.cell)
      return
    if values.config is None:
      raise ValueError("give --config, such as configs/tiny_study.py")
    config = values.config
    if values.methods is not None:
      config.methods = values.methods
    if values.seeds is not None:
      config.num_seeds = values.seeds
    config_file = config_flags.get_config_filename(values["config"])
    run_study(
        config, values.workdir or f"runs/{pathlib.Path(config_file).stem}"
    )
  except (ValueError, GraderError) as error:
    sys.exit(f"error: {error}")


if __name__ == "__main__":
  jax.config.parse_flags_with_absl()
  commands.define_config("File with the settings of the study.")
  flags.DEFINE_string(
      "workdir", None, "Directory of the study; runs/<config> when not given."
  )
  flags.DEFINE_list("methods", None, "Which methods; those of the config.")
  flags.DEFINE_integer("seeds", None, "How many seeds; those of the config.")
  flags.DEFINE_string(
      "cell", None, "METHOD/SEED: run this one cell, of a study that exists."
  )
  commands.run(_main)
