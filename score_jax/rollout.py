"""Rollouts: conversations of several attempts, sampled, packed and graded.

1. prompts of B problems as ids, left-padded;
2. one jitted program samples all attempts of B x K rows;
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

from score_jax import distributed
from score_jax import sampler
from score_jax import sharding
from score_jax import tokenization
from score_jax.grading.errors import GraderError
from score_jax.models.config import ModelConfig
from score_jax.models.transformer import Params
from score_jax.sampler import SamplingSpec
from score_jax.tasks.task import Task
from score_jax.tokenization import ConversationTokenizer
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
  """

  num_attempts: int
  samples_per_problem: int
  max_prompt_tokens: int
  sampling: SamplingSpec
  turn_ids: tuple[int, ...]
  num_prompt_buckets: int = 1

  def __post_init__(self):
    if not self.turn_ids:
      raise ValueError(
          "the correction turn has no tokens: nothing asks for a second attempt"
      )

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
) -> ConversationSpec:
  """Conversations of a tokenizer, with its ids of the correction turn."""
  return ConversationSpec(
      num_attempts=num_attempts,
      samples_per_problem=samples_per_problem,
      max_prompt_tokens=max_prompt_tokens,
      num_prompt_buckets=num_prompt_buckets,
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
  """

  problems: tuple[Problem, ...]
  tokens: np.ndarray
  mask: np.ndarray
  attempt_ids: np.ndarray
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
) -> Conversations:
  """Samples K conversations of each problem.

  A row is a function of (params, key, step, problem id, sample number): which
  other problems are in the batch does not matter.

  Args:
    params: policy to sample from, as made by `sampler.make_copy`.
    config: its configuration.
    tokenizer: its tokenizer.
    task: makes the prompts.
    problems: B problems.
    spec: shape of the conversations.
    key: the run's key.
    step: number of the occasion, see `sampler.row_keys`.
    mesh: of the sampler; None for the default device.
    problems_per_batch: of them, sampled at once; None for all. A divisor of B.

  Raises:
    ValueError: a prompt longer than max_prompt_tokens.
  """
  prompts = tokenizer.prompt_ids([task.first_prompt(p) for p in problems])
  ids = np.asarray([p.id for p in problems], np.int32)
  size = problems_per_batch or len(problems)
  batches = []
  for start in range(0, len(problems), size):
    part = slice(start, start + size)
    tokens, mask = tokenization.left_pad(
        prompts[part], spec.prompt_bucket(prompts[part]), tokenizer.pad_id
    )
    with sharding.use(mesh):
      attempts = sampler.sample_attempts(
          params,
          config,
          tokens,
          mask,
          np.asarray(spec.turn_ids, np.int32),
          ids[part],
          key,
          step,
          num_attempts=spec.num_attempts,
          samples=spec.samples_per_problem,
          spec=spec.sampling,
      )
    # Waits: otherwise several batches would be on the devices at once.
    batches.append(distributed.to_host(attempts))
  attempts = jax.tree.map(lambda *parts: np.concatenate(parts), *batches)
  return pack(tokenizer, problems, prompts, attempts, spec)


def pack(
    tokenizer: ConversationTokenizer,
    problems: Sequence[Problem],
    prompts: Sequence[Sequence[int]],
    attempts: Sequence[Attempt],
    spec: ConversationSpec,
) -> Conversations:
  """Writes each conversation's pieces one behind the other, without holes."""
  rows, logprobs = [], []
  for row in range(len(problems) * spec.samples_per_problem):
    pieces = [(prompts[row // spec.samples_per_problem], 0)]
    for i, attempt in enumerate(attempts):
      if i:
        closing = (tokenizer.eos_id,) * int(attempts[i - 1].is_truncated[row])
        pieces.append((closing + spec.turn_ids, 0))
      pieces.append((attempt.tokens[row][attempt.mask[row]], i + 1))
    rows.append(pieces)
    logprobs += [a.behaviour_logprobs[row][a.mask[row]] for a in attempts]
  packed = tokenization.pack_rows(rows, spec.row_tokens, tokenizer.pad_id)
  behaviour_logprobs = np.zeros(packed.tokens.shape, np.float32)
  behaviour_logprobs[packed.labels > 0] = np.concatenate(logprobs)
  is_truncated = np.stack([a.is_truncated for a in attempts], axis=-1)
  return Conversations(
      problems=tuple(problems),
      tokens=packed.tokens,
      mask=packed.mask,
      attempt_ids=packed.labels,
      behaviour_logprobs=behaviour_logprobs,
      texts=_texts(tokenizer, attempts),
      is_truncated=is_truncated.reshape(
          len(problems), spec.samples_per_problem, spec.num_attempts
      ),
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
  """Grades every attempt by its own text; a grader that fails raises."""
  c = conversations
  samples = c.is_truncated.shape[1]
  attempts = c.is_truncated.shape[2]
  own = own_rows(len(c.tokens))
  # All at once: graders with worker processes keep all of them busy.
  flat = task.grade(
      [c.problems[row // samples] for row in own for _ in range(attempts)],
      [text for texts in c.texts for text in texts],
  )
  if len(flat) != len(own) * attempts:
    raise GraderError(
        f"task {task.name!r} gave {len(flat)} grades for"
        f" {len(own) * attempts} attempts"
    )
  texts, grades = _gather(
      c.texts,
      [flat[i * attempts : (i + 1) * attempts] for i in range(len(own))],
  )
  rewards = np.asarray(
      [[float(g.is_correct) for g in row] for row in grades], np.float32
  )
  fields = {f.name: getattr(c, f.name) for f in dataclasses.fields(c)}
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
