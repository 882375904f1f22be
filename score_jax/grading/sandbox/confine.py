"""Takes rights away from a process: privileges, open files, resources.

Each worker calls `enter_tier` once, which also drops its privileges. The judge
and the solver of every verdict then call `confine`.
"""

import contextlib
import ctypes
import dataclasses
import os
import random
import resource
import signal

from score_jax.grading.sandbox import namespaces
from score_jax.grading.sandbox import seccomp
from score_jax.grading.sandbox.tiers import Tier

LIBC = ctypes.CDLL(None, use_errno=True)

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36

# systemd assigns no user ids from here on. Each worker gets one of its own, so
# that no two workers, and no service of the machine, may signal each other.
_FIRST_UNUSED_UID = 0x70000000
_NOBODY = 65534

_MAX_OPEN_FILES = 16
_NO_FILE_ABOVE = 256  # a worker holds a handful
_LINUX_CAPABILITY_VERSION_3 = 0x20080522


@dataclasses.dataclass(frozen=True)
class Limits:
  """What one judge or solver may use.

  Attributes:
    memory_bytes: address space.
    cpu_s: seconds of processor time; the worker normally ends it sooner.
  """

  memory_bytes: int
  cpu_s: int


def be_first_when_memory_ends() -> None:
  """Makes this process and its children the first to die when memory ends."""
  with contextlib.suppress(OSError):  # a container that hides /proc
    with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
      file.write("1000")


def enter_tier(tier: Tier) -> None:
  """Builds the wall of a worker; OSError says why it cannot be built."""
  if tier is not Tier.NONE:
    # Before the namespaces: the end of the first process in a pid namespace
    # ends the namespace.
    _check_filter()
  if tier is Tier.NAMESPACES:
    namespaces.enter(LIBC)
  drop_privileges()


def drop_privileges() -> None:
  """Leaves root for a user that owns nothing, and gives up capabilities.

  The kernel counts the processes of every user but root: RLIMIT_NPROC would
  not hold for it.
  """
  if os.getuid() == 0:
    try:
      _leave_root()
    except OSError as error:
      reason = f"root cannot become another user: {error}"
      raise OSError(error.errno, reason) from error
  header = (ctypes.c_uint32 * 2)(_LINUX_CAPABILITY_VERSION_3, 0)
  if LIBC.capset(header, (ctypes.c_uint32 * 6)()) != 0:
    error = ctypes.get_errno()
    raise OSError(error, f"capset: {os.strerror(error)}")
  # Processes of the same user may otherwise trace each other.
  LIBC.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _leave_root() -> None:
  os.setgroups([])
  uid = _FIRST_UNUSED_UID + os.getpid()
  try:
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
  except OSError:  # a container that maps only the usual range
    os.setresgid(_NOBODY, _NOBODY, _NOBODY)
    os.setresuid(_NOBODY, _NOBODY, _NOBODY)


def die_with_parent(parent: int) -> None:
  """Has the kernel kill this process when its parent ends.

  Args:
    parent: value of os.getppid() while the parent lives; 0 where the parent is
      in another pid namespace.
  """
  LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
  if os.getppid() != parent:
    os._exit(1)


def adopt_orphans() -> None:
  """Makes this process the parent of descendants that lose theirs.

  It has to wait for them: in a container, the first process may never do so.
  """
  LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def confine(tier: Tier, limits: Limits, keep: set[int], *, parent: int) -> None:
  """Leaves a judge or solver its limits and the given file descriptors.

  Args:
    tier: the wall of this worker.
    limits: what this process may use.
    keep: the descriptors that stay open beside the standard ones.
    parent: process id of the parent, with which this process ends.
  """
  die_with_parent(parent)
  keep_only(keep)
  # A fork seeds the generator anew, and a verdict must not depend on luck.
  random.seed(0)
  for kind, value in (
      (resource.RLIMIT_AS, limits.memory_bytes),
      (resource.RLIMIT_CPU, limits.cpu_s),
      (resource.RLIMIT_FSIZE, 0),
      (resource.RLIMIT_CORE, 0),
      (resource.RLIMIT_NPROC, 0),
      (resource.RLIMIT_MEMLOCK, 0),
      (resource.RLIMIT_NOFILE, _MAX_OPEN_FILES),
  ):
    hard = resource.getrlimit(kind)[1]
    if hard != resource.RLIM_INFINITY:
      value = min(value, hard)
    resource.setrlimit(kind, (value, value))
  if tier is not Tier.NONE:
    seccomp.install(LIBC, seccomp.allow_list(os.uname().machine))


def keep_only(keep: set[int]) -> None:
  """Closes all file descriptors but the standard ones, which lead nowhere."""
  edges = [2, *sorted(keep), _NO_FILE_ABOVE]
  for low, high in zip(edges, edges[1:], strict=False):
    os.closerange(low + 1, high)


def _check_filter() -> None:
  """Tries the filter on a child, so that a refusal names its reason."""
  program = seccomp.allow_list(os.uname().machine)
  pid = os.fork()
  if pid == 0:
    try:
      seccomp.install(LIBC, program)
    except OSError as error:
      os._exit(error.errno or 255)
    os._exit(0)
  status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
  if status != 0:
    reason = os.strerror(status) if status > 0 else f"signal {-status}"
    raise OSError(f"the seccomp filter was refused: {reason}")
