"""Graded conversations without a model: what is not given says nothing."""

import numpy as np

from score_jax.types import Conversations
from score_jax.types import Rollouts


def made_up_rollouts(
    problems, grades, *, rewards=None, tokens=None, **conversations
):
  """Rollouts of given grades.

  Args:
    problems: B problems.
    grades: of the attempts of each of B * K rows.
    rewards: float32[B, K, A]; None for those of the grades.
    tokens: int32[R, T]; None for one token in each row.
    **conversations: other fields of `Conversations`, as far as they are read.
      Without them nothing is padding, trained or truncated.
  """
  rows, attempts = len(grades), len(grades[0])
  shape = (len(problems), rows // len(problems), attempts)
  if rewards is None:
    rewards = [[g.is_correct for g in row] for row in grades]
  if tokens is None:
    tokens = np.zeros((rows, 1), np.int32)
  nothing = {
      "mask": np.ones(tokens.shape, bool),
      "attempt_ids": np.zeros_like(tokens),
      "behaviour_logprobs": np.zeros(tokens.shape, np.float32),
      "texts": (("",) * attempts,) * rows,
      "is_truncated": np.zeros(shape, bool),
  }
  fields = nothing | conversations
  fields.setdefault("trained_attempt_ids", fields["attempt_ids"])
  return Rollouts(
      conversations=Conversations(
          problems=tuple(problems), tokens=tokens, **fields
      ),
      grades=tuple(map(tuple, grades)),
      rewards=np.asarray(rewards, np.float32).reshape(shape),
  )
