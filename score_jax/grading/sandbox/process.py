"""One worker, seen from the process that grades."""

import dataclasses
import json
import os
import pathlib
import select
import subprocess
import sys
import tempfile
from typing import IO

from score_jax.grading.sandbox import frames
from score_jax.grading.sandbox import stopwatch
from score_jax.grading.sandbox.tiers import Settings

_SCRIPT = pathlib.Path(__file__).with_name("worker_main.py")

# Seconds to start a worker, and to answer beyond the longest time of a run: far
# more than either takes on a machine that is overloaded.
_START_S = 60.0
_GRACE_S = 30.0
_STOP_S = 5.0


@dataclasses.dataclass(frozen=True)
class Verdict:
  """What a worker says of a solution.

  Attributes:
    status: status of the grade, or where the tests are at fault 'unjudgeable',
      or 'uncalled' if they passed without a call of the function.
    reason: what is wrong with the tests.
  """

  status: str
  reason: str = ""


class WorkerError(Exception):
  """A worker could not build its wall, died, or did not answer."""


class WorkerProcess:
  """A started worker; one request at a time.

  Attributes:
    runs: requests answered so far.
  """

  def __init__(self, settings: Settings):
    self._settings = settings
    self.runs = 0
    with tempfile.TemporaryFile() as errors:
      try:
        self._process = _start(settings, errors)
      except OSError as error:
        raise WorkerError(f"No process can be started: {error}") from error
      try:
        reply = self._receive(_START_S)
      except WorkerError as error:
        self.close()
        errors.seek(0)
        text = errors.read().decode("utf-8", "replace").strip()
        raise WorkerError(f"{error} {text}".strip()) from None
    if "refused" in reply:
      self.close()
      raise WorkerError(reply["refused"])

  def run(self, solution: str, tests: str, entry_point: str) -> Verdict:
    """Grades one solution; WorkerError when the worker failed."""
    request = {
        "solution": solution,
        "tests": tests,
        "entry_point": entry_point,
    }
    try:
      frames.send(self._process.stdin.fileno(), request)
    except BrokenPipeError:
      raise WorkerError("The worker has died.") from None
    longest_s = stopwatch.CLOCK_FACTOR * self._settings.timeout_s
    reply = self._receive(longest_s + _GRACE_S)
    if "failed" in reply:
      raise WorkerError(reply["failed"])
    self.runs += 1
    return Verdict(**reply)

  def kill(self) -> None:
    """Ends the worker from any thread; a `run` in another one then fails."""
    self._process.kill()

  def close(self) -> None:
    """Ends the worker and waits until all of its processes are gone."""
    self._process.stdin.close()
    self._process.stdout.close()
    try:
      self._process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
      self._process.kill()
      self._process.wait()

  def _receive(self, timeout_s: float) -> dict[str, str]:
    fd = self._process.stdout.fileno()
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    if not poll.poll(timeout_s * 1000):
      raise WorkerError(f"The worker gave no answer within {timeout_s:g} s.")
    try:
      return frames.receive(fd)
    except (EOFError, frames.FrameError):
      raise WorkerError("The worker has died.") from None


def _start(settings: Settings, errors: IO[bytes]) -> subprocess.Popen[bytes]:
  # A fixed seed of hashes: the order of a set must not differ by worker.
  environment = {"PYTHONHASHSEED": "0"}
  if "LD_LIBRARY_PATH" in os.environ:  # some Pythons do not start without
    environment["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
  options = ["-s", "-S", "-P", "-B", "-X", "utf8"]
  text = json.dumps(dataclasses.asdict(settings))
  return subprocess.Popen(
      [sys.executable, *options, str(_SCRIPT), text],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      stderr=errors,
      env=environment,
      cwd="/",
      # Ctrl-C in a terminal is for the trainer alone.
      start_new_session=True,
  )
