"""Losses of Stage I and Stage II, and estimators of the KL, on arrays alone.

Paper: arXiv 2409.12917. A loss is the negated objective, a mean over episodes
of sums over attempts of sums over tokens. Nothing here knows a model. In the
formulas, sg[.] stops the gradient.

The KL estimators return float32[R, A] surrogates whose gradient, in expectation
over sampled attempts, is that of KL(pi || pi_ref) of each attempt given its
context. The values of surrogates mean nothing; report `shaping.sequence_kl_k1`
or the sum of exact per-token KLs instead. "Unbiased" holds for sums over
tokens: a mean over an attempt's tokens is another objective, and the gradient
through the attempt's length is then left out.
"""

import chex
import jax
import jax.numpy as jnp

from score_jax import shaping

Reduce = shaping.Reduce


def reinforce_loss(
    logprobs: jax.Array,
    attempt_ids: jax.Array,
    advantages: jax.Array,
    *,
    reduce: Reduce = shaping.attempt_sums,
) -> jax.Array:
  """REINFORCE: -mean over episodes of sum_i A_i sum_t log pi(y_{i,t} | .).

  Strictly on-policy: the attempts must have been sampled from the policy that
  `logprobs` differentiates. That cannot be checked here.

  Args:
    logprobs: float32[R, T - 1], nats, of tokens[:, 1:]; receives the gradient.
    attempt_ids: int32[R, T], attempt of each token (from 1), 0 elsewhere.
    advantages: float32[R, A]; no gradient.
    reduce: makes one value per attempt; the sum is the paper's.

  Returns:
    float32[].
  """
  chex.assert_rank([logprobs, attempt_ids, advantages], 2)
  chex.assert_type([logprobs, advantages], float)
  advantages = jax.lax.stop_gradient(advantages)
  totals = reduce(logprobs, attempt_ids, advantages.shape[1])
  return -jnp.mean(jnp.sum(advantages * totals, axis=1))


def stage1_loss(
    logprobs: jax.Array,
    attempt_ids: jax.Array,
    advantages: jax.Array,
    kl: jax.Array,
    *,
    kl_coef: float,
    first_attempt_kl_coef: float,
    num_anchored: int,
    reduce: Reduce = shaping.attempt_sums,
) -> jax.Array:
  """Stage I (Eq. 3): raise r_2 while the first attempt is held to the base.

    -E[ r_2 - beta2 KL_1 - beta1 KL_2 ]

  With more than two attempts, the first `num_anchored` stand where attempt 1
  stands here, and all later ones where attempt 2 stands.

  Args:
    logprobs: float32[R, T - 1], nats; receives the gradient.
    attempt_ids: int32[R, T].
    advantages: float32[R, A], made from `shaping.stage1_rewards`.
    kl: float32[R, A], surrogate of an estimator below; receives the gradient.
      Zeros where the KL is part of the rewards.
    kl_coef: beta1, per nat, for attempts after the anchored ones.
    first_attempt_kl_coef: beta2, per nat, for the anchored attempts.
    num_anchored: number of first attempts that are held to the reference.
    reduce: makes one value per attempt of its tokens' values.

  Returns:
    float32[].
  """
  chex.assert_equal_shape([advantages, kl])
  first = first_attempt_kl_coef * jnp.sum(kl[:, :num_anchored], axis=1)
  anchor = first + kl_coef * jnp.sum(kl[:, num_anchored:], axis=1)
  policy = reinforce_loss(logprobs, attempt_ids, advantages, reduce=reduce)
  return policy + jnp.mean(anchor)


def stage2_loss(
    logprobs: jax.Array,
    attempt_ids: jax.Array,
    advantages: jax.Array,
    kl: jax.Array,
    *,
    kl_coef: float,
    reduce: Reduce = shaping.attempt_sums,
) -> jax.Array:
  """Stage II (Eq. 4): raise all rewards, bonus included, near the base.

    -E[ sum_i r~_i - beta1 KL_i ]

  r~_i is the shaped reward of attempt i. With one attempt there is no bonus,
  and this is single-turn reinforcement learning.

  Args:
    logprobs: float32[R, T - 1], nats; receives the gradient.
    attempt_ids: int32[R, T].
    advantages: float32[R, A], made from `shaping.stage2_rewards`.
    kl: float32[R, A], as in `stage1_loss`.
    kl_coef: beta1, per nat.
    reduce: makes one value per attempt of its tokens' values.

  Returns:
    float32[].
  """
  chex.assert_equal_shape([advantages, kl])
  policy = reinforce_loss(logprobs, attempt_ids, advantages, reduce=reduce)
  return policy + kl_coef * jnp.mean(jnp.sum(kl, axis=1))


def exact_kl(
    token_kl: jax.Array,
    logprobs: jax.Array,
    attempt_ids: jax.Array,
    num_attempts: int,
    *,
    reduce: Reduce = shaping.attempt_sums,
) -> jax.Array:
  """KL over the full vocabulary at every visited position; unbiased.

    sum_t KL_t + log pi(y_t | .) sg[ sum_{s > t} KL_s ]

  The first term differentiates each position's KL at the visited prefix. The
  second is the score-function term: a token also decides which prefixes the
  later positions of its attempt see. Of the estimators here, this one has the
  lowest variance.

  Args:
    token_kl: float32[R, T - 1], nats, KL(pi || pi_ref) of the next-token
      distributions that tokens[:, 1:] were drawn from; receives the gradient.
    logprobs: float32[R, T - 1], nats; receives the gradient.
    attempt_ids: int32[R, T].
    num_attempts: A.
    reduce: makes one value per attempt of its tokens' values.

  Returns:
    float32[R, A], surrogate.
  """
  later = _sum_of_later(token_kl, attempt_ids, num_attempts)
  per_token = token_kl + logprobs * later
  return reduce(per_token, attempt_ids, num_attempts)


def per_position_kl(
    token_kl: jax.Array,
    attempt_ids: jax.Array,
    num_attempts: int,
    *,
    reduce: Reduce = shaping.attempt_sums,
) -> jax.Array:
  """KL over the full vocabulary without the score-function term; biased.

    sum_t KL_t

  It never moves probability to prefixes from which the policy stays close to
  the reference, as the second term of `exact_kl` does. Most code uses it; here
  it is for comparison.

  Args:
    token_kl: float32[R, T - 1], nats, as in `exact_kl`; receives the gradient.
    attempt_ids: int32[R, T].
    num_attempts: A.
    reduce: makes one value per attempt of its tokens' values.

  Returns:
    float32[R, A], surrogate.
  """
  return reduce(token_kl, attempt_ids, num_attempts)


def k2_kl(
    logprobs: jax.Array,
    ref_logprobs: jax.Array,
    attempt_ids: jax.Array,
    num_attempts: int,
    *,
    reduce: Reduce = shaping.attempt_sums,
) -> jax.Array:
  """KL from sampled tokens alone, where the full vocabulary is too dear.

    sum_t d_t^2 / 2 + log pi(y_t | .) sg[ sum_{s > t} d_s ]

  with d_t = log pi(y_t | .) - log pi_ref(y_t | .). In expectation, the square's
  gradient is that of the position's reverse KL, but its value is not the KL.
  The sum over later positions therefore has d_s, whose expectation is the KL.
  Unbiased.

  Args:
    logprobs: float32[R, T - 1], nats; receives the gradient.
    ref_logprobs: float32[R, T - 1], nats; no gradient.
    attempt_ids: int32[R, T].
    num_attempts: A.
    reduce: makes one value per attempt of its tokens' values.

  Returns:
    float32[R, A], surrogate.
  """
  # Selected before it is squared: junk outside of the attempts must not meet
  # the derivative of the square, where 0 * inf is not 0.
  is_written = jnp.any(shaping.attempt_masks(attempt_ids, num_attempts), axis=1)
  difference = jnp.where(
      is_written, logprobs - jax.lax.stop_gradient(ref_logprobs), 0.0
  )
  later = _sum_of_later(difference, attempt_ids, num_attempts)
  per_token = 0.5 * jnp.square(difference) + logprobs * later
  return reduce(per_token, attempt_ids, num_attempts)


def sft_loss(logprobs: jax.Array, weights: jax.Array) -> jax.Array:
  """Negative log-likelihood: -mean over rows of sum_t w_t log pi(token_t).

  Args:
    logprobs: float32[R, T - 1], nats, of tokens[:, 1:]; receives the gradient.
    weights: float32[R, T - 1], 0 on tokens that are context or padding.

  Returns:
    float32[].
  """
  chex.assert_equal_shape([logprobs, weights])
  weighted = jnp.where(weights > 0, logprobs * weights, 0.0)
  return -jnp.mean(jnp.sum(weighted, axis=1))


def _sum_of_later(
    per_token: jax.Array, attempt_ids: jax.Array, num_attempts: int
) -> jax.Array:
  """float32[R, T - 1], detached sum over later tokens of the same attempt."""
  masks = shaping.attempt_masks(attempt_ids, num_attempts)
  values = jnp.where(masks, jax.lax.stop_gradient(per_token)[:, None], 0.0)
  from_here = jnp.flip(jnp.cumsum(jnp.flip(values, -1), axis=-1), -1)
  return jnp.sum(jnp.where(masks, from_here - values, 0.0), axis=1)
