"""Sampling with an explicit decode state: prefill, broadcast, decode, extend.

The prompt is prefilled once per problem and broadcast to its samples, attempt 1
is decoded, the correction turn extends the same cache, attempt 2 is decoded on
top, by the same program. Where several corrections share a first attempt, the
state is broadcast once more between the two. Each of these is one jitted
program: between two tokens nothing happens on the host. All take the sampler's
own copy of the parameters (`make_copy`), which is made once per update. The
newest token of a row is pending: it enters the cache together with whatever
comes next, so that each sampled token costs one forward pass.
"""

from collections.abc import Sequence
import dataclasses

import flax.struct
import jax
import jax.numpy as jnp

from score_jax.devices import sharding
from score_jax.models import decoding
from score_jax.models import transformer
from score_jax.models.config import ModelConfig
from score_jax.models.transformer import Params
from score_jax.types import Attempt


@dataclasses.dataclass(frozen=True)
class SamplingSpec:
  """Static choices of the sampler.

  Attributes:
    max_new_tokens: T, limit of one attempt, the token that ends it included.
    temperature: 0 for greedy decoding. There is no top-k and no top-p: the
      sampled distribution is the one that is scored.
    eos_id: written behind a truncated attempt, as context of the next turn.
    stop_ids: any of them ends an attempt; eos_id is one of them.
    pad_id: written where nothing was sampled; no result depends on it.
    check_every: decode steps between two looks whether all rows are done.
    attention: of prompts, see `transformer.Execution`.
    column_multiple: the cache has a multiple of that many columns. On a TPU
      128: otherwise the programs lay it out differently at their borders and
      inside, and copy all of it.
  """

  max_new_tokens: int
  temperature: float
  eos_id: int
  stop_ids: tuple[int, ...]
  pad_id: int
  check_every: int = 8
  attention: str = "xla"
  column_multiple: int = 1

  def __post_init__(self):
    if self.max_new_tokens < 1 or self.check_every < 1:
      raise ValueError(
          "max_new_tokens and check_every must be at least 1, found"
          f" {self.max_new_tokens} and {self.check_every}"
      )
    if self.temperature < 0:
      raise ValueError(f"temperature {self.temperature} is negative")
    if self.eos_id not in self.stop_ids:
      raise ValueError(
          f"eos_id {self.eos_id} is not among stop_ids {self.stop_ids}: add it"
      )


@flax.struct.dataclass
class DecodeState:
  """Conversations so far.

  Attributes:
    cache: keys and values of all tokens but the pending one.
    pending: int32[R], newest token of each row.
    pending_mask: bool[R], False where that is a hole (the row had ended).
  """

  cache: decoding.Cache
  pending: jax.Array
  pending_mask: jax.Array


def row_keys(
    key: jax.Array,
    step: int | jax.Array,
    problem_ids: jax.Array,
    samples: int,
    purpose: int,
) -> jax.Array:
  """One key per row, a function of nothing but what it is for.

  Args:
    key: the run's key, from its seed.
    step: training step, or any number that names the occasion.
    problem_ids: int32[B].
    samples: K, rows per problem.
    purpose: what the key is used for: the attempt's number.

  Returns:
    key[B * K], problem-major.
  """
  key = jax.random.fold_in(key, step)

  def one(problem_id, sample):
    sample_key = jax.random.fold_in(jax.random.fold_in(key, problem_id), sample)
    return jax.random.fold_in(sample_key, purpose)

  ids = jnp.repeat(problem_ids, samples)
  sample_ids = jnp.tile(jnp.arange(samples), problem_ids.shape[0])
  return jax.vmap(one)(ids, sample_ids)


def prefill(
    params: Params,
    config: ModelConfig,
    tokens: jax.Array,
    mask: jax.Array,
    columns: int,
    attention: str = "xla",
) -> DecodeState:
  """Starts conversations from their prompts.

  Args:
    params: as made by `make_copy`.
    config: the model's configuration.
    tokens: int32[B, P], left-padded prompts.
    mask: bool[B, P], True in the last column.
    columns: cache columns to make, enough for the whole conversation.
    attention: see `transformer.Execution`.
  """
  cache = decoding.prefill(
      params, config, tokens[:, :-1], mask[:, :-1], columns, attention
  )
  return DecodeState(cache, tokens[:, -1], mask[:, -1])


def broadcast(state: DecodeState, samples: int) -> DecodeState:
  """Repeats every row `samples` times: [B] rows become [B * K]."""
  cache = state.cache

  return DecodeState(
      cache=cache.replace(
          keys=tuple(jnp.repeat(k, samples, axis=0) for k in cache.keys),
          values=tuple(jnp.repeat(v, samples, axis=0) for v in cache.values),
          mask=jnp.repeat(cache.mask, samples, axis=0),
          positions=jnp.repeat(cache.positions, samples, axis=0),
          next_position=jnp.repeat(cache.next_position, samples),
      ),
      pending=jnp.repeat(state.pending, samples),
      pending_mask=jnp.repeat(state.pending_mask, samples),
  )


def extend(
    params: Params,
    config: ModelConfig,
    state: DecodeState,
    tokens: jax.Array,
    mask: jax.Array,
) -> DecodeState:
  """Appends given tokens; the last of them becomes the pending one.

  Args:
    params: as made by `make_copy`.
    config: the model's configuration.
    state: conversations so far.
    tokens: int32[R, C].
    mask: bool[R, C], False on holes; True in the last column.
  """
  if tokens.shape[1] == 0:
    return state
  block = jnp.concatenate([state.pending[:, None], tokens[:, :-1]], axis=1)
  block_mask = jnp.concatenate(
      [state.pending_mask[:, None], mask[:, :-1]], axis=1
  )
  _, cache = decoding.extend(params, config, block, block_mask, state.cache)
  return DecodeState(cache, tokens[:, -1], mask[:, -1])


def decode(
    params: Params,
    config: ModelConfig,
    state: DecodeState,
    keys: jax.Array,
    spec: SamplingSpec,
) -> tuple[DecodeState, Attempt]:
  """Samples one attempt of every row until a stop id or the limit.

  Args:
    params: as made by `make_copy`.
    config: the model's configuration.
    state: conversations so far, ending where the attempt starts.
    keys: key[R], one per row; token t is drawn with fold_in(key, t).
    spec: static choices.

  Returns:
    The conversations with the attempt appended, and the attempt. Greedy
    decoding reports log-probabilities at temperature 1.
  """
  rows, limit = state.pending.shape[0], spec.max_new_tokens
  stop_ids = jnp.asarray(spec.stop_ids, jnp.int32)
  attempt = Attempt(
      tokens=jnp.full((rows, limit), spec.pad_id, jnp.int32),
      mask=jnp.zeros((rows, limit), bool),
      behaviour_logprobs=jnp.zeros((rows, limit), jnp.float32),
      is_truncated=jnp.ones((rows,), bool),
  )

  def step(t, carry):
    state, attempt = carry
    hidden, cache = decoding.extend(
        params,
        config,
        state.pending[:, None],
        state.pending_mask[:, None],
        state.cache,
    )
    table = transformer.output_table(params, config)
    logits = transformer.unembed(hidden[:, 0], table, config)
    logits = sharding.constrain(logits, "rows", "vocab")
    tokens, logprobs = _draw(logits, keys, t, spec.temperature)
    is_active = attempt.is_truncated  # no stop id so far
    tokens = jnp.where(is_active, tokens, spec.pad_id)
    attempt = Attempt(
        tokens=attempt.tokens.at[:, t].set(tokens),
        mask=attempt.mask.at[:, t].set(is_active),
        behaviour_logprobs=attempt.behaviour_logprobs.at[:, t].set(
            jnp.where(is_active, logprobs, 0.0)
        ),
        is_truncated=is_active & ~jnp.isin(tokens, stop_ids),
    )
    return DecodeState(cache, tokens, is_active), attempt

  def block(carry):
    t, state, attempt = carry
    end = jnp.minimum(t + spec.check_every, limit)
    state, attempt = jax.lax.fori_loop(t, end, step, (state, attempt))
    return end, state, attempt

  def is_running(carry):
    t, _, attempt = carry
    return (t < limit) & jnp.any(attempt.is_truncated)

  start = (jnp.zeros((), jnp.int32), state, attempt)
  _, state, attempt = jax.lax.while_loop(is_running, block, start)
  return _divided(state), attempt


def _draw(
    logits: jax.Array, keys: jax.Array, t: jax.Array, temperature: float
) -> tuple[jax.Array, jax.Array]:
  """Tokens int32[R] from float32[R, V] logits, and their log-probabilities."""
  if temperature == 0:
    tokens = jnp.argmax(logits, axis=-1)
  else:
    logits = logits / temperature
    token_keys = jax.vmap(jax.random.fold_in, (0, None))(keys, t)
    tokens = jax.vmap(jax.random.categorical)(token_keys, logits)
  # No lookup: where the vocabulary is divided it would gather all logits.
  is_picked = jnp.arange(logits.shape[1])[None] == tokens[:, None]
  picked = jnp.sum(jnp.where(is_picked, logits, 0.0), axis=-1)
  return tokens, picked - jax.nn.logsumexp(logits, axis=-1)


def sample_attempts(
    params: Params,
    config: ModelConfig,
    prompts: jax.Array,
    prompt_mask: jax.Array,
    turn: jax.Array,
    problem_ids: jax.Array,
    key: jax.Array,
    step: int | jax.Array,
    *,
    num_attempts: int,
    samples: int,
    spec: SamplingSpec,
    corrections_per_attempt: int = 1,
) -> tuple[Attempt, ...]:
  """Samples whole conversations: prompt, attempt, turn, attempt, ...

  Args:
    params: as made by `make_copy`.
    config: the model's configuration.
    prompts: int32[B, P], left-padded.
    prompt_mask: bool[B, P].
    turn: int32[C], ids of the correction turn, the same for every row.
    problem_ids: int32[B], for the keys.
    key: the run's key.
    step: number of the occasion, see `row_keys`.
    num_attempts: A.
    samples: K.
    spec: static choices.
    corrections_per_attempt: see `sample_messages`.

  Returns:
    A attempts of R rows, problem-major.
  """
  return sample_messages(
      params,
      config,
      prompts,
      prompt_mask,
      (turn,) * (num_attempts - 1),
      problem_ids,
      key,
      step,
      samples=samples,
      spec=spec,
      corrections_per_attempt=corrections_per_attempt,
  )


def sample_messages(
    params: Params,
    config: ModelConfig,
    prompts: jax.Array,
    prompt_mask: jax.Array,
    turns: Sequence[jax.Array],
    problem_ids: jax.Array,
    key: jax.Array,
    step: int | jax.Array,
    *,
    samples: int,
    spec: SamplingSpec,
    corrections_per_attempt: int = 1,
    first_number: int = 1,
) -> tuple[Attempt, ...]:
  """Samples the model's messages of conversations, with given turns between.

  A truncated message is closed with eos_id as context before the next turn, so
  that the turn always follows an ended message; that id is no part of the
  message and receives no credit.

  Args:
    params: as made by `make_copy`.
    config: the model's configuration.
    prompts: int32[B, P], left-padded. Or int32[B * K', P], problem-major, where
      conversations go on that differ within a problem; K' divides K.
    prompt_mask: bool, of the same shape.
    turns: between two messages, int32[C] each, the same for every row.
    problem_ids: int32[B], for the keys.
    key: the run's key.
    step: number of the occasion, see `row_keys`.
    samples: K.
    spec: static choices.
    corrections_per_attempt: K2, a divisor of K. K / K2 first messages are
      sampled per problem, and each is gone on with K2 times: row k1 * K2 + k2
      of a problem has its first message k1.
    first_number: of the first message, as the purpose of its keys; those of
      the others count on.

  Returns:
    1 + len(turns) messages of B * K rows, problem-major.
  """
  columns = cache_columns(
      prompts.shape[1],
      max((turn.shape[0] for turn in turns), default=0),
      1 + len(turns),
      spec,
  )
  first_samples = samples // corrections_per_attempt
  copies = problem_ids.shape[0] * first_samples // prompts.shape[0]
  state = _start(
      params, config, prompts, prompt_mask, copies, columns, spec.attention
  )
  keys = _row_keys(key, step, problem_ids, first_samples, first_number)
  state, message = _decode(params, config, state, keys, spec)
  messages = [message]
  for number, turn in enumerate(turns, start=first_number + 1):
    state = _turn(params, config, state, turn, messages[-1], spec.eos_id)
    if len(messages) == 1 and corrections_per_attempt > 1:
      state, messages[0] = _repeat(state, messages[0], corrections_per_attempt)
    keys = _row_keys(key, step, problem_ids, samples, number)
    state, message = _decode(params, config, state, keys, spec)
    messages.append(message)
  return tuple(messages)


def cache_columns(
    prompt_tokens: int, turn_tokens: int, num_attempts: int, spec: SamplingSpec
) -> int:
  """Columns of a cache that holds whole conversations."""
  columns = (
      prompt_tokens
      + num_attempts * spec.max_new_tokens
      + (num_attempts - 1) * (1 + turn_tokens)  # what closes a truncated one
  )
  return columns + -columns % spec.column_multiple


def _prefill_and_broadcast(
    params: Params,
    config: ModelConfig,
    prompts: jax.Array,
    prompt_mask: jax.Array,
    samples: int,
    columns: int,
    attention: str,
) -> DecodeState:
  state = prefill(params, config, prompts, prompt_mask, columns, attention)
  return _divided(broadcast(state, samples))


def _extend_by_turn(
    params: Params,
    config: ModelConfig,
    state: DecodeState,
    turn: jax.Array,
    attempt: Attempt,
    eos_id: int,
) -> DecodeState:
  """Closes truncated attempts, then appends the correction turn to all."""
  rows = attempt.is_truncated.shape[0]
  closing = jnp.full((rows, 1), eos_id, jnp.int32)
  tokens = jnp.concatenate(
      [closing, jnp.broadcast_to(turn[None], (rows, turn.shape[0]))], axis=1
  )
  mask = jnp.ones(tokens.shape, bool).at[:, 0].set(attempt.is_truncated)
  return _divided(extend(params, config, state, tokens, mask))


def _repeat_rows(
    state: DecodeState, attempt: Attempt, copies: int
) -> tuple[DecodeState, Attempt]:
  """Conversations and their newest attempt, every row `copies` times."""
  attempt = jax.tree.map(lambda a: jnp.repeat(a, copies, axis=0), attempt)
  return _divided(broadcast(state, copies)), attempt


def _divided(state: DecodeState) -> DecodeState:
  """The same, divided by rows: each attempt starts with the same layout."""

  def divide(array):
    if array.ndim == 4:
      return sharding.constrain(array, "rows", "kv_heads", None, None)
    return sharding.constrain(array, *("rows", None)[: array.ndim])

  return jax.tree.map(divide, state)


# The programs of a conversation. The same one decodes every attempt, and each
# takes over the memory of the conversations so far.
_start = jax.jit(_prefill_and_broadcast, static_argnums=(1, 4, 5, 6))
_decode = jax.jit(decode, static_argnums=(1, 4), donate_argnums=2)
_turn = jax.jit(_extend_by_turn, static_argnums=(1, 5), donate_argnums=2)
_repeat = jax.jit(_repeat_rows, static_argnums=2)
_row_keys = jax.jit(row_keys, static_argnums=3)
