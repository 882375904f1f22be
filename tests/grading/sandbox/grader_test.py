"""Tests of the verdicts of the sandbox, in every tier of this machine."""

import collections
import functools
import itertools
import threading

from absl.testing import absltest
from absl.testing import parameterized
import pytest

from experiments import bench_graders
from score_jax.grading import errors
from tests.helpers.sandbox_cases import TIERS
from tests.helpers.sandbox_cases import make_grader

_IDENTITY = "def f(x): return x"
_made = []


@functools.cache
def grader(tier):
  """One grader for all tests of a tier."""
  made = make_grader(tier, timeout_s=2.0, memory_mb=256)
  _made.append(made)
  return made


def tearDownModule():
  while _made:
    _made.pop().close()
  grader.cache_clear()


def status(solution, tests="assert candidate(5) == 5", tier=TIERS[0]):
  (grade,) = grader(tier).grade([solution], [tests], ["f"])
  assert grade.is_correct == (grade.status == "pass"), grade
  assert (grade.answer, grade.method) == (solution, "tests"), grade
  return grade.status


# Status and solution, where the tests are `assert candidate(5) == 5`.
CASES = (
    ("pass", _IDENTITY),
    ("pass", "f = lambda x: print('x' * 10**6) or x"),
    ("pass", "def \u00f1(x): return x\nf = \u00f1"),
    ("pass", "def f(x):\n  import sys, math\n  return x"),
    (
        "pass",
        "import asyncio\n"
        "async def g(x):\n"
        "  await asyncio.sleep(0.01)\n"
        "  return x\n"
        "async def h(x):\n"
        "  async with asyncio.timeout(60):\n"
        "    return max(await asyncio.gather(g(x), g(1)))\n"
        "def f(x):\n"
        "  loop = asyncio.new_event_loop()\n"
        "  loop.run_until_complete(g(x))\n"
        "  loop.close()\n"
        "  return asyncio.run(h(x))",
    ),
    ("fail", "def f(x): return x + 1"),
    ("fail", "def f(x): return f(x)"),
    ("fail", "def f(x): raise KeyError"),
    ("fail", "def f(): return 5"),
    ("timeout", "import time\ndef f(x): time.sleep(60)"),
    ("timeout", "while True: pass\ndef f(x): return x"),
    (
        "timeout",
        "import signal, time\n"
        "def f(x):\n"
        "  signal.alarm(0)\n"
        "  time.time = time.monotonic = lambda: 0\n"
        "  while True:\n"
        "    try:\n"
        "      while True: pass\n"
        "    except BaseException: pass",
    ),
    ("memory", "def f(x): return len(bytearray(10**11))"),
    ("memory", "a = []\ndef f(x):\n  while True: a.append('x' * 10**6)"),
    ("memory", "a = [0] * 10**11"),
    (
        "memory",
        "a = []\n"
        "def f(x):\n"
        "  for n in (10**6, 10**4, 100, 0):\n"
        "    try:\n"
        "      while True: a.append(bytearray(n))\n"
        "    except MemoryError: pass\n"
        "  while True: a.append([])",
    ),
    ("crash", "import ctypes\ndef f(x): ctypes.string_at(0)"),
    ("crash", "import os\ndef f(x): os._exit(0)"),
    ("crash", "import os\nos._exit(0)"),
    ("crash", "import os\ndef f(x): os.closerange(0, 99)"),
    ("load_error", "def f(x) return x"),
    ("load_error", "def g(x): return x"),
    ("load_error", "f = 5"),
    ("load_error", "import sys\nsys.exit(0)"),
    ("load_error", "import no_such_module\n" + _IDENTITY),
    ("load_error", _IDENTITY + "\0"),
    ("load_error", "def f(x): return '\ud800'"),
    ("load_error", "(" * 10**5 + ")" * 10**5),
    ("load_error", "#" * 10**7),
    ("load_error", ""),
)


class HumanEvalTest(parameterized.TestCase):

  @parameterized.parameters(*TIERS)
  @pytest.mark.slow
  def test_programs_known_to_be_right_pass_and_stubs_fail(self, tier):
    right = grader(tier).grade(*bench_graders.human_eval())
    self.assertEqual(
        collections.Counter(g.status for g in right), {"pass": 164}
    )
    stubs = grader(tier).grade(*bench_graders.human_eval("\n    pass\n"))
    self.assertEqual(
        collections.Counter(g.status for g in stubs), {"fail": 164}
    )


class StatusTest(parameterized.TestCase):

  @parameterized.parameters(*TIERS)
  @pytest.mark.slow
  def test_says_what_happened(self, tier):
    expected, solutions = zip(*CASES, strict=True)
    count = len(CASES)
    tests = ["assert candidate(5) == 5"] * count
    grades = grader(tier).grade(solutions, tests, ["f"] * count)
    for solution, status_, grade in zip(
        solutions, expected, grades, strict=True
    ):
      self.assertEqual(grade.status, status_, solution[:300])
      self.assertEqual(grade.is_correct, status_ == "pass")

  def test_no_solution_is_no_answer(self):
    (grade,) = grader(TIERS[0]).grade([None], ["pass"], ["f"])
    self.assertEqual(grade.status, "no_answer")
    self.assertFalse(grade.is_correct)
    self.assertIsNone(grade.answer)

  @parameterized.parameters(
      "",
      "assert True",
      "def check(candidate):\n  assert candidate(5) == 6",
      "def check(candidate):\n  assert candidate(5) == 6\ncheck",
      "if f == 5:\n  assert f(5) == 6",
      "f = None\ncandidate = lambda x: x\nassert candidate(5) == 5",
      "assert callable(candidate)",
      "try:\n  1 / 0\n  candidate(5)\nexcept Exception:\n  pass",
      "[candidate(x) for x in ()]",
  )
  def test_tests_without_a_call_are_refused(self, tests):
    for solution in (_IDENTITY, "def f(x): raise ValueError"):
      with self.assertRaisesRegex(
          errors.UnjudgeableTestsError, "those of 'f': they pass without a call"
      ) as caught:
        status(solution, tests)
      self.assertEqual(caught.exception.uncalled, (0,))
    self.assertEqual(status("def g(x): return x", tests), "load_error")
    self.assertEqual(status("f(", tests), "load_error")

  @parameterized.parameters(
      ("fail", "assert False\ncandidate(5)"),
      ("fail", "exit(0)\ncandidate(5)"),
      ("fail", "raise ValueError"),
      ("pass", "for x in range(3):\n  if x > 1: assert candidate(x) == x"),
      ("pass", "candidate(5)"),
      ("pass", "try:\n  candidate(1, 2)\nexcept TypeError:\n  pass"),
  )
  def test_one_call_is_enough_and_failures_need_none(self, expected, tests):
    self.assertEqual(status(_IDENTITY, tests), expected)

  def test_the_tests_calls_count_and_not_the_programs(self):
    solution = _IDENTITY + "\nfor i in range(9): f(i)"
    with self.assertRaises(errors.UnjudgeableTestsError):
      status(solution, "assert True")

  @parameterized.parameters(
      "raise SystemExit(0)",
      "exit(0)",
      "raise KeyboardInterrupt",
      "next(iter(()))",
  )
  def test_tests_that_do_not_reach_their_end_fail(self, tests):
    self.assertEqual(status(_IDENTITY, tests), "fail")

  def test_tests_know_the_function_by_both_names(self):
    self.assertEqual(status(_IDENTITY, "assert f(1) == candidate(x=1)"), "pass")

  def test_plain_data_arrives_as_it_was(self):
    tests = """
import math
for value in (None, True, -2, 10**5000, 0.1, "\\ud800", b"\\xff", [1, [2]],
              (1,), {1, 2}, frozenset([3]), {(1, "a"): [None]}, 1j, range(3)):
  back = candidate(value)
  assert back == value and type(back) is type(value), value
assert math.isnan(candidate(math.nan))
assert candidate(-math.inf) == -math.inf
assert math.copysign(1, candidate(-0.0)) == -1
"""
    self.assertEqual(status(_IDENTITY, tests), "pass")

  def test_types_can_be_passed_and_returned(self):
    for body, tests in (
        ("type(x)", "assert candidate(1) is int and candidate('') == str"),
        ("[type(y) for y in x]", "assert candidate([1, None])[0] == int"),
        ("isinstance(1, x)", "assert candidate(int) and not candidate(str)"),
        ("x is ...", "assert candidate(...) and not candidate(1)"),
    ):
      self.assertEqual(status(f"def f(x): return {body}", tests), "pass")
    for body in (
        "type('int', (), {})",
        "type('M', (type,), {'__eq__': lambda s, o: True})('A', (), {})",
        "type('M', (type,), {'__instancecheck__': max})('A', (), {})",
        "str",
    ):
      for tests in (
          "assert candidate(1) == int",
          "assert candidate(1) is int",
          "assert isinstance(1, candidate(1))",
      ):
        self.assertEqual(status(f"def f(x): return {body}", tests), "fail")

  def test_iterators_and_views_can_be_listed(self):
    tests = "assert list(candidate({1: 2})) == [1]"
    for body in ("(k for k in x)", "map(int, x)", "x.keys()", "iter(x)"):
      self.assertEqual(status(f"def f(x): return {body}", tests), "pass")
    self.assertEqual(status("def f(x):\n  while True: yield 1", tests), "fail")


class ObjectTest(parameterized.TestCase):
  """What a solution returns instead of plain data."""

  @parameterized.parameters(
      ("lambda y: x + y", "assert candidate(1)(2) == 3"),
      ("lambda y: lambda z: x + y * z", "assert candidate(1)(2)(z=3) == 7"),
      ("print", "assert candidate(1)(2) is None"),
      ("1 / 0 if x else f", "assert candidate(0)(0) and candidate(0)"),
      ("object()", "assert candidate(1)\nassert candidate(1) is not None"),
      ("[object()]", "a = candidate(1)\nassert a and a == a and not a != a"),
      ("__import__('re').match('a', x)", "assert candidate('ab')"),
      ("__import__('re').match('a', x)", "assert not candidate('b')"),
      ("type('A', (), {'__bool__': lambda s: x > 1})()", "assert candidate(2)"),
      (
          "type('A', (), {'__bool__': lambda s: x > 1})()",
          "assert not candidate(1)",
      ),
      (
          "lambda: 1 / x",
          "try:\n  candidate(0)()\nexcept ZeroDivisionError:\n  pass\n"
          "else:\n  assert False",
      ),
  )
  def test_can_be_called_and_is_true_or_false(self, body, tests):
    self.assertEqual(status(f"def f(x): return {body}", tests), "pass")

  @parameterized.product(
      body=(
          "lambda *args: 5",
          "type('A', (), {'__eq__': lambda s, o: True})()",
          "type('A', (), {'__ne__': lambda s, o: False})()",
          "[type('A', (), {'__eq__': lambda s, o: True})()]",
          "type('A', (), {'__call__': lambda s: s, 'x': 5})()",
          "type('A', (), {'__bool__': lambda s: 1 / 0})()",
      ),
      tests=(
          "assert candidate(5) == 5",
          "assert 5 == candidate(5)",
          "assert not candidate(5) != 5",
          "assert candidate(5) in (5, [5])",
          "assert candidate(5) in {5: 1}",
          "assert candidate(5) == candidate(5)",
          "assert candidate(5).x == 5",
          "assert candidate(5) < 9",
          "assert isinstance(candidate(5), int) and candidate(5) == 5",
          "assert str(candidate(5)) == '5'",
          "assert len(candidate(5)) == 5",
          "assert list(candidate(5))[0] == 5",
          "assert candidate(candidate(5)) == 5",
          "assert candidate([candidate(5)]) == 5",
          "assert candidate(5)(lambda: 5) == 5",
      ),
  )
  def test_is_equal_to_nothing(self, body, tests):
    self.assertEqual(status(f"def f(x): return {body}", tests), "fail")

  def test_tests_that_pass_one_on_are_not_at_fault(self):
    """Else a program could end a run."""
    tests = "candidate(candidate(1))"
    self.assertEqual(status("def f(x): return f", tests), "fail")

  def test_no_object_lasts_longer_than_a_verdict(self):
    tests = "assert candidate(1)(2) == 2"
    self.assertEqual(status("def f(x): return lambda y: y", tests), "pass")
    self.assertEqual(status("def f(x): return 2", tests), "fail")


class LendingTest(parameterized.TestCase):
  """Functions that the tests hand to a solution."""

  @parameterized.parameters(
      ("g(x)", "assert candidate(lambda y: y * 2, 3) == 6"),
      ("g(x)", "assert candidate(g=lambda y: y * 2, x=3) == 6"),
      ("g(x)", "assert candidate(abs, -2) == 2"),
      ("g(x)", "assert candidate(str.upper, 'a') == 'A'"),
      ("g(*x)", "import operator\nassert candidate(operator.add, (1, 2)) == 3"),
      ("g(x)", "import math\nassert candidate(math.sqrt, 4) == 2"),
      (
          "g(x)",
          "from functools import partial\n"
          "assert candidate(partial(pow, 2), 3) == 8",
      ),
      ("g(x)", "def g(y): return [y]\nassert candidate(g, 3) == [3]"),
      ("g(x, k=1)", "assert candidate(lambda y, k: (y, k), 3) == (3, 1)"),
      ("map(g, x)", "assert list(candidate(lambda y: y + 1, [1])) == [2]"),
      ("sorted(x, key=g)", "assert candidate(lambda y: -y, [1, 2]) == [2, 1]"),
      ("lambda y: g(g(y))", "assert candidate(lambda y: y + 1, 0)(1) == 3"),
      (
          "g(x)",
          "def g(y): return 1 + candidate(g, y - 1) if y else 0\n"
          "assert candidate(g, 5) == 5",
      ),
  )
  def test_can_be_called(self, body, tests):
    self.assertEqual(status(f"def f(g, x): return {body}", tests), "pass")

  def test_is_called_once_for_every_call(self):
    tests = (
        "a = []\ncandidate(lambda y: a.append(y), [1, 2])\nassert a == [1, 2]"
    )
    self.assertEqual(status("def f(g, x):\n  for y in x: g(y)", tests), "pass")
    self.assertEqual(status("def f(g, x): return g(1)", tests), "fail")

  def test_exceptions_cross_both_ways(self):
    tests = (
        "def g(y): raise KeyError(y)\n"
        "try:\n  assert candidate(g, 1) == 2\n"
        "except KeyError as error:\n  assert error.args == (1,)"
    )
    self.assertEqual(status("def f(g, x): return g(x)", tests), "pass")
    caught = "def f(g, x):\n  try: g(x)\n  except KeyError as e: return {}"
    self.assertEqual(status(caught.format("e.args[0] + 1"), tests), "pass")
    self.assertEqual(status(caught.format("3"), tests), "fail")

  def test_what_the_tests_deny_no_solution_saves(self):
    tests = "def g(y): assert y == 1\nassert candidate(g, 1) == 2"
    for solution, expected in (
        ("def f(g, x):\n  g(1)\n  return 2", "pass"),
        ("def f(g, x):\n  g(2)\n  return 2", "fail"),
        ("def f(g, x):\n  try: g(2)\n  except: pass\n  return 2", "fail"),
        (
            "def f(g, x):\n  try: g(2)\n  finally: return 2",
            "fail",
        ),
    ):
      self.assertEqual(status(solution, tests), expected)

  @parameterized.parameters(
      "g(f)",
      "g(lambda: 1)",
      "g(x, x)",
      "g(g)",
      "f(g, x)",
      "g.__globals__['candidate'] and x",
      "type('A', (int,), {'__eq__': lambda s, o: True})(g(8))",
  )
  def test_wrong_programs_fail(self, body):
    tests = "assert candidate(lambda y: y - 1, 5) == 4"
    self.assertIn(
        status(f"def f(g, x): return {body}", tests), ("fail", "crash")
    )

  def test_lies_about_calls_fail(self):
    lie = (
        "import json, os, struct\n"
        "def f(g, x):\n"
        "  for fd in range(3, 16):\n"
        "    try:\n"
        "      data = json.dumps({}).encode()\n"
        "      os.write(fd, struct.pack('<I', len(data)) + data)\n"
        "    except OSError: pass\n"
        "  return x"
    )
    tests = "assert candidate(lambda y: y - 1, 5) == 4"
    for message in (
        {"lent": 1, "call": {"tuple": [[5], {"dict": []}]}},
        {"lent": "0", "call": {"tuple": [[5], {"dict": []}]}},
        {"lent": 0, "call": 5},
        {"lent": 0, "call": {"tuple": [5, 5]}},
        {"lent": 0},
        {"lent": None, "returned": 4.5},
        {"lent": [], "call": []},
    ):
      self.assertIn(status(lie.format(message), tests), ("fail", "crash"))

  @parameterized.parameters(
      *("eval", "exec", "open", "getattr", "print", "__import__", "str.format"),
      *("[].append", "object()", "candidate", "type('A', (), {})()"),
      *("__import__('os').system", "__import__('operator').call"),
      *("__import__('os').path.join", "__import__('functools').partial(eval)"),
  )
  def test_what_reaches_further_is_not_lent(self, function):
    with self.assertRaises(errors.UnjudgeableTestsError):
      status("def f(g, x): return x", f"candidate({function}, 1)")


class ExceptionTest(parameterized.TestCase):

  @parameterized.parameters(
      ("ValueError('a', 1)", "ValueError", "('a', 1)"),
      ("KeyError('a')", "KeyError", "('a',)"),
      ("ZeroDivisionError", "ZeroDivisionError", "()"),
      ("UnicodeEncodeError('a', 'b', 0, 1, 'c')", "UnicodeEncodeError", None),
      ("type('Own', (LookupError,), {})(2)", "LookupError", "(2,)"),
      ("type('Own', (Exception,), {})()", "Exception", "()"),
      ("ValueError(object())", "ValueError", "()"),
      ("AssertionError('positive')", "AssertionError", "('positive',)"),
  )
  def test_builtin_exceptions_arrive(self, raised, kind, args):
    tests = (
        f"try:\n  candidate(1)\nexcept {kind} as error:\n"
        f"  assert type(error) is {kind}\n"
        f"  assert {args} in (None, error.args)\n"
        "else:\n  assert False"
    )
    self.assertEqual(status(f"def f(x): raise {raised}", tests), "pass")

  @parameterized.product(
      raised=(
          "StopIteration",
          "StopAsyncIteration",
          "GeneratorExit",
          "SystemExit(0)",
          "KeyboardInterrupt",
          "BaseException",
          "ExceptionGroup('a', [ValueError()])",
          "type('Own', (StopIteration,), {})",
      ),
      tests=(
          "assert candidate(5) == 5",
          "assert list(map(candidate, [5])) == []",
          "assert all(candidate(x) == x for x in [5])",
          "assert not any(candidate(x) != x for x in [5])",
          "assert list(iter(lambda: candidate(5), 5)) == []",
          "for x in map(candidate, [5, 6]):\n  assert x == 5",
          "try:\n  assert candidate(1) == 2\nexcept AssertionError:\n  pass",
          "import contextlib\nwith contextlib.suppress(SystemExit):\n"
          "  candidate(5)",
      ),
  )
  def test_no_exception_ends_tests_quietly(self, raised, tests):
    self.assertEqual(status(f"def f(x): raise {raised}", tests), "fail")

  @parameterized.parameters(
      "assert candidate(5) == 5",
      "assert not any(candidate(x) != x for x in [5])",
      "for x in map(candidate, [5, 6]):\n  assert x == 5",
      "try:\n  candidate(1)\nexcept AssertionError:\n  assert False",
      "import unittest\nunittest.TestCase().assertEqual(candidate(5), 5)",
  )
  def test_an_assertion_of_the_program_passes_no_test(self, tests):
    for raised in ("AssertionError", "type('A', (AssertionError,), {})"):
      self.assertEqual(status(f"def f(x): raise {raised}", tests), "fail")

  @parameterized.parameters(
      ("crash", "import os\ndef f(x): os._exit(0)"),
      ("crash", "import os\ndef f(x):\n  while True: os.write(3, b'junk')"),
      ("timeout", "def f(x):\n  while True: pass"),
  )
  @pytest.mark.slow
  def test_tests_that_catch_everything_do_not_save_a_dead_one(
      self, expected, solution
  ):
    tests = "try:\n  candidate(5)\nexcept BaseException:\n  pass"
    self.assertEqual(status(solution, tests), expected)


class ForgeryTest(parameterized.TestCase):

  @parameterized.parameters(
      "class A:\n  def __eq__(s, o): return True\ndef f(x): return A()",
      "class A(int):\n  def __eq__(s, o): return True\ndef f(x): return A(7)",
      "class A(list):\n  __eq__ = lambda s, o: True\ndef f(x): return A([7])",
      "class A(str):\n  __eq__ = lambda s, o: True\ndef f(x): return [A('7')]",
      "def f(x): return float('nan')",
      "def f(x):\n  a = []\n  for _ in range(10**5): a = [a]\n  return a",
      "def f(x):\n  a = []\n  a.append(a)\n  return a",
      "import builtins\nbuiltins.AssertionError = KeyError\ndef f(x): return 7",
      "import atexit, os\natexit.register(os._exit, 0)\ndef f(x): return 7",
  )
  def test_wrong_answers_stay_wrong(self, solution):
    tests = (
        "assert candidate(5) == 5 or candidate(5) == [5] or candidate(5) == '5'"
    )
    self.assertEqual(status(solution, tests), "fail")

  def test_nothing_of_the_tests_is_in_the_solver(self):
    solution = """
import gc, sys
def f(x):
  word = "".join(["needle", "_of_the_tests"])
  frame, seen = sys._getframe(1), []
  while frame:
    seen += [frame.f_locals, frame.f_globals]
    frame = frame.f_back
  return word in repr(seen) + repr(gc.get_objects())
"""
    tests = "x = 'needle_of_the_tests'\nassert candidate(5) is False"
    self.assertEqual(status(solution, tests), "pass")

  def test_nothing_is_left_for_the_next_solution(self):
    leave = "import math, sys, builtins\nmath.left = builtins.left = {}\n"
    look = "import math, builtins\nif hasattr(math, 'left'): 1 / 0\n"
    solutions = [leave + _IDENTITY] * 4 + [look + _IDENTITY] * 4
    solutions = [f"#{i}\n{s}" for i, s in enumerate(solutions)]
    count = len(solutions)
    grades = grader(TIERS[0]).grade(
        solutions, ["assert candidate(5) == 5"] * count, ["f"] * count
    )
    self.assertEqual({g.status for g in grades}, {"pass"})

  def test_chance_is_the_same_in_every_run(self):
    outcomes = set()
    # An odd number of bits, so that workers take turns at each of them.
    for i, bit in itertools.product(range(4), range(7)):
      solution = (
          f"#{i}\nimport random\n"
          "x = random.getrandbits(8) ^ hash('a')\n"
          "def f(bit): return x >> bit & 1"
      )
      outcomes.add((bit, status(solution, f"assert candidate({bit})")))
    self.assertLen(outcomes, 7)


class BatchTest(absltest.TestCase):

  def test_grades_do_not_depend_on_their_order(self):
    rows = [
        (solution, f"assert candidate({n}) == {n}", "f")
        for n in range(5)
        for solution in (_IDENTITY, "def f(x): return 0", None, "f(")
    ]
    forth = grader(TIERS[0]).grade(*zip(*rows, strict=True))
    back = grader(TIERS[0]).grade(*zip(*reversed(rows), strict=True))
    self.assertEqual(forth, back[::-1])
    self.assertEqual(
        [g.status for g in forth],
        ["pass", "pass", "no_answer", "load_error"]
        + ["pass", "fail", "no_answer", "load_error"] * 4,
    )

  def test_several_threads_share_a_grader(self):
    results = {}

    def work(n):
      right = [f"def f(x): return {n}"] * 8
      tests = [f"assert candidate({i}) == {i}" for i in range(8)]
      grades = grader(TIERS[0]).grade(right, tests, ["f"] * 8)
      results[n] = [g.is_correct for g in grades]

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
      thread.start()
    for thread in threads:
      thread.join()
    for n, i in itertools.product(range(8), range(8)):
      self.assertEqual(results[n][i], n == i)

  def test_tests_that_cannot_be_judged_are_all_named(self):
    tests = [
        "assert candidate(eval)",
        "assert candidate(1) == 1",
        "x =",
        "assert candidate(object()) == 1",
    ]
    with self.assertRaisesRegex(
        errors.UnjudgeableTestsError, "3 of 4 .*'builtin_function"
    ) as caught:
      grader(TIERS[0]).grade([_IDENTITY] * 4, tests, ["f"] * 4)
    self.assertEqual(caught.exception.indices, (0, 2, 3))
    self.assertEqual(caught.exception.uncalled, ())

  def test_batches_of_unequal_columns_are_refused(self):
    with self.assertRaises(ValueError):
      grader(TIERS[0]).grade([_IDENTITY], ["pass", "pass"], ["f"])

  def test_bad_problems_are_refused(self):
    with self.assertRaisesRegex(ValueError, "entry point 'f.g'"):
      grader(TIERS[0]).grade([_IDENTITY], ["pass"], ["f.g"])
    with self.assertRaisesRegex(ValueError, "at most"):
      grader(TIERS[0]).grade([_IDENTITY], ["#" * 10**7], ["f"])


if __name__ == "__main__":
  absltest.main()
