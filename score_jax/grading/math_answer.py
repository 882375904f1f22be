r"""Grades of maths answers, such as those of the MATH data set.

An attempt's answer is what `maths.extract` finds. Strings, numbers and the
structure of tuples, sets and intervals are compared in this process, without
computer algebra (`maths.compare`). Only pairs that this cannot decide go to
worker processes (`maths.symbolic`), within limits of size (`maths.limits`) and
of time. math_policy.md states the rules.
"""

import collections
from collections.abc import Sequence
import functools
import importlib.util
import os
import pathlib
import sys
import threading

from score_jax.grading.maths import limits
from score_jax.grading.maths.compare import ExactLeaves
from score_jax.grading.maths.compare import compare
from score_jax.grading.maths.extract import stated_answer
from score_jax.grading.maths.nodes import Node
from score_jax.grading.maths.nodes import UnreadableError
from score_jax.grading.maths.nodes import scalars
from score_jax.grading.maths.normalize import MAX_RAW_CHARS
from score_jax.grading.maths.normalize import normalize
from score_jax.grading.maths.number import parse_number
from score_jax.grading.maths.structure import read
from score_jax.grading.worker_pool import Reply
from score_jax.grading.worker_pool import WorkerPool
from score_jax.types import Grade

_CACHED_PAIRS = 1 << 16
_MIN_MEMORY_MB = 256
_UNDECIDED = "undecided"
_LEAVES = ExactLeaves()
_WORKER_ENV = {
    "PATH": os.defpath,
    "LC_ALL": "C.UTF-8",
    "PYTHONHASHSEED": "0",
    # GMP ends the process where memory is short, and may not be installed.
    "SYMPY_GROUND_TYPES": "python",
    "MPMATH_NOGMPY": "1",
}


class MathGrader:
  """Grades attempts by their final answers; any thread may use it."""

  def __init__(
      self,
      *,
      num_workers: int = 2,
      timeout_s: float = 2.0,
      memory_mb: int = 1024,
  ):
    """Starts no process yet.

    Args:
      num_workers: processes for comparisons that need algebra.
      timeout_s: limit of one comparison in seconds of wall clock.
      memory_mb: address space of a worker, in MB.
    """
    if importlib.util.find_spec("sympy") is None:
      raise ValueError(
          "Grading maths answers needs sympy, which is not installed."
          " Run: pip install -e .[math]"
      )
    _check_arguments(num_workers, timeout_s, memory_mb)
    self._pool = WorkerPool(
        _worker_command(memory_mb),
        env=_WORKER_ENV,
        num_workers=num_workers,
        timeout_s=timeout_s,
    )
    self._cache = _Cache(_CACHED_PAIRS)

  def __enter__(self) -> "MathGrader":
    return self

  def __exit__(self, *unused_exception) -> None:
    self.close()

  def close(self) -> None:
    """Ends the workers."""
    self._pool.close()

  def unreadable_golds(self, golds: Sequence[str]) -> dict[int, str]:
    """Gold answers that cannot be graded: what is wrong with each, by index."""
    reasons, slow = {}, {}
    for index, gold in enumerate(golds):
      reason = _reason_against(gold)
      if reason:
        reasons[index] = reason
      elif not _is_plain(read(normalize(gold))):
        slow.setdefault(normalize(gold), []).append(index)
    replies = self._pool.run([{"gold": text} for text in slow])
    for indices, reply in zip(slow.values(), replies, strict=True):
      if _verdict(reply) != "readable":
        reasons.update(dict.fromkeys(indices, "no readable expression"))
    return dict(sorted(reasons.items()))

  def grade(
      self, completions: Sequence[str], golds: Sequence[str]
  ) -> list[Grade]:
    """Grades one attempt for each gold answer.

    Args:
      completions: the attempts, without their prompts.
      golds: the right answers.

    Returns:
      A grade for each attempt, in order. Its status is 'correct', 'wrong',
      'no_answer', 'refused' (too long or too large for a person to write),
      'unparseable', or 'timeout' (the limit of time or memory was met).

    Raises:
      ValueError: a gold answer that cannot be graded.
      GraderError: the workers failed. It is never a grade.
    """
    grades = [
        _grade_exactly(completion, gold)
        for completion, gold in zip(completions, golds, strict=True)
    ]
    pairs = {
        (normalize(gold), grade.answer): None
        for grade, gold in zip(grades, golds, strict=True)
        if grade.status == _UNDECIDED
    }
    statuses = self._statuses(list(pairs))
    return [
        _decided(grade, statuses[normalize(gold), grade.answer])
        if grade.status == _UNDECIDED
        else grade
        for grade, gold in zip(grades, golds, strict=True)
    ]

  def _statuses(
      self, pairs: Sequence[tuple[str, str]]
  ) -> dict[tuple[str, str], str]:
    """Statuses of (gold, answer) pairs, decided by algebra in the workers."""
    statuses = {pair: self._cache.get(pair) for pair in pairs}
    unknown = [pair for pair in pairs if statuses[pair] is None]
    replies = self._pool.run(
        [{"gold": gold, "answer": answer} for gold, answer in unknown]
    )
    for pair, reply in zip(unknown, replies, strict=True):
      status = _verdict(reply)
      if status == "bad_gold":
        raise _gold_error(pair[0], "no readable expression")
      statuses[pair] = status
      # A limit met on a busy machine says nothing about the next time.
      if status != "timeout":
        self._cache.put(pair, status)
    return statuses


class _Cache:
  """Statuses of the most recently used pairs; any thread may use it."""

  def __init__(self, size: int):
    self._size = size
    self._statuses: collections.OrderedDict[tuple[str, str], str] = (
        collections.OrderedDict()
    )
    self._lock = threading.Lock()

  def get(self, pair: tuple[str, str]) -> str | None:
    with self._lock:
      if pair in self._statuses:
        self._statuses.move_to_end(pair)
      return self._statuses.get(pair)

  def put(self, pair: tuple[str, str], status: str) -> None:
    with self._lock:
      self._statuses[pair] = status
      if len(self._statuses) > self._size:
        self._statuses.popitem(last=False)


def _check_arguments(
    num_workers: int, timeout_s: float, memory_mb: int
) -> None:
  if type(num_workers) is not int or num_workers < 1:
    raise ValueError(f"num_workers is {num_workers!r}, expected 1 or more")
  if type(timeout_s) not in (int, float) or not timeout_s > 0:
    raise ValueError(f"timeout_s is {timeout_s!r}, expected seconds above 0")
  if type(memory_mb) is not int or memory_mb < _MIN_MEMORY_MB:
    raise ValueError(
        f"memory_mb is {memory_mb!r}, expected a whole number of at least"
        f" {_MIN_MEMORY_MB}: Python and sympy alone take most of that"
    )


def _worker_command(memory_mb: int) -> list[str]:
  """Starts maths.worker of this very package, installed or not."""
  root = str(pathlib.Path(__file__).resolve().parents[2])
  program = (
      # Behind the standard library, which nothing there may replace.
      f"import sys; sys.path.append({root!r});"
      " from score_jax.grading.maths import worker; worker.main()"
  )
  # -I would also forbid the fixed hash seed; the environment is ours alone.
  return [sys.executable, "-s", "-P", "-c", program, str(memory_mb)]


def _verdict(reply: Reply) -> str:
  return reply.value["verdict"] if reply.status == "done" else "timeout"


def _decided(grade: Grade, status: str) -> Grade:
  return Grade(
      is_correct=status == "correct",
      status=status,
      answer=grade.answer,
      method="symbolic",
  )


def _grade_exactly(completion: str, gold: str) -> Grade:
  """Grades without algebra; the status is _UNDECIDED where that is needed."""
  stated = stated_answer(completion)
  # An answer far too long to be graded is still one that the attempt gave.
  answer = None if stated is None else normalize(stated[:MAX_RAW_CHARS])
  if not answer:
    return Grade(is_correct=False, status="no_answer", answer=None)
  status = _status(gold, answer, len(stated))
  return Grade(
      is_correct=status == "correct",
      status=status,
      answer=answer[: limits.MAX_ANSWER_CHARS],
  )


def _status(raw_gold: str, answer: str, num_chars: int) -> str:
  gold = _read_gold(raw_gold)
  if num_chars > MAX_RAW_CHARS or len(answer) > limits.MAX_ANSWER_CHARS:
    return "refused"
  if answer == normalize(raw_gold):
    return "correct"  # in one spelling; nothing is to be compared
  try:
    answer_node = read(answer)
    verdict = compare(gold, answer_node, _LEAVES)
    if verdict is None:
      _check_limits(answer_node)
      return _UNDECIDED
  except UnreadableError:
    return "unparseable"
  except limits.RefusedError:
    return "refused"
  return "correct" if verdict else "wrong"


@functools.lru_cache(maxsize=1 << 16)
def _read_gold(gold: str) -> Node:
  if reason := _reason_against(gold):
    raise _gold_error(gold, reason)
  return read(normalize(gold))


def _reason_against(gold: str) -> str:
  """Why a gold cannot be graded, as far as is seen without algebra, or ''."""
  if len(gold) > MAX_RAW_CHARS:
    return f"longer than {MAX_RAW_CHARS} characters"
  text = normalize(gold)
  if not text or len(text) > limits.MAX_ANSWER_CHARS:
    return f"expected 1 to {limits.MAX_ANSWER_CHARS} characters"
  try:
    _check_limits(read(text))
  except (UnreadableError, limits.RefusedError) as error:
    return str(error)
  return ""


def _gold_error(gold: str, reason: str) -> ValueError:
  return ValueError(
      f"The gold answer {gold[:100]!r} cannot be graded: {reason}. Correct or"
      " drop this problem."
  )


def _check_limits(node: Node) -> None:
  for leaf in scalars(node):
    if parse_number(leaf.text) is None:
      limits.check_expression(leaf.text)


def _is_plain(node: Node) -> bool:
  return all(parse_number(leaf.text) is not None for leaf in scalars(node))
