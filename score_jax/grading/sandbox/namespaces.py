"""Namespaces: no network, no other processes, an empty file system.

The worker makes them by system calls, after its interpreter has imported all
that it will need. So no file of the machine has to be visible inside, not even
Python's own, and no helper program has to be installed.
"""

import ctypes
import os

_CLONE_NEWNS = 0x00020000
_CLONE_NEWUTS = 0x04000000
_CLONE_NEWIPC = 0x08000000
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWPID = 0x20000000
_CLONE_NEWNET = 0x40000000

_MS_RDONLY = 1
_MS_NOSUID = 2
_MS_NODEV = 4
_MS_NOEXEC = 8
_MS_REMOUNT = 32
_MS_REC = 16384
_MS_PRIVATE = 1 << 18
_MNT_DETACH = 2
_BARE = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC

# Any directory that every system has; it is covered by the new root.
_MOUNT_POINT = "/tmp"


def enter(libc: ctypes.CDLL) -> None:
  """Moves this process into namespaces of its own.

  The pid namespace takes effect for its children. Root makes the namespaces
  with its own rights, other users within a user namespace of their own.

  Raises:
    OSError: the kernel or the container refuses.
  """
  uid, gid = os.geteuid(), os.getegid()
  flags = _CLONE_NEWNS | _CLONE_NEWPID | _CLONE_NEWNET
  flags |= _CLONE_NEWIPC | _CLONE_NEWUTS
  if uid != 0:
    flags |= _CLONE_NEWUSER
  _check(libc.unshare(flags), "unshare")
  if uid != 0:
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"{uid} {uid} 1")
    _write("/proc/self/gid_map", f"{gid} {gid} 1")
  _empty_root(libc)


def _empty_root(libc: ctypes.CDLL) -> None:
  """Replaces the root directory by an empty one that cannot be written."""
  # Else the mounts below would show outside.
  _mount(libc, "none", "/", None, _MS_REC | _MS_PRIVATE, None)
  options = "size=4k,nr_inodes=2,mode=0555"
  _mount(libc, "none", _MOUNT_POINT, "tmpfs", _BARE, options)
  os.chdir(_MOUNT_POINT)
  # Puts the old root on top of the new one, from where it is taken away.
  _check(libc.syscall(_pivot_root_number(), b".", b"."), "pivot_root")
  _check(libc.umount2(b".", _MNT_DETACH), "umount2")
  os.chdir("/")
  _mount(libc, "none", "/", None, _MS_REMOUNT | _MS_RDONLY | _BARE, options)


def _pivot_root_number() -> int:
  """glibc has no function for this call."""
  return {"x86_64": 155, "aarch64": 41}[os.uname().machine]


def _mount(
    libc: ctypes.CDLL,
    source: str,
    target: str,
    kind: str | None,
    flags: int,
    options: str | None,
) -> None:
  texts = [x and x.encode() for x in (source, target, kind, options)]
  status = libc.mount(*texts[:3], ctypes.c_ulong(flags), texts[3])
  _check(status, f"mount on {target}")


def _write(path: str, text: str) -> None:
  with open(path, "w", encoding="ascii") as file:
    file.write(text)


def _check(status: int, name: str) -> None:
  if status != 0:
    error = ctypes.get_errno()
    raise OSError(error, f"{name}: {os.strerror(error)}")
