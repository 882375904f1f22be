"""How policies are evaluated.

Greedy, every problem once: attempts of the policy's own (MATH-500, HumanEval),
and second attempts at given first ones (MBPP-R: offline repair). Beyond that,
what more attempts at test time buy: one after the other, or sampled and voted.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import math
from typing import Any

import jax
import numpy as np

from score_jax import evaluate
from score_jax.devices import distributed
from score_jax.devices import sharding
from score_jax.evaluate import votes
from score_jax.models.config import ModelConfig
from score_jax.models.placement import Placement
from score_jax.models.transformer import Params
from score_jax.output.progress import work_progress
from score_jax.rollouts import rollout
from score_jax.rollouts import sampler
from score_jax.rollouts.rollout import ConversationSpec
from score_jax.tasks.task import Task
from score_jax.text import tokenization
from score_jax.text.tokenization import ConversationTokenizer
from score_jax.types import Attempt
from score_jax.types import Problem
from score_jax.types import Rollouts


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """What is evaluated, on what.

  Attributes:
    config: of the model.
    tokenizer: of the model.
    task: prompts and grades.
    spec: of the conversations, with one sample per problem where nothing else
      is said.
    batch_size: problems of a batch; the last one is filled up.
    key: from which attempts are drawn; nothing depends on it at temperature 0.
    placement: where the policy lies.
  """

  config: ModelConfig
  tokenizer: ConversationTokenizer
  task: Task
  spec: ConversationSpec
  batch_size: int
  key: jax.Array
  placement: Placement


def own_attempts(
    params: Params,
    evaluation: Evaluation,
    problems: Sequence[Problem],
    description: str | None = None,
) -> list[Rollouts]:
  """Conversations in which the policy makes every attempt.

  Args:
    params: of the policy.
    evaluation: how.
    problems: N problems.
    description: name on the progress bar; None for no bar.

  Returns:
    Rollouts with N problems over all.
  """
  copy = evaluation.placement.copy(params)

  def sample(batch: Sequence[Problem]) -> Rollouts:
    conversations = rollout.sample(
        copy,
        evaluation.config,
        evaluation.tokenizer,
        evaluation.task,
        batch,
        evaluation.spec,
        key=evaluation.key,
        step=0,
        mesh=evaluation.placement.sampler_mesh,
    )
    return rollout.grade(evaluation.task, conversations)

  return _in_batches(sample, evaluation, problems, description)


@dataclasses.dataclass(frozen=True)
class MoreAttempts:
  """More attempts at test time than the two of training.

  Attributes:
    num_attempts: one after the other in a conversation, greedy.
    samples: K of self-consistency, K corrections against 2K first attempts; 0
      for none.
    temperature: of the samples.
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
    params: Params,
    evaluation: Evaluation,
    problems: Sequence[Problem],
    asked: MoreAttempts,
    description: str | None = None,
) -> tuple[dict[str, Any], list[Rollouts], list[Rollouts]]:
  """What more attempts buy.

  Args:
    params: of the policy.
    evaluation: how, greedy.
    problems: N problems.
    asked: how many attempts.
    description: name on the progress bars; None for none.

  Returns:
    The numbers, ready for JSON: `attempts` as of `evaluate.summarize_pairs`,
    `curve` as of `evaluate.attempt_curve`, and where samples are asked for
    `self_consistency` with `temperature` and `points`, as of
    `self_consistency.self_consistency`. Then the greedy conversations behind
    them, and the sampled ones.
  """
  longer = with_attempts(evaluation, asked.num_attempts)
  greedy = own_attempts(params, longer, problems, description)
  pairs = evaluate.summarize_pairs(greedy)
  result = {"attempts": pairs, "curve": evaluate.attempt_curve(pairs)}
  if not asked.samples:
    return result, greedy, []
  sampled = sampled_attempts(
      params,
      evaluation,
      problems,
      # Their first attempts are the parallel ones.
      samples=2 * asked.samples,
      num_attempts=2,
      temperature=asked.temperature,
      description=description and f"{description}: samples",
  )
  result["self_consistency"] = {
      "temperature": asked.temperature,
      "points": votes.self_consistency(sampled, sampled),
  }
  return result, greedy, sampled


def with_attempts(evaluation: Evaluation, num_attempts: int) -> Evaluation:
  """The same evaluation with other numbers of attempts."""
  spec = dataclasses.replace(evaluation.spec, num_attempts=num_attempts)
  return dataclasses.replace(evaluation, spec=spec)


def sampled_attempts(
    params: Params,
    evaluation: Evaluation,
    problems: Sequence[Problem],
    samples: int,
    num_attempts: int,
    temperature: float,
    description: str | None = None,
) -> list[Rollouts]:
  """Several sampled conversations of each problem.

  Args:
    params: of the policy.
    evaluation: how; a batch has about as many rows as its batch_size.
    problems: N problems.
    samples: K conversations of each.
    num_attempts: of a conversation.
    temperature: at which attempts are drawn.
    description: name on the progress bar; None for no bar.

  Returns:
    Rollouts with N problems of K samples over all.
  """
  spec = dataclasses.replace(
      evaluation.spec,
      num_attempts=num_attempts,
      samples_per_problem=samples,
      sampling=dataclasses.replace(
          evaluation.spec.sampling, temperature=temperature
      ),
  )
  mesh = evaluation.placement.sampler_mesh
  parts = 1
  if mesh is not None:
    parts = math.prod(mesh.shape[axis] for axis in sharding.RULES["rows"])
  # A multiple of the parts that devices divide problems into.
  batch_size = parts * max(1, evaluation.batch_size // samples // parts)
  sampling = dataclasses.replace(evaluation, spec=spec, batch_size=batch_size)
  return own_attempts(params, sampling, problems, description)


def repairs(
    params: Params,
    evaluation: Evaluation,
    problems: Sequence[Problem],
    first_attempts: Mapping[int, str],
    description: str | None = None,
) -> list[Rollouts]:
  """Conversations in which the first attempt is given.

  Args:
    params: of the policy.
    evaluation: how; its spec has two attempts.
    problems: N problems, each at most once.
    first_attempts: by problem id, the attempt as a model would have written it.
    description: name on the progress bar; None for no bar.

  Returns:
    Rollouts with N rows over all; attempt 1 is the given one, with
    behaviour_logprobs 0.

  Raises:
    ValueError: more than two attempts, or a given one that is longer than
      max_new_tokens or that holds a special token.
  """
  if evaluation.spec.num_attempts != 2:
    raise ValueError(
        f"num_attempts is {evaluation.spec.num_attempts}, expected 2: one is"
        " given, one repairs it"
    )
  ids = {
      problem.id: _attempt_ids(evaluation, problem, first_attempts[problem.id])
      for problem in problems
  }
  copy = evaluation.placement.copy(params)

  def sample(batch: Sequence[Problem]) -> Rollouts:
    conversations = _sample_second(
        copy, evaluation, batch, [ids[problem.id] for problem in batch]
    )
    return rollout.grade(evaluation.task, conversations)

  return _in_batches(sample, evaluation, problems, description)


def _in_batches(
    sample: Callable[[Sequence[Problem]], Rollouts],
    evaluation: Evaluation,
    problems: Sequence[Problem],
    description: str | None,
) -> list[Rollouts]:
  batch_size = evaluation.batch_size
  if description is None:
    return evaluate.evaluate(sample, problems, batch_size)
  num_batches = -(-len(problems) // batch_size)
  with work_progress(description, num_batches) as advance:

    def sample_and_advance(batch: Sequence[Problem]) -> Rollouts:
      rollouts = sample(batch)
      advance()
      return rollouts

    return evaluate.evaluate(sample_and_advance, problems, batch_size)


def _attempt_ids(
    evaluation: Evaluation, problem: Problem, text: str
) -> list[int]:
  ids = evaluation.tokenizer.attempt_ids(text)
  limit = evaluation.spec.sampling.max_new_tokens
  if len(ids) > limit:
    raise ValueError(
        f"the given first attempt at problem {problem.id} {problem.source_id}"
        f" has {len(ids)} tokens, the limit is {limit}: raise"
        " rollout.max_new_tokens, or leave it out"
    )
  return ids


def _sample_second(
    params: Params,
    evaluation: Evaluation,
    problems: Sequence[Problem],
    first: Sequence[Sequence[int]],
) -> rollout.Conversations:
  """The second attempt's prompt is the whole conversation so far."""
  spec, tokenizer = evaluation.spec, evaluation.tokenizer
  prompts = tokenizer.prompt_ids(
      [evaluation.task.first_prompt(p) for p in problems]
  )
  columns = spec.max_prompt_tokens + spec.sampling.max_new_tokens
  tokens, mask = tokenization.left_pad(
      [[*p, *f, *spec.turn_ids] for p, f in zip(prompts, first, strict=True)],
      columns + len(spec.turn_ids),
      tokenizer.pad_id,
  )
  with sharding.use(evaluation.placement.sampler_mesh):
    second = sampler.sample_attempts(
        params,
        evaluation.config,
        tokens,
        mask,
        np.asarray(spec.turn_ids, np.int32),
        np.asarray([p.id for p in problems], np.int32),
        evaluation.key,
        0,
        num_attempts=1,
        samples=1,
        spec=spec.sampling,
    )
  given = _as_attempt(first, spec.sampling.max_new_tokens, tokenizer.pad_id)
  return rollout.pack(
      tokenizer, problems, prompts, [given, *distributed.to_host(second)], spec
  )


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
