"""The time that a program needs decides, not how busy the machine is."""

import contextlib
import os
import signal
import subprocess
import sys
import time

from absl.testing import absltest
from absl.testing import parameterized
import pytest

from score_jax.grading.sandbox import stopwatch
from tests.helpers.sandbox_cases import TIERS
from tests.helpers.sandbox_cases import make_grader

_LIMIT_S = 1.0
_SPIN = """
import time

def spin(seconds):
  end = time.process_time() + seconds
  while time.process_time() < end:
    pass
"""
_TESTS = "assert candidate(5) == 5"


@contextlib.contextmanager
def busy_machine(count=4):
  """Runs processes that compute."""
  command = [sys.executable, "-I", "-S", "-c", "while True: pass"]
  processes = [subprocess.Popen(command) for _ in range(count)]
  try:
    yield
  finally:
    for process in processes:
      process.kill()
      process.wait()


def spinning(loading_s=0.0, calling_s=0.0):
  return (
      f"{_SPIN}\nspin({loading_s})\ndef f(x):\n  spin({calling_s})\n  return x"
  )


class VerdictTest(parameterized.TestCase):

  @parameterized.product(tier=TIERS, is_busy=(False, True))
  @pytest.mark.slow
  def test_a_busy_machine_changes_no_verdict(self, tier, is_busy):
    cases = (
        ("pass", spinning(), _TESTS),
        ("pass", spinning(calling_s=0.6 * _LIMIT_S), _TESTS),
        ("pass", spinning(loading_s=0.6 * _LIMIT_S), _TESTS),
        ("pass", spinning(), f"{_SPIN}\nspin({0.6 * _LIMIT_S})\n{_TESTS}"),
        ("timeout", spinning(calling_s=2 * _LIMIT_S), _TESTS),
        ("timeout", spinning(loading_s=2 * _LIMIT_S), _TESTS),
        ("timeout", spinning(), f"{_SPIN}\nspin({2 * _LIMIT_S})\n{_TESTS}"),
        # Both together count.
        (
            "timeout",
            spinning(calling_s=0.7 * _LIMIT_S),
            f"{_SPIN}\nspin({0.7 * _LIMIT_S})\n{_TESTS}",
        ),
        # A program that sleeps needs little of it.
        ("pass", "import time\ndef f(x):\n  time.sleep(2)\n  return x", _TESTS),
    )
    expected, solutions, tests = zip(*cases, strict=True)
    with contextlib.ExitStack() as stack:
      grader = stack.enter_context(
          make_grader(tier, num_workers=2, timeout_s=_LIMIT_S)
      )
      if is_busy:
        stack.enter_context(busy_machine())
      grades = grader.grade(solutions, tests, ["f"] * len(cases))
    self.assertEqual([g.status for g in grades], list(expected))

  @parameterized.parameters(*TIERS)
  @pytest.mark.slow
  def test_a_program_that_sleeps_is_ended_by_the_clock(self, tier):
    sleeping = "import time\ndef f(x): time.sleep(1000)"
    with make_grader(tier, num_workers=1, timeout_s=0.3) as grader:
      (grade,) = grader.grade([sleeping], [_TESTS], ["f"])
    self.assertEqual(grade.status, "timeout")


class StopwatchTest(absltest.TestCase):

  def _process(self, code):
    process = subprocess.Popen([sys.executable, "-I", "-S", "-c", code])
    self.addCleanup(process.wait)
    self.addCleanup(process.kill)
    return process

  def test_computing_counts_and_sleeping_does_not(self):
    sleeps = self._process("import time; time.sleep(60)")
    computes = self._process("while True: pass")
    time.sleep(0.5)  # both have started
    calm = stopwatch.Stopwatch([sleeps.pid], 1.0)
    both = stopwatch.Stopwatch([sleeps.pid, computes.pid], 1.0)
    deadline = time.monotonic() + 60
    while both.left_s() > 0.5 and time.monotonic() < deadline:
      time.sleep(0.01)
    self.assertLessEqual(both.left_s(), 0.5)
    self.assertGreater(calm.left_s(), 0.8)

  def test_the_dead_keep_their_time_until_somebody_waits(self):
    pid = self._process("while True: pass").pid
    watch = stopwatch.Stopwatch([pid], 0.2)
    while watch.left_s() > 0:
      time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    self.assertLessEqual(watch.left_s(), 0)

  def test_the_clock_ends_it_as_well(self):
    watch = stopwatch.Stopwatch([], 0.01)
    self.assertGreater(watch.left_s(), 0)
    time.sleep(0.01 * stopwatch.CLOCK_FACTOR)
    self.assertLessEqual(watch.left_s(), 0)


if __name__ == "__main__":
  absltest.main()
