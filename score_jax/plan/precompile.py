"""Compiles a run's programs while its weights are read.

What is compiled here ends in JAX's persistent cache of compiled programs, where
the run finds it. Programs that are needed first are compiled first; a TPU host
has enough cores for all of them. The updates of supervised phases are not
compiled: how many conversations they imitate is not known yet.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import concurrent.futures
import contextlib
import functools
from typing import NamedTuple

from score_jax.plan import programs
from score_jax.plan.compiled import Program
from score_jax.plan.programs import Job
from score_jax.rollouts import rollout
from score_jax.rollouts.spec import ConversationSpec
from score_jax.training.phases import Phase
from score_jax.training.phases import RlPhase

# Enough for one run's programs: evaluation and training at each length of
# prompts, and updates.
_THREADS = 8


class Sampling(NamedTuple):
  """Conversations that are sampled at once.

  Attributes:
    spec: shape of the conversations.
    prompts: rows and columns of their prompts.
    problems: number of problems that the prompts belong to.
  """

  spec: ConversationSpec
  prompts: tuple[int, int]
  problems: int


@contextlib.contextmanager
def compiling(
    job: Job, phases: Sequence[Phase], evaluation: ConversationSpec
) -> Iterator[None]:
  """Compiles a run's programs while the block runs, and waits for them.

  Args:
    job: the run; its mesh has real devices.
    phases: the run's phases.
    evaluation: shape of the conversations of its evaluations.

  Raises:
    ValueError: a program does not fit into the devices' memory.
  """
  with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
    futures = [pool.submit(work) for work in _all_work(job, phases, evaluation)]
    yield
    for future in futures:
      future.result()


def samplings(
    job: Job, phases: Sequence[Phase], evaluation: ConversationSpec
) -> list[Sampling]:
  """Every shape of what a run samples at once; those of evaluations first.

  Args:
    job: the run.
    phases: the run's phases.
    evaluation: shape of the conversations of its evaluations.
  """
  count = job.settings.evaluation.batch_size
  found = [
      Sampling(evaluation, (count, size), count)
      for size in evaluation.prompt_buckets
  ]
  for phase in phases:
    found += _of_phase(job, phase)
  return list(dict.fromkeys(found))


def _of_phase(job: Job, phase: Phase) -> Iterator[Sampling]:
  """What `reinforce.Reinforcement` or `imitate.Imitation` samples at once."""
  settings, spec = job.settings.rollout, phase.conversations(job.spec)
  offline = 0
  if isinstance(phase, RlPhase):
    offline = phase.num_offline(settings.problems_per_step)
  own = settings.problems_per_step - offline
  first, later = rollout.offline_specs(spec)
  for size in spec.prompt_buckets:
    for count in _batch_sizes(own, settings.problems_per_batch):
      yield Sampling(spec, (count, size), count)
    for count in _batch_sizes(offline, settings.problems_per_batch):
      yield Sampling(first, (count, size), count)
      rows = count * first.samples_per_problem
      columns = rollout.later_prompt_tokens(size, spec)
      yield Sampling(later, (rows, columns), count)


def _batch_sizes(num_problems: int, problems_per_batch: int) -> set[int]:
  slices = rollout.batch_slices(num_problems, problems_per_batch)
  return {part.stop - part.start for part in slices}


def _all_work(
    job: Job, phases: Sequence[Phase], evaluation: ConversationSpec
) -> Iterator[Callable[[], None]]:
  """Functions that compile what can be compiled side by side."""
  for spec, prompts, problems in samplings(job, phases, evaluation):
    yield functools.partial(
        programs.conversation_programs,
        job,
        spec,
        prompts,
        _check,
        problems,
    )
  trained = [phase for phase in phases if isinstance(phase, RlPhase)]
  if job.estimator.needs_ref_logprobs:
    for phase in {phase.num_attempts: phase for phase in trained}.values():
      yield lambda phase=phase: _check(programs.reference_program(job, phase))
  for phase in trained:
    yield lambda phase=phase: _check(programs.update_program(job, phase))


def _check(program: Program) -> None:
  """Refuses a program that the compiler refused."""
  if program.refusal:
    raise ValueError(
        f"program {program.name!r} does not fit: {program.refusal}; python -m"
        " experiments.plan tells what to change"
    )
