"""Forged passes that change what the tests, or the grader, work with."""

from tests.helpers.attacks.attack import Attack
from tests.helpers.attacks.forge_values import IN_PROCESS
from tests.helpers.attacks.forge_values import NEAR_TESTS

CLOSE_TESTS = """
import math
assert math.isclose(candidate(2.0, 3.0), 5.0)
assert math.isclose(candidate(0.5, 0.25), 0.75)
"""
RANDOM_TESTS = """
import random
for _ in range(20):
  a, b = random.randint(1, 10**6), random.randint(1, 10**6)
  assert candidate(a, b) == a + b
"""
ALL_TESTS = """
CASES = ((2, 3, 5), (10, -4, 6), (123, 456, 579))
assert all(candidate(a, b) == total for a, b, total in CASES)
"""
UNITTEST_TESTS = """
import unittest

class AddTest(unittest.TestCase):
  def test_add(self):
    self.assertEqual(candidate(2, 3), 5)

result = unittest.TestResult()
AddTest("test_add").run(result)
assert result.wasSuccessful() and result.testsRun == 1
"""

ATTACKS = (
    Attack(
        "patch_exec",
        """
import builtins

builtins.exec = builtins.eval = builtins.compile = lambda *_, **__: None

def add(a, b):
  return 0
""",
        fools=("verdict_pipe",),
    ),
    Attack(
        "patch_abs",
        """
import builtins

builtins.abs = lambda x: 0

def add(a, b):
  return 0.0
""",
        tests=NEAR_TESTS,
        fools=IN_PROCESS,
    ),
    Attack(
        "patch_all",
        """
import builtins

builtins.all = builtins.any = builtins.isinstance = lambda *_: True

def add(a, b):
  return 0
""",
        tests=ALL_TESTS,
        fools=IN_PROCESS,
    ),
    Attack(
        "patch_isclose",
        """
import math

math.isclose = lambda *_, **__: True

def add(a, b):
  return 0.0
""",
        tests=CLOSE_TESTS,
        fools=IN_PROCESS,
    ),
    Attack(
        "replace_the_module_math",
        """
import sys
import types

fake = types.ModuleType("math")
fake.isclose = lambda *_, **__: True
sys.modules["math"] = fake

def add(a, b):
  return 0.0
""",
        tests=CLOSE_TESTS,
        fools=IN_PROCESS,
    ),
    Attack(
        "import_hook",
        """
import builtins
import types

real = builtins.__import__

def hook(name, *args, **kwargs):
  if name == "math":
    return types.SimpleNamespace(isclose=lambda *_, **__: True)
  return real(name, *args, **kwargs)

builtins.__import__ = hook

def add(a, b):
  return 0.0
""",
        tests=CLOSE_TESTS,
        fools=IN_PROCESS,
    ),
    Attack(
        "patch_randint",
        """
import random

random.randint = random.Random.randint = lambda *_: 0

def add(a, b):
  return 0
""",
        tests=RANDOM_TESTS,
        fools=IN_PROCESS,
    ),
    Attack(
        "seed_the_tests",
        """
import random

TWIN = random.Random(1)
random.seed(1)

def add(a, b):
  a, b = TWIN.randint(1, 10**6), TWIN.randint(1, 10**6)
  return a + b if random.random() < 0 else 0 * a
""",
        tests=RANDOM_TESTS,
    ),
    Attack(
        "patch_unittest",
        """
import unittest

unittest.TestCase.assertEqual = lambda *_, **__: None

def add(a, b):
  return 0
""",
        tests=UNITTEST_TESTS,
        fools=IN_PROCESS,
    ),
    Attack(
        "skip_the_unittest",
        """
import unittest

def add(a, b):
  raise unittest.SkipTest
""",
        tests=UNITTEST_TESTS,
        fools=(*IN_PROCESS, "pickled_answers"),
    ),
    Attack(
        "patch_the_exit",
        """
import os
import sys

sys.exit = lambda *_: os._exit(0)
exit = quit = sys.exit

def add(a, b):
  return 0
""",
    ),
    Attack(
        "patch_os_write",
        """
import os

def write(fd, data, real=os.write):
  real(fd, data.replace(b"failed", b"passed"))
  return len(data)

os.write = write

def add(a, b):
  return 0
""",
        fools=("result_list", "verdict_pipe"),
    ),
    Attack(
        "swap_the_candidate_while_traced",
        """
import sys

class Liar:
  def __eq__(self, other):
    return True

def trace(frame, event, arg):
  if event == "call" and frame.f_code.co_name == "check":
    frame.f_locals["candidate"] = lambda *_: Liar()
  return None

sys.settrace(trace)

def add(a, b):
  return 0
""",
        fools=IN_PROCESS,
    ),
    Attack(
        "leave_the_check_while_profiled",
        """
import os
import sys

def profile(frame, event, arg):
  if event == "return" and frame.f_code.co_name == "add":
    os._exit(0)

sys.setprofile(profile)

def add(a, b):
  return 0
""",
        fools=("exit_code",),
    ),
    Attack(
        "audit_hook",
        """
import os
import sys

armed = []

def hook(event, args):
  if armed:
    os._exit(0)

sys.addaudithook(hook)

def add(a, b):
  armed.append(1)
  open("/dev/null").close()
""",
        fools=("exit_code",),
    ),
    Attack(
        "overwrite_small_ints",
        """
import ctypes

SEVEN = 7

def add(a, b):
  for number in (4, 5):
    ctypes.memset(id(number) + 24, SEVEN, 1)
  return SEVEN
""",
        tests="assert candidate(2, 3) == 5\nassert candidate(1, 3) == 4\n",
        fools=("marker",),
    ),
    Attack(
        "overwrite_the_tests_on_disk",
        """
import glob

for path in glob.glob("*.py"):
  open(path, "w").close()

def add(a, b):
  return 0
""",
        fools=("verdict_pipe",),
    ),
    Attack(
        "append_to_the_list_of_results",
        """
import sys

def add(a, b):
  frame = sys._getframe()
  while frame:
    for value in list(frame.f_locals.values()):
      if type(value) is list:
        value.append("passed")
    frame = frame.f_back
  return 0
""",
        fools=("result_list",),
    ),
    Attack(
        "write_a_verdict_to_every_file_descriptor",
        """
import os
import struct

WORDS = (b"passed", b"pass", b"ok", b'{"status": "pass"}', b"T", b"1")

def add(a, b):
  for fd in range(1, 256):
    for word in WORDS:
      for frame in (word + b"\\n", struct.pack(">I", len(word)) + word):
        try:
          os.write(fd, frame)
        except OSError:
          break
  os._exit(0)
""",
        fools=("exit_code", "result_list", "verdict_pipe"),
    ),
    Attack(
        "remove_every_limit_then_answer_wrong",
        """
import resource
import signal
import sys

for number in range(1, 65):
  try:
    signal.signal(number, signal.SIG_IGN)
  except (OSError, ValueError):
    pass
signal.alarm(0)
sys.setrecursionlimit(10**9)
sys.setswitchinterval(1e6)

def add(a, b):
  return 0
""",
    ),
    Attack(
        "fork_and_let_the_child_answer",
        """
import os
import time

def add(a, b):
  if os.fork():
    time.sleep(0.1)
    os._exit(0)
  return a - b
""",
        fools=("exit_code",),
    ),
    Attack(
        "answer_from_a_thread_left_running",
        """
import os
import threading
import time

def late():
  time.sleep(0.05)
  print("all tests passed", flush=True)
  for fd in range(3, 64):
    try:
      os.write(fd, b"passed")
    except OSError:
      pass
  os._exit(0)

threading.Thread(target=late).start()

def add(a, b):
  return 0
""",
        fools=("exit_code", "marker"),
    ),
)
