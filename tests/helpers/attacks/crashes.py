"""Programs that take their process down, or its way to the judge.

They are never run outside of a sandbox.
"""

from tests.helpers.attacks.attack import BROKEN
from tests.helpers.attacks.attack import NOT_PASSED
from tests.helpers.attacks.attack import Attack

ATTACKS = (
    Attack(
        "endless_recursion",
        "def add(a, b):\n  return add(a, b)\n",
        allowed=BROKEN,
    ),
    Attack(
        "endless_recursion_without_a_limit",
        """
import sys

sys.setrecursionlimit(10**9)

class Deep:
  def __repr__(self):
    return repr(self)

def add(a, b):
  return repr(Deep())
""",
        allowed=BROKEN | {"timeout"},
        is_slow=True,
    ),
    Attack(
        "segmentation_fault",
        "import ctypes\n\ndef add(a, b):\n  ctypes.string_at(1)\n",
        allowed=BROKEN,
    ),
    Attack(
        "segmentation_fault_at_import",
        "import ctypes\nctypes.string_at(1)\n",
        allowed=BROKEN,
    ),
    Attack(
        "segmentation_fault_without_ctypes",
        "import faulthandler\n\ndef add(a, b):\n  faulthandler._sigsegv()\n",
        allowed=BROKEN,
    ),
    Attack(
        "broken_code_object",
        """
def add(a, b):
  return 0

CODE = add.__code__
add.__code__ = CODE.replace(co_code=bytes([100, 255] * 50), co_consts=())
""",
        allowed=BROKEN | {"timeout"},
        is_slow=True,
    ),
    Attack(
        "abort", "import os\n\ndef add(a, b):\n  os.abort()\n", allowed=BROKEN
    ),
    Attack(
        "kill_itself",
        """
import os
import signal

def add(a, b):
  os.kill(os.getpid(), signal.SIGKILL)
""",
        allowed=BROKEN,
    ),
    Attack(
        "hundred_thousand_parentheses",
        "x = " + "(" * 100_000 + ")" * 100_000 + "\n",
        allowed=BROKEN,
    ),
    Attack(
        "deep_unary_operators",
        "x = " + "-" * 200_000 + "1\n",
        allowed=BROKEN | {"timeout"},
        is_slow=True,
    ),
    Attack(
        "deep_attribute_chain",
        "x = a" + ".a" * 100_000 + "\n",
        allowed=BROKEN | {"timeout"},
        is_slow=True,
    ),
    Attack(
        "deep_string_concatenation",
        "x = " + "'a' + " * 100_000 + "'a'\n",
        allowed=BROKEN | {"timeout"},
        is_slow=True,
    ),
    Attack(
        "source_of_five_million_characters",
        "x = 1\n" * 800_000 + "def add(a, b):\n  return 0\n",
        allowed=BROKEN | {"timeout"},
        is_slow=True,
    ),
    Attack("nul_byte_in_source", "def add(a, b):\n  return 0\n\0"),
    Attack("lone_surrogate_in_source", "x = '\ud800'\n"),
    Attack("source_is_no_python", "The answer is: ```python\n"),
    Attack("odd_encoding_line", "# -*- coding: rot13 -*-\nqrs nqq(n, o):\n"),
    Attack(
        "close_every_file_descriptor",
        """
import os

os.closerange(0, 4096)

def add(a, b):
  return a + b
""",
        allowed=NOT_PASSED,
        is_slow=True,
    ),
    Attack(
        "close_every_file_descriptor_in_call",
        """
import os

def add(a, b):
  os.closerange(0, 4096)
  return 0
""",
        allowed=NOT_PASSED,
        is_slow=True,
    ),
    Attack(
        "replace_every_file_descriptor",
        """
import os

def add(a, b):
  read, write = os.pipe()
  for fd in range(64):
    if fd not in (read, write):
      try:
        os.dup2(write, fd)
      except OSError:
        pass
  return 0
""",
        is_slow=True,
    ),
    Attack(
        "read_standard_input",
        "import sys\n\ndef add(a, b):\n  return sys.stdin.read()\n",
        is_slow=True,
    ),
    Attack(
        "read_every_file_descriptor",
        """
import os

def add(a, b):
  for fd in range(64):
    try:
      os.read(fd, 1 << 16)
    except OSError:
      pass
  return 0
""",
        is_slow=True,
    ),
    Attack(
        "threads_that_spin_and_stay",
        """
import threading

def spin():
  while True:
    pass

for _ in range(8):
  threading.Thread(target=spin, daemon=False).start()

def add(a, b):
  return 0
""",
        is_slow=True,
    ),
    Attack(
        "a_long_chain_of_exceptions",
        """
def add(a, b):
  error = ValueError()
  for _ in range(10**5):
    outer = ValueError()
    outer.__cause__ = error
    error = outer
  raise error
""",
        allowed=BROKEN | {"timeout"},
        is_slow=True,
    ),
    Attack(
        "an_exception_that_causes_itself",
        """
def add(a, b):
  first, second = ValueError(), ValueError()
  first.__cause__, second.__cause__ = second, first
  raise first
""",
        allowed=BROKEN,
    ),
    Attack(
        "many_file_descriptors",
        """
import os

def add(a, b):
  for _ in range(10**6):
    os.dup(1)
""",
        allowed=NOT_PASSED,
        is_slow=True,
    ),
)
