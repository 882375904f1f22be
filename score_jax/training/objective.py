"""Stage objectives: which rewards, which KL estimator, which loss.

Here the pure functions of shaping.py and losses.py meet a model. A KL estimator
is a function that scores a batch; which of them also needs the KL inside of the
rewards is said by its entry in `KL_ESTIMATORS`.
"""

from collections.abc import Callable
import dataclasses
import functools

import jax
import jax.numpy as jnp

from score_jax import losses
from score_jax import policy
from score_jax import shaping
from score_jax.models.config import ModelConfig
from score_jax.models.transformer import PLAIN
from score_jax.models.transformer import Execution
from score_jax.training.train import LossFn
from score_jax.types import TrainBatch


@dataclasses.dataclass(frozen=True)
class Stage1:
  """Coefficients of Stage I; see `shaping.stage1_rewards`."""

  kl_coef: float
  first_attempt_kl_coef: float
  num_anchored: int

  def rewards(self, rewards: jax.Array, sequence_kl: jax.Array) -> jax.Array:
    """Shaped rewards float32[..., A]."""
    return shaping.stage1_rewards(
        rewards, sequence_kl, **dataclasses.asdict(self)
    )

  def loss(self, *args: jax.Array, reduce: losses.Reduce) -> jax.Array:
    """Loss of (logprobs, attempt_ids, advantages, kl)."""
    return losses.stage1_loss(*args, **dataclasses.asdict(self), reduce=reduce)


@dataclasses.dataclass(frozen=True)
class Stage2:
  """Coefficients of Stage II; see `shaping.stage2_rewards`."""

  kl_coef: float
  bonus_coef: float

  def rewards(self, rewards: jax.Array, sequence_kl: jax.Array) -> jax.Array:
    """Shaped rewards float32[..., A]."""
    return shaping.stage2_rewards(
        rewards, sequence_kl, **dataclasses.asdict(self)
    )

  def loss(self, *args: jax.Array, reduce: losses.Reduce) -> jax.Array:
    """Loss of (logprobs, attempt_ids, advantages, kl)."""
    return losses.stage2_loss(*args, kl_coef=self.kl_coef, reduce=reduce)


@dataclasses.dataclass(frozen=True)
class Scoring:
  """How log-probabilities are made and reduced.

  Attributes:
    model: configuration of policy and reference.
    num_attempts: A.
    temperature: of the policy, the one that it is sampled at.
    chunk: positions whose logits are alive at once.
    reduce: over the tokens of an attempt.
    execution: how both models are computed.
  """

  model: ModelConfig
  num_attempts: int
  temperature: float
  chunk: int
  reduce: losses.Reduce
  execution: Execution = PLAIN

  def logprobs(self, params, batch: TrainBatch) -> jax.Array:
    """float32[R, T - 1] of tokens[:, 1:]."""
    return policy.token_logprobs(
        params,
        self.model,
        batch.tokens,
        batch.mask,
        temperature=self.temperature,
        chunk=self.chunk,
        execution=self.execution,
    )

  def logprobs_and_kl(self, params, ref_params, batch: TrainBatch):
    """The same, and the exact KL of each next-token distribution."""
    return policy.token_logprobs_and_kl(
        params,
        ref_params,
        self.model,
        batch.tokens,
        batch.mask,
        temperature=self.temperature,
        chunk=self.chunk,
        execution=self.execution,
    )


# (scoring, params, ref_params, batch) ->
#   float32[R, T - 1] logprobs, float32[R, A] surrogate, float32[R, A] KL, nats
Estimator = Callable[..., tuple[jax.Array, jax.Array, jax.Array]]


def _exact(scoring, params, ref_params, batch):
  logprobs, token_kl = scoring.logprobs_and_kl(params, ref_params, batch)
  args = batch.attempt_ids, scoring.num_attempts
  surrogate = losses.exact_kl(token_kl, logprobs, *args, reduce=scoring.reduce)
  return logprobs, surrogate, shaping.attempt_sums(token_kl, *args)


def _per_position(scoring, params, ref_params, batch):
  logprobs, token_kl = scoring.logprobs_and_kl(params, ref_params, batch)
  args = batch.attempt_ids, scoring.num_attempts
  surrogate = losses.per_position_kl(token_kl, *args, reduce=scoring.reduce)
  return logprobs, surrogate, shaping.attempt_sums(token_kl, *args)


def _k2(scoring, params, ref_params, batch):
  del ref_params
  logprobs = scoring.logprobs(params, batch)
  args = batch.attempt_ids, scoring.num_attempts
  surrogate = losses.k2_kl(
      logprobs, batch.ref_logprobs, *args, reduce=scoring.reduce
  )
  kl = shaping.sequence_kl_k1(logprobs, batch.ref_logprobs, *args)
  return logprobs, surrogate, kl


def _k1_in_reward(scoring, params, ref_params, batch):
  del ref_params
  logprobs = scoring.logprobs(params, batch)
  kl = shaping.sequence_kl_k1(
      logprobs, batch.ref_logprobs, batch.attempt_ids, scoring.num_attempts
  )
  return logprobs, jnp.zeros_like(kl), kl


@dataclasses.dataclass(frozen=True)
class KlEstimator:
  """An estimator and what it wants to be given.

  Attributes:
    score: scores a batch.
    needs_ref_logprobs: reads `TrainBatch.ref_logprobs`.
    is_in_reward: the KL is subtracted from the rewards, not added to the loss.
  """

  score: Estimator
  needs_ref_logprobs: bool
  is_in_reward: bool


KL_ESTIMATORS = {
    # The paper's way (REINFORCE with the KL in the reward): unbiased.
    "k1_in_reward": KlEstimator(_k1_in_reward, True, True),
    # Full vocabulary, differentiated, with the score-function term: unbiased.
    "exact": KlEstimator(_exact, False, False),
    # Sampled tokens alone, with the same term: unbiased.
    "k2": KlEstimator(_k2, True, False),
    # Full vocabulary without that term: biased for sequences.
    "per_position": KlEstimator(_per_position, False, False),
}

TOKEN_REDUCTIONS = {
    "sum": shaping.attempt_sums,  # the paper's objective
    "mean": shaping.attempt_means,
}


def make_loss_fn(
    stage: Stage1 | Stage2, estimator: KlEstimator, scoring: Scoring
) -> LossFn:
  """The loss of a stage as `train.make_train_step` takes it.

  Returns:
    (params, ref_params, TrainBatch) -> (loss, metrics), where the metrics are
    the KL of each attempt in nats, `kl_t1`, `kl_t2`, ...
  """

  def loss_fn(params, ref_params, batch):
    logprobs, surrogate, kl = estimator.score(
        scoring, params, ref_params, batch
    )
    loss = stage.loss(
        logprobs,
        batch.attempt_ids,
        batch.advantages,
        surrogate,
        reduce=scoring.reduce,
    )
    means = jax.lax.stop_gradient(jnp.mean(kl, axis=0))
    metrics = {f"kl_t{i + 1}": means[i] for i in range(scoring.num_attempts)}
    return loss, metrics

  return loss_fn


@functools.partial(
    jax.jit,
    static_argnames=(
        "stage",
        "is_in_reward",
        "reduce",
        "corrections_per_attempt",
    ),
)
def advantages(
    stage: Stage1 | Stage2,
    rewards: jax.Array,
    batch: TrainBatch,
    behaviour_logprobs: jax.Array,
    *,
    is_in_reward: bool,
    reduce: losses.Reduce,
    corrections_per_attempt: int = 1,
) -> jax.Array:
  """Raw rewards -> shaped rewards -> leave-one-out advantages.

  Args:
    stage: whose rewards.
    rewards: float32[B, K, A].
    batch: its ref_logprobs are read where the KL is in the reward.
    behaviour_logprobs: float32[R, T], nats, recorded by the sampler.
    is_in_reward: subtract the k1 estimate of each attempt's KL.
    reduce: over the tokens of an attempt.
    corrections_per_attempt: K2; above 1 the baseline of the second attempt is
      conditional on the first, see `shaping.conditional_leave_one_out`.

  Returns:
    float32[R, A].

  Raises:
    ValueError: too few samples, or K2 does not fit, as the two baselines say.
  """
  sequence_kl = jnp.zeros_like(rewards)
  if is_in_reward:
    difference = behaviour_logprobs[:, 1:] - batch.ref_logprobs
    sequence_kl = reduce(
        difference, batch.attempt_ids, rewards.shape[-1]
    ).reshape(rewards.shape)
  shaped = stage.rewards(rewards, sequence_kl)
  if corrections_per_attempt == 1:
    result = shaping.leave_one_out(shaped)
  else:
    result = shaping.conditional_leave_one_out(shaped, corrections_per_attempt)
  return result.reshape(-1, rewards.shape[-1])
