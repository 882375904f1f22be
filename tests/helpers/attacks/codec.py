"""Answers that are meant to break, stall or mislead what carries them over."""

from tests.helpers.attacks.attack import Attack

_NESTED = """
def add(a, b):
  answer = {leaf}
  for _ in range({depth}):
    answer = {wrap}
  return answer
"""


def _nested(name, wrap, depth, leaf="[]", **attack):
  source = _NESTED.format(wrap=wrap, depth=depth, leaf=leaf)
  return Attack(name, source, **attack)


ATTACKS = (
    _nested("deep_list", "[answer]", 100_000, is_slow=True),
    _nested("deep_tuple", "(answer,)", 100_000, is_slow=True),
    _nested("deep_dict", "{1: answer}", 100_000, is_slow=True),
    _nested("deep_key", "(answer,)", 900, leaf="()"),
    # 2**60 elements of which 60 are in memory.
    _nested("billion_laughs", "[answer, answer]", 60, is_slow=True),
    _nested(
        "billion_laughs_of_text",
        "[answer] * 1000",
        3,
        "'x' * 10**6",
        is_slow=True,
    ),
    _nested("a_hundred_megabytes", "answer * 10", 8, "b'x'", is_slow=True),
    _nested("million_digits", "answer ** 2", 22, "10", is_slow=True),
    Attack(
        "list_in_itself",
        "def add(a, b):\n  rows = []\n  rows.append(rows)\n  return rows\n",
        is_slow=True,
    ),
    Attack(
        "dict_in_itself",
        "def add(a, b):\n  rows = {}\n  rows[1] = rows\n  return rows\n",
        is_slow=True,
    ),
    Attack(
        "endless_generator",
        "import itertools\n\ndef add(a, b):\n  return itertools.count()\n",
        is_slow=True,
    ),
    Attack(
        "list_with_an_endless_iterator",
        """
class Rows(list):
  def __iter__(self):
    while True:
      yield 5

def add(a, b):
  return Rows([1])
""",
        is_slow=True,
    ),
    Attack(
        "list_that_lies_about_its_length",
        """
class Rows(list):
  def __len__(self):
    return 1 << 40
  def __iter__(self):
    return iter([5])

def add(a, b):
  return Rows()
""",
        is_slow=True,
    ),
    Attack(
        "list_with_a_negative_length",
        """
class Rows(list):
  def __len__(self):
    return -1

def add(a, b):
  return Rows([5])
""",
    ),
    Attack(
        "list_that_changes_while_it_is_read",
        """
class Row(list):
  def __iter__(self):
    for _ in range(100):
      ROWS.append(Row())
    return iter([1])

ROWS = [Row()]

def add(a, b):
  return ROWS
""",
        is_slow=True,
    ),
    Attack(
        "dict_with_false_items",
        """
class Table(dict):
  def items(self):
    return [5]
  def __iter__(self):
    return iter([5, 5, 5])

def add(a, b):
  return Table(a=1)
""",
    ),
    Attack(
        "text_with_a_false_encoding",
        """
class Text(str):
  def encode(self, *args, **kwargs):
    return b"\\xff" * 10
  def __len__(self):
    return 1 << 40
  def __str__(self):
    return "5"

def add(a, b):
  return Text("5")
""",
    ),
    Attack(
        "int_with_a_false_value",
        """
class Number(int):
  def __index__(self):
    return 5
  __int__ = __index__
  def __format__(self, spec):
    return "5"
  def __repr__(self):
    return "5"
  __str__ = __repr__
  def bit_length(self):
    return 10**9
  def to_bytes(self, *args, **kwargs):
    return b"\\5"

def add(a, b):
  return Number(0)
""",
    ),
    Attack(
        "float_with_a_false_value",
        """
class Number(float):
  def hex(self):
    return "0x1.4p+2"
  def __float__(self):
    return 5.0
  def __repr__(self):
    return "5.0"

def add(a, b):
  return Number(0.0)
""",
    ),
    Attack(
        "bool_like_text",
        "def add(a, b):\n  return 'True'\n",
        tests="assert candidate(1, 2) is True\n",
    ),
    Attack(
        "type_that_says_it_is_another",
        """
class Meta(type):
  def __instancecheck__(cls, other):
    return True
  def __eq__(cls, other):
    return True
  def __hash__(cls):
    return hash(int)

class Fake(metaclass=Meta):
  __class__ = property(lambda self: int)

Fake.__name__ = Fake.__qualname__ = "int"
Fake.__module__ = "builtins"

def add(a, b):
  return Fake()
""",
    ),
    Attack(
        "key_with_a_hostile_hash",
        """
class Key(tuple):
  def __hash__(self):
    raise MemoryError
  def __eq__(self, other):
    raise SystemExit(0)

def add(a, b):
  table = {}
  try:
    table[Key()] = 1
  except MemoryError:
    pass
  return [table, Key((1,))]
""",
    ),
    Attack(
        "keys_that_collide",
        """
def add(a, b):
  return {i * ((1 << 61) - 1): i for i in range(20_000)}
""",
        is_slow=True,
    ),
    Attack(
        "keys_that_become_equal",
        """
class Key(int):
  __hash__ = object.__hash__
  def __eq__(self, other):
    return self is other

def add(a, b):
  return {Key(1): 4, Key(1): 5}
""",
    ),
    Attack(
        "exit_while_the_answer_is_written",
        """
import os

class Rows(list):
  def __iter__(self):
    os._exit(0)
  __len__ = __iter__

def add(a, b):
  return [[1, 2, 3], Rows([1]), (Rows([1]),)]
""",
    ),
    Attack(
        "raise_while_the_answer_is_written",
        """
class Rows(list):
  def __iter__(self):
    raise StopIteration
  def __len__(self):
    raise SystemExit(0)

class Table(dict):
  def items(self):
    raise GeneratorExit
  __iter__ = keys = values = __len__ = items

def add(a, b):
  return [Rows([1]), Table(a=1)]
""",
    ),
    Attack(
        "half_an_answer_then_silence",
        """
import time

class Rows(list):
  def __iter__(self):
    yield 5
    time.sleep(10**6)

def add(a, b):
  return Rows([1, 2])
""",
        is_slow=True,
    ),
    Attack(
        "memory_view_and_arrays",
        """
import array

def add(a, b):
  return [memoryview(b"5"), array.array("i", [5]), range(5), object()]
""",
    ),
    Attack(
        "module_and_frame",
        """
import sys

def add(a, b):
  return [sys, sys._getframe(), add.__code__, type, Exception]
""",
    ),
    Attack(
        "complex_nan_and_infinities",
        """
def add(a, b):
  return [complex("nan+infj"), float("-inf"), -0.0, float("nan")]
""",
    ),
    Attack(
        "text_of_lone_surrogates",
        "def add(a, b):\n  return '\\ud800' * 1000 + '\\0'\n",
    ),
    Attack(
        "proxy_arguments_kept",
        """
KEPT = []

def add(a, b):
  KEPT.append((a, b))
  return KEPT
""",
    ),
)
