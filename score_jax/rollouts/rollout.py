"""Rollouts: conversations of several attempts, sampled, packed and graded.

1. the prompts of B problems become ids, left-padded;
2. jitted programs sample all attempts of B x K rows;
3. rows are packed without holes, with the number of each token's attempt;
4. attempts are decoded to text once, for the grader alone.

With several processes, every process holds all rows. Each decodes and grades
its share of them, and texts and grades are exchanged.
"""

from collections.abc import Sequence
import dataclasses

import jax
import numpy as np

from score_jax.devices import distributed
from score_jax.devices import sharding
from score_jax.grading.errors import GraderError
from score_jax.models.config import ModelConfig
from score_jax.models.placement import Placement
from score_jax.models.transformer import Params
from score_jax.rollouts import sampler
from score_jax.rollouts.sampler import Occasion
from score_jax.rollouts.sampler import Prompts
from score_jax.rollouts.spec import ConversationSpec
from score_jax.tasks.task import Task
from score_jax.text import tokenization
from score_jax.text.tokenization import ConversationTokenizer
from score_jax.types import Attempt
from score_jax.types import Conversations
from score_jax.types import Grade
from score_jax.types import Problem
from score_jax.types import Rollouts


@dataclasses.dataclass(frozen=True)
class Collector:
  """What it takes to collect a policy's conversations, beside its parameters.

  Attributes:
    config: the model's configuration.
    tokenizer: the model's tokenizer.
    task: gives prompts and grades.
    spec: shape of the conversations.
    problems_per_batch: problems that are sampled at once.
    key: random key that attempts are drawn with. Greedy ones do not depend on
      it.
    placement: the meshes, and the program that copies a policy for sampling.
  """

  config: ModelConfig
  tokenizer: ConversationTokenizer
  task: Task
  spec: ConversationSpec
  problems_per_batch: int
  key: jax.Array
  placement: Placement

  def with_spec(self, spec: ConversationSpec) -> "Collector":
    """This collector with another shape of conversations."""
    return dataclasses.replace(self, spec=spec)

  def prompt_ids(self, problems: Sequence[Problem]) -> list[list[int]]:
    """Ids of the first prompt of each problem."""
    prompts = [self.task.first_prompt(problem) for problem in problems]
    return self.tokenizer.prompt_ids(prompts)


def own_rows(num_rows: int) -> range:
  """Numbers of the rows that this process decodes and grades."""
  return range(num_rows)[distributed.share(num_rows)]


def batch_slices(num_problems: int, problems_per_batch: int) -> list[slice]:
  """Slices of a list of problems, one per batch that is sampled at once."""
  starts = range(0, num_problems, problems_per_batch)
  return [slice(s, min(s + problems_per_batch, num_problems)) for s in starts]


def sample(
    params: Params,
    collector: Collector,
    problems: Sequence[Problem],
    step: int,
    first_params: Params | None = None,
) -> Conversations:
  """Samples K conversations of each problem.

  A row is a function of (params, key, step, problem id, sample number): which
  other problems are in the batch does not matter.

  With `first_params` the first attempts are offline (paper, section 5.3):
  another policy writes them, so that second attempts see more prompts. Offline
  attempts are in `attempt_ids`, for grades and figures. They are not in
  `trained_attempt_ids`, since their score under `params` is no policy gradient.
  Their behaviour_logprobs are under the policy that wrote them.

  Args:
    params: policy to sample from, as made by `decoding.make_copy`.
    collector: model, task and shape of the conversations.
    problems: B problems.
    step: number of the training step, or any other that names the occasion;
      see `sampler.Occasion`.
    first_params: policy that the first attempts are sampled from, as made by
      `decoding.make_copy`; None for `params`.

  Raises:
    ValueError: a prompt longer than max_prompt_tokens, or first_params where
      conversations have one attempt.
  """
  spec = collector.spec
  if first_params is not None and spec.num_attempts < 2:
    raise ValueError(
        "first attempts of another policy in conversations of one attempt:"
        " nothing is left to train; set num_attempts to 2 or more"
    )
  prompts = collector.prompt_ids(problems)
  ids = np.asarray([p.id for p in problems], np.int32)
  occasion = Occasion(collector.key, step)
  batches = []
  for part in batch_slices(len(problems), collector.problems_per_batch):
    with sharding.use(collector.placement.sampler_mesh):
      if first_params is None:
        attempts = _attempts(
            params, collector.config, prompts[part], ids[part], occasion, spec
        )
      else:
        attempts = _attempts_after(
            (first_params, params),
            collector,
            prompts[part],
            ids[part],
            occasion,
        )
    batches.append(attempts)
  attempts = jax.tree.map(lambda *parts: np.concatenate(parts), *batches)
  conversations = pack(collector, problems, prompts, attempts)
  return conversations if first_params is None else _untrained(conversations)


def _untrained(conversations: Conversations) -> Conversations:
  """Conversations whose first attempts are not trained."""
  ids = conversations.attempt_ids
  return dataclasses.replace(
      conversations, trained_attempt_ids=np.where(ids == 1, 0, ids)
  )


def _attempts(
    params: Params,
    config: ModelConfig,
    prompts: Sequence[Sequence[int]],
    problem_ids: np.ndarray,
    occasion: Occasion,
    spec: ConversationSpec,
) -> tuple[Attempt, ...]:
  """All attempts of one policy, on the host."""
  tokens, mask = tokenization.left_pad(
      prompts, spec.prompt_bucket(prompts), spec.sampling.pad_id
  )
  attempts = sampler.sample_messages(
      params,
      config,
      Prompts(tokens, mask, problem_ids),
      spec.turns,
      occasion,
      spec,
  )
  # Waits: otherwise several batches would be on the devices at once.
  return distributed.to_host(attempts)


def offline_specs(
    spec: ConversationSpec,
) -> tuple[ConversationSpec, ConversationSpec]:
  """Specs of offline first attempts, and of the attempts that follow them.

  Later attempts start from the whole conversation so far as their prompt: the
  cached keys and values of one policy are of no use to another.
  """
  first = dataclasses.replace(
      spec,
      num_attempts=1,
      samples_per_problem=spec.first_attempts_per_problem,
      corrections_per_attempt=1,
  )
  later = dataclasses.replace(
      spec,
      num_attempts=spec.num_attempts - 1,
      max_new_tokens=spec.max_new_tokens[1:] or spec.max_new_tokens,
      corrections_per_attempt=1,
  )
  return first, later


def later_prompt_tokens(prompt_tokens: int, spec: ConversationSpec) -> int:
  """Padded length of second prompts, which hold an offline first attempt.

  Args:
    prompt_tokens: padded length of the first prompts.
    spec: shape of the conversations.
  """
  # One token closes a truncated attempt.
  turn = 1 + len(spec.turn_ids)
  return prompt_tokens + spec.max_new_tokens[0] + turn


def _attempts_after(
    policies: tuple[Params, Params],
    collector: Collector,
    prompts: Sequence[Sequence[int]],
    problem_ids: np.ndarray,
    occasion: Occasion,
) -> tuple[Attempt, ...]:
  """First attempts of the first policy, later ones of the second."""
  spec, config = collector.spec, collector.config
  first_params, params = policies
  first_spec, later_spec = offline_specs(spec)
  (first,) = _attempts(
      first_params, config, prompts, problem_ids, occasion, first_spec
  )
  distinct = first_spec.samples_per_problem
  conversations = [
      [
          *prompts[row // distinct],
          *_ended(first, row, spec.sampling.eos_id),
          *spec.turn_ids,
      ]
      for row in range(len(first.tokens))
  ]
  tokens, mask = tokenization.left_pad(
      conversations,
      later_prompt_tokens(spec.prompt_bucket(prompts), spec),
      spec.sampling.pad_id,
  )
  later = sampler.sample_messages(
      params,
      config,
      Prompts(tokens, mask, problem_ids),
      later_spec.turns,
      occasion._replace(message=2),
      later_spec,
  )
  repeated = jax.tree.map(
      lambda a: np.repeat(a, spec.corrections_per_attempt, axis=0), first
  )
  return (repeated, *distributed.to_host(later))


def pack(
    collector: Collector,
    problems: Sequence[Problem],
    prompts: Sequence[Sequence[int]],
    attempts: Sequence[Attempt],
) -> Conversations:
  """Packs each conversation into a row, its pieces in order and without holes.

  Args:
    collector: tokenizer and shape of the conversations.
    problems: B problems.
    prompts: ids of each problem's first prompt.
    attempts: all A attempts in order, each of B * K rows.
  """
  spec = collector.spec
  layout = MessageLayout(
      turns=(spec.turn_ids,) * (len(attempts) - 1),
      numbers=tuple(range(1, len(attempts) + 1)),
      row_tokens=spec.row_tokens,
  )
  return pack_messages(collector.tokenizer, problems, prompts, attempts, layout)


@dataclasses.dataclass(frozen=True)
class MessageLayout:
  """Where the model's messages stand in a packed row, and what they are.

  Attributes:
    turns: ids between two messages.
    numbers: which attempt each message is, from 1 in order; 0 for a message
      that is no attempt: it is kept as context and never graded or trained.
    row_tokens: length of every packed row.
  """

  turns: tuple[tuple[int, ...], ...]
  numbers: tuple[int, ...]
  row_tokens: int


def pack_messages(
    tokenizer: ConversationTokenizer,
    problems: Sequence[Problem],
    prompts: Sequence[Sequence[int]],
    messages: Sequence[Attempt],
    layout: MessageLayout,
) -> Conversations:
  """Packs conversations in which some messages of the model are no attempts.

  Args:
    tokenizer: the model's tokenizer.
    problems: B problems.
    prompts: ids of each problem's first prompt.
    messages: the model's messages in order, each of B * K rows.
    layout: what stands between the messages, and which are attempts.
  """
  samples = len(messages[0].tokens) // len(problems)
  numbers = layout.numbers
  attempts = [m for m, n in zip(messages, numbers, strict=True) if n]
  rows, sampled, logprobs = [], [], []
  for row in range(len(problems) * samples):
    pieces = [(prompts[row // samples], 0)]
    for i, message in enumerate(messages):
      written = int(message.mask[row].sum())
      ids = _ended(message, row, tokenizer.eos_id)
      pieces.append((ids[:written], numbers[i]))
      if i < len(layout.turns):
        pieces.append(((*ids[written:], *layout.turns[i]), 0))
    rows.append(pieces)
    sampled += [a.tokens[row][a.mask[row]] for a in attempts]
    logprobs += [a.behaviour_logprobs[row][a.mask[row]] for a in attempts]
  packed = tokenization.pack_rows(rows, layout.row_tokens, tokenizer.pad_id)
  targets = packed.tokens.copy()
  targets[packed.labels > 0] = np.concatenate(sampled)
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
      targets=targets,
  )


def _ended(message: Attempt, row: int, eos_id: int) -> list[int]:
  """A message as later turns read it: behind its text stands eos_id.

  It stands in place of the stop id that was sampled, or behind a message that
  was cut off.
  """
  ids = message.tokens[row][message.mask[row]].tolist()
  return [*(ids if message.is_truncated[row] else ids[:-1]), eos_id]


def concatenate(parts: Sequence[Conversations]) -> Conversations:
  """Joins the problems of several batches into one batch, in their order.

  Args:
    parts: batches of distinct problems, with the same numbers of samples,
      attempts and tokens per row.
  """
  joined = {
      f.name: [getattr(part, f.name) for part in parts]
      for f in dataclasses.fields(Conversations)
  }
  return Conversations(
      **{name: _joined(values) for name, values in joined.items()}
  )


def _joined(values: Sequence[tuple | np.ndarray]) -> tuple | np.ndarray:
  """Tuples or arrays, one behind the other."""
  if isinstance(values[0], tuple):
    return tuple(item for value in values for item in value)
  return np.concatenate(values)


def _texts(
    tokenizer: ConversationTokenizer, attempts: Sequence[Attempt]
) -> tuple[tuple[str, ...], ...]:
  """Attempts of all rows as text; each process decodes its share."""
  own = own_rows(len(attempts[0].tokens))
  columns = [
      tokenizer.decode_attempts([a.tokens[r][a.mask[r]] for r in own])
      for a in attempts
  ]
  shares = distributed.gather_json(list(zip(*columns, strict=True)))
  return tuple(tuple(row) for share in shares for row in share)


def grade(task: Task, conversations: Conversations) -> Rollouts:
  """Grades every attempt by its own text.

  Each process grades its share of the rows. Equal texts at one problem are
  judged once, such as a first attempt that several corrections share.

  Raises:
    GraderError: the grader failed, or did not grade every attempt.
  """
  c = conversations
  samples = c.is_truncated.shape[1]
  attempts = [
      [(c.problems[row // samples], text) for text in c.texts[row]]
      for row in own_rows(len(c.tokens))
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
  grades = _gather(
      [[by_text[p.id, text] for p, text in row] for row in attempts]
  )
  rewards = np.asarray(
      [[float(g.is_correct) for g in row] for row in grades], np.float32
  )
  return Rollouts(c, grades, rewards.reshape(c.is_truncated.shape))


def _gather(
    grades: Sequence[Sequence[Grade]],
) -> tuple[tuple[Grade, ...], ...]:
  """Grades of all rows, from those of each process."""
  shares = distributed.gather_json(
      [[vars(grade) for grade in row] for row in grades]
  )
  return tuple(
      tuple(Grade(**g) for g in row) for share in shares for row in share
  )
