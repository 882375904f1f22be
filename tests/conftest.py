"""Strict settings for all tests, made before JAX starts."""

import os

from score_jax.plan import topologies

# Also what libtpu wants to know: whichever test loads it first, and in several
# processes at a time.
topologies.prepare_environment()
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "")
    + " --xla_force_host_platform_device_count=8"
)
os.environ["HF_HUB_OFFLINE"] = "1"

from absl import flags  # noqa: E402
import jax  # noqa: E402
import pytest  # noqa: E402

# advantages[B] * logprobs[B, T] is silently wrong when B == T.
jax.config.update("jax_numpy_rank_promotion", "raise")

# pytest, not absl, runs the tests: create_tempdir asks for parsed flags.
flags.FLAGS.mark_as_parsed()


@pytest.fixture(scope="session", autouse=True)
def _eight_devices():
  assert jax.device_count() == 8, jax.devices()
