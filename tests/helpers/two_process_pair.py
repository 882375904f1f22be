"""Several processes of a run on this machine, for tests."""

import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

_ROOT = pathlib.Path(__file__).resolve().parents[2]
# From a start of Python to its end, on a machine that is busy.
_PATIENCE_S = 300.0


class Processes:
  """Processes that all run one program; a context manager."""

  def __init__(
      self,
      program,
      argument="",
      *,
      module="tests.helpers.two_process_job",
      num_processes=2,
      devices=2,
      env=(),
  ):
    """Starts them.

    Args:
      program: name of a function.
      argument: of it.
      module: that it is in.
      num_processes: number of processes.
      devices: of each process.
      env: further variables of the environment.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
      coordinator = f"127.0.0.1:{server.getsockname()[1]}"
    flags = f"--xla_force_host_platform_device_count={devices}"
    self._outputs = [tempfile.TemporaryFile("w+") for _ in range(num_processes)]
    self._processes = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                module,
                *(program, coordinator, str(num_processes), str(i)),
                argument,
            ],
            cwd=_ROOT,
            env=os.environ
            | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
            | dict(env),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        for i, output in enumerate(self._outputs)
    ]

  def __enter__(self):
    return self

  def __exit__(self, *exc_info):
    for process, output in zip(self._processes, self._outputs, strict=True):
      process.kill()
      process.wait()
      output.close()

  def output(self, index):
    self._outputs[index].seek(0)
    return self._outputs[index].read()

  def pid(self, index):
    return self._processes[index].pid

  def wait(self, index):
    """Exit status, and seconds until then."""
    start_s = time.monotonic()
    status = self._processes[index].wait(_PATIENCE_S)
    return status, time.monotonic() - start_s

  def wait_until_ready(self):
    """Waits until every process has printed "ready"."""
    indices = range(len(self._outputs))
    self.wait_for(lambda: all("ready" in self.output(i) for i in indices))

  def wait_for(self, condition):
    """Waits while all processes are alive; returns when the condition holds."""
    deadline_s = time.monotonic() + _PATIENCE_S
    while not condition():
      is_alive = all(p.poll() is None for p in self._processes)
      assert is_alive and time.monotonic() < deadline_s, self.output(0)
      time.sleep(0.1)

  def send(self, index, number):
    self._processes[index].send_signal(number)
