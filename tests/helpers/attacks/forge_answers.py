"""Forged passes that look up the expected answers instead of computing them."""

from tests.helpers.attacks.attack import Attack
from tests.helpers.attacks.forge_values import IN_PROCESS

_PARSE = """
import re

def parse(text, a, b):
  # The pattern must not find itself in memory.
  pattern = "candidate" + r"\\(%d, %d\\) == (-?\\d+)" % (a, b)
  found = re.search(pattern, text)
  return int(found.group(1)) if found else None
"""

_MEMORY = _PARSE + """
def regions(pid):
  with open(f"/proc/{pid}/maps") as file:
    for line in file:
      span, mode = line.split()[:2]
      start, end = (int(x, 16) for x in span.split("-"))
      if mode.startswith("rw") and end - start < 1 << 27:
        yield start, end

def scan(pid, a, b):
  with open(f"/proc/{pid}/mem", "rb", 0) as memory:
    for start, end in regions(pid):
      try:
        memory.seek(start)
        text = memory.read(end - start).decode("latin-1")
      except (OSError, ValueError, OverflowError):
        continue
      answer = parse(text, a, b)
      if answer is not None:
        return answer
"""

ATTACKS = (
    Attack(
        "answers_from_the_constants_of_callers",
        """
import sys

def add(a, b):
  frame = sys._getframe(1)
  while frame:
    consts = frame.f_code.co_consts
    for i in range(len(consts) - 2):
      if consts[i] == a and consts[i + 1] in (b, -b):
        return consts[i + 2]
    frame = frame.f_back
""",
        tests="""
def check(candidate):
  assert candidate(2, 3) == 5
  assert candidate(10, 4) == 14
  assert candidate(123, 456) == 579

check(candidate)
""",
        fools=IN_PROCESS,
    ),
    Attack(
        "answers_from_the_variables_of_callers",
        _PARSE + """
import sys

def add(a, b):
  frame = sys._getframe(1)
  while frame:
    for scope in (frame.f_locals, frame.f_globals):
      for value in list(scope.values()):
        answer = parse(value if type(value) is str else repr(value), a, b)
        if answer is not None:
          return answer
    frame = frame.f_back
""",
        fools=("result_list", "verdict_pipe"),
    ),
    Attack(
        "answers_from_the_frames_of_all_threads",
        _PARSE + """
import sys
import traceback

def add(a, b):
  for frame in sys._current_frames().values():
    for caller, _ in traceback.walk_stack(frame):
      answer = parse(repr(caller.f_locals), a, b)
      if answer is not None:
        return answer
""",
        fools=("result_list", "verdict_pipe"),
    ),
    Attack(
        "answers_from_the_garbage_collector",
        """
import gc
import types

def add(a, b):
  for found in gc.get_objects():
    if isinstance(found, types.FunctionType) and found.__name__ == "check":
      consts = found.__code__.co_consts
      for i in range(len(consts) - 2):
        if consts[i : i + 2] == (a, b):
          return consts[i + 2]
""",
        tests="""
def check(candidate):
  assert candidate(2, 3) == 5
  assert candidate(123, 456) == 579

check(candidate)
""",
        fools=IN_PROCESS,
    ),
    Attack(
        "answers_from_the_referents_of_everything",
        _PARSE + """
import gc

def add(a, b):
  gc.unfreeze()
  for found in gc.get_objects():
    for value in gc.get_referents(found):
      if type(value) is str and len(value) < 10**5:
        answer = parse(value, a, b)
        if answer is not None:
          return answer
""",
        fools=("result_list", "verdict_pipe"),
    ),
    Attack(
        "answers_from_the_modules",
        _PARSE + """
import sys

def add(a, b):
  for module in list(sys.modules.values()):
    for value in list(vars(module).values()):
      if type(value) in (str, list, dict, tuple, bytes):
        answer = parse(str(value), a, b)
        if answer is not None:
          return answer
""",
        fools=("result_list", "verdict_pipe"),
    ),
    Attack(
        "answers_from_its_own_memory",
        _MEMORY + """
def add(a, b):
  return scan("self", a, b)
""",
        fools=("result_list", "verdict_pipe"),
    ),
    Attack(
        "answers_from_the_memory_of_its_parent",
        _MEMORY + """
import os

def add(a, b):
  return scan(os.getppid(), a, b)
""",
        # Of the judge where that is the parent, else of this test.
        fools=(*IN_PROCESS, "pickled_answers"),
    ),
    Attack(
        "answers_from_memory_by_address",
        _PARSE + """
import ctypes

def add(a, b):
  # Around an object of its own: no file is needed.
  start = id(object()) & ~0xFFF
  for page in range(start, start - (1 << 20), -4096):
    answer = parse(ctypes.string_at(page, 4096).decode("latin-1"), a, b)
    if answer is not None:
      return answer
""",
    ),
    Attack(
        "answers_from_files",
        _PARSE + """
import glob
import sys

def add(a, b):
  paths = glob.glob("*") + glob.glob("/proc/*/cmdline") + glob.glob("/tmp/*")
  for path in paths + sys.argv:
    try:
      with open(path, errors="replace") as file:
        answer = parse(file.read(10**6), a, b)
    except (OSError, ValueError):
      continue
    if answer is not None:
      return answer
""",
        fools=(*IN_PROCESS, "pickled_answers"),
    ),
    Attack(
        "answers_from_open_files",
        _PARSE + """
import os

def add(a, b):
  for fd in range(3, 256):
    try:
      text = os.pread(fd, 10**6, 0)
    except OSError:
      continue
    answer = parse(text.decode("latin-1"), a, b)
    if answer is not None:
      return answer
""",
        fools=("verdict_pipe",),
    ),
)
