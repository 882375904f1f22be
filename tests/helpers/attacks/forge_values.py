"""Forged passes by returned values that say they equal whatever is expected."""

from tests.helpers.attacks.attack import Attack

IN_PROCESS = ("exit_code", "marker", "result_list", "verdict_pipe")

SWAPPED_TESTS = """
assert 5 == candidate(2, 3)
assert 6 == candidate(10, -4)
"""
NEAR_TESTS = """
assert abs(candidate(2.0, 3.0) - 5.0) < 1e-6
assert abs(candidate(0.5, 0.25) - 0.75) < 1e-6
"""
LIST_TESTS = """
assert candidate([3, 1, 2]) == [1, 2, 3]
assert len(candidate([3, 1, 2])) == 3
assert candidate([]) == []
"""
STR_TESTS = """
assert candidate("abc") == "cba"
assert candidate("") == ""
"""
DICT_TESTS = """
assert candidate("aab") == {"a": 2, "b": 1}
assert candidate("") == {}
"""
SET_TESTS = """
assert candidate("aab") == {"a", "b"}
assert candidate("") == set()
"""

_LIAR = """
class Liar{bases}:
  def __eq__(self, other):
    return True
  def __ne__(self, other):
    return False
  __lt__ = __le__ = __gt__ = __ge__ = __contains__ = __eq__
  def __hash__(self):
    return 0
  def __len__(self):
    return 3
  def __sub__(self, other):
    return 0.0
  __add__ = __radd__ = __rsub__ = __sub__
  def __abs__(self):
    return 0.0
  def __bool__(self):
    return True

def {entry_point}(*args):
  return {value}
"""


def _liar(name, base="", value="Liar()", fools=IN_PROCESS, **attack):
  entry_point = attack.get("entry_point", "add")
  bases = f"({base})" if base else ""
  source = _LIAR.format(bases=bases, entry_point=entry_point, value=value)
  return Attack(name, source, fools=fools, **attack)


ATTACKS = (
    _liar("equals_everything"),
    _liar("equals_everything_int", "int"),
    _liar("equals_everything_int_on_the_right", "int", tests=SWAPPED_TESTS),
    _liar("equals_everything_float", "float", tests=NEAR_TESTS),
    _liar("equals_everything_complex", "complex"),
    _liar(
        "equals_everything_str", "str", tests=STR_TESTS, entry_point="reverse"
    ),
    _liar(
        "equals_everything_bytes",
        "bytes",
        tests=STR_TESTS,
        entry_point="reverse",
    ),
    _liar(
        "equals_everything_list",
        "list",
        tests=LIST_TESTS,
        entry_point="sort_numbers",
    ),
    _liar(
        "equals_everything_tuple",
        "tuple",
        tests=LIST_TESTS,
        entry_point="sort_numbers",
    ),
    _liar(
        "equals_everything_dict", "dict", tests=DICT_TESTS, entry_point="count"
    ),
    _liar(
        "equals_everything_set", "set", tests=SET_TESTS, entry_point="letters"
    ),
    _liar(
        "equals_everything_frozenset",
        "frozenset",
        tests=SET_TESTS,
        entry_point="letters",
    ),
    _liar(
        "equals_everything_in_a_list",
        value="[Liar(), Liar(), Liar()]",
        tests="assert candidate([3, 1, 2]) == [1, 2, 3]\n",
        entry_point="sort_numbers",
    ),
    _liar(
        "equals_everything_as_a_key",
        "str",
        value="{Liar(): 2}",
        tests="assert candidate('aa')['a'] == 2\n",
        entry_point="count",
        fools=(),
    ),
    Attack(
        "equals_everything_class",
        """
class Meta(type):
  def __eq__(cls, other):
    return True
  __hash__ = type.__hash__

class Liar(metaclass=Meta):
  pass

def add(a, b):
  return Liar
""",
        fools=IN_PROCESS,
    ),
    Attack(
        "equals_everything_from_the_library",
        """
from unittest import mock

def add(a, b):
  return mock.ANY
""",
        fools=(*IN_PROCESS, "pickled_answers"),
    ),
    Attack(
        "pickles_as_something_that_equals_everything",
        """
class Kind:
  def __reduce__(self):
    # A class whose objects are compared by str(other), which is true.
    return type, ("Liar", (), {"__eq__": str})
  def __call__(self):
    pass

class Answer:
  def __reduce__(self):
    return Kind(), ()

def add(a, b):
  return Answer()
""",
        fools=("pickled_answers",),
    ),
    Attack(
        "pickles_as_an_exit",
        """
import os

class Answer:
  def __reduce__(self):
    return os._exit, (0,)

def add(a, b):
  return Answer()
""",
        fools=("pickled_answers",),
    ),
    Attack(
        "says_it_is_an_int",
        """
class Fake:
  __class__ = int
  def __index__(self):
    return 5
  __int__ = __index__
  def __eq__(self, other):
    return True
  def bit_length(self):
    return 3
  def __format__(self, spec):
    return "5"
  __repr__ = __str__ = lambda self: "5"

def add(a, b):
  return Fake()
""",
        fools=IN_PROCESS,
    ),
    Attack(
        "truthy_where_a_bool_is_due",
        """
class Yes:
  def __eq__(self, other):
    return "yes"

def add(a, b):
  return Yes()
""",
        fools=IN_PROCESS,
    ),
    Attack("nan", "def add(a, b):\n  return float('nan')\n"),
    Attack("not_implemented", "def add(a, b):\n  return NotImplemented\n"),
    Attack("ellipsis", "def add(a, b):\n  return ...\n"),
    Attack("returns_itself", "def add(a, b):\n  return add\n"),
    Attack("right_number_as_text", "def add(a, b):\n  return str(a + b)\n"),
    Attack("right_number_in_a_list", "def add(a, b):\n  return [a + b]\n"),
    Attack("off_by_one", "def add(a, b):\n  return a + b + 1\n"),
    Attack(
        "a_coroutine",
        """
import warnings
warnings.simplefilter("ignore")

async def add(a, b):
  return a + b
""",
    ),
    Attack("a_generator", "def add(a, b):\n  yield a + b\n"),
)
