"""Which sampled conversations the supervised baselines imitate.

Paper, section 4: STaR keeps conversations in which a wrong first attempt is
followed by a right one; Pair-SFT pairs every wrong first attempt with any right
attempt at the same problem. The variants (D+) add as many conversations of two
right attempts. Only second attempts are imitated.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import dataclasses

import numpy as np

from score_jax.types import Rollouts

CONTEXT, TAUGHT = 0, 1


@dataclasses.dataclass(frozen=True)
class Traces:
  """Conversations to imitate.

  Attributes:
    tokens: int32[N, T], conversations without holes.
    mask: bool[N, T], False on padding.
    labels: int32[N, T], TAUGHT on the tokens of second attempts, else CONTEXT.
      The end of turn is taught, whichever stop id was sampled.
  """

  tokens: np.ndarray
  mask: np.ndarray
  labels: np.ndarray

  def __len__(self) -> int:
    return len(self.tokens)

  def take(self, rows: np.ndarray) -> "Traces":
    """The traces of the given row numbers."""
    return Traces(self.tokens[rows], self.mask[rows], self.labels[rows])


# (rollouts of two attempts, random generator) -> what is imitated.
Selection = Callable[[Sequence[Rollouts], np.random.Generator], Traces]


def star(rollouts: Sequence[Rollouts], rng: np.random.Generator) -> Traces:
  """D_STaR: sampled conversations of a wrong attempt and then a right one."""
  del rng
  return _as_sampled(rollouts, _rows(rollouts, 0, 1))


def star_plus(rollouts: Sequence[Rollouts], rng: np.random.Generator) -> Traces:
  """D+_STaR: D_STaR, and as many conversations of two right attempts."""
  mended = _rows(rollouts, 0, 1)
  kept = _some(_rows(rollouts, 1, 1), len(mended), rng)
  return _as_sampled(rollouts, np.concatenate([mended, kept]))


def pair(rollouts: Sequence[Rollouts], rng: np.random.Generator) -> Traces:
  """D_SFT: every wrong first attempt, with a right attempt drawn at random.

  The right one comes from all first and second attempts at the same problem;
  where there is none, the wrong one is left out.
  """
  return _join(_pairs(rollouts, 0, rng), rollouts)


def pair_plus(rollouts: Sequence[Rollouts], rng: np.random.Generator) -> Traces:
  """D+_SFT: D_SFT, and as many pairs whose first attempt is right too."""
  mended = list(_pairs(rollouts, 0, rng))
  kept = list(_pairs(rollouts, 1, rng))
  chosen = _some(np.arange(len(kept)), len(mended), rng)
  return _join(mended + [kept[i] for i in chosen], rollouts)


def batches(
    traces: Traces, batch_size: int, rng: np.random.Generator
) -> Iterator[Traces]:
  """Yields batches without end; each pass has an order of its own.

  A pass that does not fill its last batch goes on with the next one, so that
  every trace is seen equally often.

  Raises:
    ValueError: there are no traces.
  """
  if not len(traces):
    raise ValueError(
        "none of the sampled conversations can be imitated: there is no right"
        " attempt behind a wrong one. Sample more of them, or take a base model"
        " that corrects itself now and then"
    )
  order = np.zeros(0, np.int64)
  while True:
    while len(order) < batch_size:
      order = np.concatenate([order, rng.permutation(len(traces))])
    yield traces.take(order[:batch_size])
    order = order[batch_size:]


def _correct(rollouts: Sequence[Rollouts]) -> np.ndarray:
  """bool[N, A] over the rows of all rollouts."""
  return np.concatenate(
      [r.rewards.reshape(-1, r.rewards.shape[-1]) > 0 for r in rollouts]
  )


def _rows(
    rollouts: Sequence[Rollouts], first: bool, second: bool
) -> np.ndarray:
  """Numbers of the rows whose two attempts have these verdicts."""
  is_correct = _correct(rollouts)
  return np.flatnonzero(
      (is_correct[:, 0] == first) & (is_correct[:, 1] == second)
  )


def _some(rows: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
  """At most `count` of the rows, in their order."""
  count = min(count, len(rows))
  return np.sort(rng.choice(rows, count, replace=False))


def _as_sampled(rollouts: Sequence[Rollouts], rows: np.ndarray) -> Traces:
  def field(name):
    return np.concatenate([vars(r.conversations)[name] for r in rollouts])[rows]

  labels = (field("attempt_ids") == 2).astype(np.int32)
  return Traces(field("tokens"), field("mask"), labels)


# Tokens before the second attempt, and those of a right attempt.
_Pair = tuple[np.ndarray, np.ndarray]


def _pairs(
    rollouts: Sequence[Rollouts], first: bool, rng: np.random.Generator
) -> Iterator[_Pair]:
  """First attempts with this verdict, each with a right attempt."""
  right = _right_attempts(rollouts)
  for r in rollouts:
    c, samples = r.conversations, r.rewards.shape[1]
    is_correct = r.rewards.reshape(-1, r.rewards.shape[-1]) > 0
    for row in np.flatnonzero(is_correct[:, 0] == first):
      choices = right.get(c.problems[row // samples].id, ())
      if choices:
        start = np.flatnonzero(c.attempt_ids[row] == 2)[0]
        yield c.tokens[row, :start], choices[rng.integers(len(choices))]


def _right_attempts(
    rollouts: Sequence[Rollouts],
) -> dict[int, list[np.ndarray]]:
  """Tokens of the right attempts by problem id, stop ids included."""
  found: dict[int, list[np.ndarray]] = {}
  for r in rollouts:
    c, samples = r.conversations, r.rewards.shape[1]
    is_correct = r.rewards.reshape(-1, r.rewards.shape[-1]) > 0
    for row, attempt in np.argwhere(is_correct):
      tokens = c.tokens[row][c.attempt_ids[row] == attempt + 1]
      found.setdefault(c.problems[row // samples].id, []).append(tokens)
  return found


def _join(
    pairs: Iterator[_Pair] | Sequence[_Pair], rollouts: Sequence[Rollouts]
) -> Traces:
  """Conversations of the pairs, as long as the rows that they come from."""
  pairs = list(pairs)
  shape = (len(pairs), rollouts[0].conversations.tokens.shape[1])
  tokens = np.zeros(shape, np.int32)
  mask = np.zeros(shape, bool)
  labels = np.zeros(shape, np.int32)
  for row, (context, attempt) in enumerate(pairs):
    end = len(context) + len(attempt)
    tokens[row, :end] = np.concatenate([context, attempt])
    mask[row, :end] = True
    labels[row, len(context) : end] = TAUGHT
  return Traces(tokens, mask, labels)
