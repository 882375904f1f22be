"""Compiles a run's programs while its weights are read.

What is compiled here ends in JAX's persistent cache of compiled programs, where
the run finds it. Programs that are needed first are compiled first; on a TPU
host there are cores enough for all of them.
"""

from collections.abc import Callable
from collections.abc import Iterator
import concurrent.futures
import contextlib

from score_jax.plan import programs
from score_jax.plan.compiled import Program
from score_jax.plan.programs import Job
from score_jax.rollouts.rollout import ConversationSpec
from score_jax.training import phases

# Of one run: evaluation and training at each length of prompts, and updates.
_THREADS = 8


@contextlib.contextmanager
def compiling(job: Job, evaluation: ConversationSpec) -> Iterator[None]:
  """Compiles the programs of a run beside the block, and waits for them.

  Args:
    job: the run; its mesh has real devices.
    evaluation: conversations of its evaluations.

  Raises:
    ValueError: a program does not fit into the devices' memory.
  """
  with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
    futures = [
        pool.submit(_compile, chain) for chain in _chains(job, evaluation)
    ]
    yield
    for future in futures:
      future.result()


def _chains(
    job: Job, evaluation: ConversationSpec
) -> Iterator[Callable[[], Iterator[Program]]]:
  """Programs that wait for each other, as functions that start them."""
  settings = job.settings
  for spec, problems in (
      (evaluation, settings.evaluation.batch_size),
      (job.conversations, settings.rollout.problems_per_batch),
  ):
    for size in spec.prompt_buckets:
      yield lambda spec=spec, problems=problems, size=size: (
          programs.conversation_programs(job, spec, problems, size)
      )
  if job.estimator.needs_ref_logprobs:
    yield lambda: iter([programs.reference_program(job)])
  for stage in (p.objective for p in phases.score(settings)):
    yield lambda stage=stage: iter([programs.update_program(job, stage)])


def _compile(chain: Callable[[], Iterator[Program]]) -> None:
  for program in chain():
    if program.refusal:
      raise ValueError(
          f"program {program.name!r} does not fit: {program.refusal}; python -m"
          " experiments.plan tells what to change"
      )
