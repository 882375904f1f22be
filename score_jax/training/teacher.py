"""Updates of a lesson, see lessons.py."""

from score_jax import losses
from score_jax import policy
from score_jax.devices import distributed
from score_jax.devices import sharding
from score_jax.models.transformer import Params
from score_jax.rollouts import problems as problems_lib
from score_jax.text import tokenization
from score_jax.text.tokenization import PackedRows
from score_jax.training import context as context_lib
from score_jax.training import lessons
from score_jax.training import train
from score_jax.training.context import RunContext
from score_jax.training.lessons import Lesson
from score_jax.training.train import TrainState


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
    weights = (batch.labels[:, 1:] == lessons.TAUGHT).astype(logprobs.dtype)
    return losses.sft_loss(logprobs, weights), {}
