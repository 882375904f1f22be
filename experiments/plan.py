"""Compiles a run's programs for a TPU slice, on any host, without the TPU.

  pip install -e ".[tpu-plan]"
  python -m experiments.plan --config=configs/gemma_math.py --topology=v5e:4x4
      [--json=FILE] [--architecture=FILE] [--config.mesh.tensor=2 ...]

Prints what lies on each chip, what each program takes beside that, what the
compiler says of it, the bytes that chips send each other, and lower bounds of
the time. Where it does not fit: why, and which settings would help; the exit
code is 1 then. Nothing is run, no weights are read.
"""

import json
import pathlib
import sys

from score_jax.plan import topologies

topologies.prepare_environment()  # before JAX is imported

from absl import app  # noqa: E402
from absl import flags  # noqa: E402
from absl import logging  # noqa: E402
import jax  # noqa: E402

from experiments import commands  # noqa: E402
from score_jax import settings as settings_lib  # noqa: E402
from score_jax.output import files  # noqa: E402
from score_jax.output.progress import console  # noqa: E402
from score_jax.plan import architectures  # noqa: E402
from score_jax.plan import outcome  # noqa: E402
from score_jax.plan import summary  # noqa: E402


def plan(
    config, topology: str, architecture: str | None = None
) -> outcome.Plan:
  """Plans a config (an ml_collections ConfigDict) for a topology.

  Args:
    config: the config of a run.
    topology: such as "v5e:4x4"; see `topologies.parse`.
    architecture: config.json of the model, or its directory; None for
      config.model.path.

  Raises:
    ValueError: the topology is not known, there is no pretrained model, or
      config, model and topology do not go together.
  """
  where = topologies.parse(topology)
  settings = settings_lib.from_mapping(
      settings_lib.RunSettings, json.loads(config.to_json())
  )
  if settings.model is None:
    raise ValueError("config.model is None: a plan is for a pretrained model")
  model = architectures.load(architecture or settings.model.path)
  return outcome.make_plan(
      settings,
      model,
      where,
      lambda program: console.print(
          summary.compiled_line(program), markup=False, soft_wrap=True
      ),
  )


def _main(argv: list[str]) -> None:
  if len(argv) > 1:
    raise app.UsageError(f"unknown arguments: {argv[1:]}")
  logging.set_verbosity(logging.WARNING)  # optax tells of each schedule
  # What is compiled for devices that are not here cannot be read from a cache.
  jax.config.update("jax_enable_compilation_cache", False)
  values = flags.FLAGS
  try:
    result = plan(values.config, values.topology, values.architecture)
  except ValueError as error:
    sys.exit(f"error: {error}")
  summary.print_plan(result)
  if values.json:
    files.write_json(pathlib.Path(values.json), summary.to_json(result))
    console.print(f"JSON: {values.json}", markup=False, soft_wrap=True)
  sys.exit(0 if result.fits else 1)


if __name__ == "__main__":
  commands.define_config("File with the settings of the run.")
  flags.DEFINE_string("topology", None, "Slice to plan for, such as v5e:4x4.")
  flags.DEFINE_string("json", None, "File to write the plan to.")
  flags.DEFINE_string(
      "architecture",
      None,
      "config.json of the model or its directory, where config.model.path"
      " cannot be read here.",
  )
  flags.mark_flags_as_required(["config", "topology"])
  commands.run(_main)
