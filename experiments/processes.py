"""Flags of commands that several processes run together, one per host."""

from collections.abc import Iterator
import contextlib
import os

from absl import flags
import jax

from score_jax.devices import distributed
from score_jax.output.progress import console


def define_flags() -> None:
  """Defines --distributed, or --coordinator and its companions."""
  flags.DEFINE_bool(
      "distributed",
      False,
      "This is one of several processes, which find each other: on a TPU pod,"
      " under Slurm or Open MPI.",
  )
  flags.DEFINE_string(
      "coordinator",
      None,
      "HOST:PORT where process 0 can be reached, where they do not.",
  )
  flags.DEFINE_integer("num_processes", None, "With --coordinator.")
  flags.DEFINE_integer("process_id", None, "Of this process, from 0.")
  flags.DEFINE_float(
      "lost_after_s",
      distributed.LOST_AFTER_S,
      "Silence of a process, in seconds, after which the others stop.",
  )


@contextlib.contextmanager
def joined() -> Iterator[None]:
  """Joins the processes that the flags ask for; only process 0 prints."""
  values = flags.FLAGS
  with distributed.started(
      values.coordinator,
      values.num_processes,
      values.process_id,
      is_automatic=values.distributed,
      lost_after_s=values.lost_after_s,
  ):
    console.quiet = not distributed.is_main()
    keep_programs()
    yield


def keep_programs() -> None:
  """Has programs for accelerators kept on disk, where they are compiled once.

  JAX_COMPILATION_CACHE_DIR names another place. A CPU's programs are small, and
  those of another machine may not run on this one.
  """
  if jax.default_backend() == "cpu" or jax.config.jax_compilation_cache_dir:
    return
  directory = os.path.expanduser("~/.cache/score_jax/programs")
  jax.config.update("jax_compilation_cache_dir", directory)
