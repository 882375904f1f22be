"""The order of problems is a function of (seed, step) alone."""

import dataclasses

from absl.testing import absltest

from score_jax import data
from score_jax import tokenization
from score_jax.tasks.addition import CHARACTERS
from score_jax.tasks.addition import AdditionTask
from score_jax.types import Problem

_PROBLEMS = [Problem(i, f"{i}+0", str(i)) for i in range(10)]


def _ids(seed, step, batch_size=3):
  batch = data.step_problems(
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

  def test_fewer_problems_than_a_batch_are_refused(self):
    with self.assertRaisesRegex(ValueError, "10 training problems, fewer"):
      _ids(0, 0, batch_size=11)


class CheckProblemsTest(absltest.TestCase):

  def _check(self, **splits):
    tokenizer = tokenization.wrap(
        tokenization.make_character_tokenizer(CHARACTERS)
    )
    data.check_problems(_Splits(splits), list(splits), tokenizer, 5)

  def test_good_data_pass(self):
    self._check(train=_PROBLEMS[:5], test=_PROBLEMS[5:])

  # Pitfall 26: test problems among the training problems.
  def test_a_problem_in_two_splits_is_refused(self):
    copy = Problem(77, _PROBLEMS[0].question, "0")
    with self.assertRaisesRegex(ValueError, "problem 77 of split 'test' is in"):
      self._check(train=_PROBLEMS[:5], test=[copy])

  def test_an_id_used_twice_is_refused(self):
    twin = Problem(0, "9+9", "18")
    with self.assertRaisesRegex(ValueError, "id 0 is used twice"):
      self._check(train=_PROBLEMS[:5], test=[twin])

  def test_empty_splits_are_refused(self):
    with self.assertRaisesRegex(ValueError, "no problems in split 'test'"):
      self._check(train=_PROBLEMS, test=[])

  def test_long_prompts_are_refused_not_cut(self):
    long = Problem(99, "123+456", "579")
    with self.assertRaisesRegex(ValueError, "prompt of 7 tokens, the limit"):
      self._check(train=_PROBLEMS + [long])

  def test_the_tasks_own_splits_do_not_overlap(self):
    task = AdditionTask(
        num_digits=2,
        nine_probability=0.4,
        num_test=100,
        num_validation=100,
        num_train=500,
        num_warmup=500,
        seed=0,
    )
    tokenizer = tokenization.wrap(
        tokenization.make_character_tokenizer(CHARACTERS)
    )
    splits = ["test", "validation", "train", "warmup"]
    data.check_problems(task, splits, tokenizer, 6)


if __name__ == "__main__":
  absltest.main()
