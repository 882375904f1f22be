"""Tests of what crosses between tests and solutions, and of what cannot."""

import collections
import datetime
import decimal
import enum
import fractions
import importlib.util
import itertools
import json
import math
import os
import struct

from absl.testing import absltest
from absl.testing import parameterized

from score_jax.grading.sandbox import codec
from score_jax.grading.sandbox import frames
from score_jax.grading.sandbox import needs_solution_names
from score_jax.grading.sandbox import preload

UTC = datetime.UTC


def there_and_back(value):
  packed = json.dumps(codec.encode(value))
  return codec.decode(json.loads(packed))


PLAIN = (
    *(None, True, False, 0, -(2**63), 2**64 + 1, 10**5000),
    *(0.1, 5e-324, math.inf, -0.0, 1 - 2j),
    *(decimal.Decimal("1.10"), decimal.Decimal("-Infinity")),
    *(fractions.Fraction(-1, 3), fractions.Fraction(2**70)),
    *("", "\x00 \ud800 \U0001f600", b"\x00\xff", bytearray(b"a")),
    *(datetime.date(2024, 2, 29), datetime.time(23, 59, 59, 999999)),
    *(datetime.datetime.min, datetime.datetime(2024, 1, 2, 3, tzinfo=UTC)),
    *(datetime.timedelta(-1, 1, 1), datetime.timedelta.max),
    *(range(2, 10, 3), [], (), [1, [2.0, "3"], (None,)], {1, "a", (2,)}),
    *(frozenset([frozenset()]), collections.deque([1, [2]])),
    *({None: 1, (1, 2): [3], "b": {"c": {}}}, {"tuple": [1]}),
)


class Liar(int):
  """Equal to everything, in any way that Python asks."""

  def __eq__(self, other):
    return True

  __hash__ = int.__hash__
  __int__ = __index__ = __str__ = __repr__ = lambda self: 5


class LyingList(list):

  def __iter__(self):
    return iter([5])

  def __len__(self):
    return 1

  def __eq__(self, other):
    return True


class CodecTest(parameterized.TestCase):

  def test_plain_data_keeps_value_and_type(self):
    for value in PLAIN:
      back = there_and_back(value)
      self.assertIs(type(back), type(value))
      self.assertEqual(back, value)
      if value != 10**5000:  # has no decimal digits
        self.assertEqual(repr(back), repr(value))

  def test_not_a_number_is_not_equal(self):
    self.assertTrue(math.isnan(there_and_back(math.nan)))

  def test_types_of_pythons_own_are_themselves(self):
    for value in (int, str, type(None), object, KeyError, range, ..., OSError):
      for held in ([value], {"a": value}, (1, {value})):
        self.assertEqual(there_and_back(held), held)
      self.assertIs(there_and_back(value), value)

  def test_order_of_dictionaries_is_kept(self):
    self.assertEqual(list(there_and_back({2: 0, 1: 0})), [2, 1])

  def test_subclasses_arrive_as_what_they_extend(self):
    color = enum.IntEnum("Color", "RED")
    counter = collections.Counter("a")
    for value, expected in (
        (color.RED, 1),
        (type("Own", (dict,), {})(a=1), {"a": 1}),
        (type("Own", (collections.Counter,), {})("a"), counter),
        (Liar(7), 7),
        (LyingList([7, 8]), [7, 8]),
        ([Liar(7)], [7]),
    ):
      back = there_and_back(value)
      self.assertIs(type(back), type(expected))
      self.assertEqual(repr(back), repr(expected))
      self.assertNotEqual(back, 5)

  def test_named_tuples_keep_their_fields(self):
    value = collections.namedtuple("Point", "x count")(1, [2])
    back = there_and_back([value])[0]
    self.assertEqual((back.x, back.count), (1, [2]))
    self.assertEqual(back, (1, [2]))
    self.assertNotEqual(back, (1, [3]))

  def test_dictionaries_keep_what_they_do_with_missing_keys(self):
    back = there_and_back(collections.Counter("aab"))
    self.assertEqual((back["a"], back["z"]), (2, 0))
    self.assertEqual(back, {"a": 2, "b": 1})
    self.assertEqual(back, collections.Counter(a=2, b=1, c=0))
    for kind in (int, list, set, str):
      back = there_and_back(collections.defaultdict(kind, {1: 2}))
      self.assertIs(type(back), collections.defaultdict)
      self.assertEqual(back, {1: 2})
      self.assertEqual(back["missing"], kind())
    for factory in (None, lambda: 5, print, eval):
      back = there_and_back(collections.defaultdict(factory, {1: 2}))
      self.assertEqual(back, {1: 2})
      with self.assertRaises(KeyError):
        back["missing"]

  def test_ordered_dictionaries_keep_their_order(self):
    value = collections.OrderedDict([(1, 2), (3, 4)])
    value.move_to_end(1)
    back = there_and_back(value)
    self.assertIsInstance(back, collections.OrderedDict)
    self.assertEqual(list(back), [3, 1])
    self.assertEqual(back, {1: 2, 3: 4})
    self.assertNotEqual(back, collections.OrderedDict([(1, 2), (3, 4)]))

  def test_iterators_arrive_as_iterators(self):
    for value in (iter([1, 2]), map(int, "12"), (x for x in (1, 2))):
      back = there_and_back(value)
      self.assertNotEqual(back, [1, 2])
      self.assertEqual(list(back), [1, 2])
      self.assertEqual(list(back), [])

  def test_views_behave_as_views(self):
    value = {1: [2]}
    self.assertEqual(there_and_back(value.keys()), {1})
    self.assertEqual(list(there_and_back(value.values())), [[2]])
    self.assertEqual(list(there_and_back(value.items())), [(1, [2])])

  @parameterized.parameters(
      *(object(), len, eval, NotImplemented, ValueError(), json, Liar),
      type("int", (), {"__eq__": lambda self, other: True}),
      type("Meta", (type,), {"__hash__": lambda self: hash(int)})("A", (), {}),
  )
  def test_other_types_are_refused(self, value):
    for held in (value, [value], {"a": (1, value)}):
      with self.assertRaises(codec.NotPlainError):
        codec.encode(held)

  def test_depth_and_length_are_limited(self):
    def nest(depth):
      return [nest(depth - 1)] if depth else []

    self.assertEqual(there_and_back(nest(codec.MAX_DEPTH)), nest(100))
    circle = []
    circle.append(circle)
    for value in (nest(codec.MAX_DEPTH + 1), circle, itertools.count()):
      with self.assertRaisesRegex(ValueError, "deeper|more than"):
        codec.encode(value)

  @parameterized.parameters(
      ({"object": []},),
      ({},),
      ({"set": [], "tuple": []},),
      ({"set": [[]]},),
      ({"dict": [1]},),
      ({"int": "x"},),
      ({"int": 5},),
      ({"bytes": "0"},),
      ({"complex": ["a"]},),
      ({"range": ["a"]},),
      ({"range": [1, 2, 0]},),
      ({"decimal": "a"},),
      ({"decimal": None},),
      ({"fraction": [1, 0]},),
      ({"fraction": ["a", 1]},),
      ({"tuple": 5},),
      ({"constant": "eval"},),
      ({"constant": ["int"]},),
      ({"date": "x"},),
      ({"datetime": 5},),
      ({"time": "25:00"},),
      ({"timedelta": ["x"]},),
      ({"timedelta": [10**12]},),
      ({"counter": [1]},),
      ({"ordered": [1]},),
      ({"default": []},),
      ({"default": [None, 1]},),
      ({"default": [[], [1, 2]]},),
      ({"named": []},),
      ({"named": [["x"], 1]},),
      ({"named": [{"tuple": ["x"]}]},),
      ({"named": [{"tuple": ["x"]}, 1, 2]},),
      ({"named": [{"tuple": ["__eq__"]}, 1]},),
      ({"named": [{"tuple": ["a=print(1)"]}, 1]},),
      (json.loads("[" * 200 + "]" * 200),),
  )
  def test_nonsense_is_refused(self, data):
    with self.assertRaises((ValueError, TypeError, KeyError, ArithmeticError)):
      codec.decode(data)


class FramesTest(absltest.TestCase):

  def pipe(self, data):
    source, sink = os.pipe()
    self.addCleanup(os.close, source)
    os.write(sink, data)
    os.close(sink)
    return source

  def test_messages_arrive_one_by_one(self):
    data = frames.pack({"a": "\ud800"}) + frames.pack([1])
    source = self.pipe(data)
    self.assertEqual(frames.receive(source), {"a": "\ud800"})
    self.assertEqual(frames.receive(source), [1])
    with self.assertRaises(EOFError):
      frames.receive(source)

  def test_what_is_no_message_is_refused(self):
    length = struct.Struct("<I").pack
    for data in (
        length(2**32 - 1),
        length(2) + b"[x",
        length(2) + b"\xff\xff",
        length(0),
        length(60_000) + b"[" * 60_000,
    ):
      with self.assertRaises(frames.FrameError):
        frames.receive(self.pipe(data))
    for data in (b"\x01", length(5) + b"[1]"):
      with self.assertRaises(EOFError):
        frames.receive(self.pipe(data))

  def test_large_messages_are_not_made(self):
    with self.assertRaisesRegex(ValueError, "at most"):
      frames.pack("x" * frames.MAX_BYTES)


class NamesTest(parameterized.TestCase):

  @parameterized.parameters(
      "assert f(1) == candidate(2)",
      "import math as m\nfrom re import sub as s\nassert f(m.pi, s)",
      "import os.path\nassert f(os.path.sep)",
      "from math import *\nassert f(pi) == sqrt(4)",
      "a, (b, *c) = 1, (2, 3)\nassert f(a, b, c)",
      "assert [f(x) for x in range(3) if x] == [f(y) for y in (1, 2)]",
      "assert {k: v for k, v in zip([1], [2])}",
      "def check(g, *args, k=1, **kw):\n  return g(args, k, kw)\ncheck(f)",
      "def outer(a):\n  b = a\n  def inner(): return a, b\n  return inner",
      "assert (lambda q, r=2: q + r)(1) == f(3)",
      "try:\n  f(1)\nexcept ValueError as error:\n  print(error)",
      "with open('x') as file, open(file) as other: other",
      "def g():\n  global late\n  late = 1\ng()\nassert f(late)",
      "def g(): return h()\ndef h(): return 1",
      "class Node:\n  size = 1\n  def g(self): return __class__, Node",
      "if (n := f(1)): print(n)",
      "assert [y for x in (1, 2) if (y := x)] and y",
      "match f(1):\n  case {'a': a, **r}: print(a, r)\n  case [b, *c]: b, c",
      "for i, j in f(1):\n  print(i, j)",
      "x: int = 1\nprint(x, __name__)",
      "print(len, ValueError, True, __debug__, NotImplemented)",
  )
  def test_tests_that_stand_alone(self, tests):
    self.assertEqual(needs_solution_names(tests, "f"), [])

  @parameterized.parameters(
      ("assert f(Pair(1, 2)) == Node(Pair(3, 4))", ["Node", "Pair"]),
      ("assert [f(x) for x in range(3)] == x", ["x"]),
      ("def g(a): return a + helper(a)\ng(1)", ["helper"]),
      ("def g(a):\n  b = 1\n  return a\nassert f(b)", ["b"]),
      ("class A:\n  z = 1\n  def g(self): return z", ["z"]),
      ("def g(a: Kind = start) -> Other: pass", ["Kind", "Other", "start"]),
      ("class A(Base, metaclass=Meta): pass", ["Base", "Meta"]),
      ("@decorate\ndef g(): pass", ["decorate"]),
      ("match f(1):\n  case Point(x=0): pass", ["Point"]),
      ("assert f(lambda a: a + b)", ["b"]),
      ("math.pi", ["math"]),
      ("assert g(1) == 2", ["g"]),
      ("f'{missing}'", ["missing"]),
  )
  def test_tests_that_need_the_solution(self, tests, expected):
    self.assertEqual(needs_solution_names(tests, "f"), expected)

  def test_tests_that_do_not_compile_are_an_error(self):
    for tests in ("assert (", "a\0b"):
      with self.assertRaisesRegex(ValueError, "tests of 'f' do not compile"):
        needs_solution_names(tests, "f")


class PreloadTest(absltest.TestCase):

  def test_common_modules_are_there(self):
    # Programs import them without need.
    self.assertContainsSubset(
        ["unittest.mock", "logging.config", "http.client", "urllib.request"],
        preload.MODULES,
    )

  def test_all_modules_exist(self):
    # A misspelt name would be passed over in silence.
    for name in preload.MODULES:
      self.assertIsNotNone(importlib.util.find_spec(name), name)


if __name__ == "__main__":
  absltest.main()
