"""Programs that take all the memory there is.

Whether memory ends first, the time or the process is all the same. They are
never run outside of a sandbox.
"""

from tests.helpers.attacks.attack import Attack

ATTACKS = (
    Attack(
        "memory_by_a_growing_list",
        """
def add(a, b):
  rows = []
  while True:
    rows.append(bytearray(1 << 20))
""",
        is_slow=True,
    ),
    Attack(
        "memory_at_once",
        "def add(a, b):\n  return len(bytearray(1 << 40))\n",
    ),
    Attack(
        "memory_at_import",
        "ROWS = [0] * (1 << 36)\n\ndef add(a, b):\n  return a + b\n",
    ),
    Attack(
        "memory_and_carry_on",
        """
def add(a, b):
  rows = []
  while True:
    try:
      rows.append(bytearray(1 << 16))
    except MemoryError:
      rows.append(None)
""",
        is_slow=True,
    ),
    Attack(
        "memory_by_mmap",
        """
import ctypes

MMAP = ctypes.CDLL(None).mmap
MMAP.restype = ctypes.c_void_p
MMAP.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + 4 * [ctypes.c_long]

def add(a, b):
  while True:
    # Shared, anonymous, to be read and written.
    ctypes.memset(MMAP(None, 1 << 24, 3, 0x21, -1, 0), 1, 1 << 24)
""",
        is_slow=True,
    ),
    Attack(
        "memory_by_a_huge_power",
        "def add(a, b):\n  return 9 ** 9 ** 9\n",
        is_slow=True,
    ),
    Attack(
        "memory_while_compiled",
        "X = 'a' * (1 << 12) * (1 << 12) * (1 << 12)\n",
        is_slow=True,
    ),
    Attack(
        "memory_by_zip_bomb",
        """
import zlib

def add(a, b):
  packed = zlib.compress(bytes(1 << 26), 9)
  return len(zlib.decompress(packed * 1 + b"") * 64)
""",
        is_slow=True,
    ),
    Attack(
        "memory_by_shared_memory",
        """
import os

def add(a, b):
  held = []
  for fd in range(10**6):
    memory = os.memfd_create("x")
    os.write(memory, bytes(1 << 24))
    held.append(memory)
""",
    ),
    Attack(
        "memory_by_pipes",
        """
import os

def add(a, b):
  while True:
    _, end = os.pipe()
    os.set_blocking(end, False)
    os.write(end, bytes(1 << 20))
""",
        is_slow=True,
    ),
    Attack(
        "memory_by_output",
        """
def add(a, b):
  print("x" * (1 << 28))
  return 0
""",
        is_slow=True,
    ),
    Attack(
        "memory_by_the_error_text",
        "def add(a, b):\n  raise ValueError('x' * (1 << 27))\n",
        is_slow=True,
    ),
    Attack(
        "memory_by_interned_names",
        """
import sys

def add(a, b):
  i = 0
  while True:
    i += 1
    sys.intern("x" * 10_000 + str(i))
""",
        is_slow=True,
    ),
)
