"""Programs are found in attempts, and problems without a verdict left out."""

import contextlib
import dataclasses

from absl.testing import absltest
import pytest

from score_jax.datasets import human_eval_files
from score_jax.grading.errors import GraderError
from score_jax.grading.errors import UnjudgeableTestsError
from score_jax.grading.sandbox import CodeGrader
from score_jax.tasks import programs
from score_jax.types import CodeProblem
from tests.helpers import program_styles

F = "def f(x):\n  return x"
G = "def f(x):\n  return x + 1"


def _problem(number, tests, answer="def f(x):\n  return x", preamble=""):
  return CodeProblem(
      id=number,
      question="",
      answer=answer,
      source_id=f"p/{number}",
      entry_point="f",
      tests=tests,
      preamble=preamble,
  )


class ProgramGraderTest(absltest.TestCase):

  def setUp(self):
    super().setUp()
    sandbox = self.enterContext(
        contextlib.closing(CodeGrader(num_workers=1, timeout_s=2.0))
    )
    self.grader = programs.ProgramGrader(sandbox)

  def test_grades_are_those_of_the_programs(self):
    problem = _problem(0, "assert f(1) == 1")
    grades = self.grader.grade(
        [problem] * 3, [f"[BEGIN]{F}[DONE]", f"[BEGIN]\n{G}\n[DONE]", "no"]
    )
    self.assertEqual([g.status for g in grades], ["pass", "fail", "no_answer"])
    self.assertEqual([g.answer for g in grades], [F, G, None])
    self.assertEqual([g.is_correct for g in grades], [True, False, False])

  def test_the_preamble_serves_program_and_tests(self):
    problem = _problem(
        0, "assert f(4) == half(4)", preamble="def half(x):\n  return x // 2"
    )
    program = "def f(x):\n  return half(x)"
    (grade,) = self.grader.grade([problem], [program])
    self.assertEqual(grade.status, "pass")
    self.assertEqual(grade.answer, program)

  def test_imports_from_the_future_are_moved_in_front_of_a_preamble(self):
    problem = _problem(
        0,
        "from __future__ import annotations\ndef g(x: Own): pass\nassert f(1)",
        preamble='"""About it."""\nfrom __future__ import division\nimport re',
    )
    for program, expected in (
        ("from __future__ import annotations\ndef f(x: Own): return 1", "pass"),
        ("'x'\nfrom __future__ import annotations; a = 1\nf = int", "pass"),
        ("def f(x: Own): return 1", "load_error"),
        # Python refuses these, whatever stands in front.
        ("a = 1\nfrom __future__ import annotations\nf = int", "load_error"),
        ("from __future__ import nothing\nf = int", "load_error"),
    ):
      (grade,) = self.grader.run([problem], [program])
      self.assertEqual(grade.status, expected, program)

  def test_problems_without_a_verdict_are_left_out_by_reason(self):
    good = _problem(0, "assert f(1) == 1")
    pair = "class Pair:\n  pass\n\ndef f(x):\n  return x"
    kept, left_out = programs.split_by_judgeability(
        [
            good,
            _problem(1, "assert f(Pair()) is None", answer=pair),
            _problem(2, "assert f(print) == print"),
            _problem(3, "assert f(1) == 2"),
            _problem(4, "def check(f):\n  assert f(1) == 2"),
        ],
        self.grader,
    )
    self.assertEqual(kept, [good])
    self.assertEqual(
        left_out,
        {
            "tests_use_the_programs_own_classes": ["p/1"],
            "tests_pass_more_than_plain_data": ["p/2"],
            "tests_never_call_the_function": ["p/4"],
            "own_program_fails": ["p/3"],
        },
    )

  @pytest.mark.slow
  def test_a_limit_met_by_an_own_program_is_no_reason_to_leave_it_out(self):
    slow = "def f(x):\n  while True: pass"
    problems = [
        _problem(0, "assert f(1) == 1"),
        _problem(1, "assert f(1) == 1", answer=slow),
    ]
    with self.assertRaisesRegex(ValueError, r"1 of 2 .* p/1 \(timeout\)"):
      programs.split_by_judgeability(problems, self.grader)

  def test_a_grader_that_passes_nothing_is_no_grader(self):
    with self.assertRaisesRegex(GraderError, "none of the 2"):
      programs.split_by_judgeability(
          [_problem(i, "assert False") for i in range(2)], self.grader
      )


class HumanEvalTest(absltest.TestCase):

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    sandbox = cls.enterClassContext(contextlib.closing(CodeGrader()))
    cls.grader = programs.ProgramGrader(sandbox)
    rows = human_eval_files.read()["test"]
    cls.problems, cls.right, cls.stubs = [], [], []
    for i, row in enumerate(rows):
      head = row["prompt"].index(f"def {row['entry_point']}(")
      cls.problems.append(
          CodeProblem(
              id=i,
              question="",
              answer="",
              source_id=f"HumanEval/{i}",
              entry_point=row["entry_point"],
              tests=f"{row['test']}\ncheck(candidate)\n",
              preamble=row["prompt"][:head],
          )
      )
      program = row["prompt"] + row["canonical_solution"]
      cls.right.append(program.rstrip())
      cls.stubs.append(row["prompt"].rstrip() + "\n    pass")

  def test_tests_that_are_never_started_are_refused(self):
    """A row's tests define `check`: without its call every program passes."""
    problems = [
        dataclasses.replace(p, tests=p.tests.replace("check(candidate)\n", ""))
        for p in self.problems
    ]
    with self.assertRaises(UnjudgeableTestsError) as caught:
      self.grader.run(problems[:16], self.stubs[:16])
    self.assertEqual(caught.exception.uncalled, tuple(range(16)))

  def _num_right(self, programs_, others, every=1):
    """Right attempts by style; equal programs are run once."""
    texts = {
        (name, i): style(programs_[i], others[i])
        for name, style in program_styles.STYLES.items()
        for i in range(0, len(programs_), every)
    }
    problems = [self.problems[i] for _, i in texts]
    grades = self.grader.grade(problems, list(texts.values()))
    counts = dict.fromkeys(program_styles.STYLES, 0)
    for (name, _), grade in zip(texts, grades, strict=True):
      counts[name] += grade.is_correct
    return counts

  def test_three_right_programs_pass_and_their_stubs_fail(self):
    for name, count in self._num_right(self.right, self.stubs, 64).items():
      self.assertEqual(count, 3, name)
    for name, count in self._num_right(self.stubs, self.right, 64).items():
      self.assertEqual(count, 0, name)

  @pytest.mark.slow
  def test_all_right_programs_pass(self):
    for name, count in self._num_right(self.right, self.stubs).items():
      self.assertEqual(count, 164, name)

  @pytest.mark.slow
  def test_all_stubs_fail(self):
    for name, count in self._num_right(self.stubs, self.right).items():
      self.assertEqual(count, 0, name)


if __name__ == "__main__":
  absltest.main()
