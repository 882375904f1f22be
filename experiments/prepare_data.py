"""Prepares a data set for runs, and says what is in it.

  python -m experiments.prepare_data --dataset=math --data_dir=data \\
      --manual_dir=data/manual

Where the published files are missing, the error says where to get them. What is
not as it was published is told by name. A data set that is prepared already is
only described.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import sys

from absl import app
from absl import flags
from absl import logging

from score_jax.datasets import math_faults
from score_jax.datasets import prepared
from score_jax.datasets.rows import Row
from score_jax.datasets.rows import fingerprint
from score_jax.datasets.rows import listed
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
  for line in _lines(values.dataset, splits):
    console.print(line, markup=False, soft_wrap=True)


def _lines(dataset: str, splits: Mapping[str, Sequence[Row]]) -> list[str]:
  """What is in a data set, and what is not as it was published."""
  lines = [
      f"{dataset} {split}: {len(rows)} rows, sha256 {fingerprint(rows)}"
      for split, rows in splits.items()
  ]
  for split, rows in splits.items():
    names = [r["id"] for r in rows if r.get("answer") == ""]
    if names:
      lines.append(
          f"{dataset} {split}: no answer is stated, runs leave out:"
          f" {len(names)} ({listed(names)})"
      )
  names = math_faults.corrected(splits) if dataset == "math" else []
  if names:
    lines.append(
        f"{dataset}: published wrong or without answer, corrected by"
        f" score_jax/datasets/math_faults.py: {len(names)} ({listed(names)})"
    )
  return lines


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
