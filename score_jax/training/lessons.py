"""Lessons by imitation, which make a base model out of a pretrained one.

Reinforcement learning selects among what a model does now and then. Three
lessons bring a pretrained model so far, on the task's own problems:

1. answers: the right first attempt;
2. corrections: the right second attempt, behind wrong first ones of the model;
3. habit: second attempts behind first ones of the model, which mostly repeat
   them, and are right otherwise.

A quarter of the problems of lessons 2 and 3 repeats lesson 1. The result can
correct itself and, greedily, repeats itself.

Every update is a function of the parameters, of the warm-up's seed and of its
own number: a lesson that goes on from a checkpoint ends with the same bits.
"""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
from typing import NamedTuple

import numpy as np

from score_jax.models.transformer import Params
from score_jax.rollouts import rollout
from score_jax.settings import LessonSettings
from score_jax.training.context import RunContext
from score_jax.types import Problem

# Pieces of a conversation: ids, and whether the model is taught to write them.
Pieces = list[tuple[Sequence[int], int]]
_CONTEXT, TAUGHT = 0, 1
# Of the problems of the later lessons: those that repeat lesson 1.
_ANSWER_FRACTION = 0.25
# First attempts at a problem, among which a wrong one is looked for.
_CORRECTION_SAMPLES = 4
# Keys of a lesson's samples count on from so many times its number.
_MAX_STEPS = 10**6

# (the policy's parameters, problems, number of the update) -> conversations
_Rows = Callable[[Params, Sequence[Problem], int], list[Pieces]]


@dataclasses.dataclass(frozen=True)
class Lesson:
  """What is taught.

  Attributes:
    name: name in checkpoints and records.
    number: from 0; different lessons see the problems in different orders.
    settings: size of the lesson.
    rows: makes the conversations of an update.
    columns: length of the longest one, in tokens.
  """

  name: str
  number: int
  settings: LessonSettings
  rows: _Rows
  columns: int


def lessons(context: RunContext) -> tuple[Lesson, Lesson, Lesson]:
  """The lessons of a run's warm-up, in their order.

  Raises:
    ValueError: a right attempt is longer than attempts may be.
  """
  # Before the first lesson: the last one may begin after hours.
  for attempt in (1, 2):
    _demonstrations(context, context.problems.splits["train"], attempt)
  warmup, spec = context.settings.warmup, context.spec
  one_attempt = dataclasses.replace(spec, num_attempts=1).max_tokens
  two_attempts = dataclasses.replace(spec, num_attempts=2).max_tokens

  def answers(params, problems, step):
    del params, step
    return answer_rows(context, problems)

  def corrections(params, problems, step):
    known, asked = _cut(problems)
    firsts = own_attempts(
        context, params, asked, (1, step), _CORRECTION_SAMPLES
    )
    return answer_rows(context, known) + correction_rows(context, asked, firsts)

  def habit(params, problems, step):
    known, asked = _cut(problems)
    firsts = own_attempts(context, params, asked, (2, step), 1)
    rng = np.random.default_rng([warmup.seed, step])
    is_copy = rng.random(len(asked)) < warmup.copy_fraction
    return answer_rows(context, known) + habit_rows(
        context, asked, firsts, is_copy
    )

  return (
      Lesson("answers", 0, warmup.answers, answers, one_attempt),
      Lesson("corrections", 1, warmup.corrections, corrections, two_attempts),
      Lesson("habit", 2, warmup.habit, habit, two_attempts),
  )


def _cut(
    problems: Sequence[Problem],
) -> tuple[Sequence[Problem], Sequence[Problem]]:
  """Problems whose first attempts are taught, and those of second attempts."""
  count = round(_ANSWER_FRACTION * len(problems))
  return problems[:count], problems[count:]


def answer_rows(
    context: RunContext, problems: Sequence[Problem]
) -> list[Pieces]:
  """Right first attempts."""
  prompts = _prompts(context, problems)
  answers = _demonstrations(context, problems, attempt=1)
  return [
      [(prompt, _CONTEXT), (answer, TAUGHT)]
      for prompt, answer in zip(prompts, answers, strict=True)
  ]


class FirstAttempt(NamedTuple):
  """A first attempt of the model.

  Attributes:
    ids: its tokens, as later turns read it, end of turn included.
    is_whole: whether it ended within its limit.
    is_right: whether it is right.
  """

  ids: list[int]
  is_whole: bool
  is_right: bool


def own_attempts(
    context: RunContext,
    params: Params,
    problems: Sequence[Problem],
    occasion: tuple[int, int],
    samples: int,
) -> list[list[FirstAttempt]]:
  """Samples first attempts, `samples` of each problem.

  Args:
    context: the run's context.
    params: the policy's parameters, in the layout of training.
    problems: the problems.
    occasion: numbers of lesson and update, which decide the random keys.
    samples: attempts at each problem.
  """
  collector = context.lesson_collector(len(problems), samples)
  lesson, step = occasion
  sampled = rollout.sample(
      context.placement.copy(params),
      collector,
      problems,
      # A key of its own for each lesson: their steps have the same numbers.
      step + lesson * _MAX_STEPS,
  )
  graded = rollout.grade(collector.task, sampled)
  attempts = [
      _first_attempt(*row, collector.tokenizer.eos_id)
      for row in zip(
          sampled.tokens,
          sampled.attempt_ids,
          sampled.is_truncated.reshape(-1),
          graded.rewards.reshape(-1),
          strict=True,
      )
  ]
  return [attempts[i : i + samples] for i in range(0, len(attempts), samples)]


def _first_attempt(
    tokens: np.ndarray,
    attempt_ids: np.ndarray,
    is_truncated: bool,
    reward: float,
    eos_id: int,
) -> FirstAttempt:
  """The only attempt of a conversation, closed where it was cut off."""
  ids = tokens[attempt_ids == 1].tolist()
  closing = [eos_id] if is_truncated else []
  return FirstAttempt(ids + closing, not is_truncated, reward > 0)


def correction_rows(
    context: RunContext,
    problems: Sequence[Problem],
    firsts: Sequence[Sequence[FirstAttempt]],
) -> list[Pieces]:
  """Right second attempts behind wrong first ones.

  Behind a right one, to repeat its answer would be right too. Where all of a
  problem's attempts are right, the first of them is taught instead.

  Args:
    context: the run's context.
    problems: the problems.
    firsts: attempts at each problem.
  """
  prompts = _prompts(context, problems)
  seconds = _demonstrations(context, problems, attempt=2)
  rows = []
  for prompt, those, second in zip(prompts, firsts, seconds, strict=True):
    wrong = [first for first in those if not first.is_right]
    if wrong:
      rows.append(_conversation(context, prompt, wrong[0], second))
    else:
      rows.append([(prompt, _CONTEXT), (those[0].ids, TAUGHT)])
  return rows


def habit_rows(
    context: RunContext,
    problems: Sequence[Problem],
    firsts: Sequence[Sequence[FirstAttempt]],
    is_copy: Sequence[bool],
) -> list[Pieces]:
  """Second attempts that repeat the first, or are right.

  Args:
    context: the run's context.
    problems: the problems.
    firsts: attempts at each problem, of which the first one is taken.
    is_copy: whether each second attempt repeats the first. One that was cut off
      is not repeated.
  """
  prompts = _prompts(context, problems)
  seconds = _demonstrations(context, problems, attempt=2)
  columns = prompts, firsts, seconds, is_copy
  rows = []
  for prompt, (first, *_), second, repeats in zip(*columns, strict=True):
    written = first.ids if repeats and first.is_whole else second
    rows.append(_conversation(context, prompt, first, written))
  return rows


def _conversation(
    context: RunContext,
    prompt: Sequence[int],
    first: FirstAttempt,
    second: Sequence[int],
) -> Pieces:
  """Two attempts, of which the second is taught."""
  return [
      (prompt, _CONTEXT),
      (first.ids, _CONTEXT),
      (context.spec.turn_ids, _CONTEXT),
      (second, TAUGHT),
  ]


def _prompts(
    context: RunContext, problems: Sequence[Problem]
) -> list[list[int]]:
  texts = [context.task.first_prompt(problem) for problem in problems]
  return context.base.tokenizer.prompt_ids(texts)


def _demonstrations(
    context: RunContext, problems: Sequence[Problem], attempt: int
) -> list[list[int]]:
  """Ids of right attempts, end of turn included.

  Raises:
    ValueError: one is longer than the attempt may be.
  """
  texts = [context.task.demonstration(p, attempt) for p in problems]
  attempts = [context.base.tokenizer.attempt_ids(text) for text in texts]
  limit = context.spec.limits(attempt)[-1]
  for text, ids in zip(texts, attempts, strict=True):
    if len(ids) > limit:
      raise ValueError(
          f"the right attempt {text!r} has {len(ids)} tokens, attempt {attempt}"
          f" may have {limit}: raise rollout.max_new_tokens"
      )
  return attempts
