"""The order of problems is a function of (seed, step) alone."""

import dataclasses

from absl.testing import absltest

from score_jax.rollouts import problems as problems_lib
from score_jax.tasks.addition import CHARACTERS
from score_jax.tasks.addition import AdditionTask
from score_jax.text import tokenization
from score_jax.types import Problem

_PROBLEMS = [Problem(i, f"{i}+0", str(i)) for i in range(10)]


def _ids(seed, step, batch_size=3):
  batch = problems_lib.step_problems(
      _PROBLEMS, seed=seed, step=step, batch_size=batch_size
  )
  return [p.id for p in batch]


@dataclasses.dataclass(frozen=True)
class _Splits:
  """A task of given problems."""

  splits: dict
  name: str = "splits"

  def problems(self, split):
    return self.splits[split]

  def first_prompt(self, problem):
    return problem.question


class StepProblemsTest(absltest.TestCase):

  def test_an_epoch_shows_no_problem_twice(self):
    for epoch in range(3):
      ids = sum((_ids(0, 3 * epoch + i) for i in range(3)), [])
      self.assertLen(set(ids), 9)

  def test_epochs_and_seeds_differ_and_repeat_themselves(self):
    first = [_ids(0, i) for i in range(3)]
    self.assertEqual(first, [_ids(0, i) for i in range(3)])
    self.assertNotEqual(first, [_ids(0, i) for i in range(3, 6)])
    self.assertNotEqual(first, [_ids(1, i) for i in range(3)])

  # Another order would make every resumed run another run.
  def test_the_order_is_this_one(self):
    self.assertEqual(
        [_ids(0, i) for i in range(3)], [[0, 4, 6], [7, 8, 3], [1, 9, 5]]
    )

  def test_fewer_problems_than_a_batch_are_refused(self):
    with self.assertRaisesRegex(ValueError, "10 training problems, fewer"):
      _ids(0, 0, batch_size=11)


class SelectProblemsTest(absltest.TestCase):

  def _check(self, long_prompts="error", **splits):
    tokenizer = tokenization.wrap(
        tokenization.make_character_tokenizer(CHARACTERS)
    )
    return problems_lib.select_problems(
        _Splits(splits),
        list(splits),
        tokenizer,
        max_prompt_tokens=5,
        long_prompts=long_prompts,
    )

  def test_good_data_pass(self):
    found = self._check(train=_PROBLEMS[:5], test=_PROBLEMS[5:])
    self.assertEqual(found.splits["train"], _PROBLEMS[:5])
    self.assertEqual(found.splits["test"], _PROBLEMS[5:])
    self.assertEqual(found.num_dropped, {"train": 0, "test": 0})

  # Else test problems may be among the training problems.
  def test_a_problem_in_two_splits_is_refused(self):
    copy = Problem(77, f" {_PROBLEMS[0].question}\t\n", "0")
    with self.assertRaisesRegex(
        ValueError, "^1 problems are in two splits: 77 of 'test' is 0 of 'tra"
    ):
      self._check(train=_PROBLEMS[:5], test=[copy])

  def test_a_problem_in_two_splits_is_called_by_its_name(self):
    named = [Problem(i, "1+1", "2", f"book/{i}") for i in (1, 2)]
    with self.assertRaisesRegex(ValueError, "book/2 of 'test' is book/1 of"):
      self._check(train=named[:1], test=named[1:])

  def test_an_id_used_twice_is_refused(self):
    twin = Problem(0, "9+9", "18")
    with self.assertRaisesRegex(ValueError, "id 0 is used twice"):
      self._check(train=_PROBLEMS[:5], test=[twin])

  def test_a_problem_without_a_question_is_refused(self):
    empty = Problem(77, " \n", "0", "book/7")
    with self.assertRaisesRegex(
        ValueError, "problem book/7 of split 'test' has no question"
    ):
      self._check(train=_PROBLEMS[:5], test=[empty])

  def test_empty_splits_are_refused(self):
    with self.assertRaisesRegex(ValueError, "no problems in split 'test'"):
      self._check(train=_PROBLEMS, test=[])

  def test_long_prompts_are_refused_not_cut(self):
    long = Problem(99, "123+456", "579")
    with self.assertRaisesRegex(ValueError, "prompt of 7 tokens, the limit"):
      self._check(train=_PROBLEMS + [long])

  def test_long_prompts_are_dropped_and_counted_on_demand(self):
    long = Problem(99, "123+456", "579")
    found = self._check("drop", train=[long] + _PROBLEMS)
    self.assertEqual(found.splits["train"], _PROBLEMS)
    self.assertEqual(found.num_dropped, {"train": 1})

  def test_test_problems_are_never_dropped(self):
    long = Problem(99, "123+456", "579")
    with self.assertRaisesRegex(ValueError, "problem 99 of split 'test' has"):
      self._check("drop", train=_PROBLEMS, test=[long])

  def test_a_split_of_long_prompts_alone_is_empty(self):
    long = Problem(99, "123+456", "579")
    with self.assertRaisesRegex(ValueError, "no problems.*1 with longer"):
      self._check("drop", train=[long])

  def test_the_tasks_own_splits_do_not_overlap(self):
    task = AdditionTask(
        num_digits=2,
        nine_probability=0.4,
        num_test=100,
        num_validation=100,
        num_train=500,
        num_base=500,
        seed=0,
    )
    tokenizer = tokenization.wrap(
        tokenization.make_character_tokenizer(CHARACTERS)
    )
    splits = ["test", "validation", "train", "base"]
    problems_lib.select_problems(
        task, splits, tokenizer, max_prompt_tokens=6, long_prompts="error"
    )


if __name__ == "__main__":
  absltest.main()
