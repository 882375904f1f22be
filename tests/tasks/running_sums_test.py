"""Tests of score_jax.tasks.running_sums."""

import collections
import dataclasses
import re

from absl.testing import absltest
from absl.testing import parameterized

from score_jax.tasks.running_sums import RunningSumsTask
from score_jax.types import Grade
from score_jax.types import Problem

TASK = RunningSumsTask(
    max_terms=4,
    max_term=30,
    num_test=60,
    num_validation=30,
    num_train=300,
    seed=3,
)
SPLITS = {"test": 60, "validation": 30, "train": 300}
PROBLEM = Problem(id=0, question="What is 12 + 7 + 30?", answer="49")


def _all_problems(task=TASK):
  return [p for split in SPLITS for p in task.problems(split)]


class ProblemsTest(parameterized.TestCase):

  def test_answers_are_the_sums(self):
    for problem in _all_problems():
      self.assertRegex(problem.question, r"^What is \d+( \+ \d+){1,3}\?$")
      terms = [int(n) for n in re.findall(r"\d+", problem.question)]
      self.assertEqual(problem.answer, str(sum(terms)))
      self.assertEqual(problem.difficulty, f"{len(terms)} terms")
      self.assertBetween(min(terms), 2, 30)
      self.assertBetween(max(terms), 2, 30)

  @parameterized.parameters(*SPLITS.items())
  def test_splits_have_their_sizes_and_equal_shares(self, split, size):
    problems = TASK.problems(split)
    self.assertLen(problems, size)
    counts = collections.Counter(p.difficulty for p in problems)
    self.assertEqual(set(counts.values()), {size // 3})

  def test_no_problem_is_in_two_splits(self):
    problems = _all_problems()
    self.assertLen({p.question for p in problems}, len(problems))
    self.assertEqual([p.id for p in problems], list(range(len(problems))))

  def test_more_training_problems_leave_the_others_as_they_are(self):
    larger = dataclasses.replace(TASK, num_train=900)
    self.assertEqual(_all_problems(larger)[:390], _all_problems())
    other = dataclasses.replace(TASK, seed=4)
    self.assertNotEqual(_all_problems(other), _all_problems())

  @parameterized.parameters(
      (dict(max_terms=2), "max_terms is 2"),
      (dict(max_term=5), "max_term 5"),
      (dict(num_train=1500), "only 841 have two terms"),
      (dict(num_test=-1), "num_test is -1"),
  )
  def test_what_is_refused(self, changes, message):
    with self.assertRaisesRegex(ValueError, message):
      dataclasses.replace(TASK, **changes)


class AttemptsTest(parameterized.TestCase):

  def test_second_attempts_show_the_totals(self):
    self.assertEqual(TASK.demonstration(PROBLEM, 1), "49")
    self.assertEqual(TASK.demonstration(PROBLEM, 2), "19 49")
    two = Problem(id=1, question="What is 12 + 7?", answer="19")
    self.assertEqual(TASK.demonstration(two, 2), "19")

  @parameterized.parameters(1, 2)
  def test_demonstrations_are_right(self, attempt):
    problems = _all_problems()
    texts = [TASK.demonstration(p, attempt) for p in problems]
    self.assertTrue(all(g.is_correct for g in TASK.grade(problems, texts)))

  @parameterized.parameters(
      ("49", True, "49"),
      ("19 49", True, "49"),
      ("The sum is 49.", True, "49"),
      ("49 19", False, "19"),
      ("149", False, "149"),
      ("4 9", False, "9"),
  )
  def test_the_last_number_counts(self, text, is_correct, answer):
    (grade,) = TASK.grade([PROBLEM], [text])
    status = "correct" if is_correct else "wrong"
    self.assertEqual(grade, Grade(is_correct, status, answer))

  @parameterized.parameters("", "forty-nine")
  def test_no_answer(self, text):
    self.assertEqual(
        TASK.grade([PROBLEM], [text]), [Grade(False, "no_answer", None)]
    )


if __name__ == "__main__":
  absltest.main()
