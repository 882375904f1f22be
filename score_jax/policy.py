"""From tokens to log-probabilities: the one place where it happens.

Logits are made for a chunk of positions at a time and recomputed in the
backward pass, so that no array [R, T, V] is ever alive.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from score_jax.models import transformer
from score_jax.models.config import ModelConfig
from score_jax.models.transformer import Params

DEFAULT_CHUNK = 1024


def token_logprobs(
    params: Params,
    config: ModelConfig,
    tokens: jax.Array,
    mask: jax.Array,
    *,
    temperature: float = 1.0,
    chunk: int = DEFAULT_CHUNK,
) -> jax.Array:
  """Log-probability of every token given the valid tokens before it.

  Args:
    params: model parameters; they receive the gradient.
    config: the model's configuration.
    tokens: int32[R, T].
    mask: bool[R, T], False on padding, which may lie anywhere in a row.
    temperature: of the policy that is scored; the one it was sampled at.
    chunk: positions whose logits are alive at once.

  Returns:
    float32[R, T - 1], nats, entry t belongs to tokens[:, t + 1]; 0 where that
    is padding or the first token of its row.
  """
  hidden = _hidden_before(params, config, tokens, mask)
  table = transformer.output_table(params, config)

  def score(hidden, targets):
    logits = transformer.unembed(hidden, table, config) / temperature
    return (_log_softmax_at(logits, targets),)

  (logprobs,) = _map_chunks(score, chunk, hidden, tokens[:, 1:])
  return jnp.where(_is_scored(mask), logprobs, 0.0)


def token_logprobs_and_kl(
    params: Params,
    ref_params: Params,
    config: ModelConfig,
    tokens: jax.Array,
    mask: jax.Array,
    *,
    temperature: float = 1.0,
    chunk: int = DEFAULT_CHUNK,
) -> tuple[jax.Array, jax.Array]:
  """Log-probabilities and KL(policy || reference) over the whole vocabulary.

  Args:
    params: policy; receives the gradient of both results.
    ref_params: reference policy of the same configuration; no gradient.
    config: the model's configuration.
    tokens: int32[R, T].
    mask: bool[R, T], False on padding.
    temperature: of both policies.
    chunk: positions whose logits are alive at once.

  Returns:
    float32[R, T - 1] log-probabilities as in `token_logprobs`, and
    float32[R, T - 1] nats, the KL of the two next-token distributions at the
    position that token was drawn from; 0 at the same places.
  """
  ref_params = jax.lax.stop_gradient(ref_params)
  hidden = _hidden_before(params, config, tokens, mask)
  ref_hidden = _hidden_before(ref_params, config, tokens, mask)
  table = transformer.output_table(params, config)
  ref_table = transformer.output_table(ref_params, config)

  def score(hidden, ref_hidden, targets):
    logits = transformer.unembed(hidden, table, config) / temperature
    ref_logits = (
        transformer.unembed(ref_hidden, ref_table, config) / temperature
    )
    logp = jax.nn.log_softmax(logits)
    kl = jnp.sum(jnp.exp(logp) * (logp - jax.nn.log_softmax(ref_logits)), -1)
    return _take(logp, targets), kl

  logprobs, kl = _map_chunks(score, chunk, hidden, ref_hidden, tokens[:, 1:])
  is_scored = _is_scored(mask)
  return jnp.where(is_scored, logprobs, 0.0), jnp.where(is_scored, kl, 0.0)


def _hidden_before(params, config, tokens, mask) -> jax.Array:
  """[R, T - 1, D], the hidden state from which tokens[:, 1:] are predicted.

  That of the last valid token before each, wherever padding lies.
  """
  if tokens.shape[1] < 2:
    raise ValueError(f"tokens of shape {tokens.shape}: nothing is predicted")
  hidden = transformer.hidden_states(params, config, tokens, mask)
  columns = jnp.broadcast_to(jnp.arange(tokens.shape[1])[None], tokens.shape)
  last_valid = jax.lax.cummax(jnp.where(mask, columns, 0), axis=1)
  return jnp.take_along_axis(hidden, last_valid[:, :-1, None], axis=1)


def _is_scored(mask: jax.Array) -> jax.Array:
  """bool[R, T - 1], tokens[:, 1:] that are valid and have a predecessor."""
  has_predecessor = jnp.cumsum(mask.astype(jnp.int32), axis=1)[:, :-1] > 0
  return mask[:, 1:] & has_predecessor


def _take(values: jax.Array, indices: jax.Array) -> jax.Array:
  return jnp.take_along_axis(values, indices[..., None], axis=-1)[..., 0]


def _log_softmax_at(logits: jax.Array, targets: jax.Array) -> jax.Array:
  return _take(logits, targets) - jax.nn.logsumexp(logits, axis=-1)


def _map_chunks(
    score: Callable[..., tuple[jax.Array, ...]], chunk: int, *arrays: jax.Array
) -> tuple[jax.Array, ...]:
  """Applies `score` to `chunk` positions of arrays [R, T, ...] at a time."""
  rows, length = arrays[0].shape[:2]
  count = rows * length
  chunk = min(chunk, count)
  num_chunks = -(-count // chunk)
  padding = num_chunks * chunk - count

  def split(array):
    flat = array.reshape(count, *array.shape[2:])
    flat = jnp.pad(flat, ((0, padding),) + ((0, 0),) * (flat.ndim - 1))
    return flat.reshape(num_chunks, chunk, *flat.shape[1:])

  body = jax.checkpoint(lambda xs: score(*xs))
  results = jax.lax.map(body, tuple(split(a) for a in arrays))
  return tuple(r.reshape(-1)[:count].reshape(rows, length) for r in results)
