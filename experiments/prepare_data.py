"""Prepares a data set for runs, and says what is in it.

  python -m experiments.prepare_data --dataset=math --data_dir=data \\
      --manual_dir=data/manual

Where the published files are missing, the error says where to get them. A data
set that is prepared already is only described.
"""

import sys

from absl import app
from absl import flags
from absl import logging

from score_jax.datasets import prepared
from score_jax.datasets.rows import fingerprint
from score_jax.output.progress import console


def _main(argv: list[str]) -> None:
  if len(argv) > 1:
    raise app.UsageError(f"unknown arguments: {argv[1:]}")
  logging.set_verbosity(logging.WARNING)
  values = flags.FLAGS
  try:
    splits = prepared.prepare_and_load(
        values.dataset, values.data_dir, values.manual_dir
    )
  except ValueError as error:
    sys.exit(f"error: {error}")
  for split, rows in splits.items():
    console.print(
        f"{values.dataset} {split}: {len(rows)} rows, sha256"
        f" {fingerprint(rows)}",
        soft_wrap=True,
    )


if __name__ == "__main__":
  flags.DEFINE_enum(
      "dataset", None, list(prepared.DATASETS), "Data set to prepare."
  )
  flags.DEFINE_string("data_dir", None, "Where prepared data sets are kept.")
  flags.DEFINE_string(
      "manual_dir", None, "Holds the original files that you have fetched."
  )
  flags.mark_flags_as_required(["dataset", "data_dir"])
  app.run(_main)
