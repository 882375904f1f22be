"""Probes of memory, files and disks: their limits, and what others left."""

from tests.helpers.attacks.probe import TRY
from tests.helpers.attacks.probe import probe

ATTACKS = (
    probe(
        "open_files",
        TRY + """
import select

def is_open(fd):
  poll = select.poll()
  poll.register(fd, 0)
  return not any(event & select.POLLNVAL for _, event in poll.poll(0))

def probe(world):
  # One is the way to the judge; a second one would be another process's.
  found = [fd for fd in range(3, 5000) if is_open(fd)][1:]
  # Nothing is there to be read, and what is written is lost.
  found += reached(
      (f"input {fd}", lambda fd=fd: os.read(fd, 1) or None) for fd in range(3)
  )
  found += reached(
      (f"position of {fd}", lambda fd=fd: os.lseek(fd, 0, 2) or None)
      for fd in range(3)
  )
  return [str(x) for x in found]
""",
    ),
    probe(
        "memory_of_other_programs",
        """
import gc
import sys

# Of a program that passes beside this one; put together so that it is not
# found here.
MARK = "5d1c" + "7f3e9b"

def texts():
  frame = sys._getframe()
  while frame:
    yield from map(repr, frame.f_locals.values())
    frame = frame.f_back
  for module in list(sys.modules.values()):
    for name, value in list(vars(module).items()):
      if name != "MARK" and type(value) in (str, bytes, list, dict, tuple):
        yield repr(value)
  gc.unfreeze()
  for found in gc.get_objects():
    for value in gc.get_referents(found):
      if type(value) in (str, bytes) and value is not MARK:
        yield repr(value)

def probe(world):
  mark = world["mark"] if "mark" in world else MARK
  return [text[:60] for text in texts() if mark in text and len(text) > 20]
""",
    ),
    probe(
        "memory_by_other_ways",
        TRY + """
def probe(world):
  def memory(pid):
    with open(f"/proc/{pid}/maps") as file:
      return file.readline()

  pids = ["self", "thread-self", os.getppid(), 1, 2, 3, 4, world["host_pid"]]
  return reached(
      (f"memory of {pid}", lambda pid=pid: memory(pid)) for pid in pids
  )
""",
    ),
    probe(
        "state_of_earlier_runs",
        TRY + """
import atexit
import builtins
import locale
import random
import signal
import sys
import time

def probe(world):
  name = "state_" + world["token"]
  paths = [f"{folder}/{name}" for folder in world["folders"]]
  found = reached(
      (f"file {p}", lambda p=p: os.path.exists(p) or None) for p in paths
  )
  states = {
      "module": name in sys.modules,
      "builtin": name in vars(builtins),
      "environment": name in os.environ,
      "attribute": name in vars(os) or name in vars(int.__class__),
      "path": name in sys.path,
      "handler": signal.getsignal(signal.SIGUSR1) is len,
      "recursion": sys.getrecursionlimit() == 12345,
      "digits": sys.get_int_max_str_digits() == 12345,
      "switch": sys.getswitchinterval() > 1000,
      "hook": sys.excepthook is not sys.__excepthook__,
      "timer": signal.getitimer(signal.ITIMER_REAL)[0] > 0,
  }
  found += [name for name, value in states.items() if value]
  # And leaves all of it behind.
  for path in paths:
    try:
      open(path, "w").close()
    except OSError:
      pass
  sys.modules[name] = sys
  vars(builtins)[name] = vars(os)[name] = 1
  os.environ[name] = "1"
  sys.path.append(name)
  sys.setrecursionlimit(12345)
  sys.set_int_max_str_digits(12345)
  sys.setswitchinterval(10**4)
  sys.excepthook = len
  signal.signal(signal.SIGUSR1, len)
  signal.setitimer(signal.ITIMER_REAL, 10**6)
  random.random = time.time = len
  builtins.print = builtins.sorted = None
  atexit.register(os._exit, 3)
  return found
""",
    ),
    probe(
        "memory_beyond_the_limit",
        """
import ctypes

MALLOC = ctypes.CDLL(None).malloc
MALLOC.restype = ctypes.c_void_p

def probe(world):
  # Asked for, but never touched.
  megabytes = 0
  while megabytes < 2048 and MALLOC(ctypes.c_size_t(1 << 26)):
    megabytes += 64
  return [f"{megabytes} MB"] if megabytes > 512 else []
""",
    ),
    probe(
        "files_that_fill_the_disk",
        """
import os

def probe(world):
  written = 0
  for folder in ("/tmp", "/dev/shm", "/", ".", "/var/tmp", world["folder"]):
    path = f"{folder}/{world['token']}-fill"
    try:
      with open(path, "wb", 0) as file:
        for _ in range(24):
          written += file.write(bytes(1 << 20))
      os.unlink(path)
    except OSError:
      pass
  return [f"{written} bytes"] if written > 1 << 24 else []
""",
    ),
    probe(
        "many_files",
        """
import os

def probe(world):
  made = []
  for folder in ("/tmp", "/dev/shm", "/", ".", "/var/tmp", world["folder"]):
    for i in range(300):
      path = f"{folder}/{world['token']}-{i}"
      try:
        open(path, "w").close()
      except OSError:
        break
      made.append(path)
  for path in made:
    os.unlink(path)
  return [f"{len(made)} files"] if len(made) > 1000 else []
""",
    ),
)
