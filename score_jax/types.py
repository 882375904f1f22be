"""Values that cross module borders, and the dimension letters.

Dimension letters used throughout:
  B problems, K samples per problem, R = B * K rows (conversations), A attempts,
  P prompt length, T tokens (of an attempt, or of a whole row where said),
  C correction-turn length, S cache columns, L layers, D model width, H query
  heads, N key/value heads, G = H // N, F feed-forward width, V vocabulary.
"""

import dataclasses

import flax.struct
import jax
import numpy as np


@dataclasses.dataclass(frozen=True)
class Problem:
  """One problem of a task.

  Attributes:
    id: unique over all splits of the task; sampling keys are folded from it.
    question: what the model is asked, as text.
    answer: the gold answer, as text; for a programming problem, a program that
      passes.
    source_id: the problem's name in the data set that it comes from, '' where
      problems are generated.
    difficulty: a label such as 'level 3'. Labels sorted as text go from easy to
      hard. '' where the data does not say.
  """

  id: int
  question: str
  answer: str
  source_id: str = ""
  difficulty: str = ""


@dataclasses.dataclass(frozen=True)
class CodeProblem(Problem):
  """A programming problem.

  Attributes:
    entry_point: name of the function that the tests call.
    tests: Python source that raises unless the function is right. It runs in a
      process of its own, where `entry_point` and `candidate` both stand for
      the function of the attempt.
    preamble: Python source, imports and helper functions, that stands in front
      of the program and of the tests.
  """

  entry_point: str = dataclasses.field(kw_only=True)
  tests: str = dataclasses.field(kw_only=True)
  preamble: str = dataclasses.field(kw_only=True)


@dataclasses.dataclass(frozen=True)
class Grade:
  """A task's verdict on one attempt.

  Attributes:
    is_correct: the binary verdict, the only source of rewards and accuracy.
    status: the reason. Every grader has 'no_answer': nothing could be
      extracted. Graders of answers also have 'correct', 'wrong' and the
      statuses of `grading.math_answer`; graders of programs have the statuses
      of `grading.sandbox`.
    answer: the extracted final answer, None when there is none. Two attempts
      that both have none did not give the same answer.
    method: what decided: 'exact' (numbers and strings), 'symbolic' (computer
      algebra) or 'tests' (a program was run).
  """

  is_correct: bool
  status: str
  answer: str | None
  method: str = "exact"


@flax.struct.dataclass
class Attempt:
  """One sampled attempt of every row.

  Attributes:
    tokens: int32[R, T], sampled ids, stop id included; padding afterwards.
    mask: bool[R, T], True up to and including the stop id.
    behaviour_logprobs: float32[R, T], nats, of each sampled token under the
      distribution it was drawn from; 0 outside the mask.
    is_truncated: bool[R], True where the attempt has no stop id in its limit.
  """

  tokens: jax.Array
  mask: jax.Array
  behaviour_logprobs: jax.Array
  is_truncated: jax.Array


@dataclasses.dataclass(frozen=True)
class Conversations:
  """Sampled conversations of B problems x K samples, on the host.

  Rows are problem-major: row b * K + k is sample k of problem b.

  Attributes:
    problems: the B problems.
    tokens: int32[R, T], the whole conversation of each row without holes, as
      the model reads it: prompt, attempt 1, correction turn, attempt 2, ...,
      then padding. Every attempt ends with the end of turn of the template,
      whichever stop id the model wrote.
    mask: bool[R, T], False on padding.
    attempt_ids: int32[R, T], i (from 1) on the tokens that the model wrote in
      attempt i, stop id included; 0 on prompts, correction turns and padding.
    trained_attempt_ids: int32[R, T], attempt_ids with 0 on attempts that the
      trained policy did not write: a loss must not see them.
    behaviour_logprobs: float32[R, T], nats, of the sampled tokens; 0 elsewhere.
    texts: texts[r][i] is attempt i + 1 of row r as text.
    is_truncated: bool[B, K, A], True where the attempt has no stop id in its
      limit.
    targets: int32[R, T], tokens with the stop ids that the model wrote: those
      are scored. Left out, they are the tokens.
  """

  problems: tuple[Problem, ...]
  tokens: np.ndarray
  mask: np.ndarray
  attempt_ids: np.ndarray
  trained_attempt_ids: np.ndarray
  behaviour_logprobs: np.ndarray
  texts: tuple[tuple[str, ...], ...]
  is_truncated: np.ndarray
  targets: np.ndarray | None = None

  def __post_init__(self):
    if self.targets is None:
      object.__setattr__(self, "targets", self.tokens)


@dataclasses.dataclass(frozen=True)
class Rollouts:
  """Graded conversations of B problems x K samples, on the host.

  Attributes:
    conversations: what was sampled, R = B * K rows.
    grades: grades[r][i] is the grade of attempt i + 1 of row r.
    rewards: float32[B, K, A], 1.0 where the attempt is correct, else 0.0.
  """

  conversations: Conversations
  grades: tuple[tuple[Grade, ...], ...]
  rewards: np.ndarray


@flax.struct.dataclass
class Prefix:
  """What the rows of a problem begin with, once for each problem.

  Attributes:
    tokens: int32[B, P], ids.
    mask: bool[B, P], False on padding.
  """

  tokens: jax.Array
  mask: jax.Array


@flax.struct.dataclass
class TrainBatch:
  """What one update of reinforcement learning reads, one conversation a row.

  With a prefix, rows hold what stands behind it, and T counts that alone.

  Attributes:
    tokens: int32[R, T], conversation ids, as the model reads them.
    mask: bool[R, T], False on padding.
    attempt_ids: int32[R, T], i on the tokens of attempt i if it is trained, 0
      elsewhere. These are `Conversations.trained_attempt_ids`.
    advantages: float32[R, A], one per attempt.
    ref_logprobs: float32[R, T - 1], nats, of targets[:, 1:] under the reference
      policy; None where the loss computes the reference's distribution itself.
    targets: int32[R, T], conversation ids, as they were sampled; None where
      these are the tokens. See `Conversations.targets`.
    prefix: tokens before those of the rows, B of them; None where rows are
      whole.
  """

  tokens: jax.Array
  mask: jax.Array
  attempt_ids: jax.Array
  advantages: jax.Array
  ref_logprobs: jax.Array | None = None
  targets: jax.Array | None = None
  prefix: Prefix | None = None
