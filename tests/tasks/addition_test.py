"""Tests of score_jax.tasks.addition."""

import dataclasses
import inspect
import re

from absl.testing import absltest
from absl.testing import parameterized
import numpy as np

from score_jax.tasks.addition import CHARACTERS
from score_jax.tasks.addition import AdditionTask
from score_jax.tasks.addition import carry_chains
from score_jax.text import tokenization
from score_jax.types import Grade

TASK = AdditionTask(
    num_digits=4,
    nine_probability=0.4,
    num_test=300,
    num_validation=200,
    num_train=1500,
    num_base=1000,
    seed=3,
)
SPLITS = {"test": 300, "validation": 200, "train": 1500, "base": 1000}


def _all_problems(task=TASK):
  return [p for split in SPLITS for p in task.problems(split)]


class ProblemsTest(parameterized.TestCase):

  def test_answers_are_the_sums_with_leading_zeros(self):
    for problem in _all_problems():
      self.assertRegex(problem.question, r"^\d{4}\+\d{4}$")
      first, second = map(int, problem.question.split("+"))
      self.assertEqual(problem.answer, str(first + second).rjust(5, "0"))

  @parameterized.parameters(*SPLITS.items())
  def test_splits_have_their_sizes(self, split, size):
    self.assertLen(TASK.problems(split), size)

  def test_no_problem_is_in_two_splits(self):
    problems = _all_problems()
    self.assertLen({p.question for p in problems}, len(problems))
    self.assertLen({p.id for p in problems}, len(problems))

  @parameterized.parameters(
      ("0000+0000", 0),
      ("4444+5555", 0),  # nines, and no carry comes
      ("0001+0009", 1),
      ("0999+0001", 3),
      ("9999+0001", 4),
      ("5005+5005", 1),
      ("5995+5005", 3),
      ("0901+0190", 1),  # 1 + 0, 0 + 9, 9 + 1, 0 + 0
      ("6666+4444", 1),  # each column starts a carry of its own
      ("0096+0904", 3),
  )
  def test_the_longest_carry_by_hand(self, question, expected):
    operands = np.array([list(map(int, question.split("+")))])
    self.assertEqual(carry_chains(operands, 4).tolist(), [expected])

  def test_difficulty_is_how_far_a_carry_travels(self):
    for problem in _all_problems()[:300]:
      first, second = problem.question.split("+")
      sums = [int(a) + int(b) for a, b in zip(first, second, strict=True)]
      # Columns from the left: nines, then the column that starts the carry.
      kinds = "".join("n" if s == 9 else "g" if s > 9 else "-" for s in sums)
      longest = max((len(m) for m in re.findall("n*g", kinds)), default=0)
      self.assertEqual(problem.difficulty, f"carry chain {longest}")

  def test_the_same_arguments_make_the_same_problems(self):
    self.assertEqual(_all_problems(), _all_problems(dataclasses.replace(TASK)))

  def test_another_seed_makes_other_problems(self):
    other = dataclasses.replace(TASK, seed=4)
    shared = set(_questions(TASK)) & set(_questions(other))
    self.assertLess(len(shared), len(_questions(TASK)) / 10)

  def test_more_training_problems_leave_test_and_validation_as_they_are(self):
    """Results of two runs are of the same problems."""
    other = dataclasses.replace(TASK, num_train=2000, num_base=200)
    for split in ("test", "validation"):
      self.assertTrue(other.problems(split) == TASK.problems(split), split)

  @parameterized.parameters(0.0, 0.4, 0.8)
  def test_columns_sum_to_nine_as_often_as_asked(self, nine_probability):
    task = dataclasses.replace(
        TASK, num_digits=6, nine_probability=nine_probability
    )
    counts = [0] * 6
    for problem in _all_problems(task):
      for column, (a, b) in enumerate(_columns(problem)):
        counts[column] += int(a) + int(b) == 9
    # By chance one column in ten; the first column is never forced.
    expected = nine_probability + (1 - nine_probability) / 10
    self.assertAlmostEqual(counts[0] / 3000, 0.1, delta=0.03)
    for count in counts[1:]:
      self.assertAlmostEqual(count / 3000, expected, delta=0.04)

  def test_all_texts_are_made_of_the_tasks_characters(self):
    tokenizer = tokenization.wrap(
        tokenization.make_character_tokenizer(CHARACTERS)
    )
    problems = _all_problems()
    lengths = map(
        len, tokenizer.prompt_ids([TASK.first_prompt(p) for p in problems])
    )
    self.assertEqual(set(lengths), {10})
    tokenizer.prompt_ids([p.answer for p in problems])
    self.assertLen(tokenizer.turn_ids(TASK.correction_prompt), 1)


def _columns(problem):
  return zip(*problem.question.split("+"), strict=True)


def _questions(task):
  return [p.question for p in _all_problems(task)]


class ArgumentsTest(parameterized.TestCase):

  @parameterized.parameters(
      ("num_digits", 0),
      ("num_digits", 10),
      ("nine_probability", -0.1),
      ("nine_probability", 1.5),
      ("num_digits", 2),
  )
  def test_impossible_tasks_are_refused(self, name, value):
    with self.assertRaisesRegex(ValueError, name):
      dataclasses.replace(TASK, **{name: value})

  def test_negative_sizes_are_refused(self):
    with self.assertRaisesRegex(ValueError, "num_test"):
      dataclasses.replace(TASK, num_test=-1)

  def test_too_few_distinct_problems_are_an_error(self):
    # The second column is forced: 1000 problems instead of 10000.
    task = AdditionTask(2, 1.0, 600, 600, 600, 600, seed=0)
    with self.assertRaisesRegex(ValueError, "distinct"):
      task.problems("test")

  def test_unknown_splits_are_refused(self):
    with self.assertRaisesRegex(ValueError, "split 'dev'.*validation"):
      TASK.problems("dev")


class GradeTest(parameterized.TestCase):

  @parameterized.parameters(
      ("00123", "correct"),
      ("123", "wrong"),
      ("00124", "wrong"),
      ("001230", "wrong"),
      ("00123 ", "wrong"),
      ("=00123", "wrong"),
      ("00123\n", "wrong"),
      ("?", "wrong"),
      ("", "no_answer"),
  )
  def test_only_the_exact_text_is_right(self, completion, status):
    problem = dataclasses.replace(
        TASK.problems("test")[0], question="0100+0023", answer="00123"
    )
    self.assertEqual(
        TASK.grade([problem], [completion]),
        [Grade(status == "correct", status, completion or None)],
    )

  def test_demonstrations_are_right(self):
    problems = TASK.problems("validation")
    texts = [TASK.demonstration(p, attempt=2) for p in problems]
    self.assertTrue(all(g.is_correct for g in TASK.grade(problems, texts)))

  def test_the_correction_turn_cannot_tell_right_from_wrong(self):
    """It is a constant text, and a prompt depends on the problem alone."""
    self.assertEqual(TASK.correction_prompt, "?")
    self.assertEqual(
        list(inspect.signature(TASK.first_prompt).parameters), ["problem"]
    )
    problem = TASK.problems("test")[0]
    self.assertEqual(TASK.first_prompt(problem), f"{problem.question}=")


if __name__ == "__main__":
  absltest.main()
