"""From a batch to the loss of an objective, and from rewards to advantages.

Here an objective and the pure functions of shaping.py and losses.py meet a
model. A KL estimator is a function that scores a batch; its entry in
KL_ESTIMATORS says whether the KL is a part of the rewards.
"""

from collections.abc import Callable
import dataclasses
import functools

import jax
import jax.numpy as jnp

from score_jax import losses
from score_jax import policy
from score_jax import shaping
from score_jax.devices import sharding
from score_jax.models.config import ModelConfig
from score_jax.models.transformer import PLAIN
from score_jax.models.transformer import Execution
from score_jax.models.transformer import Params
from score_jax.objectives import Objective
from score_jax.training import train
from score_jax.training.train import LossFn
from score_jax.types import Prefix


@dataclasses.dataclass(frozen=True)
class Scoring:
  """How log-probabilities are made and reduced.

  Attributes:
    model: configuration of policy and reference.
    num_attempts: A.
    temperature: the one that the policy samples at; logits are divided by it.
    reduce: makes one value per attempt of its tokens' values.
    execution: how both models are computed.
  """

  model: ModelConfig
  num_attempts: int
  temperature: float
  reduce: shaping.Reduce
  execution: Execution = PLAIN

  def logprobs(
      self,
      params: Params,
      tokens: jax.Array,
      mask: jax.Array,
      targets: jax.Array | None = None,
      prefix: Prefix | None = None,
  ) -> jax.Array:
    """float32[R, T - 1], nats, of targets[:, 1:]: `policy.token_logprobs`."""
    return policy.token_logprobs(
        params,
        self.model,
        tokens,
        mask,
        targets=targets,
        prefix=prefix,
        temperature=self.temperature,
        execution=self.execution,
    )

  def logprobs_and_kl(
      self,
      params: Params,
      ref_params: Params,
      tokens: jax.Array,
      mask: jax.Array,
      targets: jax.Array | None = None,
      prefix: Prefix | None = None,
  ) -> tuple[jax.Array, jax.Array]:
    """Log-probabilities, and the exact KL of each next-token distribution.

    Both are float32[R, T - 1] in nats; see `policy.token_logprobs_and_kl`.
    """
    return policy.token_logprobs_and_kl(
        params,
        ref_params,
        self.model,
        tokens,
        mask,
        targets=targets,
        prefix=prefix,
        temperature=self.temperature,
        execution=self.execution,
    )

  def logprobs_by_microbatch(
      self,
      params: Params,
      tokens: jax.Array,
      mask: jax.Array,
      count: int,
      targets: jax.Array | None = None,
      prefix: Prefix | None = None,
  ) -> jax.Array:
    """`logprobs` of all rows, made in `count` pieces one after the other."""
    if count == 1:
      return self.logprobs(params, tokens, mask, targets, prefix)
    pieces = train.microbatches((tokens, mask, targets, prefix), count)
    logprobs = jax.lax.map(lambda piece: self.logprobs(params, *piece), pieces)
    logprobs = logprobs.reshape(-1, logprobs.shape[-1])
    return sharding.constrain(logprobs, "rows", None)


# (scoring, params, ref_params, batch) ->
#   float32[R, T - 1] logprobs, float32[R, A] surrogate, float32[R, A] KL, nats
Estimator = Callable[..., tuple[jax.Array, jax.Array, jax.Array]]


def _exact(scoring, params, ref_params, batch):
  logprobs, token_kl = scoring.logprobs_and_kl(
      params,
      ref_params,
      batch.tokens,
      batch.mask,
      batch.targets,
      batch.prefix,
  )
  args = batch.attempt_ids, scoring.num_attempts
  surrogate = losses.exact_kl(token_kl, logprobs, *args, reduce=scoring.reduce)
  return logprobs, surrogate, shaping.attempt_sums(token_kl, *args)


def _per_position(scoring, params, ref_params, batch):
  logprobs, token_kl = scoring.logprobs_and_kl(
      params,
      ref_params,
      batch.tokens,
      batch.mask,
      batch.targets,
      batch.prefix,
  )
  args = batch.attempt_ids, scoring.num_attempts
  surrogate = losses.per_position_kl(token_kl, *args, reduce=scoring.reduce)
  return logprobs, surrogate, shaping.attempt_sums(token_kl, *args)


def _k2(scoring, params, ref_params, batch):
  del ref_params
  logprobs = scoring.logprobs(
      params, batch.tokens, batch.mask, batch.targets, batch.prefix
  )
  args = batch.attempt_ids, scoring.num_attempts
  surrogate = losses.k2_kl(
      logprobs, batch.ref_logprobs, *args, reduce=scoring.reduce
  )
  kl = shaping.sequence_kl_k1(logprobs, batch.ref_logprobs, *args)
  return logprobs, surrogate, kl


def _k1_in_reward(scoring, params, ref_params, batch):
  del ref_params
  logprobs = scoring.logprobs(
      params, batch.tokens, batch.mask, batch.targets, batch.prefix
  )
  kl = shaping.sequence_kl_k1(
      logprobs, batch.ref_logprobs, batch.attempt_ids, scoring.num_attempts
  )
  return logprobs, jnp.zeros_like(kl), kl


@dataclasses.dataclass(frozen=True)
class KlEstimator:
  """A KL estimator, what it reads, and where its KL goes.

  Attributes:
    score: scores a batch.
    needs_ref_logprobs: whether it reads `types.TrainBatch.ref_logprobs`; if
      not, it reads the parameters of the reference policy.
    is_in_reward: whether the KL is subtracted from the rewards, and not added
      to the loss.
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
    objective: Objective, estimator: KlEstimator, scoring: Scoring
) -> LossFn:
  """Makes the loss of an objective, in the form of `train.LossFn`.

  Returns:
    (params, ref_params, TrainBatch) -> (loss, metrics), where the metrics are
    the KL of each attempt in nats, `kl_t1`, `kl_t2`, ...
  """

  def loss_fn(params, ref_params, batch):
    logprobs, surrogate, kl = estimator.score(
        scoring, params, ref_params, batch
    )
    loss = objective.loss(
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
    jax.jit, static_argnames=("objective", "corrections_per_attempt")
)
def advantages(
    objective: Objective,
    rewards: jax.Array,
    sequence_kl: jax.Array | None,
    sequence_logprobs: jax.Array,
    corrections_per_attempt: int = 1,
) -> jax.Array:
  """Makes advantages: shapes the rewards, then subtracts a leave-one-out mean.

  Args:
    objective: shapes the rewards.
    rewards: float32[B, K, A], 1 where the attempt is correct, else 0.
    sequence_kl: float32[R, A], nats, where the KL is in the reward; None where
      it is a term of the loss.
    sequence_logprobs: float32[R, A], nats, of each attempt when it was sampled.
    corrections_per_attempt: K2; above 1 the baseline of the second attempt is
      conditional on the first, see `shaping.conditional_leave_one_out`.

  Returns:
    float32[R, A].

  Raises:
    ValueError: too few samples of a problem, or K2 does not fit K or A.
  """
  if sequence_kl is None:
    sequence_kl = jnp.zeros_like(rewards)
  shaped = objective.shaped_rewards(
      rewards,
      sequence_kl.reshape(rewards.shape),
      sequence_logprobs.reshape(rewards.shape),
  )
  if corrections_per_attempt == 1:
    result = shaping.leave_one_out(shaped)
  else:
    result = shaping.conditional_leave_one_out(shaped, corrections_per_attempt)
  return result.reshape(-1, rewards.shape[-1])


@functools.partial(jax.jit, static_argnames=("num_attempts", "reduce"))
def sequence_logprobs(
    behaviour_logprobs: jax.Array,
    attempt_ids: jax.Array,
    num_attempts: int,
    reduce: shaping.Reduce,
) -> jax.Array:
  """Makes the log-probability of each attempt when it was sampled.

  Args:
    behaviour_logprobs: float32[R, T], nats, recorded by the sampler.
    attempt_ids: int32[R, T], attempt of each trained token, 0 elsewhere.
    num_attempts: A.
    reduce: makes one value per attempt of its tokens' values.

  Returns:
    float32[R, A], nats.
  """
  return reduce(behaviour_logprobs[:, 1:], attempt_ids, num_attempts)


@functools.partial(jax.jit, static_argnames=("num_attempts", "reduce"))
def reward_kl(
    behaviour_logprobs: jax.Array,
    ref_logprobs: jax.Array,
    attempt_ids: jax.Array,
    num_attempts: int,
    reduce: shaping.Reduce,
) -> jax.Array:
  """Makes the KL that is subtracted from rewards: `shaping.sequence_kl_k1`.

  Args:
    behaviour_logprobs: float32[R, T], nats, recorded by the sampler.
    ref_logprobs: float32[R, T - 1], nats, of targets[:, 1:].
    attempt_ids: int32[R, T], attempt of each trained token, 0 elsewhere.
    num_attempts: A.
    reduce: makes one value per attempt of its tokens' values.

  Returns:
    float32[R, A], nats.
  """
  return shaping.sequence_kl_k1(
      behaviour_logprobs[:, 1:],
      ref_logprobs,
      attempt_ids,
      num_attempts,
      reduce=reduce,
  )
