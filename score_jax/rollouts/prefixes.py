"""Conversations whose prompts, which K rows share, are held once."""

import dataclasses

import numpy as np

from score_jax.rollouts.spec import ConversationSpec
from score_jax.types import Conversations
from score_jax.types import Prefix


def share(
    conversations: Conversations, spec: ConversationSpec
) -> tuple[Prefix, Conversations]:
  """Takes from the rows of each problem the prompt that they begin with.

  The last token of a prompt stays in every row: the first token of attempt 1 is
  predicted behind it.

  Args:
    conversations: whole rows, as `rollout.pack` makes them.
    spec: their shape.

  Returns:
    The prompts of the B problems without their last token, padded to the length
    that `spec` gives prompts, and the conversations whose rows begin with that
    token. They are shorter by the longest prompt, however long theirs are.
  """
  c = conversations
  samples = c.is_truncated.shape[1]
  lengths = np.argmax(c.attempt_ids > 0, axis=1) - 1
  prompts = [
      row[: length + 1]
      for row, length in zip(
          c.tokens[::samples], lengths[::samples], strict=True
      )
  ]
  # Never without a column, for prompts of one token.
  width = max(spec.prompt_bucket(prompts) - 1, 1)
  prefix = Prefix(
      tokens=c.tokens[::samples, :width],
      mask=np.arange(width) < lengths[::samples, None],
  )
  length = c.tokens.shape[1]
  rest = length - spec.max_prompt_tokens + 1
  columns = lengths[:, None] + np.arange(rest)
  is_inside, columns = columns < length, np.minimum(columns, length - 1)

  def behind(array):
    return np.take_along_axis(array, columns, axis=1) * is_inside

  return prefix, dataclasses.replace(
      c,
      tokens=behind(c.tokens),
      mask=behind(c.mask),
      attempt_ids=behind(c.attempt_ids),
      trained_attempt_ids=behind(c.trained_attempt_ids),
      behaviour_logprobs=behind(c.behaviour_logprobs),
      targets=behind(c.targets),
  )
