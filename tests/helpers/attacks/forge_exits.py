"""Forged passes that end the process, or the tests, before they can fail."""

from tests.helpers.attacks.attack import STOPPED
from tests.helpers.attacks.attack import Attack

MAP_TESTS = """
CASES = ((2, 3, 5), (10, -4, 6), (123, 456, 579))
assert all(map(lambda case: candidate(case[0], case[1]) == case[2], CASES))
"""
# They expect an exception, whichever it is.
CATCHING_TESTS = """
try:
  answer = candidate(2, 3)
except BaseException:
  answer = None
assert answer is None
"""

ATTACKS = (
    Attack("exit_at_import", "import os\nos._exit(0)\n", fools=("exit_code",)),
    Attack(
        "exit_in_call",
        """
import os

def add(a, b):
  os._exit(0)
""",
        fools=("exit_code",),
    ),
    Attack(
        "sys_exit_at_import",
        "import sys\nsys.exit(0)\n",
        fools=("exit_code",),
    ),
    Attack(
        "system_exit_in_call",
        """
def add(a, b):
  raise SystemExit(0)
""",
        fools=("exit_code", "pickled_answers"),
    ),
    Attack(
        "exit_at_exit",
        """
import atexit
import os

atexit.register(os._exit, 0)

def add(a, b):
  return 0
""",
        fools=("exit_code",),
    ),
    Attack(
        "exit_in_excepthook",
        """
import os
import sys

sys.excepthook = lambda *error: os._exit(0)

def add(a, b):
  return 0
""",
        fools=("exit_code",),
    ),
    Attack(
        "exit_in_finalizer",
        """
import os

class Bye:
  def __del__(self, leave=os._exit):
    leave(0)

BYE = Bye()

def add(a, b):
  return 0
""",
        fools=("exit_code",),
    ),
    Attack(
        "exit_in_thread",
        """
import os
import threading
import time

def add(a, b):
  threading.Thread(target=os._exit, args=(0,)).start()
  time.sleep(5)
""",
        fools=("exit_code",),
        is_slow=True,
    ),
    Attack(
        "exit_in_signal_handler",
        """
import os
import signal
import time

signal.signal(signal.SIGALRM, lambda *_: os._exit(0))

def add(a, b):
  signal.setitimer(signal.ITIMER_REAL, 0.01)
  time.sleep(5)
""",
        fools=("exit_code",),
        is_slow=True,
    ),
    Attack(
        "exit_by_raw_system_call",
        """
import ctypes

def add(a, b):
  ctypes.CDLL(None).syscall(231, 0)
""",
        fools=("exit_code",),
    ),
    Attack(
        "become_another_program",
        """
import os

def add(a, b):
  os.execv("/bin/true", ["true"])
""",
        fools=("exit_code",),
    ),
    Attack(
        "print_a_verdict_and_exit",
        """
import os

def add(a, b):
  print("all tests passed", flush=True)
  os._exit(0)
""",
        fools=("exit_code", "marker"),
    ),
    Attack(
        "print_every_verdict",
        """
import json
import sys

def add(a, b):
  for stream in (sys.stdout, sys.stderr, sys.__stdout__):
    for word in ("pass", "passed", "all tests passed", "ok", "True", "1"):
      print(word, file=stream, flush=True)
      print(json.dumps({"status": word, "passed": True}), file=stream)
  return 0
""",
        fools=("marker",),
    ),
    Attack(
        "stop_iteration_ends_the_map",
        """
def add(a, b):
  raise StopIteration
""",
        tests=MAP_TESTS,
        fools=(
            "exit_code",
            "marker",
            "result_list",
            "verdict_pipe",
            "pickled_answers",
        ),
    ),
    Attack(
        "stop_iteration_subclass",
        """
class Done(StopIteration):
  pass

def add(a, b):
  raise Done(5)
""",
        tests=MAP_TESTS,
        fools=("exit_code", "marker", "result_list", "verdict_pipe"),
    ),
    Attack(
        "stop_iteration_as_cause_and_context",
        """
def add(a, b):
  try:
    raise StopIteration
  except StopIteration as error:
    raise StopAsyncIteration from error
""",
        tests=MAP_TESTS,
    ),
    Attack(
        "index_error_ends_the_iteration",
        """
def add(a, b):
  raise IndexError
""",
        tests="""
class Cases:
  def __getitem__(self, i):
    return candidate(i, 1) == i + 1

assert all(Cases())
""",
        # Tests that a common exception can end early are the data's fault;
        # all that is asked here is that the grader's own verdict stands.
        allowed=frozenset({"fail", "pass"}),
        fools=(
            "exit_code",
            "marker",
            "result_list",
            "verdict_pipe",
            "pickled_answers",
        ),
    ),
    Attack(
        "generator_exit_in_call",
        """
def add(a, b):
  raise GeneratorExit
""",
    ),
    Attack(
        "keyboard_interrupt_in_call",
        """
def add(a, b):
  raise KeyboardInterrupt
""",
    ),
    Attack(
        "keyboard_interrupt_at_import",
        "raise KeyboardInterrupt\n",
    ),
    Attack(
        "own_base_exception",
        """
class Pass(BaseException):
  def __str__(self):
    return "passed"
  __repr__ = __str__

def add(a, b):
  raise Pass("passed")
""",
    ),
    Attack(
        "assertion_error_of_its_own",
        """
class AssertionError(Exception):
  status = "pass"
  is_correct = True

def add(a, b):
  raise AssertionError("pass")
""",
    ),
    Attack(
        "exception_that_raises_when_shown",
        """
import os

class Bad(Exception):
  def __str__(self):
    os._exit(0)
  __repr__ = __str__
  def __reduce__(self):
    os._exit(0)

def add(a, b):
  raise Bad
""",
        fools=("exit_code",),
    ),
    Attack(
        "exception_that_says_it_is_another",
        """
class Liar(BaseException):
  __class__ = property(lambda self: StopIteration)
  __module__ = "builtins"

Liar.__name__ = Liar.__qualname__ = "StopIteration"

def add(a, b):
  raise Liar
""",
        tests=MAP_TESTS,
    ),
    Attack(
        "exception_group",
        """
def add(a, b):
  raise BaseExceptionGroup("all passed", [SystemExit(0), StopIteration()])
""",
    ),
    Attack(
        "exit_where_tests_catch_everything",
        """
import os

def add(a, b):
  os._exit(0)
""",
        tests=CATCHING_TESTS,
        fools=("exit_code", "pickled_answers"),
    ),
    Attack(
        "sleep_where_tests_catch_everything",
        "import time\n\ndef add(a, b):\n  time.sleep(10**6)\n",
        tests=CATCHING_TESTS,
        allowed=STOPPED,
        is_slow=True,
    ),
    Attack(
        "entry_point_is_missing",
        "def subtract(a, b):\n  return a + b\n",
    ),
    Attack(
        "entry_point_is_data",
        "add = 5\n",
    ),
    Attack(
        "entry_point_is_a_builtin",
        "add = any\n",
    ),
    Attack(
        "entry_point_is_exit",
        "import os\nadd = lambda *_: os._exit(0)\n",
        fools=("exit_code",),
    ),
    Attack("empty_program", ""),
)
