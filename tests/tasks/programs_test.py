"""Programs are found in attempts, and problems without a verdict left out."""

import contextlib

from absl.testing import absltest
from absl.testing import parameterized
import pytest

from score_jax.grading.errors import GraderError
from score_jax.grading.sandbox import CodeGrader
from score_jax.tasks import programs
from score_jax.tasks.programs import extract_program
from score_jax.types import CodeProblem

F = "def f(x):\n  return x"
G = "def f(x):\n  return x + 1"


class ExtractProgramTest(parameterized.TestCase):

  @parameterized.named_parameters(
      ("tokens", f"[BEGIN]\n{F}\n[DONE]", F),
      ("text_around", f"Here: [BEGIN]\n{F}\n[DONE] That is it.", F),
      ("last_tokens", f"[BEGIN]\n{F}\n[DONE]\n[BEGIN]\n{G}\n[DONE]", G),
      ("goes_on_after_done", f"[BEGIN]\n{F}\n[DONE]\n\nQuestion: {G}", F),
      (
          "goes_on_as_a_shot_would",
          f"[BEGIN]\n{F}\n[DONE]\n\nQuestion: g\nAnswer: [BEGIN]\ndef g(): 1",
          F,
      ),
      ("speaks_of_the_marks", f"[BEGIN]\n{F}\n[DONE] [BEGIN] and [DONE].", F),
      ("begins_again", f"[BEGIN]\n{F}\n[DONE]\n\n[BEGIN]", F),
      ("no_done", f"[BEGIN]\n{F}", F),
      ("only_done", f"{F}\n[DONE]\nQuestion: more", F),
      ("fence_in_tokens", f"[BEGIN]\n```python\n{F}\n```\n[DONE]", F),
      ("fence", f"Sure!\n```python\n{F}\n```\nDone.", F),
      ("plain_fence", f"```\n{F}\n```", F),
      ("indented_fence", f"  ```py\n{F}\n  ```", F),
      ("last_fence", f"```\n{F}\n```\nbetter:\n```\n{G}\n```", G),
      ("usage_behind", f"```\n{F}\n```\n```\nprint(f(1))\n```", F),
      ("cut_fence", f"```python\n{F}", F),
      ("bare", F, F),
      ("bare_with_imports", f"import math\n\n{F}\n", f"import math\n\n{F}"),
      ("lambda", "f = lambda x: x", "f = lambda x: x"),
      ("async", "async def f(x):\n  pass", "async def f(x):\n  pass"),
      # [BEGIN] is the form asked for: what it holds is the answer, good or bad.
      ("other_name", "[BEGIN]\ndef g(): pass\n[DONE]", "def g(): pass"),
      ("indentation_stays", "[BEGIN]\n  return 1\n[DONE]", "  return 1"),
      ("empty", "", None),
      ("empty_tokens", "[BEGIN]\n[DONE]", None),
      ("prose", "The function f should return x.", None),
      ("longer_name", "def f2(x):\n  return x", None),
      ("fence_without_it", "```\nprint(1)\n```", None),
  )
  def test_program_of(self, text, expected):
    self.assertEqual(extract_program(text, "f"), expected)

  def test_names_are_no_patterns(self):
    self.assertIsNone(extract_program("def fx(): pass", "f."))


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

  def test_problems_without_a_verdict_are_left_out_by_reason(self):
    good = _problem(0, "assert f(1) == 1")
    pair = "class Pair:\n  pass\n\ndef f(x):\n  return x"
    kept, left_out = programs.split_by_judgeability(
        [
            good,
            _problem(1, "assert f(Pair()) is None", answer=pair),
            _problem(2, "assert f(print) == print"),
            _problem(3, "assert f(1) == 2"),
        ],
        self.grader,
    )
    self.assertEqual(kept, [good])
    self.assertEqual(
        left_out,
        {
            "tests_use_the_programs_own_classes": ["p/1"],
            "tests_pass_more_than_plain_data": ["p/2"],
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


if __name__ == "__main__":
  absltest.main()
