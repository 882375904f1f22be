"""Watches the processes of a run, each from a small process beside it.

What JAX says when another host dies comes late, or from a thread that ends the
process first, and names no host. So each process of a run has a watcher, and
the watchers talk to that of process 0 over TCP. A process that dies closes its
pipe to its watcher at once; a host that vanishes falls silent. Then every other
watcher prints one line that names the lost process, and kills its own.

A watcher imports nothing of JAX. Its standard input is one line of JSON, the
arguments of `_Watcher`, then what its process says: "beat" every second and, at
the end, "done", or "failed" after an error. Watchers tell each other the same,
and "hello <index> <token>" and "lost <index> <reason>". That of process 0 ends
last, so that nobody misses it.
"""

import contextlib
import json
import os
import selectors
import signal
import socket
import sys
import time

BEAT_S = 1.0
# When a process stops with an error, the others may be stopping for the same
# reason: they have this long to say so by themselves. It has longer, so that
# they do not die of its death first.
_GRACE_S = 3.0
_OWN_GRACE_S = 6.0
# A process that died may have died of the loss of another one, which is heard
# of a moment later; on a busy host, a long one.
_LINGER_S = 3.0
_STDIN = 0
# Of the flags in /proc/<process id>/stat, see proc(5) and linux/sched.h.
_PF_EXITING = 0x4


class _Lines:
  """Whole lines out of a stream of bytes."""

  def __init__(self):
    self._rest = b""

  def feed(self, data: bytes) -> list[str]:
    *lines, self._rest = (self._rest + data).split(b"\n")
    return [line.decode() for line in lines]


def _is_exiting(pid: int) -> bool:
  """Whether a process has begun to end; False where the system has no /proc."""
  try:
    with open(f"/proc/{pid}/stat", "rb") as file:
      # The name, in brackets, may hold spaces and brackets.
      state, *fields = file.read().rpartition(b")")[2].split()
  except FileNotFoundError:
    return os.path.exists("/proc/self/stat")
  except ProcessLookupError:
    return True
  return state in b"ZX" or bool(int(fields[5]) & _PF_EXITING)


class _Link:
  """Connection to another watcher."""

  def __init__(self, connection: socket.socket, index: int | None):
    self.connection = connection
    self.index = index  # None until it has said hello
    self.lines = _Lines()

  def send(self, line: str) -> None:
    # One that cannot be reached is found out by its silence.
    with contextlib.suppress(OSError):
      self.connection.sendall(f"{line}\n".encode())

  def receive(self) -> bytes:
    try:
      return self.connection.recv(4096)
    except OSError:
      return b""


class _Watcher:
  """The loop of one watcher."""

  def __init__(
      self,
      *,
      index: int,
      names: list[str],
      pid: int,
      token: str,
      timeout_s: float,
      address: tuple[str, int] | None,
  ):
    """Makes a watcher.

    Args:
      index: number of its process.
      names: names of all processes, for people.
      pid: process id of its process.
      token: secret that all watchers of the run know.
      timeout_s: silence after which a process is lost, in seconds.
      address: host and port of process 0's watcher; None for that watcher.
    """
    self._index = index
    self._names = names
    self._pid = pid
    self._token = token
    self._timeout_s = timeout_s
    self._address = address
    self._own_lines = _Lines()
    self._links: list[_Link] = []
    self._has_ended = False  # its own process
    self._is_done = False  # and as it should
    # Who is expected to speak, and when each of them last did. Process 0 hears
    # everybody, the others hear process 0.
    expected = range(len(names)) if address is None else (0, index)
    self._heard_s = dict.fromkeys(expected, time.monotonic())
    # Someone who stopped with an error, and when that is no longer waited for.
    self._failed: int | None = None
    self._deadline_s = float("inf")
    self._selector = selectors.DefaultSelector()
    self._selector.register(_STDIN, selectors.EVENT_READ, self._read_own)

  def serve(self) -> int:
    """Starts to listen, as the watcher of process 0; returns the port."""
    if socket.has_dualstack_ipv6():
      server = socket.create_server(
          ("", 0), family=socket.AF_INET6, dualstack_ipv6=True
      )
    else:
      server = socket.create_server(("", 0))
    self._selector.register(
        server,
        selectors.EVENT_READ,
        lambda: self._add(server.accept()[0], index=None),
    )
    return server.getsockname()[1]

  def connect(self) -> None:
    """Connects to the watcher of process 0."""
    try:
      connection = socket.create_connection(self._address, self._timeout_s)
    except OSError as error:
      self._stop(
          0, f"its watcher at {self._address} cannot be reached: {error}"
      )
    self._add(connection, index=0).send(f"hello {self._index} {self._token}")

  def run(self) -> None:
    """Watches until its process ends, or another one is lost."""
    beat_s = time.monotonic()
    while time.monotonic() < self._deadline_s:
      if self._is_done and not self._links:
        return
      if time.monotonic() >= beat_s:
        beat_s = time.monotonic() + BEAT_S
        if not self._is_done:
          self._broadcast(self._news())
      events = self._selector.select(max(0, beat_s - time.monotonic()))
      # What its process says first: a death that others heard of and died of
      # is told before theirs, however late this watcher comes to hear of both.
      for key, _ in sorted(events, key=lambda event: event[0].fd != _STDIN):
        key.data()
      self._check_silence()
    if self._failed not in (None, self._index):
      self._stop(self._failed, "it stopped with an error, see its output")
    self._kill()

  def _add(self, connection: socket.socket, index: int | None) -> _Link:
    connection.settimeout(self._timeout_s)
    link = _Link(connection, index)
    self._links.append(link)
    self._selector.register(
        connection, selectors.EVENT_READ, lambda: self._read(link)
    )
    return link

  def _drop(self, link: _Link) -> None:
    self._selector.unregister(link.connection)
    self._links.remove(link)
    link.connection.close()

  def _broadcast(self, line: str) -> None:
    for link in self._links:
      if link.index is not None:
        link.send(line)

  def _read_own(self) -> None:
    """Reads what its process says."""
    data = os.read(_STDIN, 4096)
    lines = self._own_lines.feed(data)
    self._hear(self._index)
    if "done" in lines:
      if self._address is not None:
        self._broadcast("done")
      self._is_done = self._has_ended = True
      self._deadline_s = time.monotonic() + self._timeout_s
      self._heard_s.clear()
      self._selector.unregister(_STDIN)
      return
    if "failed" in lines:
      del self._heard_s[self._index]
      self._failed = self._index
      self._deadline_s = time.monotonic() + _OWN_GRACE_S
      self._broadcast(self._news())
    if not data:
      self._tell_own_death()
      self._has_ended = True
      self._deadline_s = time.monotonic() + _LINGER_S
      self._selector.unregister(_STDIN)

  def _tell_own_death(self) -> None:
    if self._heard_s.pop(self._index, None) is not None:
      self._broadcast(f"lost {self._index} it died")

  def _read(self, link: _Link) -> None:
    """Reads what another watcher says."""
    data = link.receive()
    for line in link.lines.feed(data):
      if link.index is None:
        link.index = self._greeted(line)
        if link.index is None:
          self._drop(link)
          return
      self._hear(link.index)
      word, *rest = line.split(" ", 2)
      if word == "done":
        self._heard_s.pop(link.index, None)
        self._drop(link)
        return
      if word == "failed":
        self._hear_of_failure(int(rest[0]))
      if word == "lost":
        # A process that is killed closes its connections one after another:
        # one that died of it may be heard of before the end of its own pipe.
        if _is_exiting(self._pid):
          self._tell_own_death()
        self._stop(int(rest[0]), rest[1])
    if not data:
      self._drop(link)
      if link.index in self._heard_s:
        self._stop(link.index, "it died, or its host did")

  def _greeted(self, line: str) -> int | None:
    """Who says hello; None for a stranger."""
    hellos = {f"hello {i} {self._token}": i for i in self._heard_s}
    return hellos.get(line)

  def _hear(self, index: int) -> None:
    if index in self._heard_s:
      self._heard_s[index] = time.monotonic()

  def _hear_of_failure(self, index: int) -> None:
    self._heard_s.pop(index, None)
    if self._failed is None and not self._has_ended:
      self._failed = index
      self._deadline_s = time.monotonic() + _GRACE_S

  def _news(self) -> str:
    """What is said every second, so that watchers that come late hear it."""
    is_told = self._address is None or self._failed == self._index
    has_news = self._failed is not None and is_told
    return f"failed {self._failed}" if has_news else "beat"

  def _check_silence(self) -> None:
    for index, heard_s in self._heard_s.items():
      if time.monotonic() - heard_s > self._timeout_s:
        self._stop(index, f"nothing was heard of it for {self._timeout_s:g} s")

  def _stop(self, index: int, reason: str) -> None:
    """Tells everybody who is lost, and ends its own process."""
    if self._is_done:
      sys.exit()
    self._broadcast(f"lost {index} {reason}")
    line = (
        f"error: lost process {index} ({self._names[index]}): {reason};"
        f" process {self._index} stops\n"
    )
    # One write: the lines of several processes do not mix.
    os.write(sys.stderr.fileno(), line.encode())
    self._kill()

  def _kill(self) -> None:
    if not self._has_ended:
      with contextlib.suppress(ProcessLookupError):
        os.kill(self._pid, signal.SIGKILL)
    sys.exit()


def main() -> None:
  """Runs a watcher; that of process 0 first prints its port."""
  signal.signal(signal.SIGINT, signal.SIG_IGN)  # that is for its process
  # Unbuffered: what follows the first line is read from the descriptor.
  with open(_STDIN, "rb", buffering=0, closefd=False) as stdin:
    arguments = json.loads(stdin.readline())
  watcher = _Watcher(**arguments)
  if arguments["address"] is None:
    print(watcher.serve(), flush=True)
  else:
    watcher.connect()
  watcher.run()


if __name__ == "__main__":
  main()
