"""A pool of worker processes that can be killed.

The pool kills and replaces a worker that is still busy at its time limit. The
code that hangs need not cooperate, and the calling process needs no signal
handler and no alarm, so any thread may call.

Workers are started by exec: this process holds JAX, which must not be forked.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import json
import math
import os
import selectors
import signal
import subprocess
import tempfile
import threading
import time
from typing import Any
from typing import Literal

from score_jax.grading.errors import GraderError
from score_jax.grading.worker_loop import HEADER
from score_jax.grading.worker_loop import MAX_FRAME_BYTES
from score_jax.grading.worker_loop import write_frame

# A worker that takes longer to start is taken for broken.
START_TIMEOUT_S = 120.0
# Requests after which a worker is replaced, so that no leak adds up.
RECYCLE_AFTER = 5000
MAX_TRIES = 2
# How a process dies whose stack or allocator meets the memory limit.
_MEMORY_SIGNALS = frozenset((signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT))


@dataclasses.dataclass(frozen=True)
class Reply:
  """What came of one request.

  Attributes:
    status: 'done', or the limit that the request met.
    value: the worker's answer, None unless the status is 'done'.
  """

  status: Literal["done", "timeout", "memory"]
  value: Any = None


class _WorkerFailure(Exception):
  """A worker failed: it ran out of memory (`is_memory`), or it broke."""

  def __init__(self, message: str, *, is_memory: bool = False):
    super().__init__(message)
    self.is_memory = is_memory


@dataclasses.dataclass
class _Job:
  index: int
  request: Any
  tries: int = 0


class WorkerPool:
  """Runs requests on worker processes; any thread may use it.

  Workers start when the first request comes. Batches of several threads run
  one after another.
  """

  def __init__(
      self,
      command: Sequence[str],
      *,
      env: Mapping[str, str],
      num_workers: int,
      timeout_s: float,
  ):
    """Starts nothing yet.

    Args:
      command: command line of a worker, which calls `worker_loop.serve`.
      env: the whole environment of a worker.
      num_workers: number of processes.
      timeout_s: limit of one request in seconds of wall clock.
    """
    if num_workers < 1 or timeout_s <= 0:
      raise ValueError(
          "Expected at least one worker and a time limit above 0 s, got"
          f" {num_workers} and {timeout_s}."
      )
    self._command = list(command)
    self._env = dict(env)
    self._timeout_s = timeout_s
    self._workers: list[_Worker | None] = [None] * num_workers
    self._lock = threading.Lock()
    self._is_closed = False

  def run(self, requests: Sequence[Any]) -> list[Reply]:
    """The replies, in the order of the requests.

    Raises:
      GraderError: a request failed twice, the second time in a new worker, and
        not for want of time or memory; or workers do not start.
    """
    with self._lock:
      if self._is_closed:
        raise GraderError("The worker pool is closed.")
      try:
        batch = _Batch(
            self._workers, self._new_worker, self._timeout_s, requests
        )
        return batch.run()
      except BaseException:
        # Replies of this batch may still be under way.
        self._kill_all()
        raise

  def pids(self) -> list[int]:
    """Process ids of the workers that are running."""
    return [worker.pid for worker in self._workers if worker is not None]

  def close(self) -> None:
    """Kills all workers; waits for a batch that is running."""
    with self._lock:
      self._is_closed = True
      self._kill_all()

  def _new_worker(self) -> "_Worker":
    return _Worker(self._command, self._env)

  def _kill_all(self) -> None:
    for slot, worker in enumerate(self._workers):
      if worker is not None:
        worker.kill()
      self._workers[slot] = None


class _Batch:
  """One call of `run`, an event loop over the pool's workers."""

  def __init__(
      self,
      workers: list["_Worker | None"],
      new_worker: Callable[[], "_Worker"],
      timeout_s: float,
      requests: Sequence[Any],
  ):
    self._workers = workers  # The pool's own, by slot.
    self._new_worker = new_worker
    self._timeout_s = timeout_s
    self._waiting = [
        _Job(index, request) for index, request in enumerate(requests)
    ]
    self._waiting.reverse()
    self._replies: list[Reply | None] = [None] * len(requests)
    self._running: dict[int, _Job] = {}  # By slot of the worker.
    # Failed once; only the new worker of the same slot may try again.
    self._retried: dict[int, _Job] = {}

  def run(self) -> list[Reply]:
    self._drop_dead()
    while self._waiting or self._running or self._retried:
      self._start_workers()
      self._hand_out()
      self._collect()
    return self._replies

  def _start_workers(self) -> None:
    """Starts as many workers as there is work for; they import in parallel."""
    num_jobs = len(self._waiting) + len(self._running)
    for slot, worker in enumerate(self._workers):
      if worker is None and (slot in self._retried or slot < num_jobs):
        self._workers[slot] = self._new_worker()

  def _drop_dead(self) -> None:
    """Drops workers that died while idle, which is no request's fault."""
    for slot, worker in enumerate(self._workers):
      if worker is not None and worker.is_dead():
        self._drop(slot)

  def _hand_out(self) -> None:
    for slot, worker in enumerate(self._workers):
      if worker is None or not worker.is_ready or slot in self._running:
        continue
      job = self._retried.pop(slot, None)
      if job is None:
        if not self._waiting:
          continue
        job = self._waiting.pop()
      job.tries += 1
      self._running[slot] = job
      try:
        worker.send(job.request, self._timeout_s)
      except _WorkerFailure as failure:
        self._fail(slot, failure)

  def _collect(self) -> None:
    """Waits for the first reply, start or time-out, and handles all of them."""
    busy = {
        slot: worker
        for slot, worker in enumerate(self._workers)
        if worker is not None and (slot in self._running or not worker.is_ready)
    }
    for slot in _wait(busy):
      self._receive(slot, busy[slot])
    now = time.monotonic()
    for slot, worker in busy.items():
      if self._workers[slot] is worker and worker.is_late(now):
        self._time_out(slot, worker)

  def _receive(self, slot: int, worker: "_Worker") -> None:
    try:
      message = worker.receive()
    except _WorkerFailure as failure:
      self._fail(slot, failure)
      return
    if message is None or message == {"ready": True}:
      return
    if message == {"memory": True}:
      self._fail(slot, _WorkerFailure("Out of memory.", is_memory=True))
    elif slot not in self._running or message.keys() != {"value"}:
      self._fail(slot, _WorkerFailure(message.get("error", "Out of turn.")))
    else:
      self._finish(slot, Reply("done", message["value"]))
      if worker.num_requests >= RECYCLE_AFTER:
        self._drop(slot)

  def _time_out(self, slot: int, worker: "_Worker") -> None:
    if slot not in self._running:
      raise GraderError(
          f"A worker did not start within {START_TIMEOUT_S:.0f} s."
          f" {worker.last_words()}"
      )
    self._drop(slot)
    self._finish(slot, Reply("timeout"))

  def _fail(self, slot: int, failure: _WorkerFailure) -> None:
    """Has the request tried once more, in a new worker.

    The state of the old worker may be corrupt.
    """
    self._drop(slot)
    job = self._running.pop(slot, None)
    if job is None:
      raise GraderError(f"A worker does not start: {failure}")
    if job.tries < MAX_TRIES:
      self._retried[slot] = job
    elif failure.is_memory:
      self._replies[job.index] = Reply("memory")
    else:
      raise GraderError(
          f"A worker failed {MAX_TRIES} times on {job.request!r}: {failure}"
      )

  def _finish(self, slot: int, reply: Reply) -> None:
    self._replies[self._running.pop(slot).index] = reply

  def _drop(self, slot: int) -> None:
    self._workers[slot].kill()
    self._workers[slot] = None


class _Worker:
  """One process with its pipes."""

  def __init__(self, command: Sequence[str], env: Mapping[str, str]):
    self._stderr = tempfile.TemporaryFile()
    self._process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=self._stderr,
        env=env,
        # Keeps the terminal's signals away.
        start_new_session=True,
    )
    self._buffer = b""
    self._deadline = time.monotonic() + START_TIMEOUT_S
    self.is_ready = False
    self.num_requests = 0

  @property
  def pid(self) -> int:
    return self._process.pid

  @property
  def stdout(self):
    return self._process.stdout

  @property
  def deadline(self) -> float:
    return self._deadline

  def is_dead(self) -> bool:
    return self._process.poll() is not None

  def is_late(self, now: float) -> bool:
    return now >= self._deadline

  def send(self, request: Any, timeout_s: float) -> None:
    self.num_requests += 1
    try:
      write_frame(self._process.stdin, request)
    except OSError as error:
      raise self._failure() from error
    self._deadline = time.monotonic() + timeout_s

  def receive(self) -> Any:
    """A whole message, or None while there is only part of one."""
    piece = os.read(self.stdout.fileno(), 1 << 16)
    if not piece:
      raise self._failure()
    self._buffer += piece
    if len(self._buffer) < HEADER.size:
      return None
    size = HEADER.unpack_from(self._buffer)[0]
    if size > MAX_FRAME_BYTES or len(self._buffer) > HEADER.size + size:
      raise _WorkerFailure("The worker does not keep to the protocol.")
    if len(self._buffer) < HEADER.size + size:
      return None
    body, self._buffer = self._buffer[HEADER.size :], b""
    try:
      message = json.loads(body)
    except ValueError as error:
      raise _WorkerFailure("The worker does not write JSON.") from error
    if not isinstance(message, dict):
      raise _WorkerFailure("The worker does not keep to the protocol.")
    self.is_ready = True
    self._deadline = math.inf
    return message

  def last_words(self) -> str:
    """The end of what the worker wrote to stderr."""
    size = self._stderr.seek(0, os.SEEK_END)
    self._stderr.seek(max(0, size - 2000))
    return self._stderr.read().decode("utf-8", "replace").strip()

  def kill(self) -> None:
    self._process.kill()
    self._process.wait()
    self._process.stdout.close()
    try:
      self._process.stdin.close()
    except OSError:
      pass  # What was left to flush has no reader any more.
    self._stderr.close()

  def _failure(self) -> _WorkerFailure:
    """The failure of a worker whose pipe has ended: how its process ended."""
    try:
      code = self._process.wait(timeout=5)
    except subprocess.TimeoutExpired:
      return _WorkerFailure("The worker closed its pipe.")
    return _WorkerFailure(
        f"The worker ended with {code}. {self.last_words()}",
        is_memory=-code in _MEMORY_SIGNALS,
    )


def _wait(busy: dict[int, _Worker]) -> list[int]:
  """Waits for output until the next deadline; the slots that have some."""
  if not busy:
    return []
  deadline = min(worker.deadline for worker in busy.values())
  with selectors.DefaultSelector() as selector:
    for slot, worker in busy.items():
      selector.register(worker.stdout, selectors.EVENT_READ, slot)
    events = selector.select(max(0.0, deadline - time.monotonic()))
  return [key.data for key, _ in events]
