"""What is counted over the conversations of evaluations."""

from collections.abc import Mapping
from collections.abc import Sequence

import numpy as np

from score_jax import evaluate

_BINS = 20


def edit_histogram(records: Sequence[Mapping]) -> dict[str, list]:
  """Counts how far second attempts are from first ones.

  What is counted is `evaluate.edit_distance_ratio` of the first two attempts.

  Args:
    records: conversations, see `conversations.conversation_record`.

  Returns:
    `edges`: B + 1 numbers from 0 to 1; `counts`: B numbers. A ratio of 1 is
    counted in the last bin.
  """
  ratios = [evaluate.edit_distance_ratio(*_two_texts(r)) for r in records]
  counts, edges = np.histogram(ratios, _BINS, (0.0, 1.0))
  return {"edges": edges.tolist(), "counts": counts.tolist()}


def _two_texts(record: Mapping) -> tuple[str, str]:
  first, second = record["attempts"][:2]
  return first["text"], second["text"]
