"""The files of configs/, as they are and for a run of seconds."""

import importlib.util
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]


def load(name, *args):
  path = ROOT / "configs" / f"{name}.py"
  spec = importlib.util.spec_from_file_location(name, path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module.get_config(*args)


def shrink(config, root, excluded):
  """A run of one update in each stage on a handful of problems."""
  config.model.path = str(root / "model")
  config.task.data_dir = str(root / "data")
  config.task.manual_dir = str(root / "manual")
  config.task.exclude = excluded
  config.task.grader.num_workers = 2
  config.mesh = None
  config.model.compute_dtype = "float32"
  config.attention = "xla"
  config.rollout.problems_per_step = 2
  config.rollout.problems_per_batch = 2
  config.rollout.samples_per_problem = 2
  config.rollout.max_prompt_tokens = 1000
  config.rollout.max_new_tokens = 8
  config.train.num_microbatches = 2
  for stage in (config.stage1, config.stage2):
    stage.steps = 1
  config.evaluation.batch_size = 4
  config.evaluation.validation_problems = 4
  return config
