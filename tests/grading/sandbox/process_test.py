"""Tests that the sandbox's processes end, are replaced and leak nothing."""

import concurrent.futures
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import pytest

from score_jax.grading.errors import GraderError
from score_jax.grading.sandbox import CodeGrader
from score_jax.grading.sandbox import Tier
from score_jax.grading.sandbox import grader as grader_lib
from score_jax.grading.sandbox import process
from score_jax.grading.sandbox import worker
from tests.helpers import sandbox_cases
from tests.helpers.sandbox_cases import TIERS
from tests.helpers.sandbox_cases import make_grader

_SLOW = "import time\ndef f(x):\n  time.sleep({})\n  return x"
_TESTS = "assert candidate(5) == 5"


def grade(grader, *solutions):
  count = len(solutions)
  grades = grader.grade(solutions, [_TESTS] * count, ["f"] * count)
  return [g.status for g in grades]


def quick(count):
  return [f"def f(x): return x + {n} - {n}" for n in range(count)]


class LifeTest(parameterized.TestCase):

  @parameterized.parameters(*TIERS)
  @pytest.mark.slow
  def test_no_process_is_left_after_close(self, tier):
    before = set(sandbox_cases.worker_sessions())
    with make_grader(tier, num_workers=2, timeout_s=1.0) as grader:
      loop = "#{}\ndef f(x):\n  while True: pass"
      statuses = grade(grader, *map(loop.format, range(2)), *quick(4))
      self.assertEqual(statuses, ["timeout"] * 2 + ["pass"] * 4)
      (grade_,) = grader.grade(quick(1), ["while True: pass"], ["f"])
      self.assertEqual(grade_.status, "timeout")
      sessions = set(sandbox_cases.worker_sessions()) - before
      self.assertLen(sessions, 2)
      # The keeper, the worker and its fork server, and nothing of a run.
      self.assertLen(sandbox_cases.processes(sessions), 6)
    self.assertEmpty(sandbox_cases.processes(sessions))
    self.assertEmpty(set(sandbox_cases.worker_sessions()) - before)

  def test_end_of_the_trainer_does_not_wait_for_a_verdict(self):
    with self.assertRaises(KeyboardInterrupt):
      with make_grader(TIERS[1], num_workers=2, timeout_s=60.0) as grader:
        loops = [f"#{n}\ndef f(x):\n  while True: pass" for n in range(5)]
        ended = (GraderError, concurrent.futures.CancelledError)
        thread = threading.Thread(
            target=self.assertRaises, args=(ended, grade, grader, *loops)
        )
        thread.start()
        self.assertTrue(
            sandbox_cases.wait_until(lambda: len(grader._running) == 2)
        )
        start = time.monotonic()
        raise KeyboardInterrupt
    self.assertLess(time.monotonic() - start, 20.0)
    thread.join()

  def test_kernel_ends_a_solution_before_the_trainer(self):
    with make_grader(TIERS[1], num_workers=1):
      sessions = sandbox_cases.worker_sessions()
      for pid in sandbox_cases.processes(sessions):
        path = pathlib.Path("/proc", str(pid), "oom_score_adj")
        self.assertEqual(path.read_text(encoding="ascii"), "1000\n")

  def test_closed_grader_refuses_work(self):
    grader = make_grader(TIERS[1], num_workers=1)
    grader.close()
    grader.close()
    with self.assertRaisesRegex(ValueError, "closed"):
      grade(grader, "def f(x): return x")

  @parameterized.parameters(
      (TIERS[0], True), (TIERS[1], True), (TIERS[1], False)
  )
  @pytest.mark.slow
  def test_no_process_outlives_a_killed_trainer(self, tier, is_pipe_held):
    make_grader(tier, num_workers=1).close()  # or skip
    code = f"""
import os, threading, time
from score_jax.grading.sandbox import CodeGrader, Tier
from tests.helpers import sandbox_cases
grader = CodeGrader(tier=Tier({tier.value!r}), num_workers=1, timeout_s=60)
(session,) = sandbox_cases.worker_sessions()
held = 0
if {is_pipe_held}:
  held = os.fork()  # inherits the pipes to the worker
  if held == 0:
    time.sleep(60)
    os._exit(0)
print(session, held, flush=True)
grader.grade([{_SLOW.format(60)!r}], ["candidate(1)"], ["f"])
"""
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=sandbox_cases.ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as trainer:
      session, held = map(int, trainer.stdout.readline().split())

      def living():
        return sandbox_cases.processes({session})

      # The keeper, the worker, its fork server, a judge and a solver.
      self.assertTrue(sandbox_cases.wait_until(lambda: len(living()) == 5))
      trainer.kill()
      trainer.wait()
      try:
        self.assertTrue(sandbox_cases.wait_until(lambda: not living()))
      finally:
        if held:
          os.kill(held, signal.SIGKILL)

  @pytest.mark.slow
  def test_nothing_leaks_over_many_verdicts(self):
    with make_grader(TIERS[1], num_workers=2) as grader:
      grade(grader, *quick(20))
      before = _open_files()
      self.assertEqual(set(grade(grader, *quick(500))), {"pass"})
      self.assertEqual(_open_files(), before)
      for session in sandbox_cases.worker_sessions():
        for pid in sandbox_cases.processes({session}):
          self.assertLess(_open_files(pid), 10)
      sessions = sandbox_cases.worker_sessions()
      self.assertLen(sandbox_cases.processes(sessions), 3 * len(sessions))


def _open_files(pid="self"):
  try:
    return len(os.listdir(f"/proc/{pid}/fd"))
  except PermissionError:  # another user's, and this one is not root
    return 0


class FailureTest(parameterized.TestCase):

  @parameterized.parameters(*TIERS)
  @pytest.mark.slow
  def test_killed_worker_is_replaced_and_its_verdict_repeated(self, tier):
    with make_grader(tier, num_workers=1, timeout_s=20.0) as grader:
      (first,) = sandbox_cases.worker_sessions()
      statuses = []
      thread = threading.Thread(
          target=lambda: statuses.extend(grade(grader, _SLOW.format(1)))
      )
      thread.start()
      time.sleep(0.5)
      os.kill(first, signal.SIGKILL)
      thread.join()
      self.assertEqual(statuses, ["pass"])
      (second,) = sandbox_cases.worker_sessions()
      self.assertNotEqual(first, second)
      self.assertTrue(
          sandbox_cases.wait_until(lambda: not sandbox_cases.processes({first}))
      )

  @parameterized.parameters(1, 2)
  def test_any_process_of_a_worker_may_die(self, index):
    with make_grader(TIERS[1], num_workers=1) as grader:
      (session,) = sandbox_cases.worker_sessions()
      victim = sorted(sandbox_cases.processes({session}))[index]
      os.kill(victim, signal.SIGKILL)
      self.assertEqual(grade(grader, *quick(3)), ["pass"] * 3)

  def test_second_failure_raises(self):
    with make_grader(TIERS[1], num_workers=1) as grader:
      (session,) = sandbox_cases.worker_sessions()
      os.kill(session, signal.SIGKILL)
      broken = pathlib.Path(self.create_tempfile(content="raise OSError(7)"))
      with mock.patch.object(process, "_SCRIPT", broken):
        with self.assertRaisesRegex(GraderError, r"(?s)twice.*OSError: 7"):
          grade(grader, *quick(1))
      # What failed is not kept: the next batch starts its own worker.
      self.assertEqual(grade(grader, *quick(2)), ["pass"] * 2)

  def test_machine_that_starts_no_process_costs_no_worker(self):
    with make_grader(TIERS[1], num_workers=1) as grader:
      (session,) = sandbox_cases.worker_sessions()
      os.kill(session, signal.SIGKILL)
      with mock.patch.object(process, "_start", side_effect=OSError(11)):
        with self.assertRaisesRegex(GraderError, "No process"):
          grade(grader, *quick(1))
      self.assertEqual(grade(grader, *quick(2)), ["pass"] * 2)

  def test_worker_that_does_not_answer_is_given_up(self):
    with make_grader(TIERS[1], num_workers=1, timeout_s=0.5) as grader:
      (session,) = sandbox_cases.worker_sessions()
      for pid in sandbox_cases.processes({session}):
        os.kill(pid, signal.SIGSTOP)
      with mock.patch.multiple(process, _GRACE_S=0.1, _STOP_S=0.1):
        self.assertEqual(grade(grader, *quick(1)), ["pass"])

  def test_workers_are_renewed(self):
    with mock.patch.object(grader_lib, "_RUNS_PER_WORKER", 10):
      with make_grader(TIERS[1], num_workers=1) as grader:
        seen = set(sandbox_cases.worker_sessions())
        for n in range(8):
          solutions = [f"#{n}\n{s}" for s in quick(4)]
          self.assertEqual(grade(grader, *solutions), ["pass"] * 4)
          seen.update(sandbox_cases.worker_sessions())
        self.assertLen(seen, 4)


class ReplyTest(parameterized.TestCase):

  @parameterized.parameters(
      (b"", {"failed": "the judge or the solver did not start"}),
      (b"?pass", {"failed": "the judge or the solver did not start"}),
      (b"R", {"status": "crash"}),
      (b"Rpass", {"status": "pass"}),
      (b"Runjudgeable: a", {"status": "unjudgeable", "reason": "a"}),
      (b"Runcalled", {"status": "uncalled"}),
  )
  def test_what_a_judge_left_behind(self, output, expected):
    source, sink = os.pipe()
    os.write(sink, output)
    os.close(sink)
    self.assertEqual(worker._reply(source, (), 5.0), expected)
    os.close(source)

  def test_only_the_end_of_a_judge_is_a_verdict(self):
    source, sink = os.pipe()
    os.write(sink, b"Rpass")
    self.assertEqual(worker._reply(source, (), 0.1), {"status": "timeout"})
    os.close(source)
    os.close(sink)

  @parameterized.parameters(
      (b"Rpass", {"status": "timeout"}),
      (b"Rfail", {"status": "timeout"}),
      (b"R", {"status": "timeout"}),
      # The tests are at fault, however long it took.
      (b"Runcalled", {"status": "uncalled"}),
      (b"Runjudgeable: a", {"status": "unjudgeable", "reason": "a"}),
  )
  def test_a_verdict_that_was_not_looked_at_in_time_is_late(
      self, output, expected
  ):
    source, sink = os.pipe()
    os.write(sink, output)
    os.close(sink)
    # Time runs out behind the last look at the pipe.
    num_looks = 2 if len(output) > 1 else 1
    with mock.patch.object(worker, "Stopwatch") as stopwatch:
      stopwatch.return_value.left_s.side_effect = [1.0] * num_looks + [0.0]
      self.assertEqual(worker._reply(source, (), 5.0), expected)
    os.close(source)

  def test_time_runs_from_the_start_of_the_solution(self):
    source, sink = os.pipe()
    start = time.monotonic()
    with mock.patch.object(worker, "_START_S", 0.1):
      reply = worker._reply(source, (), 20.0)
    self.assertLess(time.monotonic() - start, 10.0)
    self.assertIn("did not start", reply["failed"])
    os.close(source)
    os.close(sink)


class ArgumentsTest(absltest.TestCase):

  def test_senseless_settings_are_refused(self):
    for name, value in (
        ("num_workers", 0),
        ("timeout_s", 0),
        ("timeout_s", float("nan")),
        ("memory_mb", 1),
    ):
      with self.assertRaisesRegex(ValueError, name):
        CodeGrader(**{name: value})

  def test_no_wall_has_to_be_asked_for_by_name(self):
    with self.assertRaisesRegex(ValueError, "allow_unsandboxed"):
      CodeGrader(tier=Tier.NONE)
    with self.assertLogs(level="WARNING") as logs:
      with CodeGrader(
          tier=Tier.NONE, allow_unsandboxed=True, num_workers=1
      ) as grader:
        self.assertIs(grader.tier, Tier.NONE)
        wrong = "def f(x): return 7"
        self.assertEqual(grade(grader, *quick(1), wrong), ["pass", "fail"])
        # Found on disk, but not behind a wall: the same verdict everywhere.
        rare = "import wave\ndef f(x): return x"
        self.assertEqual(grade(grader, rare), ["load_error"])
    self.assertIn("without a sandbox", logs.output[0])


if __name__ == "__main__":
  absltest.main()
