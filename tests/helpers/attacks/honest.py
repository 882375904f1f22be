"""Programs that are right, however odd: every one of them has to pass."""

from tests.helpers.attacks.attack import ADD_TESTS
from tests.helpers.attacks.attack import Attack
from tests.helpers.attacks.attack import honest

NEIGHBOUR = '''
def add(a, b):
  """Known by the mark of the neighbour: 5d1c7f3e9b."""
  mark = "5d1c7f3e9b" * 3
  return a + b if mark else None
'''


def _add(name: str, solution: str) -> Attack:
  return honest(name, solution, ADD_TESTS, "add")


ATTACKS = (
    _add("plain", "def add(a, b):\n  return a + b\n"),
    _add("neighbour", NEIGHBOUR),
    _add("a_lambda", "add = lambda a, b: a + b\n"),
    _add("a_builtin", "from operator import add\n"),
    _add(
        "a_callable_object",
        """
class Add:
  def __call__(self, a, b):
    return a + b

add = Add()
""",
    ),
    _add(
        "a_partial_of_a_method",
        """
import functools

class Adder:
  def total(self, sign, a, b):
    return sign * (a + b)

add = functools.partial(Adder().total, 1)
""",
    ),
    _add(
        "a_class_is_the_function",
        """
class add(int):
  def __new__(cls, a, b):
    return super().__new__(cls, a + b)
""",
    ),
    _add(
        "five_megabytes_of_output",
        """
import sys

print("x" * 5_000_000)

def add(a, b):
  print("passed\\n" * 10_000)
  print("failed\\n" * 10_000, file=sys.stderr)
  return a + b
""",
    ),
    _add("windows_line_ends", "def add(a, b):\r\n\treturn a + b\r\n"),
    _add(
        "non_ascii_identifiers",
        """
def add(größe, 数):
  Δ, naïve = größe, 数
  return Δ + naïve  # 🐍
""",
    ),
    _add(
        "a_main_block_that_reads",
        """
def add(a, b):
  return a + b

if __name__ == "__main__":
  print(add(int(input()), int(input())))
""",
    ),
    _add(
        "annotations_and_dataclasses",
        """
from __future__ import annotations

import dataclasses
import enum
import typing
from typing import List, NamedTuple, Optional

class Kind(enum.IntEnum):
  FIRST = 1

class Pair(NamedTuple):
  a: int
  b: int = 0

@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Sum:
  pair: Pair
  kind: Kind = Kind.FIRST
  rest: List[int] = dataclasses.field(default_factory=list)

  @property
  def value(self) -> int:
    return sum(self.pair) * self.kind

def add(a: int, b: "Optional[int]" = None) -> int | None:
  assert typing.get_type_hints(Sum)["pair"] is Pair
  return Sum(Pair(a, b)).value
""",
    ),
    _add(
        "new_syntax",
        """
import contextlib

def add(a, b):
  total = 0

  def more(x, /, *, sign=1):
    nonlocal total
    total += sign * x

  match [a, b]:
    case [int(x), int(y)] if (n := x + y) is not None:
      more(n)
  try:
    raise ExceptionGroup("x", [ValueError(1)])
  except* ValueError:
    pass
  with contextlib.suppress(KeyError):
    {}[0]
  return total
""",
    ),
    _add(
        "a_high_recursion_limit",
        """
import sys

sys.setrecursionlimit(10**6)

def depth(n):
  return 0 if n == 0 else 1 + depth(n - 1)

def add(a, b):
  return depth(20_000) - 20_000 + a + b
""",
    ),
    _add(
        "caches_and_closures",
        """
import functools

@functools.lru_cache(maxsize=None)
def fibonacci(n):
  return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

@functools.cache
def add(a, b):
  return a + b if fibonacci(80) == 23416728348467685 else None
""",
    ),
    _add(
        "exec_and_eval",
        """
exec("def double(x):\\n  return 2 * x")

def add(a, b):
  return eval("double(a) // 2 + b", {**globals(), "a": a, "b": b})
""",
    ),
    _add(
        "handles_its_own_exceptions",
        """
import sys

class Own(BaseException):
  pass

def add(a, b):
  try:
    sys.exit(1)
  except SystemExit:
    pass
  try:
    raise Own
  except Own:
    return a + b
  finally:
    a = b = None
""",
    ),
    _add(
        "threads_locks_without_threads",
        """
import threading
import queue

LOCK = threading.RLock()
LOCAL = threading.local()

def add(a, b):
  with LOCK:
    LOCAL.queue = queue.PriorityQueue()
    LOCAL.queue.put(a + b)
    return LOCAL.queue.get()
""",
    ),
    _add(
        "clocks_and_random_numbers",
        """
import os
import random
import secrets
import time
import uuid

def add(a, b):
  start = time.monotonic()
  time.sleep(0.01)
  assert time.monotonic() > start and time.time() > 1e9
  assert len(os.urandom(8)) == 8 and secrets.token_hex(2) and uuid.uuid4()
  random.shuffle(list(range(5)))
  return a + b
""",
    ),
    _add(
        "slow_but_within_the_limit",
        """
import time

def add(a, b):
  time.sleep(0.2)
  return a + b
""",
    ),
    _add(
        "fifty_megabytes",
        """
def add(a, b):
  rows = [bytes(1 << 20) for _ in range(50)]
  return a + b if len(rows) == 50 else None
""",
    ),
    _add(
        "uses_the_names_of_the_tests",
        """
def check(candidate):
  raise AssertionError

candidate = None

def add(a, b):
  return a + b
""",
    ),
    _add(
        "leaves_signal_handlers_and_hooks",
        """
import atexit
import signal
import sys

signal.signal(signal.SIGINT, signal.SIG_IGN)
atexit.register(print, "bye")
sys.excepthook = print

def add(a, b):
  return a + b
""",
    ),
    _add(
        "keeps_its_state_between_calls",
        """
TOTAL = 0

def add(a, b, calls=[]):
  global TOTAL
  TOTAL += 1
  calls.append(1)
  return a + b + TOTAL - len(calls)
""",
    ),
    _add(
        "a_finalizer_that_raises",
        """
class Bad:
  def __del__(self):
    raise ValueError

def add(a, b):
  Bad()
  return a + b
""",
    ),
    _add(
        "a_warning",
        """
import warnings

def add(a, b):
  warnings.warn("old", DeprecationWarning)
  warnings.warn("odd")
  return a + b if "\\d" else 0
""",
    ),
)
