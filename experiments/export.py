"""Writes a run's policy as a Hugging Face directory.

  python -m experiments.export --workdir=DIR --output=HF_DIR
      [--phase=stage1] [--dtype=bfloat16] [--adapter]

The newest checkpoint is taken, of a run that goes on too. transformers loads
the result as it loads the base model. Adapters (train.lora_rank) are merged
into it; with --adapter they are written alone, for peft.
"""

import sys

from absl import app
from absl import flags
from absl import logging

from score_jax import settings
from score_jax.output.progress import console
from score_jax.run import export


def _main(argv: list[str]) -> None:
  if len(argv) > 1:
    raise app.UsageError(f"unknown arguments: {argv[1:]}")
  logging.set_verbosity(logging.WARNING)
  values = flags.FLAGS
  try:
    phase, step = export.export_run(
        values.workdir,
        values.output,
        phase=values.phase,
        dtype=values.dtype,
        is_adapter=values.adapter,
    )
  except ValueError as error:
    sys.exit(f"error: {error}")
  console.print(f"{values.output}: {phase}, step {step}")


if __name__ == "__main__":
  flags.DEFINE_string("workdir", None, "Directory of the run.")
  flags.DEFINE_string("output", None, "Directory to make; must not exist.")
  flags.DEFINE_string(
      "phase", None, "Whose checkpoint; the last one's if absent."
  )
  flags.DEFINE_enum(
      "dtype", None, settings.DTYPES, "Of the weights; float32 if absent."
  )
  flags.DEFINE_bool(
      "adapter", False, "Adapters alone, as a directory that peft loads."
  )
  flags.mark_flags_as_required(["workdir", "output"])
  app.run(_main)
