"""Tests of the pool of killable workers."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time

from absl.testing import absltest
from absl.testing import parameterized

import score_jax
from score_jax.grading import worker_pool
from score_jax.grading.errors import GraderError
from score_jax.grading.worker_pool import Reply
from score_jax.grading.worker_pool import WorkerPool

_ROOT = str(pathlib.Path(score_jax.__file__).resolve().parents[1])
# Operations that a worker of these tests knows.
_WORKER = """
import os, signal, sys, time
sys.path.insert(0, {root!r})
from score_jax.grading import worker_loop

def handle(request):
  name, argument = request
  if name == "echo":
    return argument
  if name == "pid":
    return os.getpid()
  if name == "sleep":
    time.sleep(argument)
    return argument
  if name == "spin":  # In C, deaf to everything but SIGKILL and SIGIO.
    return 7 ** (7 ** 10) % 2
  if name == "memory":
    return len(bytearray(argument << 20))
  if name == "print":
    print("noise", flush=True)
    os.write(1, b"noise")
    return argument
  if name == "raise":
    raise RuntimeError(argument)
  if name == "log_and_exit":
    with open(argument, "a") as file:
      print(os.getpid(), file=file)
    os._exit(3)
  if name == "signal":
    os.kill(os.getpid(), argument)

worker_loop.serve(handle, memory_mb=512, warm_up=({warm_up}))
"""


def _command(warm_up='["echo", 1], 1'):
  program = _WORKER.format(root=_ROOT, warm_up=warm_up)
  return [sys.executable, "-I", "-S", "-c", program]


def _make_pool(num_workers=2, timeout_s=20.0, command=None):
  return WorkerPool(
      command or _command(),
      env={"PATH": os.defpath},
      num_workers=num_workers,
      timeout_s=timeout_s,
  )


def _is_alive(pid):
  try:
    stat = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
  except (FileNotFoundError, ProcessLookupError):
    return False
  return stat.rpartition(")")[2].split()[0] != "Z"


def _wait_until(condition, seconds=20.0):
  deadline = time.monotonic() + seconds
  while not condition():
    if time.monotonic() > deadline:
      raise TimeoutError
    time.sleep(0.01)


class WorkerPoolTest(parameterized.TestCase):

  def _pool(self, **kwargs):
    pool = _make_pool(**kwargs)
    self.addCleanup(pool.close)
    return pool

  def test_replies_are_in_the_order_of_the_requests(self):
    pool = self._pool()
    requests = [["sleep", 0.2], *(["echo", i] for i in range(50))]
    values = [reply.value for reply in pool.run(requests)]
    self.assertEqual(values, [0.2, *range(50)])
    self.assertLen(pool.pids(), 2)
    self.assertEqual(pool.run([]), [])

  def test_no_worker_before_the_first_request_nor_more_than_requests(self):
    pool = self._pool(num_workers=4)
    self.assertEmpty(pool.pids())
    pool.run([["echo", 1]])
    self.assertLen(pool.pids(), 1)

  def test_requests_run_in_parallel(self):
    pool = self._pool(num_workers=4)
    pool.run([["echo", i] for i in range(4)])
    start = time.monotonic()
    pool.run([["sleep", 1.0]] * 4)
    self.assertLess(time.monotonic() - start, 3.0)

  def test_a_request_that_hangs_is_killed_and_the_others_are_not(self):
    pool = self._pool(timeout_s=1.0)
    replies = pool.run([["echo", 1], ["spin", 0], ["echo", 2], ["sleep", 99]])
    statuses = [reply.status for reply in replies]
    self.assertEqual(statuses, ["done", "timeout", "done", "timeout"])
    self.assertEqual(pool.run([["echo", 3]]), [Reply("done", 3)])

  def test_a_request_beyond_the_memory_limit(self):
    pool = self._pool(num_workers=1)
    replies = pool.run([["memory", 2000], ["memory", 10]])
    self.assertEqual([reply.status for reply in replies], ["memory", "done"])

  @parameterized.parameters(signal.SIGSEGV, signal.SIGABRT)
  def test_an_allocator_or_stack_that_fails_met_the_memory_limit(self, number):
    reply = self._pool(num_workers=1).run([["signal", number]])[0]
    self.assertEqual(reply.status, "memory")

  def test_what_is_printed_does_not_reach_the_protocol(self):
    pool = self._pool(num_workers=1)
    self.assertEqual(pool.run([["print", 4]])[0].value, 4)

  def test_a_failure_is_tried_once_more_in_a_new_worker_then_raised(self):
    log = pathlib.Path(self.create_tempdir().full_path, "log")
    pool = self._pool()
    pool.run([["echo", 1], ["echo", 2]])
    first = list(map(str, pool.pids()))
    with self.assertRaisesRegex(GraderError, "failed 2 times.*ended with 3"):
      pool.run([["log_and_exit", str(log)]])
    pids = log.read_text(encoding="utf-8").split()
    self.assertLen(pids, 2)
    self.assertIn(pids[0], first)
    self.assertNotIn(pids[1], first)
    self.assertEqual(pool.run([["echo", 3]])[0].value, 3)

  def test_an_exception_in_a_worker_is_raised_with_its_text(self):
    with self.assertRaisesRegex(GraderError, "(?s)failed 2 times.*some reason"):
      self._pool().run([["raise", "some reason"]])

  def test_a_worker_killed_from_outside_is_replaced_and_the_request_repeated(
      self,
  ):
    pool = self._pool(num_workers=1)
    pool.run([["echo", 1]])
    (victim,) = pool.pids()
    timer = threading.Timer(0.3, os.kill, (victim, signal.SIGKILL))
    timer.start()
    replies = pool.run([["sleep", 1.0], ["pid", 0]])
    self.assertEqual(replies[0], Reply("done", 1.0))
    self.assertNotEqual(replies[1].value, victim)

  def test_workers_killed_while_idle_are_no_failure_of_a_request(self):
    pool = self._pool(num_workers=2)
    pool.run([["echo", 1], ["echo", 2]])
    for pid in pool.pids():
      os.kill(pid, signal.SIGKILL)
      _wait_until(lambda pid=pid: not _is_alive(pid))
    with absltest.mock.patch.object(worker_pool, "MAX_TRIES", 1):
      self.assertEqual(pool.run([["echo", 3]])[0].value, 3)

  @parameterized.named_parameters(
      ("crash", [sys.executable, "-c", "1 / 0"], "ZeroDivision"),
      ("babble", [sys.executable, "-c", "print('x' * 99)"], "protocol"),
      ("warm_up", _command('["echo", 1], 2'), "Expected 2"),
  )
  def test_workers_that_do_not_start_raise(self, command, reason):
    with self.assertRaisesRegex(GraderError, f"(?s)does not start.*{reason}"):
      self._pool(command=command).run([["echo", 1]])

  def test_a_worker_that_never_gets_ready_raises(self):
    command = [sys.executable, "-c", "import time; time.sleep(99)"]
    with absltest.mock.patch.object(worker_pool, "START_TIMEOUT_S", 0.5):
      with self.assertRaisesRegex(GraderError, "did not start"):
        self._pool(command=command).run([["echo", 1]])

  def test_workers_are_replaced_in_time(self):
    with absltest.mock.patch.object(worker_pool, "RECYCLE_AFTER", 3):
      replies = self._pool(num_workers=1).run([["pid", 0]] * 7)
    self.assertLen({reply.value for reply in replies}, 3)

  def test_threads_share_a_pool(self):
    pool = self._pool()
    results = {}

    def run(name):
      requests = [["echo", f"{name}{i}"] for i in range(20)]
      results[name] = [reply.value for reply in pool.run(requests)]

    threads = [threading.Thread(target=run, args=(name,)) for name in "abcd"]
    for thread in threads:
      thread.start()
    for thread in threads:
      thread.join()
    for name in "abcd":
      self.assertEqual(results[name], [f"{name}{i}" for i in range(20)])

  def test_the_worker_outlives_the_thread_that_started_it(self):
    pool = self._pool(num_workers=1)
    thread = threading.Thread(target=pool.run, args=([["echo", 1]],))
    thread.start()
    thread.join()
    before = pool.pids()
    self.assertEqual(pool.run([["pid", 0]])[0].value, before[0])

  def test_no_process_is_left_after_close(self):
    pool = self._pool()
    pool.run([["echo", 1], ["echo", 2]])
    pids = pool.pids()
    self.assertLen(pids, 2)
    pool.close()
    self.assertFalse(any(map(_is_alive, pids)))
    with self.assertRaisesRegex(GraderError, "closed"):
      pool.run([["echo", 1]])
    pool.close()

  @parameterized.parameters("echo", "spin")
  def test_no_process_is_left_when_the_parent_is_killed(self, last):
    """Whether its workers are idle or busy in C code."""
    program = (
        "import json, sys, threading, time\n"
        f"sys.path.insert(0, {_ROOT!r})\n"
        "from score_jax.grading.worker_pool import WorkerPool\n"
        f"pool = WorkerPool({_command()!r}, env={{}}, num_workers=2,"
        " timeout_s=60)\n"
        "pool.run([['echo', 1], ['echo', 2]])\n"
        "print(json.dumps(pool.pids()), flush=True)\n"
        f"pool.run([[{last!r}, 1]] * 2)\n"
        "time.sleep(60)\n"
    )
    with tempfile.TemporaryFile() as stderr:
      with subprocess.Popen(
          [sys.executable, "-c", program],
          stdout=subprocess.PIPE,
          stderr=stderr,
      ) as parent:
        pids = json.loads(parent.stdout.readline())
        time.sleep(0.5)
        self.assertTrue(all(map(_is_alive, pids)))
        parent.kill()
    _wait_until(lambda: not any(map(_is_alive, pids)), seconds=10.0)

  def test_a_broken_off_batch_leaves_no_worker_in_an_unknown_state(self):
    pool = self._pool(num_workers=2)
    with self.assertRaises(GraderError):
      pool.run([["sleep", 5.0], ["raise", "reason"]])
    self.assertEmpty(pool.pids())
    values = [reply.value for reply in pool.run([["echo", 1], ["echo", 2]])]
    self.assertEqual(values, [1, 2])

  @parameterized.parameters((0, 1.0), (1, 0.0))
  def test_settings_out_of_range(self, num_workers, timeout_s):
    with self.assertRaisesRegex(ValueError, f"{num_workers} and {timeout_s}"):
      _make_pool(num_workers=num_workers, timeout_s=timeout_s)


if __name__ == "__main__":
  absltest.main()
