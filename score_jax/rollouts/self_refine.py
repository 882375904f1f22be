"""Self-Refine: a second attempt by prompting alone, nothing is trained.

After its first attempt the model is asked for remarks on it, and then for an
attempt that uses them. Both requests are constant texts, so neither tells
whether the first attempt was right.
"""

from collections.abc import Sequence

import numpy as np

from score_jax.devices import distributed
from score_jax.devices import sharding
from score_jax.models.transformer import Params
from score_jax.rollouts import protocols
from score_jax.rollouts import rollout
from score_jax.rollouts import sampler
from score_jax.rollouts.protocols import Evaluation
from score_jax.text import tokenization
from score_jax.types import Problem
from score_jax.types import Rollouts

# Attempt 1, the remarks, which are no attempt, and attempt 2.
_NUMBERS = (1, 0, 2)


def self_refine(
    params: Params,
    evaluation: Evaluation,
    problems: Sequence[Problem],
    feedback_prompt: str,
    refine_prompt: str,
    description: str | None = None,
) -> list[Rollouts]:
  """Conversations of prompt, attempt, request, remarks, request, attempt.

  Args:
    params: of the policy.
    evaluation: how; its spec has two attempts. Remarks are drawn as attempts
      are, with the same limit; the correction turn of the spec is not used.
    problems: N problems.
    feedback_prompt: asks for the remarks.
    refine_prompt: asks for the second attempt.
    description: name on the progress bar; None for no bar.

  Returns:
    Rollouts with N rows over all and two attempts each. The remarks are in
    `tokens`, with attempt_ids 0.

  Raises:
    ValueError: not two attempts, or conversations that may be longer than the
      model was made for.
  """
  if evaluation.spec.num_attempts != 2:
    raise ValueError(
        f"num_attempts is {evaluation.spec.num_attempts}, expected 2: the"
        " first and the refined one"
    )
  turns = (
      evaluation.tokenizer.turn_ids(feedback_prompt),
      evaluation.tokenizer.turn_ids(refine_prompt),
  )
  row_tokens = _row_tokens(evaluation, turns)
  copy = evaluation.placement.copy(params)

  def sample(batch: Sequence[Problem]) -> Rollouts:
    conversations = _sample(copy, evaluation, batch, turns, row_tokens)
    return rollout.grade(evaluation.task, conversations)

  return protocols._in_batches(sample, evaluation, problems, description)


def _row_tokens(
    evaluation: Evaluation, turns: Sequence[tuple[int, ...]]
) -> int:
  """Length of a packed row: that of the longest conversation."""
  spec, limit = evaluation.spec, evaluation.config.max_positions
  messages = len(_NUMBERS) * spec.sampling.max_new_tokens
  between = sum(1 + len(turn) for turn in turns)
  longest = spec.max_prompt_tokens + messages + between
  if longest > limit:
    raise ValueError(
        f"a conversation with remarks may have {longest} tokens, the model was"
        f" made for {limit}: lower rollout.max_prompt_tokens or max_new_tokens"
    )
  return longest + -longest % spec.sampling.column_multiple


def _sample(
    params: Params,
    evaluation: Evaluation,
    problems: Sequence[Problem],
    turns: Sequence[tuple[int, ...]],
    row_tokens: int,
) -> rollout.Conversations:
  spec, tokenizer = evaluation.spec, evaluation.tokenizer
  prompts = tokenizer.prompt_ids(
      [evaluation.task.first_prompt(p) for p in problems]
  )
  with sharding.use(evaluation.placement.sampler_mesh):
    messages = sampler.sample_messages(
        params,
        evaluation.config,
        *tokenization.left_pad(
            prompts, spec.prompt_bucket(prompts), tokenizer.pad_id
        ),
        [np.asarray(turn, np.int32) for turn in turns],
        np.asarray([p.id for p in problems], np.int32),
        evaluation.key,
        0,
        samples=spec.samples_per_problem,
        spec=spec.sampling,
    )
  return rollout.pack_messages(
      tokenizer,
      problems,
      prompts,
      distributed.to_host(messages),
      turns=turns,
      numbers=_NUMBERS,
      row_tokens=row_tokens,
  )
