"""A task whose problems come from a data set."""

import collections
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
from typing import Any
from typing import Protocol

from score_jax.types import Grade
from score_jax.types import Problem


class Grader(Protocol):
  """Judges attempts at problems of a data set."""

  def grade(
      self, problems: Sequence[Problem], completions: Sequence[str]
  ) -> list[Grade]:
    """See Task.grade."""
    ...

  def provenance(self) -> Mapping[str, Any]:
    """See Task.provenance."""
    ...

  def close(self) -> None:
    """See Task.close."""
    ...


@dataclasses.dataclass(frozen=True)
class DataTask:
  """Problems of a data set with their prompts and grader.

  Attributes:
    name: see Task.
    correction_prompt: see Task.
    splits: problems of each split.
    first_prompts: by problem id, the text that asks for the first attempt.
    grader: judges attempts.
    notes: for the manifest: what was left out.
  """

  name: str
  correction_prompt: str
  splits: Mapping[str, Sequence[Problem]]
  first_prompts: Mapping[int, str]
  grader: Grader
  notes: Mapping[str, Any]

  def problems(self, split: str) -> Sequence[Problem]:
    """All problems of a split, in the order of the data set."""
    if split not in self.splits:
      raise ValueError(
          f"task {self.name!r} has no split {split!r}, only"
          f" {', '.join(self.splits)}"
      )
    return self.splits[split]

  def first_prompt(self, problem: Problem) -> str:
    return self.first_prompts[problem.id]

  def grade(
      self, problems: Sequence[Problem], completions: Sequence[str]
  ) -> list[Grade]:
    return self.grader.grade(problems, completions)

  def provenance(self) -> Mapping[str, Any]:
    return {**self.notes, **self.grader.provenance()}

  def close(self) -> None:
    self.grader.close()


def cut_validation(
    problems: Sequence[Problem], count: int
) -> dict[str, list[Problem]]:
  """Sets `count` problems, spread evenly over the order, aside.

  For data sets without a validation split. Data sets are often sorted, so the
  first or the last ones would be of one kind.

  Raises:
    ValueError: fewer problems than `count` + 1.
  """
  if not 0 < count < len(problems):
    raise ValueError(
        f"task.num_validation is {count}, expected 1 to {len(problems) - 1} of"
        f" the {len(problems)} training problems"
    )
  chosen = {i * len(problems) // count for i in range(count)}
  return {
      "train": [p for i, p in enumerate(problems) if i not in chosen],
      "validation": [p for i, p in enumerate(problems) if i in chosen],
  }


def leave_out(
    splits: Mapping[str, Sequence[Problem]], exclude: Sequence[str]
) -> dict[str, list[Problem]]:
  """The splits without the problems that are named.

  Raises:
    ValueError: a name that no problem has, or that several have.
  """
  counts = collections.Counter(
      p.source_id for problems in splits.values() for p in problems
  )
  names = set(exclude)
  if unknown := sorted(names - counts.keys()):
    raise ValueError(
        f"task.exclude names {unknown}, which no problem is called; names are"
        f" of the form {min(counts, default='')!r}"
    )
  if shared := sorted(name for name in names if counts[name] > 1):
    raise ValueError(
        f"task.exclude names {shared}, which several problems are called: give"
        " the problems of each file names of their own"
    )
  return {
      split: [p for p in problems if p.source_id not in names]
      for split, problems in splits.items()
  }
