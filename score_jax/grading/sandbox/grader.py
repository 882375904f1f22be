"""The pool of workers that grades programs."""

from collections.abc import Sequence
import concurrent.futures
import os
import queue
import sys
from types import TracebackType
from typing import Self

from absl import logging

from score_jax.grading.errors import GraderError
from score_jax.grading.errors import UnjudgeableTestsError
from score_jax.grading.sandbox import probe
from score_jax.grading.sandbox.process import Verdict
from score_jax.grading.sandbox.process import WorkerError
from score_jax.grading.sandbox.process import WorkerProcess
from score_jax.grading.sandbox.tiers import Settings
from score_jax.grading.sandbox.tiers import Tier
from score_jax.types import Grade

# A worker is replaced after so many verdicts; starting one costs as much as 30.
_RUNS_PER_WORKER = 1000

# No function that answers a problem is longer. Both fit in one message as JSON.
MAX_SOLUTION_CHARS = 500_000
MAX_TESTS_CHARS = 500_000

_NO_ANSWER = Verdict("no_answer")


class CodeGrader:
  """Grades solutions by running their tests, in parallel, behind a wall.

  May be used from several threads. Close it, or use it in a `with` statement,
  to end its workers; they also end with this process.

  Attributes:
    tier: the wall that was probed and is in use, for the manifest of a run.
  """

  def __init__(
      self,
      *,
      num_workers: int | None = None,
      timeout_s: float = 5.0,
      memory_mb: int = 512,
      allow_unsandboxed: bool = False,
      tier: Tier | None = None,
  ):
    """Finds the strongest wall that this machine gives, and tries it.

    Args:
      num_workers: verdicts at a time, by default the number of CPUs.
      timeout_s: limit of one verdict in seconds of processor time, of the
        solution and the tests together, loading included. It does not depend on
        how busy the machine is. A solution that sleeps is stopped by the clock,
        after ten times as long.
      memory_mb: address space in MB of the solution's process, and of the
        tests' process.
      allow_unsandboxed: whether to go on where no wall holds. A solution may
        then do what an unprivileged user of this machine may do.
      tier: the wall to use; None takes the strongest one that holds.
    """
    if not sys.platform.startswith("linux"):
      raise ValueError(
          f"Programs are graded on Linux only, this is {sys.platform}."
      )
    if num_workers is None:
      num_workers = len(os.sched_getaffinity(0))
    _check_arguments(num_workers, timeout_s, memory_mb)
    if tier is Tier.NONE and not allow_unsandboxed:
      raise ValueError(
          "The tier 'none' runs programs of a model without a wall; pass"
          " allow_unsandboxed=True as well to do that."
      )
    self._timeout_s = timeout_s
    self._memory_mb = memory_mb
    self.tier, first = self._first_worker(tier, allow_unsandboxed)
    # Slots for the workers; None is one that is still to be started.
    self._slots = queue.SimpleQueue()
    self._slots.put(first)
    for _ in range(num_workers - 1):
      self._slots.put(None)
    self._running: set[WorkerProcess] = set()
    self._is_closed = False
    self._threads = concurrent.futures.ThreadPoolExecutor(
        num_workers, thread_name_prefix="code_grader"
    )

  def grade(
      self,
      solutions: Sequence[str | None],
      tests: Sequence[str],
      entry_points: Sequence[str],
  ) -> list[Grade]:
    """Grades programs by their tests.

    Args:
      solutions: Python source of each attempt, None where there is none.
      tests: Python source for each, which raises unless `candidate`, also known
        by the name of the entry point, is right.
      entry_points: name of the function under test, for each.

    Returns:
      Grades in the given order, with the solution as answer and the status
      'pass', 'fail' (the tests raised), 'timeout', 'memory', 'crash' (the
      process died or sent no data), 'load_error' (the source does not compile,
      raises, or defines no such function) or 'no_answer'.

    Raises:
      GraderError: the sandbox itself failed twice on one of the solutions.
      UnjudgeableTestsError: tests do not compile, pass a function or another
        value that cannot cross to the solution's process, or pass without a
        call of the function under test.
    """
    if self._is_closed:
      raise ValueError("The grader is closed; make a new one.")
    cases = list(zip(solutions, tests, entry_points, strict=True))
    for case in cases:
      _check_tests(*case[1:])
    runs = {
        case: self._threads.submit(self._verdict, *case)
        for case in dict.fromkeys(cases)
        if case[0] is not None
    }
    try:
      verdicts = {case: run.result() for case, run in runs.items()}
    finally:
      for run in runs.values():
        run.cancel()
    verdicts = [verdicts.get(case, _NO_ANSWER) for case in cases]
    _check_judged(verdicts, entry_points)
    return [_grade(s, v) for s, v in zip(solutions, verdicts, strict=True)]

  def close(self) -> None:
    """Ends all workers; a `grade` in another thread raises."""
    self._is_closed = True
    for worker in list(self._running):
      worker.kill()
    self._threads.shutdown(wait=True, cancel_futures=True)
    while not self._slots.empty():
      worker = self._slots.get()
      if worker is not None:
        worker.close()

  def __enter__(self) -> Self:
    return self

  def __exit__(
      self,
      kind: type[BaseException] | None,
      error: BaseException | None,
      trace: TracebackType | None,
  ) -> None:
    self.close()

  def _verdict(self, solution: str, tests: str, entry_point: str) -> Verdict:
    """Runs one case; where a worker fails, a new one tries once more."""
    if len(solution) > MAX_SOLUTION_CHARS:
      return Verdict("load_error")
    reasons = []
    for _ in range(2):
      worker, kept = self._slots.get(), None
      try:
        if worker is None:
          worker = self._start(self.tier)
        self._running.add(worker)
        if self._is_closed:
          raise WorkerError("The grader was closed.")
        verdict = worker.run(solution, tests, entry_point)
        if worker.runs < _RUNS_PER_WORKER:
          kept = worker
        return verdict
      except WorkerError as error:
        reasons.append(str(error))
      finally:
        self._running.discard(worker)
        if worker is not None and kept is None:
          worker.close()
        self._slots.put(kept)
    raise GraderError(
        f"The sandbox failed twice on a solution for {entry_point!r}:"
        f" {' / '.join(reasons)}"
    )

  def _start(self, tier: Tier) -> WorkerProcess:
    settings = Settings(tier.value, self._timeout_s, self._memory_mb)
    return WorkerProcess(settings)

  def _first_worker(
      self, tier: Tier | None, allow_unsandboxed: bool
  ) -> tuple[Tier, WorkerProcess]:
    """The first tier that holds, with a worker in it; ValueError for none."""
    tiers = [Tier.NAMESPACES, Tier.SECCOMP] if tier is None else [tier]
    if tier is None and allow_unsandboxed:
      tiers.append(Tier.NONE)
    reasons = {}
    for candidate in tiers:
      reasons[candidate], worker = self._try(candidate)
      if worker is not None:
        return candidate, worker
    raise ValueError(_no_wall(reasons))

  def _try(self, tier: Tier) -> tuple[str, WorkerProcess | None]:
    """A worker that was probed, or why there is none in this tier."""
    try:
      worker = self._start(tier)
    except WorkerError as error:
      return str(error), None
    try:
      reason = _probe(tier, worker)
    except WorkerError as error:
      reason = str(error)
    if reason:
      worker.close()
      return reason, None
    return "", worker


def _probe(tier: Tier, worker: WorkerProcess) -> str:
  """Why a worker's wall does not hold, '' when it does."""
  if tier is Tier.NONE:
    logging.warning(
        "Programs of the model run without a sandbox (allow_unsandboxed=True):"
        " they can do what an unprivileged user of this machine can."
    )
    return ""
  return ", ".join(probe.escapes(worker.run))


def _no_wall(reasons: dict[Tier, str]) -> str:
  lines = [f"  {tier.value}: {reason}" for tier, reason in reasons.items()]
  return "\n".join(
      [
          "This machine gives programs of a model no wall to run behind:",
          *lines,
          "Remedies: for 'namespaces' run as root with CAP_SYS_ADMIN (in a"
          " container: --privileged) or allow this user to make user namespaces"
          " (kernel.unprivileged_userns_clone=1,"
          " kernel.apparmor_restrict_unprivileged_userns=0); for 'seccomp' use"
          " 64-bit Linux on x86_64 or aarch64, with seccomp in the kernel; or"
          " pass allow_unsandboxed=True to run them without a wall.",
      ]
  )


def _check_judged(verdicts: list[Verdict], entry_points: Sequence[str]) -> None:
  uncalled = [i for i, v in enumerate(verdicts) if v.status == "uncalled"]
  others = [i for i, v in enumerate(verdicts) if v.status == "unjudgeable"]
  indices = sorted(uncalled + others)
  if indices:
    i = indices[0]
    reason = verdicts[i].reason or "they pass without a call of it"
    raise UnjudgeableTestsError(
        f"{len(indices)} of {len(verdicts)} tests cannot be judged; those of"
        f" {entry_points[i]!r}: {reason}. Drop these problems.",
        indices,
        uncalled,
    )


def _grade(solution: str | None, verdict: Verdict) -> Grade:
  return Grade(
      is_correct=verdict.status == "pass",
      status=verdict.status,
      answer=solution,
      method="tests",
  )


def _check_arguments(
    num_workers: int, timeout_s: float, memory_mb: int
) -> None:
  if num_workers < 1:
    raise ValueError(f"num_workers is {num_workers}, expected at least 1.")
  if not timeout_s > 0:
    raise ValueError(f"timeout_s is {timeout_s}, expected more than 0.")
  if memory_mb < 128:
    raise ValueError(
        f"memory_mb is {memory_mb}, expected at least 128: Python and its"
        " standard library alone take half of that."
    )


def _check_tests(tests: str, entry_point: str) -> None:
  if not entry_point.isidentifier():
    raise ValueError(
        f"The entry point {entry_point!r} is no name of a function. Correct or"
        " drop this problem."
    )
  if len(tests) > MAX_TESTS_CHARS:
    raise ValueError(
        f"The tests of {entry_point!r} have {len(tests)} characters, at most"
        f" {MAX_TESTS_CHARS} are taken. Drop this problem."
    )
