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

from experiments import processes
from experiments import run
from score_jax.plan import precompile
from tests.helpers import made_up_data
from tests.helpers import tiny_gemma
from tests.helpers.shipped_configs import load
from tests.helpers.shipped_configs import shrink

_SETTINGS = {
    "jax_persistent_cache_min_compile_time_secs": 0.0,
    "jax_persistent_cache_min_entry_size_bytes": -1,
}
# Decoding is not among them: the first call compiles it once more.
_PROGRAMS = (
    "jit__prefill_and_broadcast",
    "jit__extend_by_turn",
    "jit__logprobs",
    "jit_train_step",
)


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


class PrecompileTest(absltest.TestCase):

  def test_a_run_on_a_mesh_compiles_nothing_twice(self):
    root = pathlib.Path(self.create_tempdir().full_path)
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
    compiled, counts = [], []

    def count(record):
      found = re.search(r"CACHE MISS for '(\w+)'", record.getMessage())
      if found and found[1] in _PROGRAMS:
        compiled.append(found[1])
      return False

    @contextlib.contextmanager
    def compiling(*args, **kwargs):
      with precompile_compiling(*args, **kwargs):
        yield
      counts.append(len(compiled))

    precompile_compiling = precompile.compiling
    logger = logging.getLogger("jax._src.compiler")
    level = logger.level
    logger.addFilter(count)
    logger.setLevel(logging.DEBUG)
    try:
      with (
          cache(str(root / "cache")),
          mock.patch.object(precompile, "compiling", compiling),
      ):
        results = run.train(config, str(root / "run"))
    finally:
      logger.setLevel(level)
      logger.removeFilter(count)
    self.assertEqual(results["stage2"]["n"], 10)
    # For evaluation and training; for the reference; for both stages.
    self.assertCountEqual(
        compiled, 2 * _PROGRAMS[:2] + _PROGRAMS[2:] + _PROGRAMS[3:]
    )
    self.assertEqual(counts, [len(compiled)])


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
