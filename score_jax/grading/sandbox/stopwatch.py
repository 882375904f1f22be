"""How much time a judge and its solver have, seen from outside.

What counts is the processor time that the kernel charges to them: on a machine
that is busy a program waits, but needs no more of it. Neither can change it.
"""

from collections.abc import Sequence
import contextlib
import time

# Seconds by the clock for every one of processor time, for a program that
# sleeps. A program that computes meets this limit only where it gets less than
# this part of a processor.
CLOCK_FACTOR = 10

_CPUCLOCK_SCHED = 2  # what the scheduler has measured, not its ticks


class Stopwatch:
  """Counts from its making on."""

  def __init__(self, pids: Sequence[int], timeout_s: float):
    """Starts to count.

    Args:
      pids: processes that nobody has waited for until the counting ends.
      timeout_s: seconds of processor time for all of them together.
    """
    self._pids = pids
    self._end_cpu_s = _cpu_s(pids) + timeout_s
    self._end_s = time.monotonic() + CLOCK_FACTOR * timeout_s

  def left_s(self) -> float:
    """Seconds left, of whichever time ends first; not above 0 at the end."""
    left_cpu_s = self._end_cpu_s - _cpu_s(self._pids)
    return min(left_cpu_s, self._end_s - time.monotonic())


def _cpu_s(pids: Sequence[int]) -> float:
  """Seconds of processor time that processes have used so far."""
  total = 0.0
  for pid in pids:
    # A kernel that keeps it to itself leaves the clock, and RLIMIT_CPU.
    with contextlib.suppress(OSError):
      # clock_getcpuclockid(3)
      total += time.clock_gettime(~pid << 3 | _CPUCLOCK_SCHED)
  return total
