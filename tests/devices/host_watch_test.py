"""Tests of score_jax.devices.host_watch: two deaths that are heard of late."""

import json
import os
import signal
import socket
import subprocess
import sys

from absl.testing import absltest

from score_jax.devices import host_watch

_TOKEN = "secret"
_PATIENCE_S = 60.0


class OrderOfDeathsTest(absltest.TestCase):

  def test_its_own_process_died_first_if_both_are_heard_of_at_once(self):
    # Another process dies of the death of this one, and its watcher says so
    # before this one, on a busy host, has read the end of its own pipe.
    with self._process() as process, self._watcher(process.pid) as watcher:
      link = self._link(int(watcher.stdout.readline()))
      with link, link.makefile("r") as said:
        self.assertEqual(said.readline(), "beat\n")  # it has heard the hello
        watcher.send_signal(signal.SIGSTOP)
        link.sendall(b"lost 1 it died\n")
        watcher.stdin.close()
        watcher.send_signal(signal.SIGCONT)
        lines = [line for line in said if line != "beat\n"]
    self.assertEqual(lines, ["lost 0 it died\n", "lost 1 it died\n"])

  def test_its_own_process_is_dying_while_it_hears_of_another_death(self):
    # The system may take long from the first connection of a killed process
    # that it closes to the last one, which is the pipe to the watcher.
    with self._process() as process, self._watcher(process.pid) as watcher:
      link = self._link(int(watcher.stdout.readline()))
      with link, link.makefile("r") as said:
        self.assertEqual(said.readline(), "beat\n")
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        link.sendall(b"lost 1 it died\n")
        lines = [line for line in said if line != "beat\n"]
      watcher.stdin.close()
    self.assertEqual(lines, ["lost 0 it died\n", "lost 1 it died\n"])

  def _process(self):
    """Something to be watched."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=-1)
    self.addCleanup(process.kill)
    return process

  def _watcher(self, pid):
    watcher = subprocess.Popen(
        [sys.executable, "-m", host_watch.__name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
    )
    self.addCleanup(watcher.kill)
    arguments = {
        "index": 0,
        "names": ["this one", "other one"],
        "pid": pid,
        "token": _TOKEN,
        "timeout_s": _PATIENCE_S,
        "address": None,
    }
    watcher.stdin.write(f"{json.dumps(arguments)}\n".encode())
    return watcher

  def _link(self, port):
    """A connection as the other process's watcher has it."""
    link = socket.create_connection(("127.0.0.1", port), _PATIENCE_S)
    link.sendall(f"hello 1 {_TOKEN}\n".encode())
    return link


if __name__ == "__main__":
  absltest.main()
