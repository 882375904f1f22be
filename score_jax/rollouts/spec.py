"""The shape of conversations: how many attempts, how long, how drawn."""

from collections.abc import Sequence
import dataclasses
from typing import NamedTuple

import numpy as np

from score_jax.settings import RunSettings
from score_jax.text.tokenization import ConversationTokenizer


@dataclasses.dataclass(frozen=True)
class SamplingSpec:
  """Static choices of the sampler.

  Attributes:
    temperature: 0 for greedy decoding. There is no top-k and no top-p: the
      sampled distribution is the one that is scored.
    eos_id: what the next turn follows, in place of another stop id or behind a
      truncated attempt.
    stop_ids: any of them ends an attempt; eos_id is one of them.
    pad_id: written where nothing was sampled; no result depends on it.
    check_every: decode steps between two checks whether all rows are done.
    attention: kernels for prompts, see `transformer.Execution`.
    column_multiple: the number of columns of the cache is a multiple of this.
      On a TPU it is 128: otherwise programs lay the cache out differently at
      their borders and inside, and copy all of it.
  """

  temperature: float
  eos_id: int
  stop_ids: tuple[int, ...]
  pad_id: int
  check_every: int = 8
  attention: str = "xla"
  column_multiple: int = 1

  def __post_init__(self):
    if self.check_every < 1:
      raise ValueError(
          f"check_every is {self.check_every}, expected at least 1"
      )
    if self.temperature < 0:
      raise ValueError(f"temperature {self.temperature} is negative")
    if self.eos_id not in self.stop_ids:
      raise ValueError(
          f"eos_id {self.eos_id} is not among stop_ids {self.stop_ids}: add it"
      )

  def rounded(self, columns: int) -> int:
    """`columns`, rounded up to a multiple of `column_multiple`."""
    return columns + -columns % self.column_multiple


@dataclasses.dataclass(frozen=True)
class ConversationSpec:
  """Shape of a conversation.

  Attributes:
    num_attempts: A.
    samples_per_problem: K.
    max_prompt_tokens: P, the limit of a prompt.
    max_new_tokens: T of each attempt, its limit, the token that ends it
      included. The last one is that of all attempts that follow.
    sampling: how an attempt is drawn.
    turn_ids: ids of the correction turn.
    num_prompt_buckets: number of lengths that prompts are padded to: P, its
      half, its quarter, ... Each length has compiled programs of its own.
    corrections_per_attempt: K2. Above 1, K / K2 first attempts are sampled per
      problem and each is corrected K2 times: sample k1 * K2 + k2 is correction
      k2 of first attempt k1.
  """

  num_attempts: int
  samples_per_problem: int
  max_prompt_tokens: int
  max_new_tokens: tuple[int, ...]
  sampling: SamplingSpec
  turn_ids: tuple[int, ...]
  num_prompt_buckets: int = 1
  corrections_per_attempt: int = 1

  def __post_init__(self):
    corrections = self.corrections_per_attempt
    if corrections < 1 or self.samples_per_problem % corrections:
      raise ValueError(
          f"corrections_per_attempt is {corrections}, expected a divisor of"
          f" samples_per_problem, which is {self.samples_per_problem}"
      )
    if corrections > 1 and self.num_attempts != 2:
      raise ValueError(
          f"corrections_per_attempt is {corrections} with"
          f" {self.num_attempts} attempts: set num_attempts to 2, or"
          " corrections_per_attempt to 1"
      )
    if min(self.max_new_tokens, default=0) < 1:
      raise ValueError(
          f"max_new_tokens is {self.max_new_tokens}, expected a limit of 1 or"
          " more for each attempt"
      )
    if not self.turn_ids:
      raise ValueError(
          "the correction turn has no tokens: nothing asks for a second attempt"
      )

  @property
  def first_attempts_per_problem(self) -> int:
    """K1, the number of distinct first attempts of a problem."""
    return self.samples_per_problem // self.corrections_per_attempt

  def limits(self, num_attempts: int) -> tuple[int, ...]:
    """Limits of the first `num_attempts` attempts, in tokens."""
    last = len(self.max_new_tokens) - 1
    return tuple(self.max_new_tokens[min(i, last)] for i in range(num_attempts))

  @property
  def decodes_first_apart(self) -> bool:
    """Whether first attempts are decoded by a program of their own.

    It has fewer rows than that of second ones, or another limit.
    """
    first, second = self.limits(2)
    return self.corrections_per_attempt > 1 or first != second

  @property
  def max_tokens(self) -> int:
    """Length of the longest conversation, in tokens."""
    turns = (self.num_attempts - 1) * (1 + len(self.turn_ids))
    attempts = sum(self.limits(self.num_attempts))
    return self.max_prompt_tokens + attempts + turns

  @property
  def prompt_buckets(self) -> tuple[int, ...]:
    """Lengths that prompts are padded to, the shortest first."""
    halvings = reversed(range(self.num_prompt_buckets))
    return tuple(-(-self.max_prompt_tokens // 2**i) for i in halvings)

  def prompt_bucket(self, prompts: Sequence[Sequence[int]]) -> int:
    """The length that prompts of one batch are padded to."""
    longest = max(len(ids) for ids in prompts)
    fitting = [size for size in self.prompt_buckets if size >= longest]
    return min(fitting, default=self.max_prompt_tokens)

  @property
  def row_tokens(self) -> int:
    """Length of every packed row, in tokens."""
    return self.sampling.rounded(self.max_tokens)

  @property
  def turns(self) -> tuple[np.ndarray, ...]:
    """int32[C], ids of the correction turn, once between two attempts."""
    return (np.asarray(self.turn_ids, np.int32),) * (self.num_attempts - 1)

  def greedy(self, num_attempts: int) -> "ConversationSpec":
    """The spec of evaluations: one greedy conversation of each problem."""
    return self.sampled(1, num_attempts, temperature=0.0)

  def sampled(
      self, samples: int, num_attempts: int, temperature: float
  ) -> "ConversationSpec":
    """This spec with other samples; each has a first attempt of its own."""
    return dataclasses.replace(
        self,
        num_attempts=num_attempts,
        samples_per_problem=samples,
        corrections_per_attempt=1,
        sampling=dataclasses.replace(self.sampling, temperature=temperature),
    )


class TokenIds(NamedTuple):
  """Token ids that a conversation needs of a tokenizer.

  Attributes:
    eos_id: id that every message ends with before a turn; one of stop_ids.
    stop_ids: all ids that end an attempt.
    pad_id: id of padding.
    turn_ids: ids of the correction turn.
  """

  eos_id: int
  stop_ids: tuple[int, ...]
  pad_id: int
  turn_ids: tuple[int, ...]


def token_ids(
    tokenizer: ConversationTokenizer, correction_prompt: str
) -> TokenIds:
  """Ids of a tokenizer, and of the turn that asks for another attempt."""
  return TokenIds(
      eos_id=tokenizer.eos_id,
      stop_ids=tokenizer.stop_ids,
      pad_id=tokenizer.pad_id,
      turn_ids=tokenizer.turn_ids(correction_prompt),
  )


def conversation_spec(
    settings: RunSettings, ids: TokenIds, column_multiple: int
) -> ConversationSpec:
  """The shape of training conversations, from a run's settings.

  No other function makes a spec from settings: training, evaluation, planning
  and measuring derive theirs from this one.

  Args:
    settings: the run's settings.
    ids: token ids of its tokenizer and of its correction turn.
    column_multiple: lengths of rows and caches are multiples of it.
  """
  rollout = settings.rollout
  return ConversationSpec(
      num_attempts=rollout.num_attempts,
      samples_per_problem=rollout.samples_per_problem,
      corrections_per_attempt=rollout.corrections_per_attempt,
      max_prompt_tokens=rollout.max_prompt_tokens,
      max_new_tokens=rollout.attempt_limits,
      num_prompt_buckets=rollout.num_prompt_buckets,
      turn_ids=ids.turn_ids,
      sampling=SamplingSpec(
          temperature=rollout.temperature,
          eos_id=ids.eos_id,
          stop_ids=ids.stop_ids,
          pad_id=ids.pad_id,
          check_every=rollout.done_check_steps,
          attention=settings.attention,
          column_multiple=column_multiple,
      ),
  )
