"""What lies outside of the wall: things to be read, reached or broken."""

from collections.abc import Iterator
import contextlib
import os
import pathlib
import secrets
import socket
import subprocess
import sys
import tempfile
from typing import Any

VARIABLE = "ATTACKS_SECRET"
_SEARCHED = ("/", "/tmp", "/var/tmp", "/dev/shm", "/dev", "/run")


class World:
  """The outside, open to every user, and what happened to it.

  Attributes:
    facts: plain data that tells a probe where all of it is.
  """

  def __init__(self, folder: str, stack: contextlib.ExitStack):
    self._folder = pathlib.Path(folder)
    # The wall has to hold, not the mode of a file.
    self._folder.chmod(0o777)
    self._canary = self._file("canary")
    self._victim = self._file("victim")
    self._listeners = _listeners(stack, str(self._folder / "socket"))
    self._process = stack.enter_context(_sleeping_process())
    token = secrets.token_hex(8)
    self.facts: dict[str, Any] = {
        "folder": folder,
        "canary": str(self._canary),
        "victim": str(self._victim),
        "token": token,
        "variable": VARIABLE,
        "pid": self._process.pid,
        "host_pid": os.getpid(),
        "unix": str(self._folder / "socket"),
        "abstract": self._listeners["abstract"].getsockname()[1:].decode(),
        "tcp": self._listeners["tcp"].getsockname()[1],
        "tcp6": 0,
        "is_x86": os.uname().machine == "x86_64",
        "folders": [folder, ".", *_SEARCHED],
    }
    if "tcp6" in self._listeners:
      self.facts["tcp6"] = self._listeners["tcp6"].getsockname()[1]

  def damage(self) -> list[str]:
    """What a program did out here; empty behind a wall."""
    found = [
        f"{path.name} was changed"
        for path in (self._canary, self._victim)
        if not path.exists() or path.read_text() != path.name
    ]
    known = {self._canary, self._victim, self._folder / "socket"}
    found += [str(p) for p in self._folder.iterdir() if p not in known]
    for folder in _SEARCHED:
      if os.path.isdir(folder):
        names = os.listdir(folder)
        found += [f"{folder}/{n}" for n in names if self.facts["token"] in n]
    if self._process.poll() is not None:
      found.append("the process was killed")
    found += [f"{n} was called" for n, s in self._listeners.items() if _hit(s)]
    return found

  def _file(self, name: str) -> pathlib.Path:
    path = self._folder / name
    path.write_text(name)
    path.chmod(0o666)
    return path


@contextlib.contextmanager
def make_world() -> Iterator[World]:
  """A world that ends with the `with` block."""
  with contextlib.ExitStack() as stack:
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    yield World(folder, stack)


def _listeners(
    stack: contextlib.ExitStack, path: str
) -> dict[str, socket.socket]:
  """Servers that accept everybody, by name."""
  name = f"\0attacks-{secrets.token_hex(8)}"
  listeners = {
      "tcp": socket.create_server(("127.0.0.1", 0)),
      "unix": _unix_server(path),
      "abstract": _unix_server(name),
  }
  os.chmod(path, 0o777)
  with contextlib.suppress(OSError):  # a machine without IPv6
    listeners["tcp6"] = socket.create_server(("::1", 0), family=socket.AF_INET6)
  for listener in listeners.values():
    listener.setblocking(False)
    stack.enter_context(listener)
  return listeners


def _unix_server(address: str) -> socket.socket:
  server = socket.socket(socket.AF_UNIX)
  server.bind(address)
  server.listen()
  return server


def _hit(listener: socket.socket) -> bool:
  try:
    connection, _ = listener.accept()
  except BlockingIOError:
    return False
  connection.close()
  return True


@contextlib.contextmanager
def _sleeping_process() -> Iterator[subprocess.Popen[bytes]]:
  """A process of the same user that nobody may kill."""
  command = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(900)"]
  process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
  try:
    yield process
  finally:
    process.kill()
    process.wait()
