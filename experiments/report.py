"""Writes the report of a run or of a study.

  python -m experiments.report --workdir=DIR

DIR is what experiments.run or experiments.study was given. DIR/report.html is
one file that opens in a browser from disk and asks for nothing. A study's main
figures are drawn into DIR/figures/ as well.
"""

import pathlib
import sys

from absl import app
from absl import flags

from score_jax.output import files
from score_jax.output.progress import console
from score_jax.report import figures
from score_jax.report.page import page


def write_report(workdir: str) -> list[pathlib.Path]:
  """Writes the page, and the figures of a study.

  Args:
    workdir: directory of a run or of a study.

  Returns:
    The files that were written.
  """
  paths = [pathlib.Path(page.write(workdir))]
  study = pathlib.Path(workdir) / "study.json"
  if study.exists():
    paths += figures.plot_all(
        files.read_json(study), pathlib.Path(workdir) / "figures"
    )
  return paths


def _main(argv: list[str]) -> None:
  if len(argv) > 1:
    raise app.UsageError(f"unknown arguments: {argv[1:]}")
  try:
    for path in write_report(flags.FLAGS.workdir):
      console.print(str(path), soft_wrap=True)
  except ValueError as error:
    sys.exit(f"error: {error}")


if __name__ == "__main__":
  flags.DEFINE_string("workdir", None, "Directory of a run or of a study.")
  flags.mark_flags_as_required(["workdir"])
  app.run(_main)
