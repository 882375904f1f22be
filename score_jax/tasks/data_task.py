"""A task whose problems come from a data set."""

import collections
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
from typing import Any
from typing import Protocol

from score_jax.datasets.rows import normalize_text
from score_jax.types import Grade
from score_jax.types import Problem

# In the manifest, of problems that are left out.
_TWIN = "text_is_in_a_later_split"


class Grader(Protocol):
  """Judges attempts at problems of a data set."""

  def demonstration(self, problem: Problem) -> str:
    """A right attempt at a problem, in the form that is asked for."""
    ...

  def grade(
      self, problems: Sequence[Problem], completions: Sequence[str]
  ) -> list[Grade]:
    """Judges one attempt at each problem; GraderError when that fails."""
    ...

  def provenance(self) -> Mapping[str, Any]:
    """Facts about the grader for the manifest of a run, JSON values."""
    ...

  def close(self) -> None:
    """Ends the grader's processes, where it has some."""
    ...


@dataclasses.dataclass(frozen=True)
class DataTask:
  """Problems of a data set with their prompts and grader.

  Attributes:
    name: short name for logs and for the manifest of a run.
    correction_prompt: the constant text that asks for another attempt.
    splits: the problems of each split.
    first_prompts: the text that asks for the first attempt, by problem id.
    grader: judges attempts.
    notes: facts for the manifest of a run, such as the problems left out.
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

  def demonstration(self, problem: Problem, attempt: int) -> str:
    """The gold answer alone: data sets have no solution in our form."""
    del attempt
    return self.grader.demonstration(problem)

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
  """Sets `count` training problems aside for validation.

  For data sets without a validation split. The problems are spread evenly over
  the data set: it is often sorted, and its first or last problems would all be
  of one kind.

  Problems with one text, of which published data has a few, stay together.

  Returns:
    Splits 'train' and 'validation', each in the order of the data set.

  Raises:
    ValueError: `count` is below 1, or no training problem would be left.
  """
  texts = collections.Counter(_text(p) for p in problems)
  alone = [i for i, p in enumerate(problems) if texts[_text(p)] == 1]
  if not 0 < count < len(alone):
    raise ValueError(
        f"task.num_validation is {count}, expected 1 to {len(alone) - 1} of the"
        f" {len(problems)} training problems"
    )
  chosen = {alone[i * len(alone) // count] for i in range(count)}
  return {
      "train": [p for i, p in enumerate(problems) if i not in chosen],
      "validation": [p for i, p in enumerate(problems) if i in chosen],
  }


def leave_out_twins(
    splits: Mapping[str, Sequence[Problem]],
) -> tuple[dict[str, list[Problem]], dict[str, dict[str, list[str]]]]:
  """Leaves out problems whose text stands in a later split.

  So no problem of the test is trained on. For published data, where they are
  few; in other data they are refused by name when a run starts.

  Args:
    splits: problems by split, the test last.

  Returns:
    The problems that are kept, by split, and the names of the others, by split
    and reason.
  """
  kept, names = {}, {}
  order = list(splits)
  for number, split in enumerate(order):
    later = {_text(p) for s in order[number + 1 :] for p in splits[s]}
    kept[split] = [p for p in splits[split] if _text(p) not in later]
    twins = [p.source_id for p in splits[split] if _text(p) in later]
    names[split] = {_TWIN: twins} if twins else {}
  return kept, names


def leave_out(
    splits: Mapping[str, Sequence[Problem]], exclude: Sequence[str]
) -> dict[str, list[Problem]]:
  """The splits without the problems whose `source_id` is in `exclude`.

  Raises:
    ValueError: a name that no problem has, or that several problems share.
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


def _text(problem: Problem) -> str:
  return normalize_text(problem.question)
