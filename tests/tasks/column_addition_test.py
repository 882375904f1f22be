"""Tests of score_jax.tasks.column_addition."""

import dataclasses
import re

from absl.testing import absltest
from absl.testing import parameterized

from score_jax.tasks.column_addition import ColumnAdditionTask
from score_jax.tasks.column_addition import column_sums
from score_jax.tasks.column_addition import num_carries
from score_jax.types import Grade
from score_jax.types import Problem

TASK = ColumnAdditionTask(
    num_digits=3,
    num_test=60,
    num_validation=30,
    num_train=300,
    seed=3,
)
SPLITS = {"test": 60, "validation": 30, "train": 300}
PROBLEM = Problem(id=0, question="What is 964 + 494?", answer="1458")


def _all_problems(task=TASK):
  return [p for split in SPLITS for p in task.problems(split)]


class ProblemsTest(parameterized.TestCase):

  def test_answers_are_the_sums(self):
    for problem in _all_problems():
      self.assertRegex(problem.question, r"^What is [1-9]\d\d \+ [1-9]\d\d\?$")
      first, second = map(int, re.findall(r"\d+", problem.question))
      self.assertEqual(problem.answer, str(first + second))

  @parameterized.parameters(
      (964, 494, 3, [13, 15, 8], 2),
      (111, 222, 3, [3, 3, 3], 0),
      (999, 901, 3, [18, 9, 10], 3),
      (905, 95, 3, [9, 9, 10], 3),
      (95, 5, 2, [9, 10], 2),
  )
  def test_columns(self, first, second, num_digits, sums, carries):
    self.assertEqual(column_sums(first, second, num_digits), sums)
    self.assertEqual(num_carries(sums), carries)

  def test_columns_make_the_sum(self):
    for problem in _all_problems():
      *columns, answer = map(int, TASK.demonstration(problem, 2).split())
      hundreds, tens, ones = columns
      self.assertEqual(100 * hundreds + 10 * tens + ones, answer)

  @parameterized.parameters(*SPLITS.items())
  def test_splits_have_their_sizes(self, split, size):
    self.assertLen(TASK.problems(split), size)

  def test_no_problem_is_in_two_splits(self):
    problems = _all_problems()
    self.assertLen({p.question for p in problems}, len(problems))
    self.assertEqual([p.id for p in problems], list(range(len(problems))))

  def test_more_training_problems_leave_the_others_as_they_are(self):
    larger = dataclasses.replace(TASK, num_train=6000)
    self.assertEqual(_all_problems(larger)[:390], _all_problems())
    other = dataclasses.replace(TASK, seed=4)
    self.assertNotEqual(_all_problems(other), _all_problems())

  @parameterized.parameters(
      (dict(num_digits=1), "num_digits is 1"),
      (dict(num_digits=2, num_train=5000), "asked of 8100 sums"),
      (dict(num_test=-1), "num_test is -1"),
  )
  def test_what_is_refused(self, changes, message):
    with self.assertRaisesRegex(ValueError, message):
      dataclasses.replace(TASK, **changes)


class AttemptsTest(parameterized.TestCase):

  def test_second_attempts_show_the_columns(self):
    self.assertEqual(TASK.demonstration(PROBLEM, 1), "1458")
    self.assertEqual(TASK.demonstration(PROBLEM, 2), "13 15 8 1458")

  @parameterized.parameters(1, 2)
  def test_demonstrations_are_right(self, attempt):
    problems = _all_problems()
    texts = [TASK.demonstration(p, attempt) for p in problems]
    self.assertTrue(all(g.is_correct for g in TASK.grade(problems, texts)))

  @parameterized.parameters(
      ("1458", True, "1458"),
      ("13 15 8 1458", True, "1458"),
      ("The sum is 1458.", True, "1458"),
      ("1458 8", False, "8"),
      ("11458", False, "11458"),
      ("14 58", False, "58"),
  )
  def test_the_last_number_counts(self, text, is_correct, answer):
    (grade,) = TASK.grade([PROBLEM], [text])
    status = "correct" if is_correct else "wrong"
    self.assertEqual(grade, Grade(is_correct, status, answer))

  @parameterized.parameters("", "one thousand")
  def test_no_answer(self, text):
    self.assertEqual(
        TASK.grade([PROBLEM], [text]), [Grade(False, "no_answer", None)]
    )


if __name__ == "__main__":
  absltest.main()
