"""Runs a module of this package as another user than the one that tests.

Root gives its rights away for good and starts the module anew as `nobody`.
Where Python, its packages or this repository lie in a folder that is closed to
that user, as /root is, root first makes a mount namespace in which they are
not.
"""

from collections.abc import Iterable
from collections.abc import Sequence
import ctypes
import functools
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[3]
_NOBODY = 65534

_LIBC = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNS = 0x00020000
_MS_BIND = 4096
_MS_REC = 16384
_MS_PRIVATE = 1 << 18


def run_module(
    user: str, module: str, arguments: Sequence[str], timeout_s: float
) -> subprocess.CompletedProcess[str]:
  """Runs `python -m module arguments` as 'self' or as 'nobody'."""
  command = [sys.executable, "-m", module, *arguments]
  if user == "nobody":
    command = [sys.executable, "-m", "tests.helpers.attacks.user", *command]
  environment = {**os.environ, "PYTHONPATH": os.pathsep.join(_packages())}
  return subprocess.run(
      command,
      cwd=ROOT,
      env=environment,
      stdin=subprocess.DEVNULL,
      capture_output=True,
      text=True,
      timeout=timeout_s,
  )


@functools.cache
def why_not_nobody() -> str:
  """Why `nobody` cannot run this Python here, '' where it can."""
  if os.getuid() != 0:
    return "only root can become another user"
  done = run_module("nobody", "score_jax.types", [], 60)
  if done.returncode == 0:
    return ""
  return f"nobody cannot run {sys.executable}: {done.stderr.strip()[-300:]}"


def _packages() -> Iterable[str]:
  """Where modules are found, without what only this process can."""
  return dict.fromkeys([str(ROOT), *(p for p in sys.path if os.path.isdir(p))])


def _become_nobody(command: list[str]) -> None:
  """Replaces this process by the command; root's rights do not come back."""
  _open_ways(
      [
          ROOT,
          *map(pathlib.Path, _packages()),
          pathlib.Path(sys.prefix),
          pathlib.Path(sys.base_prefix),
          pathlib.Path(os.path.realpath(sys.executable)).parent,
      ]
  )
  os.setgroups([])
  os.setresgid(_NOBODY, _NOBODY, _NOBODY)
  os.setresuid(_NOBODY, _NOBODY, _NOBODY)
  os.environ["HOME"] = "/nonexistent"
  os.chdir(ROOT)
  os.execv(command[0], command)


def _open_ways(paths: list[pathlib.Path]) -> None:
  """Makes the paths reachable for everybody, in this process only."""
  closed = {c for p in paths if (c := _closed_ancestor(p)) is not None}
  if not closed:
    return
  _check(_LIBC.unshare(_CLONE_NEWNS), "unshare")
  _mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE)
  for folder in closed:
    inside = [p for p in paths if p.is_relative_to(folder) and p != folder]
    # Held open, they can still be named once the folder is covered.
    held = {p: os.open(p, os.O_PATH) for p in inside}
    _mount(b"none", os.fsencode(folder), b"tmpfs", 0, b"mode=755")
    for path, fd in sorted(held.items()):
      path.mkdir(parents=True, exist_ok=True)
      source = f"/proc/self/fd/{fd}".encode()
      _mount(source, os.fsencode(path), None, _MS_BIND | _MS_REC)
      os.close(fd)


def _closed_ancestor(path: pathlib.Path) -> pathlib.Path | None:
  """The first folder on the way that others may not pass."""
  for folder in [*reversed(path.parents), path]:
    if not folder.stat().st_mode & 0o001:
      return folder
  return None


def _mount(
    source: bytes,
    target: bytes,
    kind: bytes | None,
    flags: int,
    options: bytes | None = None,
) -> None:
  status = _LIBC.mount(source, target, kind, ctypes.c_ulong(flags), options)
  _check(status, f"mount on {os.fsdecode(target)}")


def _check(status: int, name: str) -> None:
  if status != 0:
    error = ctypes.get_errno()
    raise OSError(error, f"{name}: {os.strerror(error)}")


if __name__ == "__main__":
  _become_nobody(sys.argv[1:])
