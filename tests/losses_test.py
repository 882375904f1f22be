"""Proofs of score_jax.losses by listing every episode of a tiny policy.

The exact objectives treat each attempt as a one-step problem given its context
(gamma = 0). With theta_0 = theta a copy that is not differentiated,

  J(theta; theta_0) = E_{y1 ~ theta} R_1(y1)
                    + E_{y1 ~ theta_0} E_{y2 ~ theta(. | y1)} R_2(y1, y2)

so no reward or KL of the second attempt moves the first attempt. Numbers in
"guards" are those of the faults found in other implementations: 1 dead anchor,
2 shared credit, 3 wrong-turn gradient, 4 unused bonus, 5 no policy gradient,
7 sentinels that are read, 20 baselines, 21 sums and means, 22 lengths.
"""

import functools
import itertools

from absl.testing import absltest
from absl.testing import parameterized
import chex
import jax
import jax.numpy as jnp
import numpy as np

from score_jax import losses
from score_jax import shaping
from tests import enumerable

ALPHA = 10.0
BETA1 = 0.3
BETA2 = 0.7
COEFS = {"kl_coef": BETA1, "first_attempt_kl_coef": BETA2}

SIZES = {1: (3, 1), 2: (3, 2), 3: (2, 3)}  # max_tokens: (V, max_tokens)
POLICIES = {
    "free": enumerable.free_policy,
    "shared": enumerable.shared_policy,
}


# (max_tokens, policy). The shared policy is a linear map of free logits, so one
# size of it is enough to see the map at work.
CASES = ((1, "free"), (2, "free"), (3, "free"), (3, "shared"))


SOME_CASES = ((2, "free"), (3, "shared"))


def _named(*axes):
  """Cases for named_parameters: the product of the axes."""
  cases = []
  for case in itertools.product(*axes):
    flat = [v for part in case for v in (part if _is_tuple(part) else (part,))]
    cases.append(("_".join(map(str, flat)), *flat))
  return cases


def _is_tuple(value):
  return isinstance(value, tuple)


class _Case:
  """A tiny model with a policy, its reference and rewards."""

  def __init__(self, max_tokens, policy):
    vocab_size, max_tokens = SIZES[max_tokens]
    self.model = enumerable.TwoAttempts(vocab_size, max_tokens)
    self.params, self.ref_params, self.logits = POLICIES[policy](
        self.model, vocab_size
    )
    # Every other completion is right, so right and wrong have equal lengths.
    is_right = np.arange(len(self.model.completions)) % 2 == 1
    self.rewards = self.model.rewards(is_right)
    self.ids = self.model.attempt_ids

  def logprobs(self, params):
    return self.model.logprobs(self.logits(params))

  @property
  def ref_logprobs(self):
    return self.logprobs(self.ref_params)

  def token_kl(self, params):
    return self.model.token_kl(
        self.logits(params), self.logits(self.ref_params)
    )

  def probabilities(self, params):
    return self.model.probabilities(self.logits(params))

  def attempt_kls(self, params, frozen):
    """KL_1 and the mean KL_2 over first attempts of `frozen`, exactly."""
    kls = self.model.sequence_kls(
        self.logits(params), self.logits(self.ref_params)
    )
    first, _ = self.model.split(
        jnp.exp(self.model.completion_logprobs(self.logits(frozen)))
    )
    return kls[0], jnp.sum(first * kls[1:])

  def attempt_rewards(self, shaped, params, frozen):
    """Both summands of J for shaped rewards float[R, 2], exactly."""
    logp = self.model.completion_logprobs(self.logits(params))
    first, second = self.model.split(jnp.exp(logp))
    frozen_logp = self.model.completion_logprobs(self.logits(frozen))
    frozen_first, _ = self.model.split(jnp.exp(frozen_logp))
    count = len(self.model.completions)
    of_first = shaped[::count, 0]  # it does not depend on the second attempt
    of_second = shaped[:, 1].reshape(count, count)
    return (
        jnp.sum(first * of_first),
        jnp.sum(frozen_first[:, None] * second * of_second),
    )

  def expected_gradient(self, per_episode):
    gradient = functools.partial(
        enumerable.expected_gradient, per_episode, self.probabilities
    )
    return enumerable.fast_jit(gradient)(self.params)

  def expected_group_gradient(self, samples, group_loss, *per_episode):
    """As `expected_gradient`, over all draws of K episodes of one problem.

    Args:
      samples: K.
      group_loss: (logprobs[K, T - 1], ids[K, T], *per_episode of K) -> loss.
      *per_episode: [R, ...], without gradient.
    """
    rows = range(len(self.rewards))
    groups = np.array(list(itertools.product(rows, repeat=samples)))

    def per_group(params):
      arrays = (self.logprobs(params), self.ids, *per_episode)
      return jax.vmap(group_loss)(*(jnp.asarray(a)[groups] for a in arrays))

    gradient = functools.partial(
        enumerable.expected_gradient,
        per_group,
        lambda p: jnp.prod(self.probabilities(p)[groups], axis=1),
    )
    return enumerable.fast_jit(gradient)(self.params)


def _per_row(function, *arrays):
  """Calls `function` on every row as if it was the whole batch: float[R]."""
  arrays = [jnp.asarray(a)[:, None] for a in arrays]
  return jax.vmap(function)(*arrays)


def _gradient(objective, params):
  return enumerable.fast_jit(jax.grad(objective))(params)


def _relative_error(actual, expected):
  return np.linalg.norm(actual - expected) / np.linalg.norm(expected)


class _Float64TestCase(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.enterContext(jax.enable_x64(True))

  def assert_equal_gradients(self, actual, expected):
    chex.assert_trees_all_close(actual, expected, rtol=0, atol=1e-12)
    # Zero equals zero: what is compared must be there (guards 1 and 5).
    self.assertGreater(np.linalg.norm(expected), 1e-2)


def _kl_surrogate(case, estimator):
  """params -> float[R, 2], a differentiated KL estimator of the library."""
  if estimator == "exact":
    return lambda p: losses.exact_kl(
        case.token_kl(p), case.logprobs(p), case.ids, 2
    )
  if estimator == "k2":
    return lambda p: losses.k2_kl(
        case.logprobs(p), case.ref_logprobs, case.ids, 2
    )
  if estimator == "per_position":
    return lambda p: losses.per_position_kl(case.token_kl(p), case.ids, 2)
  raise ValueError(estimator)


def _stage1_kl_gradient(case, estimator):
  """Expected gradient of stage1_loss where the KL is a loss term."""
  surrogate = _kl_surrogate(case, estimator)

  def loss(logprobs, ids, kl):
    rewards = jnp.zeros((1, 2))
    shaped = shaping.stage1_rewards(rewards, jnp.zeros((1, 2)), **COEFS)
    return losses.stage1_loss(logprobs, ids, shaped, kl, **COEFS)

  return case.expected_gradient(
      lambda p: _per_row(loss, case.logprobs(p), case.ids, surrogate(p))
  )


@functools.cache
def _exact_stage1_kl_gradient(max_tokens, policy):
  case = _Case(max_tokens, policy)

  def objective(params):
    first, second = case.attempt_kls(params, case.params)
    return BETA2 * first + BETA1 * second

  return _gradient(objective, case.params)


class AnchorTest(_Float64TestCase):
  """Stage I with zero rewards pulls both attempts to the reference (1, 21)."""

  @parameterized.named_parameters(_named(CASES, ["exact", "k2"]))
  def test_kl_loss_has_gradient_of_sequence_kl(
      self, max_tokens, policy, estimator
  ):
    case = _Case(max_tokens, policy)
    self.assert_equal_gradients(
        _stage1_kl_gradient(case, estimator),
        _exact_stage1_kl_gradient(max_tokens, policy),
    )

  @parameterized.named_parameters(_named(CASES))
  def test_k1_in_reward_has_gradient_of_sequence_kl(self, max_tokens, policy):
    case = _Case(max_tokens, policy)

    def loss(logprobs, ref_logprobs, ids):
      kl = shaping.sequence_kl_k1(logprobs, ref_logprobs, ids, 2)
      shaped = shaping.stage1_rewards(jnp.zeros((1, 2)), kl, **COEFS)
      return losses.reinforce_loss(logprobs, ids, shaped)

    actual = case.expected_gradient(
        lambda p: _per_row(loss, case.logprobs(p), case.ref_logprobs, case.ids)
    )
    self.assert_equal_gradients(
        actual, _exact_stage1_kl_gradient(max_tokens, policy)
    )

  @parameterized.named_parameters(_named(SOME_CASES))
  def test_k1_in_reward_keeps_it_under_leave_one_out(self, max_tokens, policy):
    case = _Case(max_tokens, policy)

    def loss(logprobs, ids, ref_logprobs):
      kl = shaping.sequence_kl_k1(logprobs, ref_logprobs, ids, 2)
      shaped = shaping.stage1_rewards(jnp.zeros((2, 2)), kl, **COEFS)
      advantages = shaping.leave_one_out(shaped[None])[0]
      return losses.reinforce_loss(logprobs, ids, advantages)

    actual = case.expected_group_gradient(2, loss, case.ref_logprobs)
    self.assert_equal_gradients(
        actual, _exact_stage1_kl_gradient(max_tokens, policy)
    )

  def test_anchor_gradient_agrees_with_finite_differences(self):
    case = _Case(2, "shared")

    def objective(params):
      first, second = case.attempt_kls(params, case.params)
      return BETA2 * first + BETA1 * second

    chex.assert_trees_all_close(
        _stage1_kl_gradient(case, "exact"),
        enumerable.finite_differences(objective, case.params),
        atol=1e-8,
    )

  @parameterized.parameters("exact", "k2", "per_position")
  def test_anchor_rests_at_the_reference(self, estimator):
    case = _Case(2, "shared")
    case.params = case.ref_params
    gradient = _stage1_kl_gradient(case, estimator)
    chex.assert_trees_all_close(gradient, np.zeros_like(gradient), atol=1e-12)

  def test_reference_gets_no_gradient(self):
    case = _Case(2, "shared")
    gradient = jax.grad(
        lambda ref: jnp.sum(
            losses.k2_kl(case.logprobs(case.params), ref, case.ids, 2)
        )
    )(case.ref_logprobs)
    chex.assert_trees_all_equal(gradient, jnp.zeros_like(gradient))


class BiasTest(_Float64TestCase):
  """Why the other estimators are not the default, or not there at all (1)."""

  @parameterized.parameters(*POLICIES)
  def test_per_position_kl_is_exact_for_one_token(self, policy):
    case = _Case(1, policy)
    self.assert_equal_gradients(
        _stage1_kl_gradient(case, "per_position"),
        _exact_stage1_kl_gradient(1, policy),
    )

  # Measured relative errors: .29 and .22 (free, 2 and 3 tokens), .20 (shared).
  @parameterized.named_parameters(_named(CASES[1:]))
  def test_per_position_kl_is_biased_for_sequences(self, max_tokens, policy):
    case = _Case(max_tokens, policy)
    error = _relative_error(
        _stage1_kl_gradient(case, "per_position"),
        _exact_stage1_kl_gradient(max_tokens, policy),
    )
    self.assertGreater(error, 0.1)

  @parameterized.named_parameters(_named(SOME_CASES))
  def test_k1_as_a_loss_would_have_no_gradient(self, max_tokens, policy):
    case = _Case(max_tokens, policy)

    def k1(params):
      difference = case.logprobs(params) - case.ref_logprobs
      return jnp.sum(shaping.attempt_sums(difference, case.ids, 2), axis=1)

    gradient = case.expected_gradient(k1)
    chex.assert_trees_all_close(gradient, np.zeros_like(gradient), atol=1e-12)

  @parameterized.parameters(*POLICIES)
  def test_k3_as_a_loss_would_have_the_forward_kl_gradient(self, policy):
    case = _Case(1, policy)

    def k3(params):
      difference = case.logprobs(params) - case.ref_logprobs
      values = jnp.exp(-difference) - 1 + difference
      return jnp.sum(shaping.attempt_sums(values, case.ids, 2), axis=1)

    def forward_kl(params):
      """KL(pi_ref || pi) of both attempts, contexts held fixed."""
      logp = case.model.completion_logprobs(case.logits(params))
      logq = case.model.completion_logprobs(case.logits(case.ref_params))
      kls = jnp.sum(jnp.exp(logq) * (logq - logp), axis=1)
      first, _ = case.model.split(
          jnp.exp(case.model.completion_logprobs(case.logits(case.params)))
      )
      return kls[0] + jnp.sum(first * kls[1:])

    def reverse_kl(params):
      return sum(case.attempt_kls(params, case.params))

    actual = case.expected_gradient(k3)
    self.assert_equal_gradients(actual, _gradient(forward_kl, case.params))
    error = _relative_error(actual, _gradient(reverse_kl, case.params))
    self.assertGreater(error, 0.1)


class PolicyGradientTest(_Float64TestCase):
  """Sampled gradients are the objectives' in expectation (2, 4, 5, 20)."""

  @parameterized.named_parameters(
      _named(SOME_CASES, [2]) + _named([(3, "free")], [3])
  )
  def test_stage1_has_gradient_of_its_objective(
      self, max_tokens, policy, samples
  ):
    """-E[r_2 - beta1 KL_2] + beta2 KL_1 with k1 KLs in the rewards of J."""
    case = _Case(max_tokens, policy)
    actual = self._group_gradient(case, samples, self._stage1_shaped)

    def objective(params):
      kl_1, kl_2 = case.attempt_kls(params, case.params)
      _, reward = case.attempt_rewards(case.rewards, params, case.params)
      return -reward + BETA2 * kl_1 + BETA1 * kl_2

    self.assert_equal_gradients(actual, _gradient(objective, case.params))

  @parameterized.named_parameters(
      _named(SOME_CASES, [2]) + _named([(3, "free")], [3])
  )
  def test_stage2_has_gradient_of_its_objective(
      self, max_tokens, policy, samples
  ):
    """-E[r_1 - beta1 KL_1] - E[r_2 + alpha (r_2 - r_1) - beta1 KL_2] as J."""
    case = _Case(max_tokens, policy)
    actual = self._group_gradient(case, samples, self._stage2_shaped)
    shaped = np.stack(
        [
            case.rewards[:, 0],
            (1 + ALPHA) * case.rewards[:, 1] - ALPHA * case.rewards[:, 0],
        ],
        axis=1,
    )

    def objective(params):
      rewards = case.attempt_rewards(shaped, params, case.params)
      kls = case.attempt_kls(params, case.params)
      return -sum(rewards) + BETA1 * sum(kls)

    self.assert_equal_gradients(actual, _gradient(objective, case.params))

  def test_stage2_with_kl_loss_agrees_with_finite_differences(self):
    case = _Case(2, "shared")
    shaped = self._stage2_shaped(case.rewards, jnp.zeros_like(case.rewards))
    surrogate = _kl_surrogate(case, "exact")

    def loss(logprobs, ids, advantages, kl):
      return losses.stage2_loss(logprobs, ids, advantages, kl, kl_coef=BETA1)

    actual = case.expected_gradient(
        lambda p: _per_row(
            loss, case.logprobs(p), case.ids, shaped, surrogate(p)
        )
    )

    def objective(params):
      rewards = case.attempt_rewards(shaped, params, case.params)
      kls = case.attempt_kls(params, case.params)
      return -sum(rewards) + BETA1 * sum(kls)

    chex.assert_trees_all_close(
        actual,
        enumerable.finite_differences(objective, case.params),
        atol=1e-7,
    )

  @parameterized.named_parameters(_named(SOME_CASES))
  def test_bonus_only_scales_the_second_attempt(self, max_tokens, policy):
    """E[shaped gradient] = (1 + alpha) x plain: -alpha r_1 is a baseline (4).

    Without a KL, on the second attempt alone, with and without leave-one-out.
    """
    case = _Case(max_tokens, policy)

    def gradient(bonus_coef, use_groups):
      def loss(logprobs, ids, rewards):
        shaped = shaping.stage2_rewards(
            rewards, 0 * rewards, kl_coef=0.0, bonus_coef=bonus_coef
        )
        if use_groups:
          shaped = shaping.leave_one_out(shaped[None])[0]
        return losses.reinforce_loss(logprobs, ids, shaped.at[:, 0].set(0.0))

      if use_groups:
        return case.expected_group_gradient(2, loss, case.rewards)
      return case.expected_gradient(
          lambda p: _per_row(loss, case.logprobs(p), case.ids, case.rewards)
      )

    plain = gradient(0.0, False)
    for use_groups in (False, True):
      self.assert_equal_gradients(
          gradient(ALPHA, use_groups), (1 + ALPHA) * plain
      )

  def _group_gradient(self, case, samples, shape_rewards):
    """Expected gradient of REINFORCE with k1 in reward and leave-one-out."""
    difference = case.logprobs(case.params) - case.ref_logprobs
    kl = shaping.attempt_sums(difference, case.ids, 2)
    shaped = shape_rewards(case.rewards, kl)

    def loss(logprobs, ids, shaped):
      advantages = shaping.leave_one_out(shaped[None])[0]
      return losses.reinforce_loss(logprobs, ids, advantages)

    return case.expected_group_gradient(samples, loss, shaped)

  def _stage1_shaped(self, rewards, kl):
    return shaping.stage1_rewards(rewards, kl, **COEFS)

  def _stage2_shaped(self, rewards, kl):
    return shaping.stage2_rewards(rewards, kl, kl_coef=BETA1, bonus_coef=ALPHA)


class CreditTest(_Float64TestCase):
  """Whose reward moves whose tokens (2, 3, 4)."""

  def setUp(self):
    super().setUp()
    self.case = _Case(2, "free")
    self.is_first = self.case.ids[:, 1:] == 1
    self.is_second = self.case.ids[:, 1:] == 2

  def _gradient(self, rewards, *, bonus_coef=ALPHA, ids=None):
    """Of stage2_loss on the batch of all episodes, by log-prob: [R, T - 1]."""
    ids = self.case.ids if ids is None else ids
    no_kl = jnp.zeros_like(rewards)
    shaped = shaping.stage2_rewards(
        rewards, no_kl, kl_coef=0.0, bonus_coef=bonus_coef
    )
    return jax.grad(losses.stage2_loss)(
        self.case.logprobs(self.case.params), ids, shaped, no_kl, kl_coef=0.0
    )

  def test_first_attempt_sees_its_own_reward_with_coefficient_one(self):
    rewards = self.case.rewards
    expected = -np.where(self.is_first, rewards[:, :1], 0.0) / len(rewards)
    for bonus_coef in (0.0, 1.0, ALPHA):
      gradient = self._gradient(rewards, bonus_coef=bonus_coef)
      chex.assert_trees_all_close(
          np.where(self.is_first, gradient, 0.0), expected, atol=1e-15
      )

  def test_first_attempt_does_not_see_the_second_reward(self):
    flipped = self.case.rewards.copy()
    flipped[:, 1] = 1 - flipped[:, 1]
    before, after = self._gradient(self.case.rewards), self._gradient(flipped)
    chex.assert_trees_all_equal(before[self.is_first], after[self.is_first])
    self.assertTrue((before != after)[self.is_second].all())

  @parameterized.parameters(0.0, 1.0, ALPHA)
  def test_derivative_of_shaped_rewards_by_raw_rewards(self, bonus_coef):
    def shape(rewards):
      return shaping.stage2_rewards(
          rewards, jnp.zeros(2), kl_coef=0.0, bonus_coef=bonus_coef
      )

    expected = [[1.0, 0.0], [-bonus_coef, 1 + bonus_coef]]
    chex.assert_trees_all_equal(
        jax.jacobian(shape)(jnp.zeros(2)), np.array(expected)
    )

  def test_bonus_changes_the_second_attempt_alone(self):
    plain = self._gradient(self.case.rewards, bonus_coef=0.0)
    shaped = self._gradient(self.case.rewards)
    difference = plain != shaped
    progress = self.case.rewards[:, 1:] != self.case.rewards[:, :1]
    np.testing.assert_array_equal(difference, self.is_second & progress)
    self.assertTrue(difference.any())

  @parameterized.parameters(1, 2)
  def test_attempt_without_mask_loses_just_its_gradient(self, attempt):
    ids = np.where(self.case.ids == attempt, 0, self.case.ids)
    rewards = np.ones_like(self.case.rewards)  # all tokens get a gradient
    full, cut = self._gradient(rewards), self._gradient(rewards, ids=ids)
    is_attempt = self.case.ids[:, 1:] == attempt
    chex.assert_trees_all_equal(cut, np.where(is_attempt, 0.0, full))
    self.assertTrue((full != 0)[is_attempt].all())

  @parameterized.parameters(1, 2)
  def test_gradient_reaches_the_parameters_of_its_attempt(self, attempt):
    case = self.case
    advantages = np.zeros_like(case.rewards)
    advantages[:, attempt - 1] = 1.0
    gradient = jax.grad(
        lambda p: losses.reinforce_loss(case.logprobs(p), case.ids, advantages)
    )(case.params)
    touched = np.unique(case.model.contexts[case.ids[:, 1:] == attempt])
    moved = np.flatnonzero(np.abs(gradient).max(axis=1) > 1e-12)
    np.testing.assert_array_equal(moved, touched)

  def test_stage1_coefficients_belong_to_their_attempts(self):
    zeros = jnp.zeros((3, 2))
    gradient = jax.grad(losses.stage1_loss, argnums=3)(
        jnp.zeros((3, 4)), np.zeros((3, 5), int), zeros, zeros, **COEFS
    )
    chex.assert_trees_all_close(
        gradient, np.broadcast_to([[BETA2 / 3, BETA1 / 3]], (3, 2))
    )

  def test_stage2_coefficient_is_that_of_both_attempts(self):
    zeros = jnp.zeros((3, 2))
    gradient = jax.grad(losses.stage2_loss, argnums=3)(
        jnp.zeros((3, 4)), np.zeros((3, 5), int), zeros, zeros, kl_coef=BETA1
    )
    chex.assert_trees_all_close(gradient, np.full((3, 2), BETA1 / 3))

  def test_advantages_get_no_gradient(self):
    case = self.case
    gradient = jax.grad(losses.reinforce_loss, argnums=2)(
        case.logprobs(case.params), case.ids, jnp.asarray(case.rewards)
    )
    chex.assert_trees_all_equal(gradient, jnp.zeros_like(gradient))


class SandbaggingTest(_Float64TestCase):
  """Two-turn bandit, exact gradients: failing first must not pay (2)."""

  def setUp(self):
    super().setUp()
    # Completions are 0 (wrong) and 1 (right). P(y1 right) = .5,
    # P(y2 right | y1 wrong) = .7, P(y2 right | y1 right) = .2.
    self.model = enumerable.TwoAttempts(vocab_size=2, max_tokens=1)
    self.start = np.log([[0.5, 0.5], [0.3, 0.7], [0.8, 0.2]])
    self.rewards = jnp.asarray(self.model.rewards(np.array([0, 1])))

  def _train(self, advantages, *, steps=500):
    """Probabilities to be right: [first, after wrong, after right]."""

    def step(logits, _):
      gradient = enumerable.expected_gradient(
          lambda p: _per_row(
              losses.reinforce_loss,
              self.model.logprobs(p),
              self.model.attempt_ids,
              advantages,
          ),
          self.model.probabilities,
          logits,
      )
      return logits - gradient, None

    logits, _ = jax.lax.scan(step, jnp.asarray(self.start), None, length=steps)
    return jax.nn.softmax(logits)[:, 1]

  def _shaped(self, bonus_coef):
    return shaping.stage2_rewards(
        self.rewards,
        jnp.zeros_like(self.rewards),
        kl_coef=0.0,
        bonus_coef=bonus_coef,
    )

  def test_start_is_the_stated_bandit(self):
    chex.assert_trees_all_close(
        self._train(self.rewards, steps=0), np.array([0.5, 0.7, 0.2])
    )

  @parameterized.parameters(0.0, ALPHA)
  def test_credit_per_attempt_learns_both(self, bonus_coef):
    probabilities = self._train(self._shaped(bonus_coef))
    self.assertGreater(probabilities[0], 0.95)
    self.assertGreater(probabilities[2], 0.95)

  def test_shared_credit_would_learn_to_fail_first(self):
    shaped = self._shaped(ALPHA)
    total = jnp.sum(shaped, axis=1, keepdims=True)
    shared = jnp.broadcast_to(total, shaped.shape)
    probabilities = self._train(shared)
    self.assertLess(probabilities[0], 0.05)
    self.assertGreater(probabilities[1], 0.95)


def _all_losses(logprobs, ref_logprobs, token_kl, ids, advantages, reduce):
  """Every scalar that the library can make of these arrays, by name."""
  kl = {
      "exact": losses.exact_kl(token_kl, logprobs, ids, 2, reduce=reduce),
      "k2": losses.k2_kl(logprobs, ref_logprobs, ids, 2, reduce=reduce),
      "per_position": losses.per_position_kl(token_kl, ids, 2, reduce=reduce),
  }
  k1 = shaping.sequence_kl_k1(logprobs, ref_logprobs, ids, 2)
  shaped = shaping.stage1_rewards(advantages, k1, **COEFS)
  values = {
      "k1_in_reward": losses.reinforce_loss(
          logprobs, ids, shaped, reduce=reduce
      )
  }
  for name in kl:
    values[name] = losses.stage1_loss(
        logprobs, ids, advantages, kl[name], **COEFS, reduce=reduce
    )
  values["stage2_exact"] = losses.stage2_loss(
      logprobs, ids, advantages, kl["exact"], kl_coef=BETA1, reduce=reduce
  )
  return values


NAMES = ("k1_in_reward", "exact", "k2", "per_position", "stage2_exact")
REDUCE = {"sums": shaping.attempt_sums, "means": shaping.attempt_means}


@enumerable.fast_jit
def _all_values_and_grads(arrays, ids, advantages):
  """{(name, reduce): (loss, its gradient by each per-token array)}."""

  def value_and_grad(name, reduce):
    def loss(arrays):
      return _all_losses(
          **arrays, ids=ids, advantages=advantages, reduce=REDUCE[reduce]
      )[name]

    return jax.value_and_grad(loss)(arrays)

  return {
      f"{name}_{reduce}": value_and_grad(name, reduce)
      for name, reduce in itertools.product(NAMES, REDUCE)
  }


class MaskTest(_Float64TestCase):
  """Only tokens that the model wrote count, whatever lies around (7, 22)."""

  def setUp(self):
    super().setUp()
    case = self.case = _Case(2, "free")
    self.arrays = {
        "logprobs": case.logprobs(case.params),
        "ref_logprobs": case.ref_logprobs,
        "token_kl": case.token_kl(case.params),
    }
    self.advantages = np.random.default_rng(2).normal(size=case.rewards.shape)

  def _value_and_grad(self, name, reduce, arrays=None, ids=None, rows=None):
    """The loss and its gradient by each per-token array."""
    return _all_values_and_grads(
        self.arrays if arrays is None else arrays,
        self.case.ids if ids is None else ids,
        self.advantages if rows is None else self.advantages[rows],
    )[f"{name}_{reduce}"]

  @parameterized.named_parameters(_named(NAMES, REDUCE))
  def test_values_outside_the_attempts_are_not_read(self, name, reduce):
    expected = self._value_and_grad(name, reduce)
    is_outside = self.case.ids[:, 1:] == 0
    for poison in (np.nan, np.inf, -np.inf, 1e300):
      poisoned = {
          key: jnp.where(is_outside, poison, array)
          for key, array in self.arrays.items()
      }
      with self.subTest(str(poison)):
        actual = self._value_and_grad(name, reduce, poisoned)
        chex.assert_trees_all_close(actual, expected, rtol=1e-12)
        chex.assert_tree_all_finite(actual)

  @parameterized.named_parameters(_named(NAMES, REDUCE))
  def test_padding_columns_change_nothing(self, name, reduce):
    expected = self._value_and_grad(name, reduce)
    columns = ((0, 0), (3, 2))
    padded = {
        key: jnp.pad(array, columns, constant_values=-5.0)
        for key, array in self.arrays.items()
    }
    ids = np.pad(self.case.ids, columns)
    value, gradient = self._value_and_grad(name, reduce, padded, ids)
    chex.assert_trees_all_close(value, expected[0], rtol=1e-12)
    for key in gradient:
      chex.assert_trees_all_close(
          gradient[key][:, 3:-2], expected[1][key], rtol=1e-12
      )
      self.assertFalse(np.any(gradient[key][:, :3]))
      self.assertFalse(np.any(gradient[key][:, -2:]))

  @parameterized.named_parameters(_named(NAMES, REDUCE))
  def test_order_of_rows_changes_nothing(self, name, reduce):
    expected = self._value_and_grad(name, reduce)
    rows = np.random.default_rng(3).permutation(len(self.advantages))
    permuted = {key: array[rows] for key, array in self.arrays.items()}
    value, gradient = self._value_and_grad(
        name, reduce, permuted, self.case.ids[rows], rows
    )
    chex.assert_trees_all_close(value, expected[0], rtol=1e-12)
    chex.assert_trees_all_close(
        gradient, {k: g[rows] for k, g in expected[1].items()}, rtol=1e-12
    )

  @parameterized.named_parameters(_named(NAMES, REDUCE))
  def test_attempts_without_tokens_are_finite(self, name, reduce):
    ids = self.case.ids.copy()
    ids[::3][ids[::3] == 1] = 0
    ids[1::3][ids[1::3] == 2] = 0
    ids[5] = 0
    chex.assert_tree_all_finite(self._value_and_grad(name, reduce, ids=ids))
    value, gradient = self._value_and_grad(name, reduce, ids=0 * ids)
    self.assertEqual(value, 0.0)
    self.assertFalse(any(np.any(g) for g in gradient.values()))


class ReinforceLossTest(parameterized.TestCase):
  """Numbers by hand: two rows, the first with attempts of 2 and 1 tokens."""

  LOGPROBS = jnp.array([[-1.0, -2.0, -9.0, -4.0], [-9.0, -0.5, -9.0, -3.0]])
  IDS = np.array([[0, 1, 1, 0, 2], [0, 0, 1, 0, 2]])
  ADVANTAGES = jnp.array([[2.0, -1.0], [4.0, 3.0]])

  def test_sums(self):
    # Row 0: 2 (-1 - 2) - (-4) = -2; row 1: 4 (-.5) + 3 (-3) = -11.
    loss = losses.reinforce_loss(self.LOGPROBS, self.IDS, self.ADVANTAGES)
    self.assertEqual(loss, 6.5)

  def test_means(self):
    # Row 0: 2 (-1.5) - (-4) = 1; row 1 is as with sums.
    loss = losses.reinforce_loss(
        self.LOGPROBS,
        self.IDS,
        self.ADVANTAGES,
        reduce=shaping.attempt_means,
    )
    self.assertEqual(loss, 5.0)

  def test_gradient_per_token(self):
    gradient = jax.grad(losses.reinforce_loss)(
        self.LOGPROBS, self.IDS, self.ADVANTAGES
    )
    # -advantage / 2 rows, also at the last token of an attempt (EOS).
    expected = [[-1.0, -1.0, 0.0, 0.5], [0.0, -2.0, 0.0, -1.5]]
    chex.assert_trees_all_equal(gradient, jnp.array(expected))

  def test_advantages_per_token_are_refused(self):
    with self.assertRaises((AssertionError, ValueError)):
      losses.reinforce_loss(self.LOGPROBS, self.IDS, self.ADVANTAGES[:, 0])

  def test_integer_advantages_are_refused(self):
    with self.assertRaises(AssertionError):
      losses.reinforce_loss(
          self.LOGPROBS, self.IDS, self.ADVANTAGES.astype(jnp.int32)
      )


class KlEstimatorsTest(parameterized.TestCase):
  """Numbers by hand: one row, attempts of three tokens and of one."""

  IDS = np.array([[0, 1, 1, 1, 0, 2]])
  LOGPROBS = jnp.array([[-1.0, -2.0, -3.0, -7.0, -4.0]])
  REF_LOGPROBS = jnp.array([[-1.5, -1.0, -5.0, -9.0, -2.0]])
  TOKEN_KL = jnp.array([[0.25, 0.5, 1.0, 8.0, 2.0]])

  def test_exact_kl(self):
    value, gradients = jax.value_and_grad(
        lambda kl, logp: jnp.sum(losses.exact_kl(kl, logp, self.IDS, 2)),
        argnums=(0, 1),
    )(self.TOKEN_KL, self.LOGPROBS)
    # KLs 1.75 + 2; later KLs of the first attempt are 1.5, 1 and 0.
    self.assertEqual(value, 3.75 - 1.0 * 1.5 - 2.0 * 1.0)
    chex.assert_trees_all_equal(
        gradients,
        (
            jnp.array([[1.0, 1.0, 1.0, 0.0, 1.0]]),
            jnp.array([[1.5, 1.0, 0.0, 0.0, 0.0]]),
        ),
    )

  def test_k2_kl(self):
    gradient = jax.grad(
        lambda p: jnp.sum(losses.k2_kl(p, self.REF_LOGPROBS, self.IDS, 2))
    )(self.LOGPROBS)
    # Log-ratios are .5, -1, 2 and -2; a token gets its own and the later ones.
    chex.assert_trees_all_equal(
        gradient, jnp.array([[1.5, 1.0, 2.0, 0.0, -2.0]])
    )

  def test_per_position_kl(self):
    chex.assert_trees_all_equal(
        losses.per_position_kl(self.TOKEN_KL, self.IDS, 2),
        jnp.array([[1.75, 2.0]]),
    )
    chex.assert_trees_all_close(
        losses.per_position_kl(
            self.TOKEN_KL, self.IDS, 2, reduce=shaping.attempt_means
        ),
        jnp.array([[1.75 / 3, 2.0]]),
    )


class SftLossTest(parameterized.TestCase):

  LOGPROBS = jnp.array([[-1.0, -2.0, -4.0], [-8.0, -3.0, -16.0]])
  WEIGHTS = jnp.array([[1.0, 0.5, 0.0], [0.0, 2.0, 0.0]])

  def test_is_the_weighted_sum_averaged_over_rows(self):
    # Row 0: -1 - 1 = -2; row 1: -6.
    self.assertEqual(losses.sft_loss(self.LOGPROBS, self.WEIGHTS), 4.0)

  def test_tokens_without_weight_get_no_gradient(self):
    gradient = jax.grad(losses.sft_loss)(self.LOGPROBS, self.WEIGHTS)
    chex.assert_trees_all_equal(gradient, -self.WEIGHTS / 2)

  @parameterized.parameters(np.nan, np.inf, -np.inf)
  def test_tokens_without_weight_are_not_read(self, poison):
    logprobs = jnp.where(self.WEIGHTS == 0, poison, self.LOGPROBS)
    loss, gradient = jax.value_and_grad(losses.sft_loss)(logprobs, self.WEIGHTS)
    self.assertEqual(loss, 4.0)
    chex.assert_trees_all_equal(gradient, -self.WEIGHTS / 2)


if __name__ == "__main__":
  absltest.main()
