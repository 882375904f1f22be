"""Which problems a step sees: a pure function of (seed, step)."""

from collections.abc import Sequence

import numpy as np

from score_jax.tasks.task import Task
from score_jax.tokenization import ConversationTokenizer
from score_jax.types import Problem


def step_problems(
    problems: Sequence[Problem], *, seed: int, step: int, batch_size: int
) -> list[Problem]:
  """Problems of a training step; every epoch is a new permutation.

  An epoch's last problems are left out where they do not fill a batch.

  Args:
    problems: of the training split.
    seed: of the run.
    step: number of the update, from 0, over all stages.
    batch_size: B.

  Raises:
    ValueError: fewer problems than a batch has.
  """
  steps_per_epoch = len(problems) // batch_size
  if not steps_per_epoch:
    raise ValueError(
        f"there are {len(problems)} training problems, fewer than the"
        f" {batch_size} of one step"
    )
  epoch, position = divmod(step, steps_per_epoch)
  order = np.random.default_rng([seed, epoch]).permutation(len(problems))
  chosen = order[position * batch_size : (position + 1) * batch_size]
  return [problems[i] for i in chosen]


def check_problems(
    task: Task,
    splits: Sequence[str],
    tokenizer: ConversationTokenizer,
    max_prompt_tokens: int,
) -> None:
  """Refuses data that a run would trip over later.

  Raises:
    ValueError: an empty split, a problem that is in two splits, an id that is
      used twice, or a prompt longer than `max_prompt_tokens`.
  """
  split_of_question, split_of_id = {}, {}
  for split in splits:
    problems = task.problems(split)
    if not problems:
      raise ValueError(f"task {task.name!r} has no problems in split {split!r}")
    for problem in problems:
      other = split_of_question.setdefault(problem.question, split)
      if other != split:
        raise ValueError(
            f"problem {problem.id} of split {split!r} is in {other!r} too:"
            f" {problem.question!r}"
        )
      if split_of_id.setdefault(problem.id, problem) is not problem:
        raise ValueError(f"problem id {problem.id} is used twice")
    prompts = tokenizer.prompt_ids([task.first_prompt(p) for p in problems])
    longest = max(range(len(prompts)), key=lambda i: len(prompts[i]))
    if len(prompts[longest]) > max_prompt_tokens:
      raise ValueError(
          f"problem {problems[longest].id} of split {split!r} has a prompt of"
          f" {len(prompts[longest])} tokens, the limit is {max_prompt_tokens}:"
          " raise rollout.max_prompt_tokens"
      )
