"""Strict settings for all tests, made before JAX starts."""

import atexit
import gc
import os
import pathlib
import shutil
import tempfile

from score_jax.plan import topologies

# Also what libtpu wants to know: whichever test loads it first, and in several
# processes at a time.
topologies.prepare_environment()
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "")
    + " --xla_force_host_platform_device_count=8"
)
os.environ["HF_HUB_OFFLINE"] = "1"

# Many tests run the same small programs: one process compiles each, the others
# of this session, and the commands that they start, read it from disk.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
  _cache = tempfile.mkdtemp(prefix="score_jax_programs_")
  atexit.register(shutil.rmtree, _cache, ignore_errors=True)
  os.environ |= {
      "JAX_COMPILATION_CACHE_DIR": _cache,
      "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
      "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
  }

from absl import flags  # noqa: E402
import jax  # noqa: E402
from jax.experimental.compilation_cache import compilation_cache  # noqa: E402
import pytest  # noqa: E402

# advantages[B] * logprobs[B, T] is silently wrong when B == T.
jax.config.update("jax_numpy_rank_promotion", "raise")

# pytest, not absl, runs the tests: create_tempdir asks for parsed flags.
flags.FLAGS.mark_as_parsed()


@pytest.fixture(scope="module")
def without_kept_programs():
  """For modules that compile for TPUs: without one, nothing is read back."""
  jax.config.update("jax_enable_compilation_cache", False)
  compilation_cache.reset_cache()
  yield
  jax.config.update("jax_enable_compilation_cache", True)
  compilation_cache.reset_cache()


@pytest.fixture(scope="module")
def quick_compilation():
  """For modules whose programs run once: compiling them is what takes time."""
  before = jax.config.read("jax_disable_most_optimizations")
  jax.config.update("jax_disable_most_optimizations", True)
  yield
  jax.config.update("jax_disable_most_optimizations", before)


# Linux allows a process 65,530 mappings of memory; a compiled program has some.
_MANY_MAPPINGS = 20_000


@pytest.fixture(scope="module", autouse=True)
def _bounded_programs():
  """Gives up a process's programs when they are many.

  All of a session's would need more mappings than there may be, and reading the
  next one from disk would end the process.
  """
  yield
  mappings = pathlib.Path("/proc/self/maps")
  if not mappings.exists():  # not Linux
    return
  if mappings.read_bytes().count(b"\n") > _MANY_MAPPINGS:
    jax.clear_caches()
    gc.collect()


@pytest.fixture(scope="session", autouse=True)
def _eight_devices():
  assert jax.device_count() == 8, jax.devices()
