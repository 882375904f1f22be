"""Tests of score_jax.tasks.ball_passes."""

import collections
import dataclasses
import re

from absl.testing import absltest
from absl.testing import parameterized

from score_jax.tasks.ball_passes import BallPassesTask
from score_jax.tasks.ball_passes import ball_way
from score_jax.types import Grade
from score_jax.types import Problem

TASK = BallPassesTask(
    num_passes=5,
    max_way=3,
    num_test=60,
    num_validation=30,
    num_train=300,
    seed=3,
)
SPLITS = {"test": 60, "validation": 30, "train": 300}
PROBLEM = Problem(
    id=0,
    question=(
        "The ball goes from Tom to Bob, Max to Pat, Ann to Tom, Bob to Sam, Pat"
        " to Lee. Ann has it first. Who gets it last?"
    ),
    answer="Sam",
)


def _all_problems(task=TASK):
  return [p for split in SPLITS for p in task.problems(split)]


class ProblemsTest(parameterized.TestCase):

  def test_the_way_follows_the_passes(self):
    self.assertEqual(ball_way(PROBLEM.question), ["Ann", "Tom", "Bob", "Sam"])

  def test_answers_are_right(self):
    for problem in _all_problems():
      passes = re.findall(r"(\w+) to (\w+)", problem.question)
      self.assertLen(passes, 5)
      (player,) = re.findall(r"\. (\w+) has it first\.", problem.question)
      count = 0
      while player in dict(passes):
        player = dict(passes)[player]
        count += 1
      self.assertEqual(problem.answer, player)
      self.assertEqual(problem.difficulty.split()[0], str(count))

  def test_nobody_passes_twice_and_two_never_pass(self):
    for problem in _all_problems():
      passes = re.findall(r"(\w+) to (\w+)", problem.question)
      givers, receivers = (set(each) for each in zip(*passes, strict=True))
      self.assertLen(givers, 5)
      self.assertLen(receivers, 5)
      self.assertLen(receivers - givers, 2)

  def test_all_numbers_of_passes_are_about_as_frequent(self):
    counts = collections.Counter(p.difficulty for p in _all_problems())
    self.assertCountEqual(counts, ["1 pass", "2 passes", "3 passes"])
    self.assertGreater(min(counts.values()), 390 / 3 - 40)

  @parameterized.parameters(*SPLITS.items())
  def test_splits_have_their_sizes(self, split, size):
    self.assertLen(TASK.problems(split), size)

  def test_no_problem_is_in_two_splits(self):
    problems = _all_problems()
    self.assertLen({p.question for p in problems}, len(problems))
    self.assertEqual([p.id for p in problems], list(range(len(problems))))

  def test_more_training_problems_leave_the_others_as_they_are(self):
    larger = dataclasses.replace(TASK, num_train=600)
    self.assertEqual(_all_problems(larger)[:390], _all_problems())
    other = dataclasses.replace(TASK, seed=4)
    self.assertNotEqual(_all_problems(other), _all_problems())

  @parameterized.parameters(
      (dict(num_passes=1), "num_passes is 1"),
      (dict(num_passes=13), "expected 2 to 12"),
      (dict(max_way=0), "max_way is 0"),
      (dict(max_way=5), "expected 1 to 4, one less than num_passes"),
      (dict(num_test=-1), "num_test is -1"),
      (
          # 14 * 13 * 12 * 11 players, told in 2 orders.
          dict(num_passes=2, max_way=1, num_train=30_000),
          "30090 distinct problems asked of 48048 questions about 2 passes",
      ),
  )
  def test_what_is_refused(self, changes, message):
    with self.assertRaisesRegex(ValueError, message):
      dataclasses.replace(TASK, **changes)


class AttemptsTest(parameterized.TestCase):

  def test_second_attempts_show_the_way(self):
    self.assertEqual(TASK.demonstration(PROBLEM, 1), "Ann to Sam")
    self.assertEqual(
        TASK.demonstration(PROBLEM, 2), "From Ann to Tom to Bob to Sam"
    )

  @parameterized.parameters(1, 2)
  def test_demonstrations_are_right(self, attempt):
    problems = _all_problems()
    texts = [TASK.demonstration(p, attempt) for p in problems]
    self.assertTrue(all(g.is_correct for g in TASK.grade(problems, texts)))

  @parameterized.parameters(
      ("Sam", True, "Sam"),
      ("Ann to Sam", True, "Sam"),
      ("From Ann to Tom to Bob to Sam", True, "Sam"),
      ("It is Sam.", True, "Sam"),
      ("Sam Bob", False, "Bob"),
      ("Sammy", False, None),
      ("AnnSam", False, None),
  )
  def test_the_last_name_counts(self, text, is_correct, answer):
    (grade,) = TASK.grade([PROBLEM], [text])
    status = "correct" if is_correct else "wrong"
    expected = Grade(is_correct, status if answer else "no_answer", answer)
    self.assertEqual(grade, expected)

  @parameterized.parameters("", "nobody", "sam")
  def test_no_answer(self, text):
    self.assertEqual(
        TASK.grade([PROBLEM], [text]), [Grade(False, "no_answer", None)]
    )


if __name__ == "__main__":
  absltest.main()
