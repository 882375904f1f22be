"""What is counted over the conversations of one evaluation."""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import numpy as np

_BINS = 20


def edit_distance(first: str, second: str) -> int:
  """Levenshtein's distance in characters, unit costs.

  Hyyrö (2003), "A bit-vector algorithm for computing Levenshtein and Damerau
  edit distances": bit i of `plus` and `minus` says whether the distance grows
  or shrinks from row i to row i + 1 of the table's current column.
  """
  if not first:
    return len(second)
  rows: dict[str, int] = {}
  for i, character in enumerate(first):
    rows[character] = rows.get(character, 0) | 1 << i
  everything = (1 << len(first)) - 1
  last = 1 << (len(first) - 1)
  plus, minus, distance = everything, 0, len(first)
  for character in second:
    equal = rows.get(character, 0)
    diagonal = (((equal & plus) + plus) ^ plus) | equal | minus
    grows = minus | (everything & ~(diagonal | plus))
    shrinks = plus & diagonal
    distance += bool(grows & last) - bool(shrinks & last)
    grows = (grows << 1) | 1
    plus = everything & ((shrinks << 1) | ~(diagonal | grows))
    minus = everything & grows & diagonal
  return distance


def edit_ratio(first: str, second: str) -> float:
  """Edit distance divided by the length of both texts; 0 where they agree.

  Paper, section 6: the ratio by which self-corrections are compared.
  """
  total = len(first) + len(second)
  return edit_distance(first, second) / total if total else 0.0


def edit_histogram(records: Sequence[Mapping]) -> dict[str, list]:
  """Counts the edit ratio of the first two attempts, in bins from 0 to 1.

  Returns:
    `edges`: B + 1 numbers; `counts`: B numbers. The last bin holds its end.
  """
  ratios = [edit_ratio(*texts) for texts in map(_two_texts, records)]
  counts, edges = np.histogram(ratios, _BINS, (0.0, 1.0))
  return {"edges": edges.tolist(), "counts": counts.tolist()}


def _two_texts(record: Mapping) -> tuple[str, str]:
  first, second = record["attempts"][:2]
  return first["text"], second["text"]


def by_difficulty(records: Sequence[Mapping]) -> dict[str, dict[str, Any]]:
  """Accuracies and transitions of each difficulty that the records name.

  Returns:
    By label, in order of the labels: `n`, `accuracy_t1`, `accuracy_t2`,
    `delta_i_to_c`, `delta_c_to_i`, the last four as fractions of n. Empty where
    no record has a `difficulty`.
  """
  groups: dict[Any, list[Mapping]] = {}
  for record in records:
    if "difficulty" in record:
      groups.setdefault(record["difficulty"], []).append(record)
  return {str(label): _accuracies(groups[label]) for label in sorted(groups)}


def _accuracies(records: Sequence[Mapping]) -> dict[str, Any]:
  verdicts = [[a["is_correct"] for a in r["attempts"][:2]] for r in records]
  first, second = np.asarray(verdicts, float).T
  return {
      "n": len(records),
      "accuracy_t1": float(first.mean()),
      "accuracy_t2": float(second.mean()),
      "delta_i_to_c": float(((1 - first) * second).mean()),
      "delta_c_to_i": float((first * (1 - second)).mean()),
  }
