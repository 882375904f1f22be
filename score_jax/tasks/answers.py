"""Problems of a data set whose answer is a number or a formula."""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
from typing import Any

from score_jax.grading.math_answer import MathGrader
from score_jax.settings.strict import from_mapping
from score_jax.tasks import data_task
from score_jax.tasks import sources
from score_jax.tasks import templates
from score_jax.tasks.data_task import DataTask
from score_jax.tasks.sources import Row
from score_jax.types import Grade
from score_jax.types import Problem

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

  Raises:
    ValueError: files are missing, an argument is refused, or gold answers
      cannot be graded.
  """
  texts = templates.load_templates(prompts, _TEMPLATES)
  rows = {
      "test": sources.answer_rows(test, "task.test", data_dir, manual_dir),
      "train": sources.answer_rows(train, "task.train", data_dir, manual_dir),
  }
  splits = data_task.leave_out(_problems(rows), exclude)
  splits |= data_task.cut_validation(splits["train"], num_validation)
  math_grader = from_mapping(MathGrader, grader, "task.grader")
  task = DataTask(
      name="answers",
      correction_prompt=texts["correction"],
      splits=splits,
      first_prompts={
          p.id: templates.fill(texts["first"], question=p.question)
          for problems in splits.values()
          for p in problems
      },
      grader=AnswerGrader(math_grader),
      notes={"num_excluded": len(set(exclude))},
  )
  try:
    _check_golds(math_grader, splits)
  except BaseException:
    task.close()
    raise
  return task


def _problems(rows: Mapping[str, Sequence[Row]]) -> dict[str, list[Problem]]:
  """Problems of each split; ids count up from 0 over all splits."""
  problems, first_id = {}, 0
  for split, those in rows.items():
    problems[split] = [
        Problem(first_id + i, **row._asdict()) for i, row in enumerate(those)
    ]
    first_id += len(those)
  return problems


def _check_golds(
    grader: MathGrader, splits: Mapping[str, Sequence[Problem]]
) -> None:
  """Refuses gold answers that no attempt could match: its reward stays 0."""
  problems = [p for those in splits.values() for p in those]
  reasons = grader.unreadable_golds([p.answer for p in problems])
  if not reasons:
    return
  names = tuple(problems[i].source_id for i in reasons)
  first = problems[next(iter(reasons))]
  raise ValueError(
      f"{len(reasons)} of {len(problems)} gold answers cannot be read, the"
      f" first is {first.answer!r} ({next(iter(reasons.values()))}). Correct"
      f" these problems, or leave them out: task.exclude={names}"
  )
