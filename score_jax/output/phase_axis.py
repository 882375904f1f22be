"""The axis of steps on which the phases of a run lie one after the other."""

from collections.abc import Mapping
from collections.abc import Sequence
import itertools


def spans(lengths: Mapping[str, int]) -> dict[str, tuple[int, int]]:
  """Lays phases end to end.

  Args:
    lengths: number of steps by phase, in the order the phases run.

  Returns:
    By phase, its first and its last position. Step s of a phase has the
    position first + s. A phase without steps begins where it ends.
  """
  ends = itertools.accumulate(lengths.values())
  return {
      phase: (end - length, end)
      for (phase, length), end in zip(lengths.items(), ends, strict=True)
  }


def recorded_spans(records: Sequence[Mapping]) -> dict[str, tuple[int, int]]:
  """Lays the phases of a record end to end, each as long as its last step.

  Args:
    records: of `metrics.jsonl`, see `metrics.read_metrics`.

  Returns:
    See `spans`. Phases stand in the order of their first records.
  """
  lengths: dict[str, int] = {}
  for record in records:
    phase = record["stage"]
    lengths[phase] = max(lengths.get(phase, 0), record["step"])
  return spans(lengths)
