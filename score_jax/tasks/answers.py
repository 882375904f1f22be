"""Problems of a data set whose answer is a number or a formula."""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
from typing import Any

from score_jax.datasets.rows import MAX_UNUSABLE
from score_jax.datasets.rows import is_too_many
from score_jax.grading.math_answer import MathGrader
from score_jax.settings.strict import from_mapping
from score_jax.tasks import data_task
from score_jax.tasks import sources
from score_jax.tasks import templates
from score_jax.tasks.data_task import DataTask
from score_jax.tasks.sources import Row
from score_jax.types import Grade
from score_jax.types import Problem

# In the manifest, of problems that are left out.
_UNREADABLE = "gold_cannot_be_read"
_TEMPLATES = {
    "first": ("question",),
    "correction": (),
}


@dataclasses.dataclass(frozen=True)
class AnswerGrader:
  """Grades an attempt by comparing its final answer with the gold answer.

  Attributes:
    grader: reads and compares the answers.
  """

  grader: MathGrader

  def demonstration(self, problem: Problem) -> str:
    return (
        "Final Answer: The final answer is $\\boxed{" + problem.answer + "}$."
    )

  def grade(
      self, problems: Sequence[Problem], completions: Sequence[str]
  ) -> list[Grade]:
    return self.grader.grade(completions, [p.answer for p in problems])

  def provenance(self) -> Mapping[str, Any]:
    return {}

  def close(self) -> None:
    self.grader.close()


def answers_task(
    *,
    train: Mapping[str, Any],
    test: Mapping[str, Any],
    num_validation: int,
    exclude: Sequence[str],
    data_dir: str,
    manual_dir: str,
    prompts: str,
    grader: Mapping[str, Any],
) -> DataTask:
  """Makes the task of answering questions with a number or a formula.

  Args:
    train: data set of the training problems, the `settings` of
      `sources.answer_rows`.
    test: data set of the test problems, given in the same way.
    num_validation: training problems that are set aside for validation.
    exclude: names of problems that are left out.
    data_dir: directory of prepared data sets, local or gs://.
    manual_dir: directory of the published files, which data sets are prepared
      from.
    prompts: 'math', or the path of a .toml file with the templates.
    grader: all arguments of `MathGrader`, by name.

  A few problems whose gold answers cannot be graded are left out, and named in
  `notes`.

  Raises:
    ValueError: files are missing, an argument is refused, or many gold answers
      cannot be graded (`rows.MAX_UNUSABLE`).
  """
  texts = templates.load_templates(prompts, _TEMPLATES)
  rows = {
      "test": sources.answer_rows(test, "task.test", data_dir, manual_dir),
      "train": sources.answer_rows(train, "task.train", data_dir, manual_dir),
  }
  splits = data_task.leave_out(_problems(rows), exclude)
  math_grader = from_mapping(MathGrader, grader, "task.grader")
  try:
    splits, left_out = _gradable(math_grader, splits)
    splits |= data_task.cut_validation(splits["train"], num_validation)
  except BaseException:
    math_grader.close()
    raise
  return DataTask(
      name="answers",
      correction_prompt=texts["correction"],
      splits=splits,
      first_prompts={
          p.id: templates.fill(texts["first"], question=p.question)
          for problems in splits.values()
          for p in problems
      },
      grader=AnswerGrader(math_grader),
      notes={"num_excluded": len(set(exclude)), "left_out": left_out},
  )


def _problems(rows: Mapping[str, Sequence[Row]]) -> dict[str, list[Problem]]:
  """Problems of each split; ids count up from 0 over all splits."""
  problems, first_id = {}, 0
  for split, those in rows.items():
    problems[split] = [
        Problem(first_id + i, **row._asdict()) for i, row in enumerate(those)
    ]
    first_id += len(those)
  return problems


def _gradable(
    grader: MathGrader, splits: Mapping[str, Sequence[Problem]]
) -> tuple[dict[str, list[Problem]], dict[str, dict[str, list[str]]]]:
  """Leaves out problems whose gold answer no attempt could match.

  Their rewards would stay 0. Published data has a few of them.

  Returns:
    The problems that are kept, by split, and the names of the others, by split
    and reason.

  Raises:
    ValueError: they are so many in a split that the data is at fault.
  """
  problems = [p for those in splits.values() for p in those]
  reasons = grader.unreadable_golds([p.answer for p in problems])
  unreadable = {problems[i].id: why for i, why in reasons.items()}
  bad = {
      split: [p for p in those if p.id in unreadable]
      for split, those in splits.items()
  }
  if any(is_too_many(len(bad[s]), len(splits[s])) for s in splits):
    raise _many_unreadable(problems, unreadable)
  kept = {
      split: [p for p in those if p.id not in unreadable]
      for split, those in splits.items()
  }
  names = {
      split: {_UNREADABLE: [p.source_id for p in those]} if those else {}
      for split, those in bad.items()
  }
  return kept, names


def _many_unreadable(
    problems: Sequence[Problem], unreadable: Mapping[int, str]
) -> ValueError:
  bad = [p for p in problems if p.id in unreadable]
  names = tuple(p.source_id for p in bad)
  return ValueError(
      f"{len(bad)} of {len(problems)} gold answers cannot be read, the first is"
      f" {bad[0].answer!r} ({unreadable[bad[0].id]}). These are"
      f" {MAX_UNUSABLE:.1%} of a split or more, so something is wrong with the"
      f" data. Correct these problems, or leave them out: task.exclude={names}"
  )
