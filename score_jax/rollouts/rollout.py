"""Rollouts: conversations of several attempts, sampled, packed and graded.

1. prompts of B problems as ids, left-padded;
2. jitted programs sample all attempts of B x K rows;
3. rows are packed without holes, with each token's attempt;
4. attempts are decoded once, for the grader alone.

With several processes all of them know all rows; each decodes and grades its
share, and texts and grades are exchanged.
"""

from collections.abc import Sequence
import dataclasses

import jax
from jax.sharding import Mesh
import numpy as np

from score_jax.devices import distributed
from score_jax.devices import sharding
from score_jax.grading.errors import GraderError
from score_jax.models.config import ModelConfig
from score_jax.models.transformer import Params
from score_jax.rollouts import sampler
from score_jax.rollouts.sampler import SamplingSpec
from score_jax.tasks.task import Task
from score_jax.text import tokenization
from score_jax.text.tokenization import ConversationTokenizer
from score_jax.types import Attempt
from score_jax.types import Grade
from score_jax.types import Problem
from score_jax.types import Rollouts


@dataclasses.dataclass(frozen=True)
class ConversationSpec:
  """Shape of a conversation.

  Attributes:
    num_attempts: A.
    samples_per_problem: K.
    max_prompt_tokens: P, the limit.
    sampling: how an attempt is drawn.
    turn_ids: ids of the correction turn.
    num_prompt_buckets: prompts are padded to P, or to the half of it, its
      quarter, ..., this many lengths in all: each has programs of its own.
    corrections_per_attempt: K2. Above 1, K / K2 first attempts are sampled per
      problem and each is corrected K2 times: sample k1 * K2 + k2 is correction
      k2 of first attempt k1.
  """

  num_attempts: int
  samples_per_problem: int
  max_prompt_tokens: int
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
    if not self.turn_ids:
      raise ValueError(
          "the correction turn has no tokens: nothing asks for a second attempt"
      )

  @property
  def first_attempts_per_problem(self) -> int:
    """K1, distinct first attempts."""
    return self.samples_per_problem // self.corrections_per_attempt

  @property
  def max_tokens(self) -> int:
    """Length of the longest conversation."""
    turns = (self.num_attempts - 1) * (1 + len(self.turn_ids))
    attempts = self.num_attempts * self.sampling.max_new_tokens
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
    """Length of every packed row."""
    return self.max_tokens + -self.max_tokens % self.sampling.column_multiple


def make_spec(
    tokenizer: ConversationTokenizer,
    correction_prompt: str,
    *,
    num_attempts: int,
    samples_per_problem: int,
    max_prompt_tokens: int,
    max_new_tokens: int,
    temperature: float,
    check_every: int,
    attention: str = "xla",
    column_multiple: int = 1,
    num_prompt_buckets: int = 1,
    corrections_per_attempt: int = 1,
) -> ConversationSpec:
  """Conversations of a tokenizer, with its ids of the correction turn."""
  return ConversationSpec(
      num_attempts=num_attempts,
      samples_per_problem=samples_per_problem,
      max_prompt_tokens=max_prompt_tokens,
      num_prompt_buckets=num_prompt_buckets,
      corrections_per_attempt=corrections_per_attempt,
      sampling=SamplingSpec(
          max_new_tokens=max_new_tokens,
          temperature=temperature,
          eos_id=tokenizer.eos_id,
          stop_ids=tokenizer.stop_ids,
          pad_id=tokenizer.pad_id,
          check_every=check_every,
          attention=attention,
          column_multiple=column_multiple,
      ),
      turn_ids=tokenizer.turn_ids(correction_prompt),
  )


@dataclasses.dataclass(frozen=True)
class Conversations:
  """Sampled rows before grading; the fields are those of Rollouts.

  But `texts` holds only the rows that this process grades, see `own_rows`.

  Attributes:
    trained_attempt_ids: int32[R, T], attempt_ids with 0 on attempts that the
      trained policy did not write: a loss must not see them.
  """

  problems: tuple[Problem, ...]
  tokens: np.ndarray
  mask: np.ndarray
  attempt_ids: np.ndarray
  trained_attempt_ids: np.ndarray
  behaviour_logprobs: np.ndarray
  texts: tuple[tuple[str, ...], ...]
  is_truncated: np.ndarray


def own_rows(num_rows: int) -> range:
  """Rows that this process decodes and grades."""
  return range(num_rows)[distributed.share(num_rows)]


def sample(
    params: Params,
    config: ModelConfig,
    tokenizer: ConversationTokenizer,
    task: Task,
    problems: Sequence[Problem],
    spec: ConversationSpec,
    *,
    key: jax.Array,
    step: int,
    mesh: Mesh | None = None,
    problems_per_batch: int | None = None,
    first_params: Params | None = None,
) -> Conversations:
  """Samples K conversations of each problem.

  A row is a function of (params, key, step, problem id, sample number): which
  other problems are in the batch does not matter.

  With `first_params` the first attempts are offline (paper, section 5): more
  prompts for the second attempt, written by another policy. They are in
  `attempt_ids`, for grades and figures, and not in `trained_attempt_ids`, since
  their score under `params` is no policy gradient. Their behaviour_logprobs are
  those of the policy that wrote them.

  Args:
    params: policy to sample from, as made by `decoding.make_copy`.
    config: its configuration.
    tokenizer: its tokenizer.
    task: makes the prompts.
    problems: B problems.
    spec: shape of the conversations.
    key: the run's key.
    step: number of the occasion, see `sampler.row_keys`.
    mesh: of the sampler; None for the default device.
    problems_per_batch: of them, sampled at once; None for all. A divisor of B.
    first_params: policy that the first attempts are sampled from, as made by
      `decoding.make_copy`; None for `params`.

  Raises:
    ValueError: a prompt longer than max_prompt_tokens, or first_params where
      conversations have one attempt.
  """
  if first_params is not None and spec.num_attempts < 2:
    raise ValueError(
        "first attempts of another policy in conversations of one attempt:"
        " nothing is left to train; set num_attempts to 2 or more"
    )
  prompts = tokenizer.prompt_ids([task.first_prompt(p) for p in problems])
  ids = np.asarray([p.id for p in problems], np.int32)
  size = problems_per_batch or len(problems)
  batches = []
  for start in range(0, len(problems), size):
    part = slice(start, start + size)
    args = prompts[part], ids[part], spec, key, step
    with sharding.use(mesh):
      if first_params is None:
        attempts = _attempts(params, config, *args)
      else:
        attempts = _attempts_after(params, first_params, config, *args)
    batches.append(attempts)
  attempts = jax.tree.map(lambda *parts: np.concatenate(parts), *batches)
  conversations = pack(tokenizer, problems, prompts, attempts, spec)
  if first_params is not None:
    ids = conversations.attempt_ids
    conversations = dataclasses.replace(
        conversations, trained_attempt_ids=np.where(ids == 1, 0, ids)
    )
  return conversations


def _attempts(
    params: Params,
    config: ModelConfig,
    prompts: Sequence[Sequence[int]],
    problem_ids: np.ndarray,
    spec: ConversationSpec,
    key: jax.Array,
    step: int,
) -> tuple[Attempt, ...]:
  """All attempts of one policy, on the host."""
  attempts = sampler.sample_attempts(
      params,
      config,
      *tokenization.left_pad(
          prompts, spec.prompt_bucket(prompts), spec.sampling.pad_id
      ),
      np.asarray(spec.turn_ids, np.int32),
      problem_ids,
      key,
      step,
      num_attempts=spec.num_attempts,
      samples=spec.samples_per_problem,
      spec=spec.sampling,
      corrections_per_attempt=spec.corrections_per_attempt,
  )
  # Waits: otherwise several batches would be on the devices at once.
  return distributed.to_host(attempts)


def _attempts_after(
    params: Params,
    first_params: Params,
    config: ModelConfig,
    prompts: Sequence[Sequence[int]],
    problem_ids: np.ndarray,
    spec: ConversationSpec,
    key: jax.Array,
    step: int,
) -> tuple[Attempt, ...]:
  """First attempts of another policy, the later ones of `params`.

  Keys and values of the one are of no use to the other: the later attempts
  start from the whole conversation so far, as from a prompt.
  """
  distinct = spec.first_attempts_per_problem
  first_spec = dataclasses.replace(
      spec,
      num_attempts=1,
      samples_per_problem=distinct,
      corrections_per_attempt=1,
  )
  (first,) = _attempts(
      first_params, config, prompts, problem_ids, first_spec, key, step
  )
  conversations = [
      [
          *prompts[row // distinct],
          *first.tokens[row][first.mask[row]],
          *_closing(spec.sampling.eos_id, first, row),
          *spec.turn_ids,
      ]
      for row in range(len(first.tokens))
  ]
  length = spec.prompt_bucket(prompts) + spec.sampling.max_new_tokens
  later = sampler.sample_messages(
      params,
      config,
      *tokenization.left_pad(
          conversations, length + 1 + len(spec.turn_ids), spec.sampling.pad_id
      ),
      (np.asarray(spec.turn_ids, np.int32),) * (spec.num_attempts - 2),
      problem_ids,
      key,
      step,
      samples=spec.samples_per_problem,
      spec=spec.sampling,
      first_number=2,
  )
  repeated = jax.tree.map(
      lambda a: np.repeat(a, spec.corrections_per_attempt, axis=0), first
  )
  return (repeated, *distributed.to_host(later))


def pack(
    tokenizer: ConversationTokenizer,
    problems: Sequence[Problem],
    prompts: Sequence[Sequence[int]],
    attempts: Sequence[Attempt],
    spec: ConversationSpec,
) -> Conversations:
  """Writes each conversation's pieces one behind the other, without holes."""
  return pack_messages(
      tokenizer,
      problems,
      prompts,
      attempts,
      turns=(spec.turn_ids,) * (len(attempts) - 1),
      numbers=range(1, len(attempts) + 1),
      row_tokens=spec.row_tokens,
  )


def pack_messages(
    tokenizer: ConversationTokenizer,
    problems: Sequence[Problem],
    prompts: Sequence[Sequence[int]],
    messages: Sequence[Attempt],
    *,
    turns: Sequence[tuple[int, ...]],
    numbers: Sequence[int],
    row_tokens: int,
) -> Conversations:
  """As `pack`, where some of the model's messages may be no attempts.

  Args:
    tokenizer: of the model.
    problems: B problems.
    prompts: ids of each.
    messages: of B * K rows each.
    turns: ids between two messages.
    numbers: which attempt each message is, from 1 in order; 0 for a message
      that is none: it is kept as context and never graded or trained.
    row_tokens: length of every packed row.
  """
  samples = len(messages[0].tokens) // len(problems)
  attempts = [m for m, n in zip(messages, numbers, strict=True) if n]
  rows, logprobs = [], []
  for row in range(len(problems) * samples):
    pieces = [(prompts[row // samples], 0)]
    for i, message in enumerate(messages):
      if i:
        closing = _closing(tokenizer.eos_id, messages[i - 1], row)
        pieces.append((closing + turns[i - 1], 0))
      pieces.append((message.tokens[row][message.mask[row]], numbers[i]))
    rows.append(pieces)
    logprobs += [a.behaviour_logprobs[row][a.mask[row]] for a in attempts]
  packed = tokenization.pack_rows(rows, row_tokens, tokenizer.pad_id)
  behaviour_logprobs = np.zeros(packed.tokens.shape, np.float32)
  behaviour_logprobs[packed.labels > 0] = np.concatenate(logprobs)
  is_truncated = np.stack([a.is_truncated for a in attempts], axis=-1)
  return Conversations(
      problems=tuple(problems),
      tokens=packed.tokens,
      mask=packed.mask,
      attempt_ids=packed.labels,
      trained_attempt_ids=packed.labels,
      behaviour_logprobs=behaviour_logprobs,
      texts=_texts(tokenizer, attempts),
      is_truncated=is_truncated.reshape(len(problems), samples, len(attempts)),
  )


def _closing(eos_id: int, message: Attempt, row: int) -> tuple[int, ...]:
  """What stands between a message and the next turn: EOS if it was cut."""
  return (eos_id,) * int(message.is_truncated[row])


def concatenate(parts: Sequence[Conversations]) -> Conversations:
  """One batch of all problems of several, in their order.

  Args:
    parts: of one shape of conversations, with distinct problems.
  """
  joined = {
      f.name: [getattr(part, f.name) for part in parts]
      for f in dataclasses.fields(Conversations)
  }
  # Each process decoded its share of every part: it needs that of the whole.
  shares = [distributed.gather_json(texts) for texts in joined.pop("texts")]
  texts = [tuple(row) for part in shares for share in part for row in share]
  problems = joined.pop("problems")
  return Conversations(
      problems=tuple(problem for part in problems for problem in part),
      texts=tuple(texts[row] for row in own_rows(len(texts))),
      **{name: np.concatenate(arrays) for name, arrays in joined.items()},
  )


def _texts(
    tokenizer: ConversationTokenizer, attempts: Sequence[Attempt]
) -> tuple[tuple[str, ...], ...]:
  own = own_rows(len(attempts[0].tokens))
  columns = [
      tokenizer.decode_attempts([a.tokens[r][a.mask[r]] for r in own])
      for a in attempts
  ]
  return tuple(zip(*columns, strict=True))


def grade(task: Task, conversations: Conversations) -> Rollouts:
  """Grades every attempt by its own text; a grader that fails raises.

  Equal texts at one problem are judged once: copies of an attempt, and a first
  attempt that several corrections share.
  """
  c = conversations
  samples = c.is_truncated.shape[1]
  attempts = [
      [(c.problems[row // samples], text) for text in texts]
      for row, texts in zip(own_rows(len(c.tokens)), c.texts, strict=True)
  ]
  # All at once: graders with worker processes keep all of them busy.
  distinct = {(p.id, text): p for row in attempts for p, text in row}
  flat = task.grade(list(distinct.values()), [text for _, text in distinct])
  if len(flat) != len(distinct):
    raise GraderError(
        f"task {task.name!r} gave {len(flat)} grades for"
        f" {len(distinct)} attempts"
    )
  by_text = dict(zip(distinct, flat, strict=True))
  texts, grades = _gather(
      c.texts, [[by_text[p.id, text] for p, text in row] for row in attempts]
  )
  rewards = np.asarray(
      [[float(g.is_correct) for g in row] for row in grades], np.float32
  )
  fields = {f.name: getattr(c, f.name) for f in dataclasses.fields(c)}
  del fields["trained_attempt_ids"]
  return Rollouts(
      **fields | {"texts": texts},
      grades=grades,
      rewards=rewards.reshape(c.is_truncated.shape),
  )


def _gather(
    texts: Sequence[Sequence[str]], grades: Sequence[Sequence[Grade]]
) -> tuple[tuple[tuple[str, ...], ...], tuple[tuple[Grade, ...], ...]]:
  """Texts and grades of all rows, from those of each process."""
  content = [[vars(grade) for grade in row] for row in grades]
  shares = distributed.gather_json([texts, content])
  return (
      tuple(tuple(row) for share, _ in shares for row in share),
      tuple(
          tuple(Grade(**g) for g in row) for _, share in shares for row in share
      ),
  )
