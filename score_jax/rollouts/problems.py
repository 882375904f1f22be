"""Which problems a run has, and which of them a step sees."""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses

import grain

from score_jax.datasets import rows
from score_jax.tasks.task import Task
from score_jax.text.tokenization import ConversationTokenizer
from score_jax.types import Problem

# No problem of this split is left out: results on a part of it would not be
# results on it.
_TEST = "test"


def step_problems(
    problems: Sequence[Problem], *, seed: int, step: int, batch_size: int
) -> list[Problem]:
  """The problems of a training step; an epoch is a permutation.

  A pure function of (seed, step), so every host knows all of them. An epoch's
  last problems are left out where they do not fill a batch.

  Args:
    problems: all problems of the training split.
    seed: the run's seed.
    step: number of the update, from 0, over all phases.
    batch_size: B.

  Returns:
    B problems.

  Raises:
    ValueError: fewer problems than a batch has.
  """
  if len(problems) < batch_size:
    raise ValueError(
        f"there are {len(problems)} training problems, fewer than the"
        f" {batch_size} of one step"
    )
  usable = len(problems) // batch_size * batch_size
  order = grain.MapDataset.range(len(problems)).shuffle(seed=seed)
  order = order[:usable].repeat()
  start = step * batch_size
  return [problems[order[i]] for i in range(start, start + batch_size)]


@dataclasses.dataclass(frozen=True)
class RunProblems:
  """The problems of a run.

  Attributes:
    splits: problems by split.
    num_dropped: number of problems left out for their long prompts, by split.
  """

  splits: Mapping[str, Sequence[Problem]]
  num_dropped: Mapping[str, int]


def select_problems(
    task: Task,
    splits: Sequence[str],
    tokenizer: ConversationTokenizer,
    *,
    max_prompt_tokens: int,
    long_prompts: str,
) -> RunProblems:
  """Reads the problems of a run, and refuses those that would fail later.

  Args:
    task: problems and prompts.
    splits: the splits that the run reads.
    tokenizer: the model's tokenizer.
    max_prompt_tokens: P.
    long_prompts: what to do with longer prompts, except in the test split; one
      of `settings.run.LONG_PROMPTS`. No prompt is ever cut.

  Raises:
    ValueError: an empty split, a problem without a question, a question that is
      in two splits, an id that is used twice, or a prompt longer than
      `max_prompt_tokens`.
  """
  problems = {split: list(task.problems(split)) for split in splits}
  _check_distinct(problems)
  kept = {
      split: _short_ones(
          task, split, those, tokenizer, max_prompt_tokens, long_prompts
      )
      for split, those in problems.items()
  }
  for split, those in kept.items():
    if not those:
      raise ValueError(
          f"task {task.name!r} has no problems in split {split!r}"
          f" ({len(problems[split])} with longer prompts than"
          f" {max_prompt_tokens} tokens)"
      )
  return RunProblems(
      kept, {split: len(problems[split]) - len(kept[split]) for split in kept}
  )


def _check_distinct(problems: Mapping[str, Sequence[Problem]]) -> None:
  first, seen, shared = {}, {}, []
  for split, those in problems.items():
    for problem in those:
      if seen.setdefault(problem.id, problem) is not problem:
        raise ValueError(f"problem id {problem.id} is used twice")
      key = rows.normalize_text(problem.question)
      if not key:
        raise ValueError(
            f"problem {_name(problem)} of split {split!r} has no question:"
            " correct it, or leave it out (task.exclude, if the task has it)"
        )
      other, twin = first.setdefault(key, (split, problem))
      if other != split:
        shared.append(
            f"{_name(problem)} of {split!r} is {_name(twin)} of {other!r}"
        )
  if shared:
    raise ValueError(
        f"{len(shared)} problems are in two splits: {'; '.join(shared[:20])};"
        " leave one of each out (task.exclude, if the task has it)"
    )


def _name(problem: Problem) -> str:
  return problem.source_id or str(problem.id)


def _short_ones(
    task: Task,
    split: str,
    problems: Sequence[Problem],
    tokenizer: ConversationTokenizer,
    max_prompt_tokens: int,
    long_prompts: str,
) -> list[Problem]:
  if not problems:
    return []
  prompts = tokenizer.prompt_ids([task.first_prompt(p) for p in problems])
  longest = max(range(len(prompts)), key=lambda i: len(prompts[i]))
  may_drop = long_prompts == "drop" and split != _TEST
  if len(prompts[longest]) > max_prompt_tokens and not may_drop:
    raise ValueError(
        f"problem {_name(problems[longest])} of split {split!r} has a prompt of"
        f" {len(prompts[longest])} tokens, the limit is {max_prompt_tokens}:"
        " raise rollout.max_prompt_tokens. Problems of other splits than"
        f' {_TEST!r} may be left out with rollout.long_prompts="drop"'
    )
  return [
      problem
      for problem, ids in zip(problems, prompts, strict=True)
      if len(ids) <= max_prompt_tokens
  ]
