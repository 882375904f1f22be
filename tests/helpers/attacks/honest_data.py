"""Right programs with odd data, imports or tests: all of them have to pass."""

from tests.helpers.attacks.attack import honest

_IMPORTS = """
abc argparse array ast base64 binascii bisect builtins calendar cmath
collections collections.abc contextlib copy csv ctypes dataclasses datetime
decimal difflib enum fractions functools gc hashlib heapq html inspect io
itertools json keyword locale logging math numbers operator os os.path pathlib
pickle platform pprint queue random re secrets shutil signal statistics string
struct sys tempfile textwrap threading time timeit traceback types typing
unicodedata unittest urllib.parse uuid warnings weakref zlib
""".split()

ATTACKS = (
    honest(
        "imports_of_the_standard_library",
        "".join(f"import {name}\n" for name in _IMPORTS) + """
from typing import *
from collections import *
from math import *

def work(n):
  assert datetime.datetime.strptime("2024-02-29", "%Y-%m-%d").day == 29
  assert decimal.Decimal("0.1") * 3 == decimal.Decimal("0.3")
  assert hashlib.md5(b"").hexdigest()[:4] == "d41d"
  assert statistics.median([3, 1, 2]) == 2
  assert json.loads(json.dumps({"a": [1]})) == {"a": [1]}
  assert re.sub(r"(?i)A+", "b", "xaAa") == "xb"
  assert zlib.decompress(zlib.compress(b"abc")) == b"abc"
  assert "é".encode("latin-1") == b"\\xe9"
  assert "ü".encode("utf-16-le") and "x".encode("ascii")
  assert calendar.isleap(2024) and unicodedata.name("a")
  assert pickle.loads(pickle.dumps([1])) == [1]
  assert f"{10**6:,}" == "1,000,000" and "%5.2f" % pi == " 3.14"
  traceback.format_exc()
  logging.getLogger().warning("careful")
  return Counter("aab").most_common(1)[0][0] * n
""",
        "assert candidate(3) == 'aaa'\n",
        "work",
    ),
    honest(
        "values_there_and_back",
        "def echo(value):\n  return value\n",
        """
VALUES = [
    None, True, False, 0, -1, 2**63, -(2**64), 10**300, 0.1, -0.0, 1e308,
    float("inf"), 1 + 2j, "", "é🐍", "\\0", "\\ud800", "a" * 10**6, b"",
    bytes(range(256)), [], [[]], (), ((),), {}, {"a": {"b": (1, [2])}},
    {(1, "x"): {2}}, {1: 2, "1": 3}, set(), {1, "a", (2,)}, frozenset({1}),
    list(range(10**5)), [None] * 1000, {i: str(i) for i in range(10**4)},
    [1, True, 1.0], {"int": "0x5"}, {"returned": 5}, {"tuple": [1]},
]

def same(a, b):
  if type(a) is not type(b):
    return False
  if isinstance(a, (list, tuple)):
    return len(a) == len(b) and all(map(same, a, b))
  if isinstance(a, dict):
    return same(list(a.items()), list(b.items()))
  return a == b

for value in VALUES:
  assert same(echo(value), value), repr(value)[:50]
nan = candidate(float("nan"))
assert nan != nan
assert str(candidate(-0.0)) == "-0.0"
assert echo(value=[1]) == [1]
""",
        "echo",
    ),
    honest(
        "subclasses_arrive_as_what_they_extend",
        """
import collections
import enum

class Colour(enum.IntEnum):
  RED = 3

Point = collections.namedtuple("Point", "x y")

def build(kind):
  return {
      "enum": Colour.RED,
      "point": Point(1, 2),
      "counter": collections.Counter("aab"),
      "default": collections.defaultdict(list, {1: [2]}),
      "ordered": collections.OrderedDict(a=1),
      "bool": True,
  }[kind]
""",
        """
assert candidate("enum") == 3
assert candidate("point") == (1, 2)
assert candidate("counter") == {"a": 2, "b": 1}
assert candidate("default") == {1: [2]}
assert candidate("ordered") == {"a": 1}
assert candidate("bool") is True
""",
        "build",
    ),
    honest(
        "raises_what_the_tests_expect",
        """
class TooSmall(ValueError):
  pass

def root(x):
  if x < 0:
    raise TooSmall("negative")
  return {0: 0}[x]
""",
        """
try:
  candidate(-1)
except ValueError:
  pass
else:
  raise AssertionError
try:
  candidate(5)
except KeyError:
  pass
else:
  raise AssertionError
assert candidate(0) == 0
""",
        "root",
    ),
    honest(
        "three_thousand_calls",
        "def add(a, b):\n  return a + b\n",
        """
for i in range(3000):
  assert candidate(i, 1) == i + 1
""",
        "add",
    ),
    honest(
        "changes_its_arguments",
        "def pop_all(rows):\n  rows.clear()\n  return len(rows)\n",
        """
rows = [1, 2, 3]
assert candidate(rows) == 0
assert candidate(rows) == 0
""",
        "pop_all",
    ),
    honest(
        "deep_but_legal",
        """
def nest(depth):
  return [] if depth == 0 else [nest(depth - 1)]
""",
        """
answer = candidate(40)
for _ in range(40):
  (answer,) = answer
assert answer == []
""",
        "nest",
    ),
    honest(
        "a_megabyte_there_and_back",
        "def double(text):\n  return text * 2\n",
        "assert len(candidate('x' * 10**6)) == 2 * 10**6\n",
        "double",
    ),
    honest(
        "generators_inside",
        """
import itertools

def primes():
  seen = []
  for n in itertools.count(2):
    if all(n % p for p in seen):
      seen.append(n)
      yield n

def first(n):
  return list(itertools.islice(primes(), n))
""",
        "assert candidate(5) == [2, 3, 5, 7, 11]\n",
        "first",
    ),
    honest(
        "tests_with_both_names",
        "def reverse(s):\n  return s[::-1]\n",
        """
def check(f):
  assert f("ab") == "ba", "wrong"

check(candidate)
check(reverse)
""",
        "reverse",
    ),
    honest(
        "tests_with_random_inputs",
        "def add(a, b):\n  return a + b\n",
        """
import math
import random
random.seed(5)
for _ in range(20):
  a, b = random.randint(1, 10**6), random.random()
  assert math.isclose(candidate(a, b), a + b)
""",
        "add",
    ),
)
