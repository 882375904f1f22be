"""Probes of what lies outside: files, network, processes, rights."""

from tests.helpers.attacks.probe import TRY
from tests.helpers.attacks.probe import probe

ATTACKS = (
    probe(
        "files_that_can_be_read",
        TRY + """
import glob
import pathlib

def probe(world):
  def read(path):
    with open(path, "rb") as file:
      return file.read(16)

  paths = [
      world["canary"], "/etc/passwd", "/etc/shadow", "/etc/hostname",
      "/proc/self/environ", "/proc/self/maps", "/proc/self/status",
      "/proc/self/mem", "/proc/self/cwd/canary", "/proc/1/cmdline",
      "/proc/version", "/proc/meminfo", "/sys/kernel/notes",
      "/dev/kmsg", "/dev/mem", "/dev/urandom", os.__file__,
      "../" * 20 + world["canary"], "canary", "/tmp/../etc/passwd",
      f"/proc/{world['pid']}/environ", f"/proc/{os.getppid()}/maps",
  ]
  found = reached((path, lambda path=path: read(path)) for path in paths)
  found += reached(
      (f"list {path}", lambda path=path: os.listdir(path) or None)
      for path in (
          "/", ".", "..", "/proc", "/proc/self/root", "/tmp", "/home", "/root",
          "/dev")
  )
  found += reached((
      ("stat", lambda: os.stat(world["canary"]).st_size),
      ("glob", lambda: glob.glob("/*") or None),
      ("pathlib", lambda: pathlib.Path(world["canary"]).read_text()),
      ("io", lambda: __import__("io").FileIO(world["canary"]).read(8)),
      ("cwd", os.getcwd),
      ("link", lambda: os.readlink("/proc/self/exe")),
  ))
  return found
""",
    ),
    probe(
        "files_that_can_be_written",
        TRY + """
import tempfile

def probe(world):
  name = world["token"]

  def write(folder):
    path = f"{folder}/{name}"
    with open(path, "w") as file:
      file.write("x")
    os.unlink(path)
    return path

  folders = [
      "/", "/tmp", "/var/tmp", "/dev", "/dev/shm", "/run", "/run/lock", "/root",
      "/home", "/usr", "/etc", "/proc/self", "/sys", ".", "..", "/mnt", "/opt",
      world["folder"], os.path.dirname(os.__file__),
  ]
  found = reached((f, lambda f=f: write(f)) for f in folders)
  canary = world["canary"]
  away = f"{world['folder']}/{name}"
  found += reached((
      ("overwrite", lambda: os.open(canary, os.O_WRONLY)),
      ("append", lambda: open(canary, "a").close() or True),
      ("chmod", lambda: os.chmod(canary, 0o644) or True),
      ("utime", lambda: os.utime(canary) or True),
      ("symlink", lambda: os.symlink("/etc", away) or os.unlink(away) or True),
      ("link", lambda: os.link(canary, away) or os.unlink(away) or True),
      ("mkdir", lambda: os.mkdir(away) or os.rmdir(away) or True),
      ("fifo", lambda: os.mkfifo(away) or os.unlink(away) or True),
      ("temporary", lambda: tempfile.TemporaryFile().write(b"x")),
      ("xattr", lambda: os.setxattr(canary, "user.x", b"x") or True),
  ))
  return found
""",
    ),
    probe(
        "writes_that_last",
        TRY + """
def probe(world):
  # Not undone: the caller looks for them outside.
  path = f"{world['folder']}/escaped-{world['token']}"
  return reached((
      ("create", lambda: open(path, "w").write("x")),
      ("change", lambda: open(world["victim"], "w").write("changed")),
      ("remove", lambda: os.unlink(world["victim"]) or True),
  ))
""",
    ),
    probe(
        "environment",
        TRY + """
import ctypes
import sys

def probe(world):
  getenv = ctypes.CDLL(None).getenv
  getenv.restype = ctypes.c_char_p
  found = [f"{k}={v}"[:60] for k, v in os.environ.items()]
  found += [str(v) for n in ("HOME", "PATH", "USER", world["variable"])
            if (v := getenv(n.encode()))]
  block = ctypes.c_void_p.in_dll(ctypes.CDLL(None), "environ").value
  if block:
    entry = ctypes.cast(block, ctypes.POINTER(ctypes.c_char_p))[0]
    found += [repr(entry)] if entry else []
  found += [p for p in sys.path if p]
  # The size of a terminal is what a library of Python's own puts there.
  return [x for x in found if "LINES=" not in x and "COLUMNS=" not in x]
""",
    ),
    probe(
        "environment_on_the_stack",
        """
import ctypes

def probe(world):
  # The strings that a process is started with stay where the kernel put them.
  start = ctypes.c_void_p.in_dll(ctypes.CDLL(None), "_dl_argv").value
  words = ctypes.cast(start, ctypes.POINTER(ctypes.c_void_p))
  count = 0
  while words[count]:
    count += 1
  # Behind the last argument; the pointers to them may be gone.
  place = words[count - 1]
  place += len(ctypes.string_at(place)) + 1
  found = []
  while b"=" in (text := ctypes.string_at(place)):
    found.append(text.decode("latin-1"))
    place += len(text) + 1
  allowed = ("PYTHONHASHSEED=", "LD_LIBRARY_PATH=")
  return [text for text in found if not text.startswith(allowed)]
""",
    ),
    probe(
        "network",
        TRY + """
import socket

def probe(world):
  def connect(family, address, kind=socket.SOCK_STREAM):
    with socket.socket(family, kind) as link:
      link.settimeout(0.5)
      link.connect(address)
      link.send(world["token"].encode())
      return address

  def serve():
    with socket.socket() as server:
      server.bind(("127.0.0.1", 0))
      server.listen()
      return server.getsockname()

  tcp, tcp6 = world["tcp"], world["tcp6"]
  return reached((
      ("tcp", lambda: connect(socket.AF_INET, ("127.0.0.1", tcp))),
      ("any", lambda: connect(socket.AF_INET, ("0.0.0.0", tcp))),
      ("tcp6", lambda: connect(socket.AF_INET6, ("::1", tcp6 or 1))),
      ("udp", lambda: connect(
          socket.AF_INET, ("127.0.0.1", tcp), socket.SOCK_DGRAM)),
      ("unix", lambda: connect(socket.AF_UNIX, world["unix"])),
      ("abstract", lambda: connect(socket.AF_UNIX, "\\0" + world["abstract"])),
      ("server", serve),
      ("pair", lambda: socket.socketpair() and True),
      ("raw", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)),
      ("packet", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW)),
      ("netlink", lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)),
      ("alg", lambda: socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET)),
      ("vsock", lambda: socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)),
      ("name", lambda: socket.gethostbyname("localhost")),
      ("interfaces", lambda: socket.if_nameindex() or None),
  ))
""",
    ),
    probe(
        "signals",
        TRY + """
import signal

def probe(world):
  actions = [
      (f"signal 0 to {pid}", lambda pid=pid: os.kill(pid, 0) or True)
      for pid in (os.getppid(), 1, -1, world["pid"], world["host_pid"])
  ]
  # Neither is another's process: pid 0 is the caller's own group.
  actions.append(("group", lambda: os.killpg(os.getpgid(1), 0) or True))
  actions.append(
      ("kill", lambda: os.kill(world["pid"], signal.SIGKILL) or True)
  )
  return reached(actions)
""",
    ),
    probe(
        "processes_and_threads",
        TRY + """
import _thread
import subprocess
import sys
import time

def fork():
  if os.fork() == 0:
    os._exit(0)
  os.wait()
  return True

def probe(world):
  return reached((
      ("fork", fork),
      ("spawn", lambda: os.posix_spawn("/bin/true", ["true"], {})),
      ("run", lambda: subprocess.run(["/bin/true"]).returncode == 0),
      ("python", lambda: subprocess.run([sys.executable, "-c", ""])),
      ("shell", lambda: os.system("true") == 0),
      ("pty", lambda: os.openpty()),
      ("thread", lambda: _thread.start_new_thread(time.sleep, (0,))),
      ("pool", lambda: __import__("multiprocessing.pool").Pool(1)),
  ))
""",
    ),
    probe(
        "fork_bomb",
        TRY + """
import time

def probe(world):
  forks = 0
  for _ in range(20):
    try:
      if os.fork() == 0:
        time.sleep(0.5)
        os._exit(0)
      forks += 1
    except OSError:
      break
  return [f"{forks} forks"] if forks else []
""",
    ),
    probe(
        "another_program",
        """
import os

def probe(world):
  os.environ["X"] = "1"
  try:
    os.execv("/bin/sh", ["sh", "-c", "exit 0"])
  except OSError:
    return []
""",
    ),
    probe(
        "limits_that_can_be_raised",
        TRY + """
import resource

def probe(world):
  found = []
  for name in dir(resource):
    if name.startswith("RLIMIT_"):
      kind = vars(resource)[name]
      for value in (resource.RLIM_INFINITY, 1 << 40):
        try:
          resource.setrlimit(kind, (value, value))
          found.append(name)
        except (OSError, ValueError):
          pass
  found += reached((
      ("nice", lambda: os.nice(-5)),
      ("affinity", lambda: os.sched_setaffinity(0, {0}) or True),
      ("parent", lambda: resource.prlimit(os.getppid(), 7)),
      ("outside", lambda: resource.prlimit(world["pid"], 7, (9, 9))),
  ))
  return found
""",
    ),
    probe(
        "users_and_rights",
        TRY + """
def probe(world):
  found = [] if os.getuid() and os.geteuid() else ["root"]
  found += reached((
      ("setuid", lambda: os.setuid(0) or True),
      ("setgid", lambda: os.setgid(0) or True),
      ("setgroups", lambda: os.setgroups([0]) or True),
      ("groups", lambda: 0 in os.getgroups()),
      ("chroot", lambda: os.chroot("/") or True),
      ("session", lambda: os.getsid(0) + 1),
  ))
  return found
""",
    ),
)
