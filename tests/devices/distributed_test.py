"""Several processes on this machine: what they share, and how one is lost."""

import signal
import socket
import subprocess
import sys

from absl.testing import absltest
from absl.testing import parameterized
import jax
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec
import numpy as np
import pytest

from score_jax.devices import distributed
from tests.helpers import two_process_job
from tests.helpers.two_process_pair import Processes


class OneProcessTest(parameterized.TestCase):

  def test_everything_is_given_back(self):
    self.assertTrue(distributed.is_main())
    self.assertEqual(distributed.gather_bytes(b"ab"), [b"ab"])
    self.assertEqual(distributed.gather_json([1, None]), [[1, None]])
    self.assertEqual(distributed.agree({"a": 1}), {"a": 1})
    self.assertEqual(distributed.share(5), slice(0, 5))
    distributed.barrier("here")

  @parameterized.parameters((0, 3), (1, 3), (5, 2), (7, 3), (12, 4))
  def test_shares_are_all_items_once_and_nearly_equal(self, n, count):
    shares = [range(n)[distributed.share(n, i, count)] for i in range(count)]
    self.assertEqual([i for part in shares for i in part], list(range(n)))
    sizes = [len(part) for part in shares]
    self.assertLessEqual(max(sizes) - min(sizes), 1)

  def test_arrays_go_to_their_devices_and_come_back(self):
    mesh = jax.sharding.Mesh(np.asarray(jax.devices()), ("d",))
    sharding = NamedSharding(mesh, PartitionSpec("d"))
    rows = np.arange(16.0, dtype=np.float32).reshape(8, 2)
    placed = distributed.place(rows, sharding)
    self.assertEqual(placed.sharding, sharding)
    self.assertEqual(placed.addressable_data(3).shape, (1, 2))
    tree = {"rows": placed, "n": 3}
    host = distributed.to_host(tree)
    np.testing.assert_array_equal(host["rows"], rows)
    self.assertIsInstance(host["rows"], np.ndarray)
    self.assertEqual(host["n"], 3)

  def test_without_a_sharding_an_array_is_uncommitted(self):
    placed = distributed.place(np.ones(2), None)
    self.assertFalse(placed.committed)

  def test_one_process_starts_nothing(self):
    with distributed.started():
      pass
    with distributed.started("localhost:1", 1, 0):
      pass
    self.assertFalse(jax.distributed.is_initialized())

  def test_where_no_cluster_is_found(self):
    # A process whose devices were asked for cannot be asked to join.
    code = (
        "from score_jax.devices import distributed\n"
        "with distributed.started(is_automatic=True): pass"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True
    )
    self.assertNotEqual(done.returncode, 0)
    self.assertIn("ValueError: --distributed finds no other", done.stderr)

  @parameterized.parameters(
      (("a:1", 2, None), False, "belong together"),
      ((None, 2, 0), False, "belong together"),
      (("a:1", 2, 2), False, "from 0 to 1"),
      (("a:1", 2, -1), False, "from 0 to 1"),
      (("a", 2, 0), False, "HOST:PORT"),
      (("a:b", 2, 0), False, "HOST:PORT"),
      ((":1", 2, 0), False, "HOST:PORT"),
      (("a:1", 2, 0), True, "give it or them"),
  )
  def test_wrong_arguments_are_refused(self, given, is_automatic, message):
    with self.assertRaisesRegex(ValueError, message):
      with distributed.started(*given, is_automatic=is_automatic):
        pass


class TwoProcessesTest(parameterized.TestCase):

  @pytest.mark.slow
  def test_what_they_share(self):
    with Processes("tools") as pair:
      for index in range(2):
        status, _ = pair.wait(index)
        self.assertEqual(status, 0, pair.output(index))
        self.assertIn("over", pair.output(index))
        self.assertNotIn("lost", pair.output(index))

  @parameterized.product(program=("collective", "python"), victim=(0, 1))
  @pytest.mark.slow
  def test_a_process_that_is_killed_stops_the_other_one(self, program, victim):
    with Processes(program) as pair:
      pair.wait_until_ready()
      pair.send(victim, signal.SIGKILL)
      status, seconds = pair.wait(1 - victim)
      self.assertNotEqual(status, 0)
      # It says so at once, however long silence would be borne.
      self.assertLess(seconds, two_process_job.LOST_AFTER_S / 2)
      self._assert_names(pair, victim, "died")

  @parameterized.parameters(0, 1)
  @pytest.mark.slow
  def test_a_process_that_hangs_stops_the_other_one(self, victim):
    with Processes("python") as pair:
      pair.wait_until_ready()
      pair.send(victim, signal.SIGSTOP)
      status, seconds = pair.wait(1 - victim)
      self.assertNotEqual(status, 0)
      self.assertLess(seconds, two_process_job.LOST_AFTER_S + 3)
      self._assert_names(pair, victim, "nothing was heard of it for 4 s")
      # Nor does it hold its devices for ever.
      self.assertEqual(pair.wait(victim)[0], -signal.SIGKILL)

  @parameterized.parameters(0, 1)
  @pytest.mark.slow
  def test_an_error_of_one_process_stops_both(self, victim):
    with Processes("fail", str(victim)) as pair:
      for index in range(2):
        status, _ = pair.wait(index)
        self.assertNotEqual(status, 0)
      self.assertIn("wrong on this host alone", pair.output(victim))
      self._assert_names(pair, victim, "it stopped with an error")

  def _assert_names(self, pair, victim, reason):
    host = f"{socket.gethostname()}, process id {pair.pid(victim)}"
    line = f"error: lost process {victim} ({host}): "
    found = [
        text
        for text in pair.output(1 - victim).splitlines()
        if text.startswith(line)
    ]
    self.assertLen(found, 1, pair.output(1 - victim))
    self.assertIn(reason, found[0])
    self.assertEndsWith(found[0], f"process {1 - victim} stops")


if __name__ == "__main__":
  absltest.main()
