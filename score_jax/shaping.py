"""From raw rewards to advantages of attempts, and sums over their tokens.

Paper: "Training Language Models to Self-Correct via Reinforcement Learning",
arXiv 2409.12917. Rewards of attempt i are credited to the tokens of attempt i
alone (gamma = 0), so every function maps [..., A] to [..., A].
"""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

# How per-token values become one value per attempt, `attempt_sums` or
# `attempt_means`: float32[R, T - 1], int32[R, T], A -> float32[R, A].
Reduce = Callable[[jax.Array, jax.Array, int], jax.Array]


def stage1_rewards(
    rewards: jax.Array,
    sequence_kl: jax.Array,
    *,
    kl_coef: float,
    first_attempt_kl_coef: float,
    num_anchored: int,
) -> jax.Array:
  """Stage I (Eq. 3): later attempts are rewarded, the first is only anchored.

    attempt i <= num_anchored: -beta2 KL_i        later: r_i - beta1 KL_i

  With two attempts the first one is anchored. With three, Stage I (a) anchors
  the first and Stage I (b) the first two.

  Args:
    rewards: float[..., A], 1 where the attempt is correct, else 0.
    sequence_kl: float[..., A], nats, an unbiased estimate of the KL of each
      attempt from the reference policy; zeros where the KL is a loss term.
    kl_coef: beta1, per nat.
    first_attempt_kl_coef: beta2, per nat; the larger one, which anchors.
    num_anchored: number of first attempts that are held to the reference.

  Returns:
    float[..., A] shaped rewards.

  Raises:
    ValueError: no attempt is anchored, or none is rewarded.
  """
  chex.assert_equal_shape([rewards, sequence_kl])
  attempts = rewards.shape[-1]
  if not 0 < num_anchored < attempts:
    raise ValueError(
        f"num_anchored is {num_anchored}, expected 1 to {attempts - 1}: of"
        f" {attempts} attempts the first are anchored, the rest are rewarded"
    )
  first = -first_attempt_kl_coef * sequence_kl[..., :num_anchored]
  later = (rewards - kl_coef * sequence_kl)[..., num_anchored:]
  return jnp.concatenate([first, later], axis=-1)


def stage2_rewards(
    rewards: jax.Array,
    sequence_kl: jax.Array,
    *,
    kl_coef: float,
    bonus_coef: float,
) -> jax.Array:
  """Stage II (Eq. 4 and the progress bonus of section 5.2).

    attempt 1: r_1 - beta1 KL_1
    attempt i > 1: r_i + alpha (r_i - r_{i-1}) - beta1 KL_i

  The bonus belongs to the later attempt alone. Credited to the first as well,
  its coefficient on r_1 would be 1 - alpha: it would learn to fail first.

  Args:
    rewards: float[..., A], 1 where the attempt is correct, else 0.
    sequence_kl: float[..., A], nats, as in `stage1_rewards`.
    kl_coef: beta1, per nat.
    bonus_coef: alpha.

  Returns:
    float[..., A] shaped rewards.
  """
  chex.assert_equal_shape([rewards, sequence_kl])
  progress = rewards[..., 1:] - rewards[..., :-1]
  later = rewards[..., 1:] + bonus_coef * progress
  shaped = jnp.concatenate([rewards[..., :1], later], axis=-1)
  return shaped - kl_coef * sequence_kl


def stage2_scaled_rewards(
    rewards: jax.Array,
    sequence_kl: jax.Array,
    *,
    kl_coef: float,
    bonus_coef: float,
) -> jax.Array:
  """Stage II without -alpha r_{i-1}; not the paper's.

    attempt 1: r_1 - beta1 KL_1
    attempt i > 1: (1 + alpha) r_i - beta1 KL_i

  The expected gradient is that of `stage2_rewards`: attempt i reads attempt
  i - 1, so -alpha r_{i-1} is a baseline that knows what was read. As part of
  the reward it is noise, which a leave-one-out mean does not take out.

  Args:
    rewards: float[..., A], 1 where the attempt is correct, else 0.
    sequence_kl: float[..., A], nats, as in `stage1_rewards`.
    kl_coef: beta1, per nat.
    bonus_coef: alpha.

  Returns:
    float[..., A] shaped rewards.
  """
  chex.assert_equal_shape([rewards, sequence_kl])
  later = (1 + bonus_coef) * rewards[..., 1:]
  shaped = jnp.concatenate([rewards[..., :1], later], axis=-1)
  return shaped - kl_coef * sequence_kl


def correction_rewards(rewards: jax.Array, *, broken_coef: float) -> jax.Array:
  """Rewards of what changes: a copy earns nothing; not the paper's.

    attempt 1: r_1
    attempt i > 1: (1 - r_{i-1}) r_i - lambda r_{i-1} (1 - r_i)

  so that wrong, then correct earns 1, correct, then wrong -lambda, and the rest
  0. Up to lambda r_{i-1}, which attempt i reads, these are the rewards r_i, of
  which those behind correct attempts count lambda times. With lambda = 1 the
  expected gradient is that of r_i. Below 1, to keep a correct answer counts for
  less than to correct a wrong one. A blind second try that is correct with
  chance p, behind first ones that are with chance p_1, earns less than a copy
  where lambda > (1 - p_1) p / (p_1 (1 - p)). With less, it is learnt to break
  correct answers.

  Args:
    rewards: float[..., A], 1 where the attempt is correct, else 0.
    broken_coef: lambda.

  Returns:
    float[..., A], in place of raw rewards.
  """
  before, after = rewards[..., :-1], rewards[..., 1:]
  changed = (1 - before) * after - broken_coef * before * (1 - after)
  return jnp.concatenate([rewards[..., :1], changed], axis=-1)


def entropy_bonus(
    sequence_logprobs: jax.Array, *, entropy_coef: float, num_anchored: int
) -> jax.Array:
  """Entropy of the attempts that are rewarded, as a reward; not the paper's.

    attempt i <= num_anchored: 0        later: -coef sum_t log pi(y_{i,t} | .)

  The mean of -log pi(y_i | x_i) is the entropy of attempt i given what it
  reads. As a reward its expected gradient is that of the entropy: the rest,
  E[grad log pi], is zero.

  Args:
    sequence_logprobs: float[..., A], nats, log-probability of each attempt
      under the policy that sampled it; no gradient.
    entropy_coef: coef, per nat.
    num_anchored: number of first attempts without a bonus.

  Returns:
    float[..., A], to be added to shaped rewards.
  """
  is_later = jnp.arange(sequence_logprobs.shape[-1]) >= num_anchored
  bonus = -entropy_coef * jax.lax.stop_gradient(sequence_logprobs)
  return jnp.where(is_later, bonus, 0.0)


def leave_one_out(rewards: jax.Array) -> jax.Array:
  """Advantage over the mean of the problem's other samples (RLOO).

    A_k = r_k - mean_{j != k} r_j = K / (K - 1) (r_k - mean_j r_j)

  Each attempt has its own baseline. A baseline that depends on the other
  samples alone leaves the policy gradient unbiased.

  Args:
    rewards: float32[B, K, A], shaped rewards.

  Returns:
    float32[B, K, A]; sums to 0 over K.

  Raises:
    ValueError: K is 1, so there is no other sample.
  """
  chex.assert_rank(rewards, 3)
  samples = rewards.shape[1]
  if samples < 2:
    raise ValueError(
        "leave-one-out needs at least 2 samples per problem, found"
        f" {samples}; raise samples_per_problem"
    )
  mean = jnp.mean(rewards, axis=1, keepdims=True)
  return (rewards - mean) * (samples / (samples - 1))


def conditional_leave_one_out(
    rewards: jax.Array, corrections_per_attempt: int
) -> jax.Array:
  """Leave-one-out where several corrections share their first attempt.

  Sample k = k1 K2 + k2 is correction k2 of first attempt k1, so that there are
  K1 = K / K2 first attempts. With r_i the shaped reward of attempt i,

    attempt 1: A = r_1(k1) - mean_{j != k1} r_1(j)              over K1
    attempt 2: A = r_2(k1, k2) - mean_{j != k2} r_2(k1, j)      over K2

  Unbiased: given y1 and the problem, the K2 corrections are independent draws
  of pi(. | x2), so the mean of the others does not depend on y2(k1, k2), and
  E[grad log pi(y2 | x2) b] = b E[grad log pi(y2 | x2)] = 0 for each b. It is
  the gradient of the same objective as `leave_one_out`, since a mean over K2
  corrections of K1 first attempts is a mean over episodes. What r_2 has in
  common over corrections of one y1 cancels: -alpha r_1 of the bonus does, and
  so does how hard it is to correct that y1. `leave_one_out` keeps both as
  noise. The price: K1 < K distinct first attempts, and a mean over K2 - 1
  others instead of K - 1. With K2 = 2 it can exceed the gain.

  Args:
    rewards: float32[B, K, 2], shaped rewards; rewards[..., 0] are the same for
      all corrections of a first attempt.
    corrections_per_attempt: K2.

  Returns:
    float32[B, K, 2]; attempt 2 sums to 0 over the K2 of a first attempt.

  Raises:
    ValueError: not two attempts, K2 does not divide K, K1 or K2 is 1.
  """
  chex.assert_rank(rewards, 3)
  problems, samples, attempts = rewards.shape
  if attempts != 2:
    raise ValueError(
        f"found {attempts} attempts, expected 2: corrections_per_attempt above"
        " 1 is for conversations of two attempts"
    )
  corrections = corrections_per_attempt
  if corrections < 2 or samples % corrections or samples < 2 * corrections:
    raise ValueError(
        f"{samples} samples per problem with {corrections} corrections per"
        " first attempt: expected at least 2 first attempts with at least 2"
        " corrections each; change samples_per_problem or"
        " corrections_per_attempt"
    )
  distinct = samples // corrections
  grouped = rewards.reshape(problems, distinct, corrections, 2)
  first = leave_one_out(grouped[:, :, 0, :1])
  first = jnp.repeat(first, corrections, axis=1)
  second = leave_one_out(
      grouped[..., 1:].reshape(problems * distinct, corrections, 1)
  )
  return jnp.concatenate([first, second.reshape(first.shape)], axis=-1)


def attempt_masks(attempt_ids: jax.Array, num_attempts: int) -> jax.Array:
  """bool[R, A, T - 1], which of tokens[:, 1:] the model wrote in attempt i."""
  numbers = jnp.arange(1, num_attempts + 1)
  return attempt_ids[:, None, 1:] == numbers[None, :, None]


def attempt_sums(
    per_token: jax.Array, attempt_ids: jax.Array, num_attempts: int
) -> jax.Array:
  """Sums a per-token value over each attempt: float32[R, A].

  Args:
    per_token: float32[R, T - 1], entry t belongs to tokens[:, t + 1]; entries
      outside of the attempts are not read, whatever they hold.
    attempt_ids: int32[R, T].
    num_attempts: A.
  """
  chex.assert_shape(per_token, (attempt_ids.shape[0], attempt_ids.shape[1] - 1))
  masks = attempt_masks(attempt_ids, num_attempts)
  return jnp.sum(jnp.where(masks, per_token[:, None], 0.0), axis=-1)


def attempt_means(
    per_token: jax.Array, attempt_ids: jax.Array, num_attempts: int
) -> jax.Array:
  """Means of a per-token value over each attempt: float32[R, A].

  With it a loss is not the paper's objective: tokens of long attempts count
  less. Arguments are those of `attempt_sums`.
  """
  length = jnp.sum(attempt_masks(attempt_ids, num_attempts), axis=-1)
  total = attempt_sums(per_token, attempt_ids, num_attempts)
  return total / jnp.maximum(length, 1)


def sequence_kl_k1(
    logprobs: jax.Array,
    ref_logprobs: jax.Array,
    attempt_ids: jax.Array,
    num_attempts: int,
    *,
    reduce: Reduce = attempt_sums,
) -> jax.Array:
  """KL of whole attempts by the k1 estimator.

    sum_t log pi(y_t | .) - log pi_ref(y_t | .),   y ~ pi

  Its expectation is KL(pi || pi_ref) of the attempt. It belongs in the reward:
  as a differentiated loss its expected gradient is zero.

  Args:
    logprobs: float32[R, T - 1], nats, of tokens[:, 1:] under the policy that
      sampled them.
    ref_logprobs: float32[R, T - 1], nats, of tokens[:, 1:] under the reference
      policy.
    attempt_ids: int32[R, T], attempt of each token, 0 elsewhere.
    num_attempts: A.
    reduce: makes one value per attempt. The sum is the paper's, and only the
      sum estimates the KL of the attempt.

  Returns:
    float32[R, A], nats, detached.
  """
  chex.assert_equal_shape([logprobs, ref_logprobs])
  difference = jax.lax.stop_gradient(logprobs - ref_logprobs)
  return reduce(difference, attempt_ids, num_attempts)
