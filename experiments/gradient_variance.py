"""Measures what corrections that share a first attempt do to Stage II.

  python -m experiments.gradient_variance --config=configs/tiny.py
      --checkpoint=HF_DIR --workdir=DIR --num_batches=32 [--corrections=2,4]

The policy is fixed. For each number of corrections per first attempt, the
gradient of the Stage II objective is taken on batches of fresh conversations.
Every batch has equally many conversations, at the same problems. results.json
has, of attempt 2's part of the gradient and of the whole gradient: the trace of
its covariance over batches (the noise), the squared norm of its mean (the
signal), and the ratio of variances to the plain leave-one-out baseline with its
95 % interval.

One more estimator has the plain baseline and one correction, but leaves
-alpha r_1 out of the second attempt's reward: r_1 is a function of what the
second attempt reads, so its expected gradient is zero.

The reference policy is the policy itself: all KL terms are zero, and what is
measured is the gradient of the rewards. The gradients of one estimator, 8 bytes
per parameter and batch, are kept in memory.
"""

from collections.abc import Sequence
import contextlib
import json
import sys
from typing import Any

from absl import app
from absl import flags
from absl import logging
import jax

from experiments import commands
from score_jax import settings as settings_lib
from score_jax.grading.errors import GraderError
from score_jax.output import files
from score_jax.output.progress import console
from score_jax.run import evaluation
from score_jax.settings import RunSettings
from score_jax.study import gradient_noise
from score_jax.tasks import make


def measure(
    config: Any,
    checkpoint: str,
    workdir: str,
    num_batches: int,
    corrections: Sequence[int],
) -> dict[str, Any]:
  """Measures a config (an ml_collections ConfigDict) in a new directory."""
  settings = settings_lib.from_mapping(
      RunSettings, json.loads(config.to_json())
  )
  gradient_noise.check(settings, num_batches, corrections)
  output = evaluation.make_output(workdir)
  with contextlib.closing(make.make_task(settings.task)) as task:
    result = gradient_noise.measure(
        settings, task, checkpoint, num_batches, corrections
    )
  files.write_json(output.results, result)
  return result


def _print(result: dict[str, Any]) -> None:
  for name, parts in result["estimators"].items():
    for part, figures in parts.items():
      low, high = figures["variance_ratio_ci95"]
      console.print(
          f"{name:24} {part:9} variance {figures['variance']:.4g}, ratio"
          f" {figures['variance_ratio']:.3f} [{low:.3f}, {high:.3f}], signal"
          f" to noise {figures['signal_to_noise']:.4g}"
      )


def _main(argv: list[str]) -> None:
  if len(argv) > 1:
    raise app.UsageError(f"unknown arguments: {argv[1:]}")
  logging.set_verbosity(logging.WARNING)
  values = flags.FLAGS
  try:
    result = measure(
        values.config,
        values.checkpoint,
        values.workdir,
        values.num_batches,
        [int(count) for count in values.corrections],
    )
  except (ValueError, GraderError) as error:
    sys.exit(f"error: {error}")
  _print(result)


if __name__ == "__main__":
  jax.config.parse_flags_with_absl()
  commands.define_config("File with task and shapes.")
  flags.DEFINE_string("checkpoint", None, "Policy, a Hugging Face directory.")
  flags.DEFINE_string("workdir", None, "Directory to make for the results.")
  flags.DEFINE_integer("num_batches", 32, "Batches per estimator.")
  flags.DEFINE_list("corrections", ["2", "4"], "Per first attempt, above 1.")
  flags.mark_flags_as_required(["config", "checkpoint", "workdir"])
  commands.run(_main)
