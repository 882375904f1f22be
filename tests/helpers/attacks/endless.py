"""Programs that never end. Each is stopped by the clock and by nothing else.

They are never run outside of a sandbox.
"""

from tests.helpers.attacks.attack import STOPPED
from tests.helpers.attacks.attack import Attack
from tests.helpers.attacks.attack import endless

MANY_TESTS = """
for i in range(100_000):
  assert candidate(i, 1) == i + 1
"""

ENDLESS = (
    endless("loop_at_import", "while True:\n  pass\n"),
    endless("loop_in_call", "def add(a, b):\n  while True:\n    pass\n"),
    endless("sleep", "import time\n\ndef add(a, b):\n  time.sleep(10**6)\n"),
    endless(
        "loop_that_catches_everything",
        """
def add(a, b):
  while True:
    try:
      while True:
        pass
    except BaseException:
      continue
""",
    ),
    endless(
        "loop_with_all_signals_ignored_and_a_false_clock",
        """
import signal
import time

for number in range(1, 65):
  try:
    signal.signal(number, signal.SIG_IGN)
  except (OSError, ValueError):
    pass
for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
  try:
    signal.setitimer(timer, 0)
  except OSError:
    pass
time.time = time.monotonic = time.perf_counter = lambda: 0.0

def add(a, b):
  while True:
    pass
""",
    ),
    endless(
        "sleep_in_every_call",
        """
import time

def add(a, b):
  time.sleep(2)
  return a + b
""",
    ),
    endless(
        "signal_storm",
        """
import signal

def again(*_):
  signal.setitimer(signal.ITIMER_REAL, 1e-6, 1e-6)

signal.signal(signal.SIGALRM, again)

def add(a, b):
  try:
    again()
  except OSError:
    pass
  while True:
    pass
""",
    ),
    endless(
        "stopped_process",
        """
import os
import signal
import time

def add(a, b):
  try:
    os.kill(os.getpid(), signal.SIGSTOP)
  except OSError:
    pass
  time.sleep(10**6)
""",
    ),
    endless(
        "wait_for_a_signal",
        "import signal\n\ndef add(a, b):\n  while True:\n    signal.pause()\n",
    ),
    endless(
        "deadlock",
        """
import _thread

def add(a, b):
  lock = _thread.allocate_lock()
  lock.acquire()
  lock.acquire()
""",
    ),
    endless(
        "regular_expression",
        """
import re

def add(a, b):
  return re.match(r"(a+)+$", "a" * 60 + "b")
""",
    ),
    endless(
        "sort_that_never_ends",
        """
class Slow:
  def __lt__(self, other):
    while True:
      pass

def add(a, b):
  return sorted([Slow(), Slow()])
""",
    ),
    endless(
        "decimal_precision",
        """
import decimal

def add(a, b):
  context = decimal.getcontext()
  context.prec = 5_000_000
  return context.sqrt(decimal.Decimal(2)) ** context.sqrt(decimal.Decimal(3))
""",
    ),
    endless(
        "digits_of_a_huge_int",
        """
import sys

sys.set_int_max_str_digits(0)

def add(a, b):
  return len(str(7 ** 10_000_000))
""",
    ),
    endless(
        "flood_of_output",
        """
import sys

LINE = "passed " * 1000

def add(a, b):
  while True:
    try:
      print(LINE)
      print(LINE, file=sys.stderr)
    except OSError:
      pass
""",
    ),
    endless(
        "flood_of_raw_output",
        """
import os

def add(a, b):
  data = bytes(1 << 16)
  while True:
    for fd in (1, 2):
      try:
        os.write(fd, data)
      except OSError:
        pass
""",
    ),
    Attack(
        "loop_when_it_ends",
        """
import atexit

def spin():
  while True:
    pass

atexit.register(spin)
raise SystemExit
""",
        is_slow=True,
    ),
    Attack(
        "loop_when_the_error_is_shown",
        """
class Bad(Exception):
  def __str__(self):
    while True:
      pass
  __repr__ = __str__

def add(a, b):
  raise Bad
""",
        is_slow=True,
    ),
    Attack(
        "loop_when_the_answer_is_shown",
        """
class Bad(int):
  def __index__(self):
    while True:
      pass
  __str__ = __repr__ = __int__ = __format__ = __hash__ = __index__

class Rows(list):
  def __iter__(self):
    while True:
      yield 1
  def __len__(self):
    while True:
      pass
  __getitem__ = __len__

class Table(dict):
  def items(self):
    while True:
      yield 1, 1
  keys = values = __iter__ = items

def add(a, b):
  return [Bad(1), Rows(), Table(), iter(int, 1)]
""",
        is_slow=True,
    ),
    endless(
        "loop_in_a_finalizer",
        """
class Bad:
  def __del__(self):
    while True:
      pass

def add(a, b):
  Bad()
  return a + b
""",
    ),
    endless(
        "loop_in_a_trace_function",
        """
import sys

def trace(frame, event, arg):
  while True:
    pass

def add(a, b):
  sys.settrace(trace)
  return a + b
""",
    ),
)

CALLS = (
    # Each call is far below the limit, all of them together are not.
    Attack(
        "many_short_sleeps",
        """
import time

def add(a, b):
  time.sleep(0.01)
  return a + b
""",
        allowed=STOPPED,
        tests=MANY_TESTS,
        is_slow=True,
    ),
    Attack(
        "endless_tests_by_a_growing_answer",
        """
def add(rows):
  return rows + rows
""",
        tests="""
rows = [1]
while rows:
  rows = candidate(rows)
""",
        is_slow=True,
    ),
)

ATTACKS = (*ENDLESS, *CALLS)
