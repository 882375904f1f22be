"""Log-probabilities of tokens: no other module makes them from logits.

Logits are made for a chunk of positions at a time and recomputed in the
backward pass, so that no array [R, T, V] is ever alive.
"""

from collections.abc import Callable
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from score_jax.devices import sharding
from score_jax.models import shared_prefix
from score_jax.models import transformer
from score_jax.models import vocab
from score_jax.models.config import ModelConfig
from score_jax.models.transformer import PLAIN
from score_jax.models.transformer import Execution
from score_jax.models.transformer import Params
from score_jax.types import Prefix

# (part of the vocabulary, tables [V, D], hidden states [n, D], targets) ->
#   results float32[n]
_Score = Callable[..., tuple[jax.Array, ...]]


def token_logprobs(
    params: Params,
    config: ModelConfig,
    tokens: jax.Array,
    mask: jax.Array,
    *,
    targets: jax.Array | None = None,
    prefix: Prefix | None = None,
    temperature: float = 1.0,
    execution: Execution = PLAIN,
) -> jax.Array:
  """Log-probability of every token given the valid tokens before it.

  Args:
    params: model parameters; they receive the gradient.
    config: the model's configuration.
    tokens: int32[R, T], token ids.
    mask: bool[R, T], False on padding, which may lie anywhere in a row.
    targets: int32[R, T], token ids that are scored, each given the tokens
      before it; None for the tokens themselves.
    prefix: tokens that stand before those of the rows, see
      `shared_prefix.hidden_states`; they are not scored. None for none.
    temperature: the one that the policy samples at; logits are divided by it.
    execution: how the model is computed.

  Returns:
    float32[R, T - 1], nats, entry t belongs to targets[:, t + 1]; 0 where that
    is padding or the first token of its row.
  """

  def score(part, tables, hiddens, targets):
    logits = transformer.unembed(hiddens[0], tables[0], config) / temperature
    return (part.take(logits, targets) - part.logsumexp(logits),)

  targets = tokens if targets is None else targets
  (logprobs,) = _score_tokens(
      score, [params], config, _Rows(tokens, mask, targets, prefix), execution
  )
  return logprobs


def token_logprobs_and_kl(
    params: Params,
    ref_params: Params,
    config: ModelConfig,
    tokens: jax.Array,
    mask: jax.Array,
    *,
    targets: jax.Array | None = None,
    prefix: Prefix | None = None,
    temperature: float = 1.0,
    execution: Execution = PLAIN,
) -> tuple[jax.Array, jax.Array]:
  """Log-probabilities and KL(policy || reference) over the whole vocabulary.

  Args:
    params: policy; receives the gradient of both results.
    ref_params: reference policy of the same configuration; no gradient.
    config: the model's configuration.
    tokens: int32[R, T], token ids.
    mask: bool[R, T], False on padding, which may lie anywhere in a row.
    targets: int32[R, T], token ids that are scored; None for the tokens.
    prefix: tokens before those of the rows, as in `token_logprobs`.
    temperature: divides the logits of both policies.
    execution: how both models are computed.

  Returns:
    float32[R, T - 1] log-probabilities, nats, as in `token_logprobs`; and
    float32[R, T - 1], nats, the KL of the two next-token distributions that
    targets[:, 1:] were drawn from. Both are 0 at the same places.
  """
  ref_params = jax.lax.stop_gradient(ref_params)

  def score(part, tables, hiddens, targets):
    logp, ref_logp = (
        part.log_softmax(transformer.unembed(h, t, config) / temperature)
        for h, t in zip(hiddens, tables, strict=True)
    )
    kl = part.sum(jnp.exp(logp) * (logp - ref_logp))
    return part.take(logp, targets), kl

  targets = tokens if targets is None else targets
  return _score_tokens(
      score,
      [params, ref_params],
      config,
      _Rows(tokens, mask, targets, prefix),
      execution,
  )


class _Rows(NamedTuple):
  """What is read and what is scored, see `token_logprobs`."""

  tokens: jax.Array
  mask: jax.Array
  targets: jax.Array
  prefix: Prefix | None

  def hidden_states(
      self, params: Params, config: ModelConfig, execution: Execution
  ) -> jax.Array:
    """[R, T, D], final normed hidden states."""
    if self.prefix is None:
      return transformer.hidden_states(
          params, config, self.tokens, self.mask, execution
      )
    return shared_prefix.hidden_states(
        params, config, self.prefix, self.tokens, self.mask, execution
    )


def _score_tokens(
    score: _Score,
    models: Sequence[Params],
    config: ModelConfig,
    rows: _Rows,
    execution: Execution,
) -> tuple[jax.Array, ...]:
  """Results float32[R, T - 1] of `score` for targets[:, 1:], 0 where masked."""
  tokens, mask = rows.tokens, rows.mask
  if tokens.shape[1] < 2:
    raise ValueError(f"tokens of shape {tokens.shape}: nothing is predicted")
  models = [transformer.cast(params, execution.dtype) for params in models]
  hiddens = [rows.hidden_states(params, config, execution) for params in models]
  tables = [transformer.output_table(params, config) for params in models]
  targets = jnp.take_along_axis(rows.targets, _next_valid(mask), axis=1)
  results = _score_positions(
      score, execution.logprob_chunk, tables, hiddens, targets
  )
  # The result of the last valid position before a token is that token's.
  before, is_scored = _last_valid(mask)[:, :-1], _is_scored(mask)
  return tuple(
      jnp.where(is_scored, jnp.take_along_axis(r, before, axis=1), 0.0)
      for r in results
  )


def _last_valid(mask: jax.Array) -> jax.Array:
  """int32[R, T], the last valid column up to each, 0 where there is none."""
  columns = jnp.broadcast_to(jnp.arange(mask.shape[1])[None], mask.shape)
  return jax.lax.cummax(jnp.where(mask, columns, 0), axis=1)


def _next_valid(mask: jax.Array) -> jax.Array:
  """int32[R, T], the first valid column behind each, the last one if none."""
  last = mask.shape[1] - 1
  columns = jnp.broadcast_to(jnp.arange(last + 1)[None], mask.shape)
  behind = jnp.pad(
      jnp.where(mask, columns, last)[:, 1:],
      ((0, 0), (0, 1)),
      constant_values=last,
  )
  return jax.lax.cummin(behind, axis=1, reverse=True)


def _is_scored(mask: jax.Array) -> jax.Array:
  """bool[R, T - 1], tokens[:, 1:] that are valid and have a predecessor."""
  has_predecessor = jnp.cumsum(mask.astype(jnp.int32), axis=1)[:, :-1] > 0
  return mask[:, 1:] & has_predecessor


def _score_positions(
    score: _Score,
    chunk: int,
    tables: Sequence[jax.Array],
    hiddens: Sequence[jax.Array],
    targets: jax.Array,
) -> tuple[jax.Array, ...]:
  """Results of all positions, float32[R, T]; without a mesh float32[R, T - 1].

  On a mesh, the hidden states of a chunk go to every part of the vocabulary.
  The tables stay, and so do their gradients, which are summed in place.
  """
  rows, length = targets.shape
  vocab_axes = sharding.axes_of("vocab", tables[0].shape[0])
  row_axes = sharding.axes_of("rows", rows)
  position_axes = row_axes + sharding.axes_of("sequence", length)
  gathered = tuple(a for a in vocab_axes if a in position_axes)
  part = vocab.Part(vocab_axes)

  def score_local(tables, hiddens, targets):
    # Told apart here, once, and not in every chunk: the sum of their gradients
    # over copies of the model is one sum then.
    others = tuple(a for a in position_axes if a not in vocab_axes)
    tables = [jax.lax.pcast(t, others, to="varying") for t in tables]

    def score_chunk(*arrays):
      *local, local_targets = (_gather_rows(a, gathered) for a in arrays)
      results = score(part, tables, local, local_targets)
      return tuple(_own_rows(r, gathered) for r in results)

    parts = jax.lax.axis_size(gathered) if gathered else 1
    return _map_chunks(score_chunk, max(1, chunk // parts), *hiddens, targets)

  if not (vocab_axes or position_axes):
    # The last position predicts nothing; on a mesh it keeps the shares equal.
    results = _map_chunks(
        lambda *arrays: score(part, tables, arrays[:-1], arrays[-1]),
        chunk,
        *(a[:, :-1] for a in (*hiddens, targets)),
    )
    return results
  positions = sharding.spec(targets.shape, ("rows", "sequence"))
  table = sharding.spec(tables[0].shape, ("vocab", None))
  return jax.shard_map(
      score_local,
      in_specs=(table, PartitionSpec(*positions, None), positions),
      out_specs=positions,
  )(tables, hiddens, targets)


def _gather_rows(array: jax.Array, axes: tuple[str, ...]) -> jax.Array:
  """Rows [n, ...] of all devices along `axes`, one behind the other."""
  if not axes:
    return array
  return jax.lax.all_gather(array, axes, axis=0, tiled=True)


def _own_rows(array: jax.Array, axes: tuple[str, ...]) -> jax.Array:
  """This device's rows of what `_gather_rows` has put together."""
  if not axes:
    return array
  size = array.shape[0] // jax.lax.axis_size(axes)
  start = jax.lax.axis_index(axes) * size
  return jax.lax.dynamic_slice_in_dim(array, start, size)


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
