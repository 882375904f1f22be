"""Lessons by imitation, which make a base model out of a pretrained one.

Reinforcement learning selects among what a model does now and then. Three
lessons bring a pretrained model so far, on the task's own problems:

1. answers: the right first attempt;
2. corrections: the right second attempt, behind the model's own first one;
3. habit: second attempts of which most repeat the first, and the others are
   right.

So the result can correct itself and, greedily, repeats itself.

Every update is a function of the parameters, of the warm-up's seed and of its
own number: a lesson that goes on from a checkpoint ends with the same bits.
"""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses

import numpy as np

from score_jax import losses
from score_jax import policy
from score_jax.devices import distributed
from score_jax.devices import sharding
from score_jax.models.transformer import Params
from score_jax.rollouts import problems as problems_lib
from score_jax.rollouts import rollout
from score_jax.rollouts.rollout import Collector
from score_jax.settings import LessonSettings
from score_jax.text import tokenization
from score_jax.text.tokenization import PackedRows
from score_jax.training import context as context_lib
from score_jax.training import train
from score_jax.training.context import RunContext
from score_jax.training.train import TrainState
from score_jax.types import Conversations
from score_jax.types import Problem

# Pieces of a conversation: ids, and whether the model is taught to write them.
Pieces = list[tuple[Sequence[int], int]]
_CONTEXT, _TAUGHT = 0, 1
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
  """The lessons of a run's warm-up, in their order."""
  warmup, spec = context.settings.warmup, context.spec
  one_attempt = dataclasses.replace(spec, num_attempts=1)

  def answers(params, problems, step):
    del params, step
    return answer_rows(context, problems)

  return (
      Lesson("answers", 0, warmup.answers, answers, one_attempt.max_tokens),
      _behind_own_attempts(context, "corrections", 1, warmup.corrections, 0.0),
      _behind_own_attempts(
          context, "habit", 2, warmup.habit, warmup.copy_fraction
      ),
  )


def _behind_own_attempts(
    context: RunContext,
    name: str,
    number: int,
    settings: LessonSettings,
    copy_fraction: float,
) -> Lesson:
  """A lesson of second attempts, of which some repeat the first."""
  collector = context.lesson_collector(settings.batch_size)
  seed = context.settings.warmup.seed

  def rows(params, problems, step):
    # A key of its own for each lesson: their steps have the same numbers.
    occasion = step + number * _MAX_STEPS
    copy = context.placement.copy(params)
    firsts = own_attempts(copy, collector, problems, occasion)
    rng = np.random.default_rng([seed, number, step])
    is_copy = rng.random(len(problems)) < copy_fraction
    return correction_rows(context, problems, firsts, is_copy)

  columns = dataclasses.replace(context.spec, num_attempts=2).max_tokens
  return Lesson(name, number, settings, rows, columns)


def answer_rows(
    context: RunContext, problems: Sequence[Problem]
) -> list[Pieces]:
  """Right first attempts."""
  prompts = _prompts(context, problems)
  answers = _demonstrations(context, problems, attempt=1)
  return [
      [(prompt, _CONTEXT), (answer, _TAUGHT)]
      for prompt, answer in zip(prompts, answers, strict=True)
  ]


@dataclasses.dataclass(frozen=True)
class OwnAttempts:
  """First attempts that the model has sampled.

  Attributes:
    ids: tokens of each, as later turns read it, end of turn included.
    is_whole: whether each ended within its limit.
    is_right: whether each is right.
  """

  ids: Sequence[Sequence[int]]
  is_whole: Sequence[bool]
  is_right: Sequence[bool]


def own_attempts(
    params: Params,
    collector: Collector,
    problems: Sequence[Problem],
    step: int,
) -> OwnAttempts:
  """Samples one first attempt at each problem.

  Args:
    params: policy to sample from, as made by `decoding.make_copy`.
    collector: of conversations of one attempt.
    problems: the problems.
    step: number of the update, which decides the random keys.
  """
  conversations = rollout.sample(params, collector, problems, step)
  graded = rollout.grade(collector.task, conversations)
  return OwnAttempts(
      ids=_ended(conversations, collector.tokenizer.eos_id),
      is_whole=(~conversations.is_truncated.reshape(-1)).tolist(),
      is_right=(graded.rewards.reshape(-1) > 0).tolist(),
  )


def _ended(conversations: Conversations, eos_id: int) -> list[list[int]]:
  """The only attempt of each conversation, closed where it was cut off."""
  c = conversations
  rows = zip(c.tokens, c.attempt_ids, c.is_truncated.reshape(-1), strict=True)
  return [
      tokens[ids == 1].tolist() + [eos_id] * bool(is_truncated)
      for tokens, ids, is_truncated in rows
  ]


def correction_rows(
    context: RunContext,
    problems: Sequence[Problem],
    firsts: OwnAttempts,
    is_copy: Sequence[bool],
) -> list[Pieces]:
  """Second attempts behind first ones of the model.

  A first attempt that is right is taught too, so that the model does not forget
  lesson 1. One that was cut off is neither taught nor repeated.

  Args:
    context: the run's context.
    problems: the problems.
    firsts: the first attempt at each problem.
    is_copy: whether each second attempt repeats the first, or is right.
  """
  prompts = _prompts(context, problems)
  right = _demonstrations(context, problems, attempt=2)
  turn = context.spec.turn_ids
  is_taught = np.logical_and(firsts.is_right, firsts.is_whole).tolist()
  is_repeated = np.logical_and(is_copy, firsts.is_whole).tolist()
  columns = prompts, firsts.ids, is_taught, right, is_repeated
  return [
      [
          (prompt, _CONTEXT),
          (first, _TAUGHT if teaches else _CONTEXT),
          (turn, _CONTEXT),
          (first if repeats else second, _TAUGHT),
      ]
      for prompt, first, teaches, second, repeats in zip(*columns, strict=True)
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


class Teacher:
  """Makes the updates of one lesson.

  The loss is the mean over conversations of the negative log-likelihood of what
  is taught, a sum over tokens.
  """

  def __init__(self, context: RunContext, lesson: Lesson):
    """Prepares a lesson."""
    self._context = context
    self._lesson = lesson
    self._execution = context_lib.execution(context.settings)
    settings = context.settings.train
    self._optimizer = context_lib.optimizer(lesson.settings.optimizer, settings)
    self._update = train.make_train_step(
        self._loss,
        self._optimizer,
        num_microbatches=settings.num_microbatches,
        param_shardings=context.placement.params,
    )

  @property
  def name(self) -> str:
    """Name of the lesson."""
    return self._lesson.name

  def init_state(self, params: Params) -> TrainState:
    """A state with a fresh optimizer; its first update donates `params`."""
    with sharding.use(self._context.placement.mesh):
      return train.init_train_state(
          params, self._optimizer, self._context.placement.params
      )

  def step(
      self, state: TrainState, step: int
  ) -> tuple[TrainState, dict[str, float]]:
    """Makes one update.

    Args:
      state: training state before the update; donated.
      step: number of updates of this lesson so far.

    Returns:
      The new state, and scalars by name.
    """
    context, lesson = self._context, self._lesson
    problems = problems_lib.step_problems(
        context.problems.splits["train"],
        seed=context.settings.warmup.seed + lesson.number,
        step=step,
        batch_size=lesson.settings.batch_size,
    )
    rows = lesson.rows(state.params, problems, step)
    pad_id, place = context.base.tokenizer.pad_id, context.placement.rows
    packed = tokenization.pack_rows(rows, lesson.columns, pad_id)
    with sharding.use(context.placement.mesh):
      batch = PackedRows(*(place(array) for array in packed))
      state, metrics = self._update(state, None, batch)
    metrics = distributed.to_host(metrics)
    return state, {f"train/{k}": float(v) for k, v in metrics.items()}

  def _loss(self, params, ref_params, batch: PackedRows):
    del ref_params
    logprobs = policy.token_logprobs(
        params,
        self._context.base.config,
        batch.tokens,
        batch.mask,
        execution=self._execution,
    )
    weights = (batch.labels[:, 1:] == _TAUGHT).astype(logprobs.dtype)
    return losses.sft_loss(logprobs, weights), {}
