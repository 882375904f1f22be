"""A two-attempt policy so small that every episode can be listed.

An attempt is a completion of at most `max_tokens` tokens that stops at EOS. The
policy is a row of logits per context. A context is what the model has read: for
the first attempt its own prefix, for the second also the whole first attempt.
So expectations are sums, and gradients of objectives have no sampling error.

The exact quantities come from the chain rule over completions and share no code
with the library; the arrays of `TwoAttempts` have the library's layout, with
prompts of different lengths, a correction turn and padding around the attempts.
"""

from collections.abc import Callable
import itertools

import jax
import jax.numpy as jnp
import numpy as np

from tests.helpers.compiling import fast_jit

EOS = 0
# Ids of the columns that the model did not write. All are ids that it writes,
# EOS among them, so that only `attempt_ids` tells them apart.
PROMPTS = ((1,), (1, EOS))
CORRECTION = (1, EOS)
PADDING = EOS


class TwoAttempts:
  """All episodes of two attempts.

  N completions make R = N * N episodes; episode n1 * N + n2 has first attempt
  n1 and second attempt n2.

  Attributes:
    completions: the N completions, tuples of ids.
    num_contexts: C, rows of logits that a policy has.
    tokens: int32[R, T].
    attempt_ids: int32[R, T].
    contexts: int32[R, T - 1], row of the logits that tokens[:, 1:] come from.
      Outside of the attempts that of the first token, so that a loss that
      reads too far has a wrong gradient and not a lucky zero.
  """

  def __init__(self, vocab_size: int, max_tokens: int):
    self.completions = tuple(_completions(vocab_size, max_tokens))
    prefixes = sorted({y[:t] for y in self.completions for t in range(len(y))})
    self._context = {}
    for before in (None, *self.completions):
      for prefix in prefixes:
        self._context[before, prefix] = len(self._context)
    self.num_contexts = len(self._context)
    self._paths = self._make_paths(max_tokens)
    self.tokens, self.attempt_ids, self.contexts = self._make_rows(max_tokens)

  def logprobs(self, logits: jax.Array) -> jax.Array:
    """float[R, T - 1], nats, as a scorer returns them."""
    logp = jax.nn.log_softmax(logits)
    return logp[self.contexts, self.tokens[:, 1:]]

  def token_kl(self, logits: jax.Array, ref_logits: jax.Array) -> jax.Array:
    """float[R, T - 1], nats, KL(policy || reference) over the vocabulary."""
    logp, logq = jax.nn.log_softmax(logits), jax.nn.log_softmax(ref_logits)
    return jnp.sum(jnp.exp(logp) * (logp - logq), axis=-1)[self.contexts]

  def completion_logprobs(self, logits: jax.Array) -> jax.Array:
    """float[1 + N, N], nats: row 0 log pi(y1), 1 + n log pi(y2 | y1 = n)."""
    contexts, tokens, is_token = self._paths
    logp = jax.nn.log_softmax(logits)[contexts, tokens]
    return jnp.sum(jnp.where(is_token, logp, 0.0), axis=-1)

  def probabilities(self, logits: jax.Array) -> jax.Array:
    """float[R], of every episode."""
    first, second = self.split(jnp.exp(self.completion_logprobs(logits)))
    return (first[:, None] * second).ravel()

  def sequence_kls(self, logits: jax.Array, ref_logits: jax.Array) -> jax.Array:
    """float[1 + N], nats: KL of the first attempt, of the second after each."""
    logp = self.completion_logprobs(logits)
    logq = self.completion_logprobs(ref_logits)
    return jnp.sum(jnp.exp(logp) * (logp - logq), axis=1)

  def rewards(self, is_right: np.ndarray) -> np.ndarray:
    """float[R, 2], raw rewards where completion n is right if is_right[n]."""
    pairs = itertools.product(is_right, is_right)
    return np.array(list(pairs), dtype=float)

  @staticmethod
  def split(per_context: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Rows of the first attempt and of the second: [N], [N, N]."""
    return per_context[0], per_context[1:]

  def _make_paths(self, max_tokens):
    shape = (1 + len(self.completions), len(self.completions), max_tokens)
    contexts, tokens = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    is_token = np.zeros(shape, bool)
    for i, before in enumerate((None, *self.completions)):
      for j, y in enumerate(self.completions):
        for t, token in enumerate(y):
          contexts[i, j, t] = self._context[before, y[:t]]
          tokens[i, j, t], is_token[i, j, t] = token, True
    return contexts, tokens, is_token

  def _make_rows(self, max_tokens):
    rows = []
    for r, (y1, y2) in enumerate(itertools.product(self.completions, repeat=2)):
      row = [(token, 0, 0) for token in PROMPTS[r % len(PROMPTS)]]
      row += self._written(1, None, y1)
      row += [(token, 0, 0) for token in CORRECTION]
      row += self._written(2, y1, y2)
      rows.append(row)
    # One column of padding at the end of the longest row too.
    length = max(map(len, rows)) + 1
    rows = [row + [(PADDING, 0, 0)] * (length - len(row)) for row in rows]
    tokens, attempt_ids, contexts = np.moveaxis(np.array(rows, np.int32), -1, 0)
    return tokens, attempt_ids, contexts[:, 1:]

  def _written(self, attempt, before, y):
    return [
        (token, attempt, self._context[before, y[:t]])
        for t, token in enumerate(y)
    ]


def _completions(vocab_size, max_tokens, prefix=()):
  for token in range(vocab_size):
    y = (*prefix, token)
    if token == EOS or len(y) == max_tokens:
      yield y
    else:
      yield from _completions(vocab_size, max_tokens, y)


def free_policy(model: TwoAttempts, vocab_size: int):
  """Params are the logits: every context has its own.

  Returns:
    (params, ref_params, params -> logits float64[C, V]), random policies.
  """
  generator = np.random.default_rng(0)
  shape = (model.num_contexts, vocab_size)
  return generator.normal(size=shape), generator.normal(size=shape), lambda p: p


def shared_policy(model: TwoAttempts, vocab_size: int):
  """Params are a matrix between features of the context and logits.

  Both attempts and all prefixes share it, as they share a model's weights: an
  attempt's reward that reaches the other attempt changes the gradient.

  Returns:
    As `free_policy`.
  """
  generator = np.random.default_rng(1)
  features = generator.normal(size=(model.num_contexts, 4)) / 2
  shape = (4, vocab_size)
  params, ref_params = generator.normal(size=shape), generator.normal(
      size=shape
  )
  return params, ref_params, lambda p: features @ p


def expected_gradient(
    per_outcome: Callable[[jax.Array], jax.Array],
    probabilities: Callable[[jax.Array], jax.Array],
    params: jax.Array,
) -> jax.Array:
  """E[grad surrogate]: the mean of what infinitely many samples would give.

  Args:
    per_outcome: params -> float[M], surrogate loss of every outcome.
    probabilities: params -> float[M]; no gradient, as sampling has none.
    params: where.
  """
  weights = jax.lax.stop_gradient(probabilities(params))
  return jax.grad(lambda p: jnp.sum(weights * per_outcome(p)))(params)


def finite_differences(
    function: Callable[[jax.Array], jax.Array], params: np.ndarray
) -> np.ndarray:
  """Central differences of a scalar function in float64; error about 1e-9."""
  step = 1e-5
  function = fast_jit(function)
  gradient = np.zeros_like(params)
  for index in np.ndindex(params.shape):
    shift = np.zeros_like(params)
    shift[index] = step
    difference = function(params + shift) - function(params - shift)
    gradient[index] = difference / (2 * step)
  return gradient
