"""What is compiled beside the loading of weights is what the run then runs."""

import contextlib
import logging
import os
import pathlib
import re
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import jax
from jax.experimental.compilation_cache import compilation_cache
import pytest

from experiments import processes
from experiments import run
from score_jax.plan import precompile
from score_jax.training.reinforce import Reinforcement
from tests.helpers import made_up_data
from tests.helpers import tiny_gemma
from tests.helpers.shipped_configs import load
from tests.helpers.shipped_configs import shrink

_SETTINGS = {
    "jax_persistent_cache_min_compile_time_secs": 0.0,
    "jax_persistent_cache_min_entry_size_bytes": -1,
}
# The programs of a step that take long to compile.
_SAMPLING = ("jit_row_keys", "jit_start", "jit_decode", "jit_ask", "jit_repeat")
_PROGRAMS = (*_SAMPLING, "jit_ref_logprobs", "jit_train_step")
# Marks between the names of compiled programs.
_AHEAD, _STEP = "compiled ahead", "step"


@contextlib.contextmanager
def cache(directory):
  """Has all programs kept on disk."""
  settings = _SETTINGS | {"jax_compilation_cache_dir": directory}
  before = {name: getattr(jax.config, name) for name in settings}
  for name, value in settings.items():
    jax.config.update(name, value)
  compilation_cache.reset_cache()
  try:
    yield
  finally:
    for name, value in before.items():
      jax.config.update(name, value)
    # It would go on writing to the directory, which is gone by then.
    compilation_cache.reset_cache()


@contextlib.contextmanager
def recorded():
  """A list that grows: names of what is compiled, and the marks above."""
  events = []

  def count(record):
    found = re.search(r"CACHE MISS for '(\w+)'", record.getMessage())
    if found:
      events.append(found[1])
    return False

  @contextlib.contextmanager
  def compiling(*args):
    with compile_ahead(*args):
      yield
    events.append(_AHEAD)

  def step(*args):
    result = make_step(*args)
    events.append(_STEP)
    return result

  compile_ahead, make_step = precompile.compiling, Reinforcement.step
  logger = logging.getLogger("jax._src.compiler")
  level = logger.level
  logger.addFilter(count)
  logger.setLevel(logging.DEBUG)
  try:
    with (
        mock.patch.object(precompile, "compiling", compiling),
        mock.patch.object(Reinforcement, "step", step),
    ):
      yield events
  finally:
    logger.setLevel(level)
    logger.removeFilter(count)


def _config(root):
  """gemma_math on the mesh of this host, with a tiny model."""
  made_up_data.write_math(str(root / "manual"))
  tiny_gemma.save(str(root / "model"))
  # All but these have been seen to be of the same kind.
  others = [
      f"test/prealgebra/{i}.json" for i in range(12_000, 12_500) if i % 50
  ]
  config = shrink(load("gemma_math"), root, others)
  config.mesh = load("gemma_math").mesh
  config.mesh.sampler_tensor = 1
  config.task.num_validation = 8
  config.rollout.num_prompt_buckets = 1
  config.rollout.problems_per_step = 16
  config.rollout.problems_per_batch = 8
  config.evaluation.batch_size = 8
  return config


class PrecompileTest(absltest.TestCase):

  def _run(self, config, root, name):
    with recorded() as events:
      results = run.train(config, str(root / name))
    self.assertEqual(results["stage2"]["n"], 10)
    return events

  def _check_ahead(self, events):
    """Nothing that takes long is compiled by the run itself."""
    ahead = events.index(_AHEAD)
    late = [name for name in events[ahead:] if name in _PROGRAMS]
    self.assertEmpty(late)
    return sorted(name for name in events[:ahead] if name in _PROGRAMS)

  @pytest.mark.slow
  def test_a_run_on_a_mesh_compiles_nothing_twice(self):
    """Also shared and offline first attempts, and prompts of two lengths."""
    root = pathlib.Path(self.create_tempdir().full_path)
    config = _config(root)
    config.rollout.samples_per_problem = 4
    config.rollout.corrections_per_attempt = 2
    config.rollout.offline_first_attempt_fraction = 0.5
    config.rollout.num_prompt_buckets = 2
    with cache(str(root / "cache")):
      events = self._run(config, root, "run")
      ahead = self._check_ahead(events)
      self.assertEqual(set(ahead), set(_PROGRAMS))
      # For the reference; for both phases.
      self.assertEqual(ahead.count("jit_ref_logprobs"), 1)
      self.assertEqual(ahead.count("jit_train_step"), 2)
      jax.clear_caches()
      warm = self._run(config, root, "warm")
    self.assertEmpty(self._check_ahead(warm))
    # After the first step not even the smallest program.
    self.assertEqual(warm[warm.index(_STEP) :], [_STEP, _STEP])


class KeepProgramsTest(parameterized.TestCase):

  @parameterized.parameters(
      ("cpu", None, None),
      ("tpu", "/given", "/given"),
      ("tpu", None, os.path.expanduser("~/.cache/score_jax/programs")),
  )
  def test_where(self, backend, given, expected):
    with (
        cache(given),
        mock.patch.object(jax, "default_backend", lambda: backend),
    ):
      processes.keep_programs()
      self.assertEqual(jax.config.jax_compilation_cache_dir, expected)


if __name__ == "__main__":
  absltest.main()
