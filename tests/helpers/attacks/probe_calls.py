"""Probes of the kernel itself, by system calls that Python has no function for.

The numbers are those of x86_64; on another machine these probes do nothing.
"""

from tests.helpers.attacks.probe import TRY
from tests.helpers.attacks.probe import probe

_SYSCALL = TRY + """
import ctypes

LIBC = ctypes.CDLL(None, use_errno=True)
# What a wall answers; anything else means that the kernel did listen.
REFUSED = (errno.EPERM, errno.ENOSYS, errno.EACCES)

def call(number, *arguments):
  ctypes.set_errno(0)
  words = [ctypes.c_long(x) if type(x) is int else x for x in arguments]
  value = LIBC.syscall(ctypes.c_long(number), *words)
  if value == -1 and ctypes.get_errno() in REFUSED:
    return None
  return value, errno.errorcode.get(ctypes.get_errno())
"""

# Of x86_64, with arguments that do nothing where they are let through.
_CALLS = """
CALLS = {
    "open": (2, b"/", 0),
    "openat": (257, -100, b"/", 0),
    "openat2": (437, -100, b"/", 0, 0),
    "stat": (4, b"/", ctypes.create_string_buffer(512)),
    "statx": (332, -100, b"/", 0, 0, ctypes.create_string_buffer(512)),
    "access": (21, b"/", 0),
    "readlink": (89, b"/proc/self/exe", ctypes.create_string_buffer(64), 64),
    "getdents64": (217, 0, 0, 0),
    "chdir": (80, b"/"),
    "chroot": (161, b"/nowhere"),
    "socket": (41, 2, 1, 0),
    "socket_unix": (41, 1, 1, 0),
    "socket_netlink": (41, 16, 3, 0),
    "socketpair": (53, 1, 1, 0, ctypes.create_string_buffer(8)),
    "sendmsg": (46, 0, 0, 0),
    "recvmsg": (47, 0, 0, 0),
    "sendto": (44, 3, b"", 0, 0, 0, 0),
    "ptrace": (101, 16, -1, 0, 0),
    "process_vm_readv": (310, 1, 0, 0, 0, 0, 0),
    "process_vm_writev": (311, 1, 0, 0, 0, 0, 0),
    "process_madvise": (440, -1, 0, 0, 0, 0),
    "pidfd_open": (434, 1, 0),
    "pidfd_getfd": (438, -1, 0, 0),
    "pidfd_send_signal": (424, -1, 0, 0, 0),
    "kcmp": (312, 1, 1, 0, 0, 0),
    "setns": (308, -1, 0),
    "unshare": (272, 0),
    "mount": (165, 0, 0, 0, 0, 0),
    "umount2": (166, b"/nowhere", 0),
    "open_tree": (428, -1, 0, 0),
    "fsopen": (430, 0, 0),
    "pivot_root": (155, 0, 0),
    "name_to_handle_at": (303, -100, 0, 0, 0, 0),
    "open_by_handle_at": (304, -1, 0, 0),
    "keyctl": (250, 0, -3, 0),
    "add_key": (248, b"user", b"x", b"x", 1, -2),
    "request_key": (249, 0, 0, 0, 0),
    "bpf": (321, -1, 0, 0),
    "perf_event_open": (298, 0, 0, -1, -1, 0),
    "io_uring_setup": (425, 1, 0),
    "io_setup": (206, 1, 0),
    "userfaultfd": (323, 0),
    "memfd_create": (319, b"x", 0),
    "memfd_secret": (447, 0),
    "prctl": (157, 3, 0, 0, 0, 0),
    "prctl_dumpable": (157, 4, 1, 0, 0, 0),
    "seccomp": (317, 2, 0, 0),
    "capset": (126, 0, 0),
    "setuid": (105, 0),
    "setgid": (106, 0),
    "setresuid": (117, 0, 0, 0),
    "prlimit64": (302, 0, 7, 0, ctypes.create_string_buffer(16)),
    "setrlimit": (160, 7, 0),
    "setpriority": (141, 0, 0, 0),
    "sched_setaffinity": (203, 0, 0, 0),
    "sched_setscheduler": (144, 0, 0, 0),
    "fork": (57,),
    "vfork_flags": (56, 0x11, 0, 0, 0, 0),
    "clone3": (435, 0, 0),
    "execve": (59, b"/nowhere", 0, 0),
    "execveat": (322, -1, b"", 0, 0, 0),
    "kill": (62, 0, 0),
    "tkill": (200, 1, 0),
    "tgkill": (234, 1, 1, 0),
    "rt_sigqueueinfo": (129, 1, 0, 0),
    "setsid": (112,),
    "setpgid": (109, 0, 0),
    "getpgid": (121, 1),
    "fcntl": (72, 0, 1),
    "ioctl": (16, 0, 0x5401, 0),
    "dup": (32, 0),
    "pipe": (22, ctypes.create_string_buffer(8)),
    "eventfd": (290, 0, 0),
    "signalfd": (289, -1, 0, 8, 0),
    "timerfd_create": (283, 1, 0),
    "epoll_create1": (291, 0),
    "inotify_init": (253,),
    "fanotify_init": (300, 0, 0),
    "splice": (275, -1, 0, -1, 0, 0, 0),
    "sendfile": (40, -1, -1, 0, 0),
    "flock": (73, 0, 8),
    "ftruncate": (77, 0, 0),
    "fchmod": (91, 0, 0o666),
    "mkdir": (83, b"/nowhere/x", 0),
    "unlink": (87, b"/nowhere/x"),
    "rename": (82, b"/nowhere/x", b"/nowhere/y"),
    "symlink": (88, b"x", b"/nowhere/x"),
    "mknod": (133, b"/nowhere/x", 0, 0),
    "utime": (132, b"/nowhere/x", 0),
    "umask": (95, 0o77),
    "shmget": (29, 0, 4096, 0o600),
    "shmat": (30, -1, 0, 0),
    "msgget": (68, 0, 0o600),
    "semget": (64, 0, 1, 0o600),
    "mq_open": (240, b"x", 0, 0, 0),
    "sethostname": (170, 0, -1),
    "uname": (63, ctypes.create_string_buffer(512)),
    "sysinfo": (99, ctypes.create_string_buffer(512)),
    "syslog": (103, 10, 0, 0),
    "settimeofday": (164, 0, 1),
    "clock_settime": (227, -1, 0),
    "adjtimex": (159, 0),
    "reboot": (169, 0, 0, 0, 0),
    "kexec_load": (246, 0, -1, 0, 0),
    "init_module": (175, 0, 0, 0),
    "delete_module": (176, b"nowhere", 0),
    "swapon": (167, b"/nowhere", 0),
    "quotactl": (179, -1, 0, 0, 0),
    "acct": (163, b"/nowhere"),
    "iopl": (172, 0),
    "ioperm": (173, 0, 0, 0),
    "modify_ldt": (154, 0, 0, 0),
    "arch_prctl": (158, 0x1003, ctypes.create_string_buffer(8)),
    "personality": (135, 0xFFFFFFFF),
    "vhangup_number_too_high": (1000,),
    "landlock_create_ruleset": (444, 0, 0, 1),
    "lookup_dcookie": (212, 0, 0, 0),
    "mlock": (149, 0, 0),
    "mbind": (237, 0, 0, 0, 0, 0, 0),
    "move_pages": (279, 1, 0, 0, 0, 0, 0),
    "pkey_alloc": (330, 0, 0),
    "membarrier": (324, 0, 0, 0),
    "get_robust_list": (274, 1, 0, 0),
    "clone_number_of_x32": (0x40000000 + 41, 1, 1, 0),
    "openat_number_of_x32": (0x40000000 + 257, -100, b"/", 0),
}
"""

ATTACKS = (
    probe(
        "system_calls",
        _SYSCALL + _CALLS + """
def probe(world):
  found = []
  for name, arguments in CALLS.items() if world["is_x86"] else ():
    answer = call(*arguments)
    if name in ("fork", "vfork_flags", "clone3") and answer and not answer[0]:
      os._exit(0)
    if answer is not None:
      found.append(f"{name}: {answer}")
  return found
""",
    ),
    probe(
        "system_calls_of_32_bits",
        """
import ctypes

MMAP = ctypes.CDLL(None).mmap
MMAP.restype = ctypes.c_void_p
MMAP.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + 4 * [ctypes.c_long]

def probe(world):
  if not world["is_x86"]:
    return []
  # mov eax, 20 (getpid); int 0x80; ret
  code = b"\\xb8\\x14\\x00\\x00\\x00\\xcd\\x80\\xc3"
  address = MMAP(None, 4096, 7, 0x22, -1, 0)
  ctypes.memmove(address, code, len(code))
  pid = ctypes.CFUNCTYPE(ctypes.c_int)(address)()
  return [f"getpid: {pid}"] if pid > 0 else []
""",
        may_crash=True,
    ),
)
