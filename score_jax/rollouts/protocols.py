"""Protocols by which policies are evaluated.

Two of them are greedy and take each problem once. In `own_attempts` the policy
writes every attempt (MATH-500, HumanEval); in `repairs` the first attempt is
given (MBPP-R: offline repair). `test_time` measures what more attempts buy, one
after the other, or sampled and put to the vote.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import math
from typing import Any

import numpy as np

from score_jax import evaluate
from score_jax.devices import distributed
from score_jax.devices import sharding
from score_jax.evaluate import votes
from score_jax.models.lora import Policy
from score_jax.output.progress import work_progress
from score_jax.rollouts import rollout
from score_jax.rollouts import sampler
from score_jax.rollouts.rollout import Collector
from score_jax.rollouts.sampler import Occasion
from score_jax.rollouts.sampler import Prompts
from score_jax.text import tokenization
from score_jax.types import Attempt
from score_jax.types import Conversations
from score_jax.types import Problem
from score_jax.types import Rollouts


def own_attempts(
    policy: Policy,
    collector: Collector,
    problems: Sequence[Problem],
    description: str | None = None,
) -> list[Rollouts]:
  """Samples conversations in which the policy writes every attempt.

  Args:
    policy: the policy, in the layout of training.
    collector: samples and grades the conversations.
    problems: N problems.
    description: name on the progress bar; None for no bar.

  Returns:
    Rollouts of each batch, of N problems together.
  """
  copy = collector.placement.copy(policy)

  def sample(batch: Sequence[Problem]) -> Rollouts:
    conversations = rollout.sample(copy, collector, batch, step=0)
    return rollout.grade(collector.task, conversations)

  return in_batches(sample, collector, problems, description)


@dataclasses.dataclass(frozen=True)
class MoreAttempts:
  """More attempts at test time than the two of training.

  Attributes:
    num_attempts: attempts of a greedy conversation, one after the other.
    samples: K of self-consistency, which compares the vote of K corrections
      with that of 2K first attempts; 0 for none.
    temperature: temperature that samples are drawn at.
  """

  num_attempts: int
  samples: int
  temperature: float

  def __post_init__(self):
    if self.num_attempts < 2:
      raise ValueError(
          f"num_attempts is {self.num_attempts}, expected 2 or more"
      )
    if self.samples < 0:
      raise ValueError(
          f"samples is {self.samples}, expected 1 or more, 0 for none"
      )
    if not self.temperature > 0:
      raise ValueError(
          f"temperature is {self.temperature}, expected above 0: greedy"
          " attempts are all the same"
      )


def test_time(
    policy: Policy,
    collector: Collector,
    problems: Sequence[Problem],
    asked: MoreAttempts,
    description: str | None = None,
) -> tuple[dict[str, Any], list[Rollouts], list[Rollouts]]:
  """Measures what more attempts at test time buy.

  Args:
    policy: the policy.
    collector: for greedy conversations.
    problems: N problems.
    asked: how many attempts.
    description: name on the progress bars; None for none.

  Returns:
    The metrics, ready for JSON; the greedy rollouts; the sampled rollouts, none
    where no samples are asked for. The metrics are `attempts`, made by
    `evaluate.summarize_pairs`, and `curve`, made by `evaluate.attempt_curve`.
    Where samples are asked for there is also `self_consistency`, which holds
    the `temperature` and the `points` that `votes.compare` makes.
  """
  longer = collector.with_spec(collector.spec.greedy(asked.num_attempts))
  greedy = own_attempts(policy, longer, problems, description)
  pairs = evaluate.summarize_pairs(greedy)
  result = {"attempts": pairs, "curve": evaluate.attempt_curve(pairs)}
  if not asked.samples:
    return result, greedy, []
  # 2K samples: their first attempts are the parallel ones.
  spec = collector.spec.sampled(2 * asked.samples, 2, asked.temperature)
  sampled = sampled_attempts(
      policy,
      collector.with_spec(spec),
      problems,
      description and f"{description}: samples",
  )
  result["self_consistency"] = {
      "temperature": asked.temperature,
      "points": votes.compare(sampled, sampled),
  }
  return result, greedy, sampled


def sampled_attempts(
    policy: Policy,
    collector: Collector,
    problems: Sequence[Problem],
    description: str | None = None,
) -> list[Rollouts]:
  """Samples several conversations of each problem.

  Args:
    policy: the policy, in the layout of training.
    collector: for K conversations of each problem. A batch has about as many
      rows as the collector has problems per batch.
    problems: N problems.
    description: name on the progress bar; None for no bar.

  Returns:
    Rollouts of each batch, of N problems with K samples each together.
  """
  mesh = collector.placement.sampler_mesh
  parts = 1
  if mesh is not None:
    parts = math.prod(mesh.shape[axis] for axis in sharding.RULES["rows"])
  samples = collector.spec.samples_per_problem
  # A multiple of the parts that devices divide problems into.
  count = parts * max(1, collector.problems_per_batch // samples // parts)
  smaller = dataclasses.replace(collector, problems_per_batch=count)
  return own_attempts(policy, smaller, problems, description)


def repairs(
    policy: Policy,
    collector: Collector,
    problems: Sequence[Problem],
    first_attempts: Mapping[int, str],
    description: str | None = None,
) -> list[Rollouts]:
  """Samples second attempts in conversations whose first attempt is given.

  Args:
    policy: the policy.
    collector: for conversations of two attempts, one of each problem.
    problems: N problems, each at most once.
    first_attempts: the given attempts by problem id, as a model writes them.
    description: name on the progress bar; None for no bar.

  Returns:
    Rollouts of each batch, of N rows together. Attempt 1 is the given one, with
    behaviour_logprobs 0.

  Raises:
    ValueError: the collector is not for two attempts, or a given attempt is
      longer than the limit of first attempts or holds a special token.
  """
  if collector.spec.num_attempts != 2:
    raise ValueError(
        f"num_attempts is {collector.spec.num_attempts}, expected 2: one is"
        " given, one repairs it"
    )
  ids = {
      problem.id: _attempt_ids(collector, problem, first_attempts[problem.id])
      for problem in problems
  }
  copy = collector.placement.copy(policy)

  def sample(batch: Sequence[Problem]) -> Rollouts:
    conversations = _sample_second(
        copy, collector, batch, [ids[problem.id] for problem in batch]
    )
    return rollout.grade(collector.task, conversations)

  return in_batches(sample, collector, problems, description)


def in_batches(
    sample: Callable[[Sequence[Problem]], Rollouts],
    collector: Collector,
    problems: Sequence[Problem],
    description: str | None,
) -> list[Rollouts]:
  """Rolls out all problems in batches, with a progress bar.

  Args:
    sample: samples and grades one batch of problems.
    collector: its problems_per_batch is the size of a batch.
    problems: N problems; the last batch is filled up with problems whose
      rollouts are then dropped.
    description: name on the progress bar; None for no bar.

  Returns:
    Rollouts of each batch, of N problems together.
  """
  batch_size = collector.problems_per_batch
  if description is None:
    return evaluate.in_batches(sample, problems, batch_size)
  num_batches = -(-len(problems) // batch_size)
  with work_progress(description, num_batches) as advance:

    def sample_and_advance(batch: Sequence[Problem]) -> Rollouts:
      rollouts = sample(batch)
      advance()
      return rollouts

    return evaluate.in_batches(sample_and_advance, problems, batch_size)


def _attempt_ids(
    collector: Collector, problem: Problem, text: str
) -> list[int]:
  ids = collector.tokenizer.attempt_ids(text)
  limit = collector.spec.max_new_tokens[0]
  if len(ids) > limit:
    raise ValueError(
        f"the given first attempt at problem {problem.id} {problem.source_id}"
        f" has {len(ids)} tokens, the limit is {limit}: raise"
        " rollout.max_new_tokens, or leave it out"
    )
  return ids


def _sample_second(
    policy: Policy,
    collector: Collector,
    problems: Sequence[Problem],
    first: Sequence[Sequence[int]],
) -> Conversations:
  """Samples second attempts; the prompt of each is the conversation so far."""
  spec, tokenizer = collector.spec, collector.tokenizer
  prompts = collector.prompt_ids(problems)
  columns = spec.max_prompt_tokens + spec.max_new_tokens[0]
  tokens, mask = tokenization.left_pad(
      [[*p, *f, *spec.turn_ids] for p, f in zip(prompts, first, strict=True)],
      columns + len(spec.turn_ids),
      tokenizer.pad_id,
  )
  ids = np.asarray([p.id for p in problems], np.int32)
  _, second_spec = rollout.offline_specs(spec)
  with sharding.use(collector.placement.sampler_mesh):
    second = sampler.sample_messages(
        policy,
        collector.config,
        Prompts(tokens, mask, ids),
        turns=(),
        occasion=Occasion(collector.key, 0),
        spec=second_spec,
    )
  given = _as_attempt(first, spec.max_new_tokens[0], tokenizer.pad_id)
  attempts = [given, *distributed.to_host(second)]
  return rollout.pack(collector, problems, prompts, attempts)


def _as_attempt(
    rows: Sequence[Sequence[int]], length: int, pad_id: int
) -> Attempt:
  packed = tokenization.pack_rows([[(r, 1)] for r in rows], length, pad_id)
  return Attempt(
      tokens=packed.tokens,
      mask=packed.mask,
      behaviour_logprobs=np.zeros(packed.tokens.shape, np.float32),
      is_truncated=np.zeros(len(rows), bool),
  )
