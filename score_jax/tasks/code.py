"""Programming problems: trained on MBPP, tested on HumanEval, as in the paper.

An attempt is a program between [BEGIN] and [DONE]. It is right if it passes the
problem's tests, which run in another process than the program
(grading.sandbox).
"""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from score_jax.grading.sandbox import CodeGrader
from score_jax.settings.strict import from_mapping
from score_jax.tasks import data_task
from score_jax.tasks import programs
from score_jax.tasks import sources
from score_jax.tasks import templates
from score_jax.tasks.data_task import DataTask
from score_jax.tasks.programs import ProgramGrader
from score_jax.types import CodeProblem

_TEMPLATES = {
    "mbpp": ("question", "tests"),
    "human_eval": ("question", "entry_point"),
    "correction": (),
}
_FEW_SHOT_TEMPLATES = _TEMPLATES | {
    "mbpp": ("shots", "question", "tests"),
    "shot": ("question", "tests", "program"),
}
_SPLITS = ("train", "validation", "test")


def code_task(
    *,
    mbpp: str,
    test: str,
    num_shots: int,
    exclude: Sequence[str],
    data_dir: str,
    manual_dir: str,
    prompts: str,
    grader: Mapping[str, Any],
) -> DataTask:
  """Makes the task of writing programs that pass tests.

  Training and validation problems are MBPP's own splits of these names.

  Args:
    mbpp: 'full' (974 problems) or 'sanitized' (427); 'none' for evaluations of
      HumanEval, which need no training problems.
    test: test problems, 'human_eval' or 'mbpp' (its test split).
    num_shots: solved MBPP problems in front of each MBPP problem, for base
      models. They come from MBPP's own few-shot split, in its order, from task
      2 on; the paper has 3.
    exclude: names of problems that are left out.
    data_dir: directory of prepared data sets, local or gs://.
    manual_dir: directory of the published files, which data sets are prepared
      from.
    prompts: 'code', 'code_few_shot' (with num_shots above 0), or the path of a
      .toml file with the templates.
    grader: all arguments of `CodeGrader` but `tier`, by name.

  Raises:
    ValueError: files are missing, an argument is refused, or this machine
      gives programs no sandbox.
  """
  expected = _FEW_SHOT_TEMPLATES if num_shots else _TEMPLATES
  texts = templates.load_templates(prompts, expected)
  data = sources.code_problems(mbpp, test, data_dir, manual_dir)
  splits, twins = data_task.leave_out_twins(
      data_task.leave_out({s: data[s] for s in _SPLITS}, exclude)
  )
  shots = sources.shots(data["prompt"], num_shots)
  first_prompts = {
      p.id: _first_prompt(p, texts, shots)
      for problems in splits.values()
      for p in problems
  }
  sandbox = ProgramGrader(from_mapping(_make_grader, grader, "task.grader"))
  try:
    kept, left_out = _judgeable(splits, sandbox)
  except BaseException:
    sandbox.close()
    raise
  return DataTask(
      name="code",
      correction_prompt=texts["correction"],
      splits=kept,
      first_prompts=first_prompts,
      grader=sandbox,
      notes={
          "num_excluded": len(set(exclude)),
          "left_out": {s: twins[s] | left_out[s] for s in _SPLITS},
      },
  )


def _make_grader(
    num_workers: int,
    timeout_s: float,
    memory_mb: int,
    allow_unsandboxed: bool,
) -> CodeGrader:
  return CodeGrader(
      num_workers=num_workers,
      timeout_s=timeout_s,
      memory_mb=memory_mb,
      allow_unsandboxed=allow_unsandboxed,
  )


def _judgeable(
    splits: Mapping[str, Sequence[CodeProblem]], grader: ProgramGrader
) -> tuple[dict[str, list[CodeProblem]], dict[str, Any]]:
  kept, notes = {}, {}
  for split, problems in splits.items():
    kept[split], left_out = programs.split_by_judgeability(problems, grader)
    notes[split] = {why: names for why, names in left_out.items() if names}
  return kept, notes


def _first_prompt(
    problem: CodeProblem,
    texts: Mapping[str, str],
    shots: Sequence[CodeProblem],
) -> str:
  if problem.source_id.startswith("HumanEval/"):
    return templates.fill(
        texts["human_eval"],
        question=problem.question.strip("\n"),
        entry_point=problem.entry_point,
    )
  values = {"question": problem.question, "tests": problem.tests}
  if shots:
    filled = [
        templates.fill(
            texts["shot"],
            question=shot.question,
            tests=shot.tests,
            program=shot.answer,
        )
        for shot in shots
    ]
    values["shots"] = " ".join(filled)
  return templates.fill(texts["mbpp"], **values)
