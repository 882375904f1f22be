"""Signs that training goes wrong, found in `metrics.jsonl`.

A monitor is a pure function of the records so far. `warnings` asks every
monitor after every record, so more records only add notices. A notice says
where to look; people decide from the conversations whether something is wrong.
"""

from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import itertools
import statistics
from typing import Any
from typing import NamedTuple

from score_jax import scalars

Record = Mapping[str, Any]

# Greedy first attempts, fractions. On 500 problems of which a fifth change
# their verdict, a difference has a standard error of 2 points; a Stage I
# whose anchor holds moved them by about as much.
SANDBAGGING_FALL = 0.05
# Second attempts that fall by less than that error count as holding.
SANDBAGGING_HOLD = 0.02
# Shares of answers that second attempts change. Those of the paper's SCoRe are
# 27 to 39 %; plain reinforcement learning, which it calls collapsed, goes down
# to 16 % (figure 5, read off), which still corrects. This is about copying.
CHANGE_RATE_ALIVE = 0.10
CHANGE_RATE_GONE = 0.02
# Above this accuracy there is little left to change.
NOTHING_TO_CORRECT = 0.95
# Shares of sampled second attempts that repeat the first, where a phase trains
# second attempts alone. In the tiny recipe half of them do; a Stage I that had
# collapsed stood at 0.95 and above, and gained nothing over first attempts.
COPIED_SHARE = 0.90
COPYING_GAIN = 0.01
# A cut attempt can hardly be right, so its reward tells of length. One in five
# is as much as the accuracies that are compared with each other differ.
TRUNCATED_SHARE = 0.20
# Nats per attempt, where the first attempt is held to the base. The chance of
# no event, such as being right, differs by more than sqrt(KL / 2) (Pinsker):
# 0.5 nats allow for 50 points, and a phase that holds was seen at 0.15.
KL_ANCHORED_NATS = 0.5
# Nats per token elsewhere, as attempts that learn may go away by more the
# longer they are. The tiny recipe ends below 0.1 per token; a run that learned
# to spoil its first attempts stood at 0.7.
KL_NATS_PER_TOKEN = 0.3
# Steps whose median is looked at: one batch is noisy.
WINDOW_STEPS = 5

_ACCURACIES = scalars.VALIDATION_ACCURACIES
_CHANGE_RATE = scalars.VALIDATION + scalars.ANSWER_CHANGE_RATE


@dataclasses.dataclass(frozen=True)
class Notice:
  """One sign that a monitor saw, at its first step in a phase.

  Attributes:
    phase: phase of the run ("stage" in the records).
    step: step of the phase at which it was first seen.
    name: name of the monitor: 'sandbagging', 'collapse', 'copying',
      'truncation' or 'first_attempt_kl'.
    message: what was seen, in numbers, and what may help.
  """

  phase: str
  step: int
  name: str
  message: str


class _History(NamedTuple):
  """What a monitor looks at: records up to the present one, which is last."""

  run: list[Record]
  phase: list[Record]
  is_anchored: bool


def warnings(
    records: Sequence[Record], anchored: Collection[str] = ("stage1",)
) -> list[Notice]:
  """Collects what the monitors see in a run.

  Each monitor is reported once in a phase, at the first step where it sees
  something. The result for more records starts with the result for fewer, so a
  caller that asks again can tell which notices are new.

  Args:
    records: the records of `metrics.jsonl`, in order. A monitor whose metrics
      are not in them is silent.
    anchored: names of the phases that hold first attempts to the base model.

  Returns:
    Notices in the order of their records.
  """
  notices: dict[tuple[str, str], Notice] = {}
  run: list[Record] = []
  phases: dict[str, list[Record]] = {}
  for record in records:
    phase = record["stage"]
    run.append(record)
    phases.setdefault(phase, []).append(record)
    history = _History(run, phases[phase], phase in anchored)
    for name, monitor in _MONITORS.items():
      if (phase, name) not in notices and (message := monitor(history)):
        notices[phase, name] = Notice(phase, record["step"], name, message)
  return list(notices.values())


def _sandbagging(history: _History) -> str | None:
  """First attempts become worse so that second ones can be better."""
  now = next(_values(history.phase[-1:], *_ACCURACIES), None)
  if now is None:
    return None
  start_t1, start_t2 = next(_values(history.phase, *_ACCURACIES))
  t1, t2 = now
  if start_t1 - t1 <= SANDBAGGING_FALL or start_t2 - t2 > SANDBAGGING_HOLD:
    return None
  return (
      f"first attempts fell from {start_t1:.1%} to {t1:.1%} since the phase"
      f" began, second ones went from {start_t2:.1%} to {t2:.1%}: the model may"
      " be spoiling first attempts to have something to correct. Look at"
      " rollouts/; raise first_attempt_kl_coef (Stage I) or kl_coef, or lower"
      " bonus_coef"
  )


def _collapse(history: _History) -> str | None:
  """Second attempts become copies of first ones."""
  now = next(_values(history.phase[-1:], _CHANGE_RATE, *_ACCURACIES), None)
  if now is None:
    return None
  rate, t1, t2 = now
  if rate >= CHANGE_RATE_GONE or max(t1, t2) >= NOTHING_TO_CORRECT:
    return None
  highest = max(rate for (rate,) in _values(history.run, _CHANGE_RATE))
  if highest < CHANGE_RATE_ALIVE:
    return None
  return (
      f"second attempts change {rate:.1%} of the answers, once it was"
      f" {highest:.1%}, and {1 - t2:.1%} are still wrong: the model"
      " may have stopped correcting itself. Train Stage I for longer, or raise"
      " bonus_coef"
  )


def _copying(history: _History) -> str | None:
  """Second attempts repeat first ones where they alone are trained."""
  if not history.is_anchored:
    return None
  shares = [_recent(history, n) for n in (scalars.COPIED, scalars.SAME_ANSWER)]
  t1, t2 = (_recent(history, name) for name in scalars.TRAIN_ACCURACIES)
  if None in (*shares, t1, t2):
    return None
  # A copy without an answer is no equal answer, a reworded one no copy.
  share = max(shares)
  if share <= COPIED_SHARE or t2 - t1 >= COPYING_GAIN:
    return None
  if max(t1, t2) >= NOTHING_TO_CORRECT:
    return None
  return (
      f"{share:.1%} of sampled second attempts repeat the first, and"
      f" {t2:.1%} of them are right, {t1:.1%} of first ones: a copy earns what"
      " the first attempt does, and corrections may be too rare to be seen."
      " Teach some before this phase, train it for longer, or take another"
      " objective (docs/copying.md)"
  )


def _truncation(history: _History) -> str | None:
  """Attempts end at the length limit."""
  for attempt in itertools.count(1):
    share = _recent(history, f"train/truncated_t{attempt}")
    if share is None:
      return None
    if share > TRUNCATED_SHARE:
      return (
          f"{share:.1%} of attempts {attempt} are cut by the length limit, and"
          " a cut attempt can hardly be right: raise rollout.max_new_tokens, or"
          " look in rollouts/ whether they come to no end"
      )


def _first_attempt_kl(history: _History) -> str | None:
  """First attempts leave the base."""
  kl = _recent(history, scalars.TRAIN_KLS[0])
  if kl is None:
    return None
  if history.is_anchored:
    if kl <= KL_ANCHORED_NATS:
      return None
    return (
        f"first attempts are {kl:.2f} nats from the base, where this phase is"
        f" to hold them (below {KL_ANCHORED_NATS}): raise"
        " first_attempt_kl_coef, or lower the learning rate"
    )
  tokens = _recent(history, "train/new_tokens_per_row")
  if tokens is None:
    return None
  per_token = kl * _num_attempts(history.phase[-1]) / max(tokens, 1)
  if per_token <= KL_NATS_PER_TOKEN:
    return None
  return (
      f"first attempts are {kl:.1f} nats from the base, {per_token:.2f} per"
      f" token (expected below {KL_NATS_PER_TOKEN}): raise kl_coef or lower the"
      " learning rate"
  )


_MONITORS: dict[str, Callable[[_History], str | None]] = {
    "sandbagging": _sandbagging,
    "collapse": _collapse,
    "copying": _copying,
    "truncation": _truncation,
    "first_attempt_kl": _first_attempt_kl,
}


def _num_attempts(record: Record) -> int:
  return sum(name.startswith("train/accuracy_t") for name in record)


def _values(
    records: Iterable[Record], *names: str
) -> Iterator[tuple[float, ...]]:
  """Values of the records that have all of the names; null is no value."""
  for record in records:
    values = tuple(record.get(name) for name in names)
    if None not in values:
      yield values


def _recent(history: _History, name: str) -> float | None:
  """Median over the last records of the phase, where all of them have it."""
  last = history.phase[-WINDOW_STEPS:]
  values = [value for (value,) in _values(last, name)]
  return statistics.median(values) if len(values) == WINDOW_STEPS else None
