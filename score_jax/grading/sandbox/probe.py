"""Tries to break out of a tier before anything is graded in it.

Settings of a kernel say little about what a container allows. So a solution is
graded that tries to read a file, write one, connect to a listener, kill a
process and fork. Each attempt must fail in the eyes of the solution, and leave
no trace that is seen from outside.
"""

from collections.abc import Callable
import contextlib
import pathlib
import socket
import subprocess
import sys
import tempfile

from score_jax.grading.sandbox.process import Verdict

# Every escape returns True where it succeeds. OSError is the wall; what a
# missing module or file raises counts as one too.
_SOLUTION = """
import ctypes, os, signal, socket, time

def read_file(path, port, pid):
  with open(path) as file:
    return bool(file.read())

def write_file(path, port, pid):
  with open(path + ".written", "w") as file:
    return bool(file.write("x"))

def connect(path, port, pid):
  with socket.create_connection(("127.0.0.1", port), timeout=1):
    return True

def kill_process(path, port, pid):
  os.kill(pid, signal.SIGKILL)
  return True

def fork(path, port, pid):
  if os.fork() == 0:
    os._exit(0)
  return True

def fork_without_python(path, port, pid):
  pid = ctypes.CDLL(None).fork()
  if pid == 0:
    os._exit(0)
  return pid > 0

def escape(name, *arguments):
  try:
    return globals()[name](*arguments)
  except OSError:
    return False
"""
ESCAPES = (
    "read_file",
    "write_file",
    "connect",
    "kill_process",
    "fork",
    "fork_without_python",
)


def escapes(run: Callable[[str, str, str], Verdict]) -> list[str]:
  """The escapes that a wall did not stop; empty when it holds.

  Args:
    run: grades (solution, tests, entry point) in a worker.

  Returns:
    Names of escapes that succeeded or could not be tried, and traces outside.
  """
  found = []
  with contextlib.ExitStack() as stack:
    folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
    # Open to everybody: the wall has to hold, not the file's mode.
    folder.chmod(0o777)
    canary = folder / "canary"
    canary.write_text("canary", encoding="ascii")
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    listener.setblocking(False)
    process = stack.enter_context(_waiting_process())
    port = listener.getsockname()[1]
    for name in ESCAPES:
      call = (name, str(canary), port, process.pid)
      tests = f"assert candidate{call!r} is False"
      verdict = run(_SOLUTION, tests, "escape")
      if verdict.status != "pass":
        found.append(f"{name} ({verdict.status})")
    if process.poll() is not None:
      found.append("the canary process died")
    if any(path != canary for path in folder.iterdir()):
      found.append("a file was written")
    if _is_connected(listener):
      found.append("a connection arrived")
    process.kill()
  return found


def _waiting_process() -> subprocess.Popen[bytes]:
  """A process that does nothing, of the same user."""
  command = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)"]
  return subprocess.Popen(command, stdin=subprocess.DEVNULL)


def _is_connected(listener: socket.socket) -> bool:
  try:
    connection, _ = listener.accept()
  except BlockingIOError:
    return False
  connection.close()
  return True
