"""Self-Refine: a second attempt by prompting alone, nothing is trained.

After its first attempt the model is asked for remarks on it, and then for an
attempt that uses them. Both requests are constant texts, so neither tells
whether the first attempt was right.
"""

from collections.abc import Sequence
import dataclasses

import numpy as np

from score_jax.devices import distributed
from score_jax.devices import sharding
from score_jax.models.transformer import Params
from score_jax.rollouts import protocols
from score_jax.rollouts import rollout
from score_jax.rollouts import sampler
from score_jax.rollouts.rollout import Collector
from score_jax.rollouts.rollout import MessageLayout
from score_jax.rollouts.sampler import Occasion
from score_jax.rollouts.sampler import Prompts
from score_jax.text import tokenization
from score_jax.types import Conversations
from score_jax.types import Problem
from score_jax.types import Rollouts

# Attempt 1, the remarks, which are no attempt, and attempt 2.
_NUMBERS = (1, 0, 2)


def self_refine(
    params: Params,
    collector: Collector,
    problems: Sequence[Problem],
    feedback_prompt: str,
    refine_prompt: str,
    description: str | None = None,
) -> list[Rollouts]:
  """Samples conversations: prompt, attempt, request, remarks, request, attempt.

  Args:
    params: the policy's parameters.
    collector: for two attempts, one conversation of each problem. Remarks are
      drawn like second attempts, with their limit of tokens. The correction
      turn of the spec is not used.
    problems: N problems.
    feedback_prompt: asks for the remarks.
    refine_prompt: asks for the second attempt.
    description: name on the progress bar; None for no bar.

  Returns:
    Rollouts of each batch, of N rows together, with two attempts each. The
    remarks are in `tokens`, with attempt_ids 0.

  Raises:
    ValueError: the collector is not for two attempts, or conversations may be
      longer than the model was made for.
  """
  if collector.spec.num_attempts != 2:
    raise ValueError(
        f"num_attempts is {collector.spec.num_attempts}, expected 2: the"
        " first and the refined one"
    )
  turns = (
      collector.tokenizer.turn_ids(feedback_prompt),
      collector.tokenizer.turn_ids(refine_prompt),
  )
  # The last limit is that of all messages behind: remarks and second attempt.
  limits = collector.spec.limits(2)
  collector = collector.with_spec(
      dataclasses.replace(collector.spec, max_new_tokens=limits)
  )
  layout = MessageLayout(turns, _NUMBERS, _row_tokens(collector, turns))
  copy = collector.placement.copy(params)

  def sample(batch: Sequence[Problem]) -> Rollouts:
    conversations = _sample(copy, collector, batch, layout)
    return rollout.grade(collector.task, conversations)

  return protocols.in_batches(sample, collector, problems, description)


def _row_tokens(collector: Collector, turns: Sequence[tuple[int, ...]]) -> int:
  """Length of a packed row: that of the longest conversation."""
  spec, limit = collector.spec, collector.config.position_limit
  messages = sum(spec.limits(len(_NUMBERS)))
  between = sum(1 + len(turn) for turn in turns)
  longest = spec.max_prompt_tokens + messages + between
  if longest > limit:
    raise ValueError(
        f"a conversation with remarks may have {longest} tokens, the model was"
        f" made for {limit}: lower rollout.max_prompt_tokens or max_new_tokens"
    )
  return spec.sampling.rounded(longest)


def _sample(
    params: Params,
    collector: Collector,
    problems: Sequence[Problem],
    layout: MessageLayout,
) -> Conversations:
  spec, tokenizer = collector.spec, collector.tokenizer
  prompts = collector.prompt_ids(problems)
  tokens, mask = tokenization.left_pad(
      prompts, spec.prompt_bucket(prompts), tokenizer.pad_id
  )
  ids = np.asarray([p.id for p in problems], np.int32)
  with sharding.use(collector.placement.sampler_mesh):
    messages = sampler.sample_messages(
        params,
        collector.config,
        Prompts(tokens, mask, ids),
        [np.asarray(turn, np.int32) for turn in layout.turns],
        Occasion(collector.key, 0),
        spec,
    )
  messages = distributed.to_host(messages)
  return rollout.pack_messages(tokenizer, problems, prompts, messages, layout)
