"""The noise of a policy gradient: corrections that share a first attempt.

At a fixed policy and for each number of corrections per first attempt, the
gradient of the Stage II objective is taken on batches of fresh conversations,
as many in each batch whatever that number, at equal problems.

The reference policy is the policy itself: all KL terms are zero, and what is
measured is the gradient of the rewards. The gradients of one estimator, 8 bytes
per parameter and batch, are kept in memory.
"""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
import functools
from typing import Any

import jax
from jax.flatten_util import ravel_pytree
import jax.numpy as jnp
import numpy as np

from score_jax import losses
from score_jax import shaping
from score_jax.evaluate import gradient_variance
from score_jax.models import hf_files
from score_jax.models.transformer import Params
from score_jax.output.progress import work_progress
from score_jax.rollouts.rollout import Collector
from score_jax.settings import RunSettings
from score_jax.tasks.task import Task
from score_jax.training import context as context_lib
from score_jax.training import phases as phases_lib
from score_jax.training import reinforce
from score_jax.training import train
from score_jax.training.context import RunContext
from score_jax.types import TrainBatch

PLAIN, PLAIN_WITHOUT_R1 = "corrections_1", "corrections_1_without_r1"


@dataclasses.dataclass(frozen=True)
class Estimator:
  """One way to estimate the gradient of Stage II.

  Attributes:
    corrections: K2, corrections that share a first attempt.
    advantages: rewards float32[B, K, 2] -> advantages of that shape.
  """

  corrections: int
  advantages: Callable[[jax.Array], jax.Array]


def check(
    settings: RunSettings, num_batches: int, corrections: Sequence[int]
) -> None:
  """Refuses what cannot be measured.

  Raises:
    ValueError: with what to change.
  """
  if num_batches < 2:
    raise ValueError(f"num_batches is {num_batches}, expected 2 or more")
  if settings.mesh is not None:
    raise ValueError("config.mesh is given; set it to None: one device is used")
  rollouts = settings.rollout
  if rollouts.num_attempts != 2:
    raise ValueError(
        f"rollout.num_attempts is {rollouts.num_attempts}, expected 2"
    )
  for count in corrections:
    shaping.conditional_leave_one_out(
        jnp.zeros((1, rollouts.samples_per_problem, 2)), count
    )


def measure(
    settings: RunSettings,
    task: Task,
    checkpoint: str,
    num_batches: int,
    corrections: Sequence[int],
) -> dict[str, Any]:
  """Measures the gradients of a policy.

  Args:
    settings: of a run, see `check`.
    task: prompts and grades.
    checkpoint: policy, a Hugging Face directory or the id of a model on the
      hub.
    num_batches: batches per estimator.
    corrections: numbers of corrections per first attempt, above 1.

  Returns:
    `checkpoint`, `num_batches`, `conversations_per_batch` and `estimators`, see
    `gradient_variance.compare`.

  Raises:
    ValueError: task, settings and checkpoint do not go together.
  """
  base = context_lib.read_base(settings, hf_files.resolve(checkpoint))
  context = RunContext.open(settings, task, base, ["train"])
  grams = _all_grams(context, num_batches, corrections)
  return {
      "checkpoint": checkpoint,
      "num_batches": num_batches,
      "conversations_per_batch": settings.rollout.rows,
      "estimators": gradient_variance.compare(grams, PLAIN),
  }


def _estimators(
    bonus_coef: float, corrections: Sequence[int]
) -> dict[str, Estimator]:
  """By name: plain leave-one-out, without -alpha r_1, and conditional ones."""
  shape = functools.partial(_stage2_rewards, bonus_coef=bonus_coef)

  def plain(rewards):
    return shaping.leave_one_out(shape(rewards))

  def without_r1(rewards):
    shaped = shaping.stage2_scaled_rewards(
        rewards, jnp.zeros_like(rewards), kl_coef=0.0, bonus_coef=bonus_coef
    )
    return shaping.leave_one_out(shaped)

  def conditional(rewards, count):
    return shaping.conditional_leave_one_out(shape(rewards), count)

  return {
      PLAIN: Estimator(1, plain),
      PLAIN_WITHOUT_R1: Estimator(1, without_r1),
  } | {
      f"corrections_{count}": Estimator(
          count, functools.partial(conditional, count=count)
      )
      for count in corrections
  }


def _all_grams(
    context: RunContext, num_batches: int, corrections: Sequence[int]
) -> dict[str, dict[str, np.ndarray]]:
  """By estimator: what `gradient_variance.gram` makes of batches' gradients."""
  params = context.load_base()
  phase = phases_lib.score(context.settings)[-1]
  estimators = _estimators(phase.objective.bonus_coef, corrections)
  gradient = _gradient_program(context)
  grams = {}
  with work_progress("Gradients", num_batches * len(estimators)) as advance:
    for name, estimator in estimators.items():
      collector = _collector(context, estimator.corrections)
      parts = []
      for step in range(num_batches):
        rollouts = reinforce.sample_step(context, collector, params, step)
        conversations = rollouts.conversations
        advantages = estimator.advantages(jnp.asarray(rollouts.rewards))
        batch = TrainBatch(
            tokens=jnp.asarray(conversations.tokens),
            mask=jnp.asarray(conversations.mask),
            attempt_ids=jnp.asarray(conversations.attempt_ids),
            advantages=advantages.reshape(-1, 2),
            targets=jnp.asarray(conversations.targets),
        )
        parts.append(jax.device_get(gradient(params, batch)))
        advance()
      first, second = map(np.stack, zip(*parts, strict=True))
      grams[name] = {
          "attempt_2": gradient_variance.gram(second),
          "all": gradient_variance.gram(first + second),
      }
  return grams


def _collector(context: RunContext, corrections: int) -> Collector:
  """What collects the conversations of an estimator."""
  phase = dataclasses.replace(
      phases_lib.score(context.settings)[-1],
      corrections_per_attempt=corrections,
  )
  return dataclasses.replace(
      context.training_collector(phase),
      key=jax.random.key(context.settings.seed),
  )


def _stage2_rewards(rewards: jax.Array, bonus_coef: float) -> jax.Array:
  return shaping.stage2_rewards(
      rewards, jnp.zeros_like(rewards), kl_coef=0.0, bonus_coef=bonus_coef
  )


def _gradient_program(
    context: RunContext,
) -> Callable[[Params, TrainBatch], tuple[jax.Array, jax.Array]]:
  """(params, batch) -> gradients float32[P] of attempt 1 and of attempt 2."""
  scoring = context.scoring(num_attempts=2)
  pieces = context.settings.train.num_microbatches

  def loss(params, batch, attempt):
    return losses.reinforce_loss(
        scoring.logprobs(params, batch.tokens, batch.mask, batch.targets),
        jnp.where(batch.attempt_ids == attempt, attempt, 0),
        batch.advantages,
        reduce=scoring.reduce,
    )

  def gradient(params, batch, attempt):
    def add(total, piece):
      found = jax.grad(loss)(params, piece, attempt)
      return total + ravel_pytree(found)[0].astype(jnp.float32), None

    start = jnp.zeros(sum(p.size for p in jax.tree.leaves(params)))
    total, _ = jax.lax.scan(add, start, train.microbatches(batch, pieces))
    return total / pieces

  return jax.jit(lambda p, b: (gradient(p, b, 1), gradient(p, b, 2)))
