"""Small cases for tests of score_jax.losses, with every episode listed."""

import functools
import itertools

from absl.testing import parameterized
import chex
import jax
import jax.numpy as jnp
import numpy as np

from tests.helpers import enumerable
from tests.helpers.compiling import fast_jit

ALPHA = 10.0
BETA1 = 0.3
BETA2 = 0.7
COEFS = {"kl_coef": BETA1, "first_attempt_kl_coef": BETA2, "num_anchored": 1}

SIZES = {1: (3, 1), 2: (3, 2), 3: (2, 3)}  # max_tokens: (V, max_tokens)
POLICIES = {
    "free": enumerable.free_policy,
    "shared": enumerable.shared_policy,
}


def named(*axes):
  """Cases for named_parameters: the product of the axes."""
  cases = []
  for case in itertools.product(*axes):
    flat = [v for part in case for v in (part if _is_tuple(part) else (part,))]
    cases.append(("_".join(map(str, flat)), *flat))
  return cases


def _is_tuple(value):
  return isinstance(value, tuple)


class Case:
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
    return fast_jit(gradient)(self.params)

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
    return fast_jit(gradient)(self.params)


class Float64TestCase(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.enterContext(jax.enable_x64(True))

  def assert_equal_gradients(self, actual, expected):
    chex.assert_trees_all_close(actual, expected, rtol=0, atol=1e-12)
    # Zero equals zero: what is compared must be there.
    self.assertGreater(np.linalg.norm(expected), 1e-2)
