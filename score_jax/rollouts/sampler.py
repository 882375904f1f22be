"""Sampling with an explicit decode state: prefill, decode, ask, decode.

The prompt is prefilled once per problem and repeated for its samples, attempt 1
is decoded, the correction turn extends the cache, attempt 2 is decoded behind
it, by the program that decoded attempt 1 where both have the same limit. Where
several corrections share a first attempt, the state is repeated once more
between the two. Each of these is one jitted program: between two tokens nothing
happens on the host. They read the sampler's own copy of the parameters
(`decoding.make_copy`), which is made once per update. The newest token of a row
is pending: it enters the cache together with whatever comes next, so that each
sampled token costs one forward pass.
"""

from collections.abc import Callable
from collections.abc import Sequence
import functools
from typing import Any
from typing import NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from score_jax.devices import sharding
from score_jax.models import decoding
from score_jax.models import transformer
from score_jax.models.config import ModelConfig
from score_jax.models.transformer import Params
from score_jax.rollouts.spec import ConversationSpec
from score_jax.rollouts.spec import SamplingSpec
from score_jax.types import Attempt


class Prompts(NamedTuple):
  """What conversations start from.

  Attributes:
    tokens: int32[B, P], a prompt per problem, left-padded. Or int32[B * K', P],
      problem-major: K' prompts per problem, each a conversation so far. K'
      divides K.
    mask: bool, of the shape of tokens, False on padding; True in the last
      column.
    problem_ids: int32[B], ids of the problems.
  """

  tokens: jax.Array
  mask: jax.Array
  problem_ids: jax.Array


class Occasion(NamedTuple):
  """When a message is drawn; with problem and sample it decides its key.

  Attributes:
    key: random key of the run.
    step: number of the training step, or any number that names the occasion.
    message: number of the message in its conversation, from 1.
  """

  key: jax.Array
  step: int | jax.Array
  message: int | jax.Array = 1


@flax.struct.dataclass
class DecodeState:
  """Conversations so far, as decoding goes on from them.

  Attributes:
    cache: keys and values of all tokens but the pending one.
    pending: int32[R], newest token of each row.
    pending_mask: bool[R], False where the pending token is a hole: the row's
      message had ended before.
  """

  cache: decoding.Cache
  pending: jax.Array
  pending_mask: jax.Array


@functools.partial(jax.jit, static_argnames="samples")
def row_keys(
    occasion: Occasion, problem_ids: jax.Array, samples: int
) -> jax.Array:
  """Makes a key per row, a function of occasion, problem and sample alone.

  Args:
    occasion: when the message is drawn.
    problem_ids: int32[B], ids of the problems.
    samples: K, rows per problem.

  Returns:
    key[B * K], problem-major.
  """
  key = jax.random.fold_in(occasion.key, occasion.step)

  def one(problem_id, sample):
    sample_key = jax.random.fold_in(jax.random.fold_in(key, problem_id), sample)
    return jax.random.fold_in(sample_key, occasion.message)

  ids = jnp.repeat(problem_ids, samples)
  sample_ids = jnp.tile(jnp.arange(samples), problem_ids.shape[0])
  return sharding.constrain(jax.vmap(one)(ids, sample_ids), "rows")


@functools.partial(
    jax.jit, static_argnames=("config", "copies", "columns", "attention")
)
def start(
    params: Params,
    config: ModelConfig,
    prompts: Prompts,
    copies: int,
    columns: int,
    attention: str = "xla",
) -> DecodeState:
  """Prefills prompts and repeats them: the state of rows to decode.

  Args:
    params: as made by `decoding.make_copy`.
    config: the model's configuration.
    prompts: prompts of n rows.
    copies: rows to make of each prompt.
    columns: S, enough for the whole conversation.
    attention: kernels for the prompts, see `transformer.Execution`.

  Returns:
    The state of n * copies rows.
  """
  tokens, mask, _ = prompts
  cache = decoding.prefill(
      params, config, tokens[:, :-1], mask[:, :-1], columns, attention
  )
  state = DecodeState(cache, tokens[:, -1], mask[:, -1])
  return _divided(_repeated(state, copies))


@functools.partial(
    jax.jit,
    static_argnames=("config", "limit", "spec"),
    donate_argnames="state",
)
def decode(
    params: Params,
    config: ModelConfig,
    state: DecodeState,
    keys: jax.Array,
    limit: int,
    spec: SamplingSpec,
) -> tuple[DecodeState, Attempt]:
  """Samples one attempt of every row until a stop id or the limit.

  Args:
    params: as made by `decoding.make_copy`.
    config: the model's configuration.
    state: conversations so far, ending where the attempt starts; donated.
    keys: key[R], one per row; token t is drawn with fold_in(key, t).
    limit: T, most tokens of the attempt.
    spec: how tokens are drawn, and what ends the attempt.

  Returns:
    The conversations with the attempt appended, eos_id in place of the stop id
    that ended it, and the attempt as it was sampled. Greedy decoding reports
    log-probabilities at temperature 1.
  """
  stop_ids = jnp.asarray(spec.stop_ids, jnp.int32)
  attempt = _empty_attempt((state.pending.shape[0], limit), spec.pad_id)

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
    is_stop = jnp.isin(tokens, stop_ids)
    attempt = Attempt(
        tokens=attempt.tokens.at[:, t].set(tokens),
        mask=attempt.mask.at[:, t].set(is_active),
        behaviour_logprobs=attempt.behaviour_logprobs.at[:, t].set(
            jnp.where(is_active, logprobs, 0.0)
        ),
        is_truncated=is_active & ~is_stop,
    )
    # Whatever ended the attempt, the next turn follows an end of turn.
    pending = jnp.where(is_stop, spec.eos_id, tokens)
    return DecodeState(cache, pending, is_active), attempt

  def block(carry):
    t, state, attempt = carry
    end = jnp.minimum(t + spec.check_every, limit)
    state, attempt = jax.lax.fori_loop(t, end, step, (state, attempt))
    return end, state, attempt

  def is_running(carry):
    t, _, attempt = carry
    return (t < limit) & jnp.any(attempt.is_truncated)

  first = (jnp.zeros((), jnp.int32), state, attempt)
  _, state, attempt = jax.lax.while_loop(is_running, block, first)
  return _divided(state), attempt


def _empty_attempt(shape: tuple[int, int], pad_id: int) -> Attempt:
  """Attempts of which no token is drawn yet."""
  return Attempt(
      tokens=jnp.full(shape, pad_id, jnp.int32),
      mask=jnp.zeros(shape, bool),
      behaviour_logprobs=jnp.zeros(shape, jnp.float32),
      is_truncated=jnp.ones(shape[:1], bool),
  )


@functools.partial(
    jax.jit, static_argnames=("config", "eos_id"), donate_argnames="state"
)
def ask(
    params: Params,
    config: ModelConfig,
    state: DecodeState,
    turn: jax.Array,
    is_truncated: jax.Array,
    eos_id: int,
) -> DecodeState:
  """Appends a turn to all rows, behind eos_id where the message was truncated.

  Args:
    params: as made by `decoding.make_copy`.
    config: the model's configuration.
    state: conversations that end with a message; donated.
    turn: int32[C], ids, the same for every row.
    is_truncated: bool[R], whether that message was cut off.
    eos_id: closes truncated messages.

  Returns:
    The conversations with the turn appended.
  """
  rows = is_truncated.shape[0]
  closing = jnp.full((rows, 1), eos_id, jnp.int32)
  tokens = jnp.concatenate(
      [closing, jnp.broadcast_to(turn[None], (rows, turn.shape[0]))], axis=1
  )
  mask = jnp.ones(tokens.shape, bool).at[:, 0].set(is_truncated)
  return _divided(extend(params, config, state, tokens, mask))


@functools.partial(jax.jit, static_argnames="copies")
def repeat(
    state: DecodeState, message: Attempt, copies: int
) -> tuple[DecodeState, Attempt]:
  """Repeats every row, and its newest message, `copies` times."""
  message = jax.tree.map(lambda a: jnp.repeat(a, copies, axis=0), message)
  return _divided(_repeated(state, copies)), message


def extend(
    params: Params,
    config: ModelConfig,
    state: DecodeState,
    tokens: jax.Array,
    mask: jax.Array,
) -> DecodeState:
  """Appends given tokens; the last of them becomes the pending one.

  Args:
    params: as made by `decoding.make_copy`.
    config: the model's configuration.
    state: conversations so far.
    tokens: int32[R, C], ids to append.
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


def _repeated(state: DecodeState, copies: int) -> DecodeState:
  """Every row `copies` times."""
  cache = state.cache
  return DecodeState(
      cache=cache.replace(
          keys=tuple(jnp.repeat(k, copies, axis=0) for k in cache.keys),
          values=tuple(jnp.repeat(v, copies, axis=0) for v in cache.values),
          mask=jnp.repeat(cache.mask, copies, axis=0),
          positions=jnp.repeat(cache.positions, copies, axis=0),
          next_position=jnp.repeat(cache.next_position, copies),
      ),
      pending=jnp.repeat(state.pending, copies),
      pending_mask=jnp.repeat(state.pending_mask, copies),
  )


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


def _divided(state: DecodeState) -> DecodeState:
  """The state divided by rows: each attempt starts with one layout."""

  def divide(array):
    if array.ndim == 4:
      return sharding.constrain(array, "rows", "kv_heads", None, None)
    return sharding.constrain(array, *("rows", None)[: array.ndim])

  return jax.tree.map(divide, state)


# (name, jitted program, its arguments) -> what the program gives
RunProgram = Callable[..., Any]


def run_program(name: str, program: Callable[..., Any], *args: Any) -> Any:
  """Runs a program of a conversation; its name is for other runners."""
  del name
  return program(*args)


def sample_messages(
    params: Params,
    config: ModelConfig,
    prompts: Prompts,
    turns: Sequence[jax.Array],
    occasion: Occasion,
    spec: ConversationSpec,
    run: RunProgram = run_program,
) -> tuple[Attempt, ...]:
  """Samples the model's messages of conversations, with given turns between.

  A turn always follows an ended message, and every message ends with eos_id. It
  stands in place of another stop id that was sampled, which alone is scored. A
  truncated message is closed with it; there it is no part of the message and
  receives no credit.

  No other function knows which programs a conversation runs. With another `run`
  the programs are compiled ahead instead, from the shapes of their arguments.

  Args:
    params: as made by `decoding.make_copy`.
    config: the model's configuration.
    prompts: prompts of B problems.
    turns: what stands between two messages, int32[C] ids each, the same for
      every row.
    occasion: when the first message is drawn; later messages count on from its
      number.
    spec: K samples, of which K2 share a first message: row k1 * K2 + k2 of a
      problem has its first message k1. Message i has the limit of attempt i.
      Its num_attempts is not read.
    run: called as run(name, program, *arguments) for each program.

  Returns:
    1 + len(turns) messages of B * K rows, problem-major.
  """
  sampling, ids = spec.sampling, prompts.problem_ids
  first_samples = spec.first_attempts_per_problem
  rows, length = prompts.tokens.shape
  limits = spec.limits(1 + len(turns))
  columns = cache_columns(
      length, limits, [len(turn) for turn in turns], sampling
  )

  def next_message(name, state, occasion, samples, limit):
    keys = run("keys", row_keys, occasion, ids, samples)
    return run(name, decode, params, config, state, keys, limit, sampling)

  copies = len(ids) * first_samples // rows
  shape = copies, columns, sampling.attention
  state = run("prefill", start, params, config, prompts, *shape)
  name = "decode_first" if spec.decodes_first_apart else "decode"
  state, message = next_message(name, state, occasion, first_samples, limits[0])
  messages = [message]
  for turn, limit in zip(turns, limits[1:], strict=True):
    is_cut = messages[-1].is_truncated
    state = run(
        "turn", ask, params, config, state, turn, is_cut, sampling.eos_id
    )
    if len(messages) == 1 and spec.corrections_per_attempt > 1:
      copies = spec.corrections_per_attempt
      state, messages[0] = run("repeat", repeat, state, messages[0], copies)
    occasion = occasion._replace(message=occasion.message + 1)
    state, message = next_message(
        "decode", state, occasion, spec.samples_per_problem, limit
    )
    messages.append(message)
  return tuple(messages)


def cache_columns(
    prompt_tokens: int,
    limits: Sequence[int],
    turn_tokens: Sequence[int],
    spec: SamplingSpec,
) -> int:
  """Columns of a cache that holds whole conversations.

  Args:
    prompt_tokens: P.
    limits: most tokens of each message.
    turn_tokens: length of each turn between two messages.
    spec: what columns are a multiple of.
  """
  # One token before each turn closes a truncated message.
  turns = len(turn_tokens) * (1 + max(turn_tokens, default=0))
  return spec.rounded(prompt_tokens + sum(limits) + turns)
