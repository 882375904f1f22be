"""A kernel filter that leaves a process nothing but computing.

An allow-list: memory, clocks, signals to itself, reading and writing what is
already open. Every other system call fails with EPERM, which Python turns into
an exception of the solution. There is no way back, not even for root.

The filter is a program of classic BPF over `struct seccomp_data` (number,
architecture, ...), see seccomp(2).
"""

import ctypes
import functools
import os
import struct

# Numbers of the calls, by machine. A call that a machine lacks is left out.
_X86_64 = {
    "read": 0,
    "write": 1,
    "close": 3,
    "poll": 7,
    "lseek": 8,
    "mmap": 9,
    "mprotect": 10,
    "munmap": 11,
    "brk": 12,
    "rt_sigaction": 13,
    "rt_sigprocmask": 14,
    "rt_sigreturn": 15,
    "select": 23,
    "sched_yield": 24,
    "mremap": 25,
    "madvise": 28,
    "pause": 34,
    "nanosleep": 35,
    "getitimer": 36,
    "alarm": 37,
    "setitimer": 38,
    "getpid": 39,
    "exit": 60,
    "gettimeofday": 96,
    "getrusage": 98,
    "times": 100,
    "getuid": 102,
    "getgid": 104,
    "geteuid": 107,
    "getegid": 108,
    "getppid": 110,
    "sigaltstack": 131,
    "gettid": 186,
    "time": 201,
    "futex": 202,
    "restart_syscall": 219,
    "clock_gettime": 228,
    "clock_getres": 229,
    "clock_nanosleep": 230,
    "exit_group": 231,
    "pselect6": 270,
    "ppoll": 271,
    "getrandom": 318,
    "rseq": 334,
}
_AARCH64 = {
    "close": 57,
    "lseek": 62,
    "read": 63,
    "write": 64,
    "pselect6": 72,
    "ppoll": 73,
    "exit": 93,
    "exit_group": 94,
    "futex": 98,
    "nanosleep": 101,
    "getitimer": 102,
    "setitimer": 103,
    "clock_gettime": 113,
    "clock_getres": 114,
    "clock_nanosleep": 115,
    "sched_yield": 124,
    "restart_syscall": 128,
    "sigaltstack": 132,
    "rt_sigaction": 134,
    "rt_sigprocmask": 135,
    "rt_sigreturn": 139,
    "times": 153,
    "getrusage": 165,
    "gettimeofday": 169,
    "getpid": 172,
    "getppid": 173,
    "getuid": 174,
    "geteuid": 175,
    "getgid": 176,
    "getegid": 177,
    "gettid": 178,
    "brk": 214,
    "munmap": 215,
    "mremap": 216,
    "mmap": 222,
    "mprotect": 226,
    "madvise": 233,
    "getrandom": 278,
    "rseq": 293,
}
# uname's name of a machine -> (AUDIT_ARCH of its 64-bit calls, numbers).
_MACHINES = {
    "x86_64": (0xC000003E, _X86_64),
    "aarch64": (0xC00000B7, _AARCH64),
}

# struct sock_filter: operation, jump if true, jump if false, operand.
_FILTER = struct.Struct("<HBBI")
_LOAD_WORD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_JUMP_IF_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K
_KILL_PROCESS = 0x80000000
_ALLOW = 0x7FFF0000
_FAIL_WITH_EPERM = 0x00050001
_NUMBER_OFFSET = 0
_ARCH_OFFSET = 4

_PR_SET_SECCOMP = 22
_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_MODE_FILTER = 2


class _Program(ctypes.Structure):
  """struct sock_fprog."""

  _fields_ = [("length", ctypes.c_ushort), ("filters", ctypes.c_char_p)]


@functools.cache  # made by the worker, before its children need it
def allow_list(machine: str) -> bytes:
  """The filter for a machine, OSError for one whose calls are not listed."""
  if machine not in _MACHINES or ctypes.sizeof(ctypes.c_void_p) != 8:
    known = ", ".join(_MACHINES)
    raise OSError(f"no filter for a Python on {machine!r}, only 64-bit {known}")
  arch, numbers = _MACHINES[machine]
  program = [
      # Another architecture's calls have other numbers: nothing may use them.
      _FILTER.pack(_LOAD_WORD, 0, 0, _ARCH_OFFSET),
      _FILTER.pack(_JUMP_IF_EQUAL, 1, 0, arch),
      _FILTER.pack(_RETURN, 0, 0, _KILL_PROCESS),
      _FILTER.pack(_LOAD_WORD, 0, 0, _NUMBER_OFFSET),
  ]
  for left, number in zip(
      range(len(numbers), 0, -1), numbers.values(), strict=True
  ):
    program.append(_FILTER.pack(_JUMP_IF_EQUAL, left, 0, number))
  program.append(_FILTER.pack(_RETURN, 0, 0, _FAIL_WITH_EPERM))
  program.append(_FILTER.pack(_RETURN, 0, 0, _ALLOW))
  return b"".join(program)


def install(libc: ctypes.CDLL, program: bytes) -> None:
  """Puts this process behind a filter for good; OSError where refused."""
  header = _Program(len(program) // _FILTER.size, program)
  # Without this only root may set a filter.
  _prctl(libc, _PR_SET_NO_NEW_PRIVS, 1)
  _prctl(libc, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(header))


def _prctl(libc: ctypes.CDLL, option: int, *arguments: int) -> None:
  words = [ctypes.c_ulong(x) for x in (*arguments, 0, 0, 0, 0)[:4]]
  if libc.prctl(option, *words) != 0:
    error = ctypes.get_errno()
    raise OSError(error, f"prctl({option}): {os.strerror(error)}")
