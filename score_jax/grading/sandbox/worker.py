"""The inside of a worker: three processes that outlive a verdict.

`main` runs in a bare interpreter. It imports what solutions may use, builds the
wall of its tier and splits:
  keeper: watches the process that started it, and ends the others after that.
  worker: takes requests, forks a judge for each and holds the clock.
  fork server: starts the solvers (solver.py); forked before any request came.
"""

from collections.abc import Callable
from collections.abc import Sequence
import gc
import json
import os
import select
import signal
import socket
import sys
import time
from typing import NoReturn

from score_jax.grading.sandbox import confine
from score_jax.grading.sandbox import frames
from score_jax.grading.sandbox import judge
from score_jax.grading.sandbox import preload
from score_jax.grading.sandbox import solver
from score_jax.grading.sandbox.stopwatch import Stopwatch
from score_jax.grading.sandbox.tiers import Settings
from score_jax.grading.sandbox.tiers import Tier

_START_S = 20.0  # for a judge and a solver, on a machine that is overloaded
_MIN_WAIT_S = 0.01
_MAX_STATUS_BYTES = 4096


def main() -> None:
  """Serves the requests on standard input until it ends."""
  settings = Settings(**json.loads(sys.argv[1]))
  parent = os.getppid()
  requests, replies = os.dup(0), os.dup(1)
  null = os.open("/dev/null", os.O_RDWR)
  os.dup2(null, 0)
  os.dup2(null, 1)
  os.close(null)
  os.environ.clear()
  confine.be_first_when_memory_ends()
  preload.preload()
  sys.path.clear()
  gc.collect()
  gc.freeze()  # a fork then shares the memory of what is imported
  try:
    confine.enter_tier(Tier(settings.tier))
  except OSError as error:
    frames.send(replies, {"refused": str(error)})
    return
  keeper = os.getpid()
  confine.adopt_orphans()
  pid = os.fork()
  if pid == 0:
    _serve(settings, requests, replies, keeper)
  confine.keep_only(set())
  os.dup2(0, 2)
  _keep(pid, parent)


def _keep(pid: int, parent: int) -> NoReturn:
  """Waits for the end of the worker or of the process that started it.

  That end also closes standard input, unless some other program inherited it.
  """
  signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
  while os.waitpid(pid, os.WNOHANG)[0] == 0:
    if os.getppid() != parent:
      os.kill(pid, signal.SIGKILL)
    signal.sigtimedwait({signal.SIGCHLD}, 1.0)
  try:
    while True:  # the worker's processes die with their parents
      os.wait()
  except ChildProcessError:
    os._exit(0)


def _serve(
    settings: Settings, requests: int, replies: int, keeper: int
) -> NoReturn:
  """The worker: one reply for every request."""
  try:
    # In a pid namespace of its own it sees no parent.
    is_apart = Tier(settings.tier) is Tier.NAMESPACES
    confine.die_with_parent(0 if is_apart else keeper)
    runner = _Runner(settings)
    # From here on the reasons of failures go to the replies.
    os.dup2(0, 2)
    frames.send(replies, {"ready": True})
    while True:
      frames.send(replies, runner.run(frames.receive(requests)))
  except (EOFError, BrokenPipeError):
    pass  # nobody asks any more, or the fork server died: both end the worker
  finally:
    os._exit(0)


class _Runner:
  """Runs one request at a time."""

  def __init__(self, settings: Settings):
    self._tier = Tier(settings.tier)
    # A little more than is counted: the kernel's limit is for a worker that
    # cannot keep up.
    cpu_s = int(settings.timeout_s) + 2
    self._limits = confine.Limits(settings.memory_mb * 2**20, cpu_s)
    self._timeout_s = settings.timeout_s
    self._pid = os.getpid()
    self._control, theirs = socket.socketpair()
    if os.fork() == 0:
      self._serve_forks(theirs)
    theirs.close()

  def _serve_forks(self, control: socket.socket) -> NoReturn:
    try:
      confine.die_with_parent(self._pid)
      confine.keep_only({control.fileno()})
      os.dup2(0, 2)
      solver.serve_forks(control, self._tier, self._limits)
    finally:
      os._exit(0)

  def run(self, request: dict[str, str]) -> dict[str, str]:
    """The status of one solution, or what failed in the sandbox."""
    judge_end, solver_end = socket.socketpair()
    with judge_end, solver_end:
      socket.send_fds(self._control, [solver.START], [solver_end.fileno()])
      solver_end.close()
      solver_pid = frames.receive(self._control.fileno())
      reply = self._judge(judge_end, solver_pid, request)
    self._control.send(solver.END)
    if self._control.recv(1) != solver.END:
      raise EOFError
    return reply

  def _judge(
      self, to_solver: socket.socket, solver_pid: int, request: dict[str, str]
  ) -> dict[str, str]:
    """The status that a judge gives, or 'timeout'."""
    source, sink = os.pipe()
    pid = os.fork()
    if pid == 0:
      fd = to_solver.fileno()
      judge.run(fd, sink, request, self._tier, self._limits, self._pid)
    os.close(sink)
    to_solver.close()
    reply = _reply(source, (pid, solver_pid), self._timeout_s)
    os.close(source)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return reply


def _reply(
    source: int, pids: Sequence[int], timeout_s: float
) -> dict[str, str]:
  """Makes a reply of what a judge writes to its pipe in time.

  Args:
    source: the pipe.
    pids: the judge and the solver.
    timeout_s: seconds of processor time for both, once they are ready.
  """
  deadline = time.monotonic() + _START_S
  ready = _read(source, lambda: deadline - time.monotonic(), len(judge.READY))
  if ready != judge.READY:
    return {"failed": "the judge or the solver did not start"}
  stopwatch = Stopwatch(pids, timeout_s)
  output = _read(source, stopwatch.left_s, _MAX_STATUS_BYTES)
  if output is None:
    return {"status": "timeout"}
  status = output.decode()
  if status.startswith(judge.UNJUDGEABLE):
    reason = status[len(judge.UNJUDGEABLE) :]
    return {"status": "unjudgeable", "reason": reason}
  # The verdict must not depend on how soon this process looked.
  if status != judge.UNCALLED and stopwatch.left_s() <= 0:
    return {"status": "timeout"}
  # A judge that ends without a word broke on the solution's data.
  return {"status": status or "crash"}


def _read(
    source: int, left_s: Callable[[], float], max_bytes: int
) -> bytes | None:
  """Reads a pipe to its end or to `max_bytes`; None if no time is left."""
  poll = select.poll()
  poll.register(source, select.POLLIN)
  output = b""
  while len(output) < max_bytes:
    seconds = left_s()
    if seconds <= 0:
      return None
    # Processor time may take longer to run out: it is looked at again.
    if not poll.poll(max(seconds, _MIN_WAIT_S) * 1000):
      continue
    chunk = os.read(source, max_bytes - len(output))
    if not chunk:
      break
    output += chunk
  return output
