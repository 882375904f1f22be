"""Looks at the sandbox's processes, and runs tests as somebody else."""

import ctypes
import os
import pathlib
import re
import subprocess
import sys
import time

from absl.testing import absltest

from score_jax.grading.sandbox import CodeGrader
from score_jax.grading.sandbox import Tier
from score_jax.grading.sandbox import seccomp

ROOT = pathlib.Path(__file__).resolve().parents[2]
NOBODY = 65534

TIERS = (Tier.NAMESPACES, Tier.SECCOMP)

_CLONE_NEWNS = 0x00020000
_MS_BIND_REC = 4096 | 16384
_MS_PRIVATE_REC = (1 << 18) | 16384


def make_grader(tier, **settings):
  """A grader, or a skip where the machine has no namespaces for it."""
  try:
    return CodeGrader(tier=tier, **settings)
  except ValueError as error:
    # Anything but a refusal of the kernel is a fault.
    is_refusal = re.search("unshare|mount|setgroups|_map", str(error))
    if tier is Tier.NAMESPACES and is_refusal:
      raise absltest.SkipTest(str(error)) from None
    raise


def processes(sessions):
  """Process ids of the given sessions, of those that nobody waited for too.

  All processes of a worker are in the session of its first one.
  """
  found = []
  for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
    try:
      fields = path.read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
      continue
    session = fields.rpartition(") ")[2].split()[3]
    if int(session) in sessions:
      found.append(int(path.parent.name))
  return found


def worker_sessions():
  """Process ids of the workers' first processes that this process started."""
  found = []
  for path in pathlib.Path("/proc/self/task").glob("*/children"):
    for pid in path.read_text(encoding="ascii").split():
      command = pathlib.Path("/proc", pid, "cmdline").read_bytes()
      if b"worker_main.py" in command:
        found.append(int(pid))
  return found


def wait_until(condition, timeout_s=10.0):
  """Whether a condition came true in time."""
  deadline = time.monotonic() + timeout_s
  while not condition():
    if time.monotonic() > deadline:
      return False
    time.sleep(0.02)
  return True


def output_of(code):
  """What a Python program prints."""
  result = subprocess.run(
      [sys.executable, "-c", code],
      cwd=ROOT,
      stdout=subprocess.PIPE,
      text=True,
      timeout=120,
      check=True,
  )
  return result.stdout


def deny_list(names):
  """A filter that lets all system calls through but the named ones."""
  calls = {"mount": 165, "unshare": 272, "prctl": 157}
  machine = os.uname().machine
  if machine != "x86_64":
    raise absltest.SkipTest(f"the numbers of system calls of {machine}")
  pack = seccomp._FILTER.pack
  program = [pack(seccomp._LOAD_WORD, 0, 0, seccomp._NUMBER_OFFSET)]
  for left, name in zip(range(len(names), 0, -1), names, strict=True):
    program.append(pack(seccomp._JUMP_IF_EQUAL, left, 0, calls[name]))
  program.append(pack(seccomp._RETURN, 0, 0, seccomp._ALLOW))
  program.append(pack(seccomp._RETURN, 0, 0, seccomp._FAIL_WITH_EPERM))
  return b"".join(program)


def become_nobody():
  """Gives up root in this process, keeping Python and the project readable.

  Both may lie in a directory that only root may enter.
  """
  # The environment of the tests may be closed to others; Python itself is
  # bound below.
  sys.executable = os.path.realpath(sys.executable)
  _open_to_all([pathlib.Path(sys.base_prefix), ROOT])
  os.chdir("/")
  os.setgroups([])
  os.setresgid(NOBODY, NOBODY, NOBODY)
  os.setresuid(NOBODY, NOBODY, NOBODY)


def _open_to_all(folders):
  hidden = [
      (folder, closed) for folder in folders if (closed := _closed(folder))
  ]
  if not hidden:
    return
  libc = ctypes.CDLL(None, use_errno=True)
  _check(libc.unshare(_CLONE_NEWNS))
  _check(libc.mount(b"none", b"/", None, _MS_PRIVATE_REC, None))
  fds = [os.open(folder, os.O_PATH) for folder, _ in hidden]
  for closed in {closed for _, closed in hidden}:
    path = str(closed).encode()
    _check(libc.mount(b"none", path, b"tmpfs", 0, b"mode=755"))
  for fd, (folder, _) in zip(fds, hidden, strict=True):
    folder.mkdir(parents=True, exist_ok=True)
    source, target = f"/proc/self/fd/{fd}".encode(), str(folder).encode()
    _check(libc.mount(source, target, None, _MS_BIND_REC, None))
    os.close(fd)


def _closed(folder):
  """The outermost directory on the way that others may not enter, or None."""
  for path in (*reversed(folder.parents), folder):
    if not path.stat().st_mode & 0o001:
      return path
  return None


def _check(status):
  if status != 0:
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
