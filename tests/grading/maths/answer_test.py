r"""Tests of the maths grader: extraction, limits, workers, golds."""

import importlib.util
import os
import random
import signal
import subprocess
import sys
import threading
import time

from absl.testing import absltest
from absl.testing import parameterized
import pytest

from score_jax.grading import math_answer
from score_jax.grading import worker_pool
from score_jax.grading.errors import GraderError
from score_jax.grading.math_answer import MathGrader
from tests.helpers import math_hostile

# All of them need algebra.
SLOW_PAIRS = (
    (r"\sqrt{8}", r"2\sqrt{2}", "correct"),
    (r"\sqrt{8}", r"3\sqrt{2}", "wrong"),
    (r"x^2+2x+1", r"(x+1)^2", "correct"),
    (r"x^2+2x+1", r"(x-1)^2", "wrong"),
    (r"\frac{\pi}{4}", r"\arctan 1", "correct"),
    (r"\frac{\pi}{4}", r"\frac{1}{", "no_answer"),
    (r"(\sqrt{2},1)", r"(2^{1/2},1)", "correct"),
    (r"\sqrt{3}", r"\qux{3}", "unparseable"),
)


def _boxes(answers):
  return [rf"so \boxed{{{answer}}}" for answer in answers]


def _statuses(grades):
  return [grade.status for grade in grades]


class StatedAnswerTest(parameterized.TestCase):

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.grader = MathGrader()
    cls.addClassCleanup(cls.grader.close)

  @parameterized.parameters(
      (r"first \boxed{4}, no: \boxed{ 5. }", "5"),
      (r"\boxed{\dfrac{1}{2}}", r"\frac{1}{2}"),
      (r"$\boxed{\text{(A)}}$", r"\text{(A)}"),
      ("The final answer is $\\frac12$. I hope it is correct.", r"\frac{1}{2}"),
      ("Final Answer: The final answer is $x+1$. I hope it is", "x+1"),
      ("**Final Answer:** $10,\\!000$", "10000"),
      ("The answer is\n\n\\[\n 5 \n\\]\nDone.", "5"),
      ("The answer is: $$x = 5$$", "x=5"),
      ("#### 1,234", "1234"),
      ("The answer is \\(5\\).", "5"),
      ("The answer is 1.5. Indeed.", "1.5"),
  )
  def test_what_an_attempt_states(self, text, expected):
    (grade,) = self.grader.grade([text], ["5"])
    self.assertEqual(grade.answer, expected)

  @parameterized.parameters(
      "I don't think that the answer is 5.",
      "It's not true that the final answer is 5.",
      "Nobody says the answer is 5.",
      "I doubt my answer is 5.",
      "The incorrect answer is 5.",
      "My former answer is 5.",
      "The answer is 5. That is incorrect.",
      "The answer is 5.\nWait, that's not right.",
      "The answer is 5. Wrong! It is 6.",
      "The answer is 5. Oh no, it should be $6$.",
      "The answer is 5. No, it's \\frac{1}{2}.",
      "The answer is $$5$$. But this is not the answer.",
  )
  def test_denied_answers_are_none(self, text):
    (grade,) = self.grader.grade([text], ["5"])
    self.assertEqual(grade.status, "no_answer")

  @parameterized.parameters(
      "The answer is 5. It is false that there are more.",
      "The answer is 5. And it is 5 for every n.",
      "The answer is 5. This is not true for n=3.",
      "The answer is 5. No, it is a prime, so no more is needed.",
      "n is not 3, so that the answer is 5.",
      "Without a doubt the answer is 5.",
      "The answer is 5\n\nThe answer is positive, so it makes sense.",
      "The answer is 5.\n\n**Note:** The answer is an integer.",
      "The answer is equal to 5, obviously.",
      "\u6240\u4ee5\u7b54\u6848\u662f$5$\u3002",
  )
  def test_what_only_sounds_like_a_denial(self, text):
    (grade,) = self.grader.grade([text], ["5"])
    self.assertTrue(grade.is_correct)

  @parameterized.parameters(
      "so it is 5",
      r"\boxed{5",
      r"\boxed{}",
      r"\boxed{ $ $ . }",
      r"The answer is 5. \boxed{}",
      "",
  )
  def test_nothing_stated(self, text):
    (grade,) = self.grader.grade([text], ["5"])
    self.assertEqual(grade.status, "no_answer")
    self.assertIsNone(grade.answer)


class MathGraderTest(parameterized.TestCase):

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.grader = MathGrader(timeout_s=20.0)
    cls.addClassCleanup(cls.grader.close)

  def _grade_slow_pairs(self, grader=None):
    golds, answers, expected = zip(*SLOW_PAIRS, strict=True)
    grades = (grader or self.grader).grade(_boxes(answers), golds)
    self.assertSequenceEqual(_statuses(grades), expected)

  def test_statuses_methods_and_answers(self):
    grades = self.grader.grade(
        [
            r"\boxed{5.0}",
            r"\boxed{6}",
            "it is 5",
            r"\boxed{9^{9^{9}}}",
            r"\boxed{\qux}",
            r"\boxed{\sqrt{25}}",
        ],
        ["5"] * 6,
    )
    self.assertEqual(
        [(g.is_correct, g.status, g.method, g.answer) for g in grades],
        [
            (True, "correct", "exact", "5.0"),
            (False, "wrong", "exact", "6"),
            (False, "no_answer", "exact", None),
            (False, "refused", "exact", "9^{9^{9}}"),
            (False, "unparseable", "symbolic", r"\qux"),
            (True, "correct", "symbolic", r"\sqrt{25}"),
        ],
    )

  def test_only_the_last_box_counts(self):
    texts = [r"\boxed{4} or \boxed{5}", r"\boxed{5} or \boxed{4}"]
    grades = self.grader.grade(texts, ["5", "5"])
    self.assertEqual(_statuses(grades), ["correct", "wrong"])

  def test_huge_numbers_in_golds_are_numbers(self):
    golds, answers = ["(1,10^{400})", "(10^{400},5)"], ["1<x<2", "x<5"]
    texts = [rf"\boxed{{{answer}}}" for answer in answers]
    statuses = [g.status for g in self.grader.grade(texts, golds)]
    self.assertEqual(statuses, ["wrong", "wrong"])

  def test_towers_of_exponentials_are_refused(self):
    (grade,) = self.grader.grade([r"\boxed{\exp\exp\exp\exp 5}"], ["5"])
    self.assertEqual(grade.status, "refused")

  def test_plain_answers_need_no_worker(self):
    with MathGrader() as grader:
      golds = ["5", r"\frac{1}{2}", r"\text{(A)}", "(1,2)"]
      self.assertEmpty(grader.unreadable_golds(golds))
      grader.grade(_boxes(["5", "0.5", "B", "[1,2]"]), ["6", "1/2", "A", "5"])
      self.assertEmpty(grader._pool.pids())

  def test_lengths_must_agree(self):
    with self.assertRaises(ValueError):
      self.grader.grade(["5"], [])
    self.assertEqual(self.grader.grade([], []), [])

  @parameterized.parameters(
      "5", r"\sqrt{2}x", "(1,2)", r"[2,\infty)", r"\text{even}"
  )
  def test_hostile_answers_are_never_right_nor_raise_nor_hang(self, gold):
    answers = (*math_hostile.CHEAP, *math_hostile.COSTLY)
    texts = [*_boxes(answers), *(f"The answer is {a}" for a in answers)]
    start = time.monotonic()
    grades = self.grader.grade(texts, [gold] * len(texts))
    self.assertLess(time.monotonic() - start, 15.0)
    right = [grade.answer for grade in grades if grade.is_correct]
    self.assertEmpty(right)

  def test_hostile_texts_around_the_answer(self):
    pieces = (
        *(r"\boxed{", r"\boxed ", r"\boxed5", "{", "}", "\\{", "$", "\\", "("),
        *("answer is ", "answer is correct ", "of the answer is ", "answer\n"),
        *("previous ", "the ", "#", "#### 5 ", "#### **", "*", " ", "\n"),
        *("<think>", "</think>", "because ", ", which ", " , ( , ("),
    )
    texts = [
        start + piece * (100_000 // len(piece)) + end
        for piece in pieces
        for start, end in (("", r"\boxed{5}"), ("The answer is 5", ""))
    ]
    start = time.monotonic()
    self.grader.grade(texts, ["5"] * len(texts))
    self.assertLess(time.monotonic() - start, 15.0)

  def test_the_limits_stop_what_would_hang(self):
    answers = [a for a in math_hostile.CHEAP if "9^{9" in a or "!" in a]
    grades = self.grader.grade(_boxes(answers), [r"\sqrt{2}"] * len(answers))
    self.assertGreater(len(answers), 8)
    self.assertEqual({grade.status for grade in grades}, {"refused"})

  def test_grades_from_any_thread_and_leaves_the_callers_alarm_alone(self):
    failures = []

    def run():
      try:
        self._grade_slow_pairs()
      except BaseException as error:  # Of any kind: a thread hides it.
        failures.append(error)

    handler = signal.signal(signal.SIGALRM, lambda *unused: None)
    self.addCleanup(signal.signal, signal.SIGALRM, handler)
    self.addCleanup(signal.setitimer, signal.ITIMER_REAL, 0)
    mine = signal.getsignal(signal.SIGALRM)
    signal.setitimer(signal.ITIMER_REAL, 1000.0)
    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
      thread.start()
    self._grade_slow_pairs()
    for thread in threads:
      thread.join()
    self.assertEmpty(failures)
    self.assertGreater(signal.getitimer(signal.ITIMER_REAL)[0], 900.0)
    self.assertIs(signal.getsignal(signal.SIGALRM), mine)

  @pytest.mark.slow
  def test_batch_mates_order_workers_and_cache_change_nothing(self):
    pairs = [(f"so \\boxed{{{a}}}", g) for g, a, _ in SLOW_PAIRS] * 3
    pairs += [(rf"\boxed{{{a}}}", r"\sqrt{2}") for a in math_hostile.COSTLY]
    with MathGrader(num_workers=3, timeout_s=20.0) as other:
      expected = other.grade(*zip(*pairs, strict=True))
      again = other.grade(*zip(*pairs, strict=True))
    self.assertEqual(expected, again)
    order = list(range(len(pairs)))
    random.Random(0).shuffle(order)
    shuffled = self.grader.grade(*zip(*(pairs[i] for i in order), strict=True))
    self.assertEqual(shuffled, [expected[i] for i in order])
    with MathGrader(num_workers=1, timeout_s=20.0) as other:
      alone = [other.grade([text], [gold])[0] for text, gold in pairs]
    self.assertEqual(alone, expected)

  def test_a_pair_is_worked_out_once(self):
    with MathGrader(num_workers=1, timeout_s=20.0) as grader:
      self._grade_slow_pairs(grader)
      with absltest.mock.patch.object(
          grader._pool, "run", return_value=[]
      ) as run:
        self._grade_slow_pairs(grader)
      run.assert_called_once_with([])

  def test_the_time_limit_is_held_and_not_remembered(self):
    pair = [rf"\boxed{{{'1' * 60}^{{9999}}}}"], [r"\sqrt{5}"]
    with MathGrader(num_workers=1, timeout_s=0.002) as grader:
      (grade,) = grader.grade(*pair)
      self.assertEqual((grade.status, grade.is_correct), ("timeout", False))
      grader._pool._timeout_s = 20.0
      self.assertEqual(grader.grade(*pair)[0].status, "unparseable")

  def test_too_little_memory_is_a_limit_of_the_answer(self):
    reply = worker_pool.Reply("memory")
    with absltest.mock.patch.object(
        self.grader._pool, "run", return_value=[reply]
    ):
      grades = self.grader.grade([r"\boxed{\sqrt{7}}"], [r"\sqrt{11}"])
    self.assertEqual(_statuses(grades), ["timeout"])

  @pytest.mark.slow
  def test_a_worker_killed_in_the_middle_of_a_batch_changes_no_grade(self):
    answers = [rf"(x+{i})^{{2}}-x^{{2}}" for i in range(400)]
    golds = [f"{2 * i}x+{i * i}" for i in range(400)]
    with MathGrader(timeout_s=20.0) as grader:
      grader.grade(_boxes(["x+1"]), ["1+x"])
      victims = grader._pool.pids()
      for victim in victims:
        threading.Timer(0.1, os.kill, (victim, signal.SIGKILL)).start()
      grades = grader.grade(_boxes(answers), golds)
      self.assertNotIn(victims[0], grader._pool.pids())
    self.assertEqual(set(_statuses(grades)), {"correct"})

  def test_a_broken_worker_raises_instead_of_giving_grades(self):
    command = [sys.executable, "-c", "raise SystemExit(3)"]
    with absltest.mock.patch.object(
        math_answer, "_worker_command", return_value=command
    ):
      grader = MathGrader()
    with grader, self.assertRaisesRegex(GraderError, "ended with 3"):
      grader.grade([r"\boxed{2\sqrt{2}}"], [r"\sqrt{8}"])

  @parameterized.parameters(
      ("", "1 to"),
      (" $ $ ", "1 to"),
      ("1" * 301, "1 to"),
      ("x" * 2001, "longer"),
      (r"\frac{1}{2", "never closes"),
      ("5)", "never open"),
      (r"\qux{5}", "no readable"),
      ("9^{9^{9}}", "exponents"),
      ("1/2x", "no readable"),
      (r"\frac{1}{0}", "no readable"),
  )
  def test_golds_that_cannot_be_graded_stop_the_run(self, gold, reason):
    golds = ["5", r"\sqrt{2}", gold, "6", gold]
    reasons = self.grader.unreadable_golds(golds)
    self.assertEqual(list(reasons), [2, 4])
    self.assertIn(reason, reasons[2])
    with self.assertRaisesRegex(ValueError, "gold answer"):
      self.grader.grade([r"\boxed{\sqrt{3}+1}"], [gold])

  def test_many_golds_are_checked_fast(self):
    golds = [str(i) for i in range(12_000)] + [rf"\sqrt{{{i}}}" for i in "235"]
    start = time.monotonic()
    self.assertEmpty(self.grader.unreadable_golds(golds))
    self.assertLess(time.monotonic() - start, 10.0)

  def test_missing_sympy_is_said_at_once(self):
    with absltest.mock.patch.object(
        importlib.util, "find_spec", return_value=None
    ):
      with self.assertRaisesRegex(ValueError, r"pip install -e \.\[math\]"):
        MathGrader()

  @pytest.mark.slow
  def test_the_trainer_imports_no_sympy_and_the_workers_no_jax(self):
    program = (
        "import sys; import score_jax.grading.{};"
        " sys.exit('{}' in sys.modules)"
    )
    for names in (("math_answer", "sympy"), ("maths.symbolic", "jax")):
      result = subprocess.run([sys.executable, "-c", program.format(*names)])
      self.assertEqual(result.returncode, 0, names)


if __name__ == "__main__":
  absltest.main()
