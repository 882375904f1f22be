"""Splits of data sets: validation, names that are left out, twins."""

from absl.testing import absltest
from absl.testing import parameterized

from score_jax.tasks import data_task
from score_jax.types import Problem


def _problems(*texts, first_id=0, prefix="n"):
  return [
      Problem(first_id + i, text, "1", f"{prefix}{i}")
      for i, text in enumerate(texts)
  ]


def _names(problems):
  return [p.source_id for p in problems]


class ValidationTest(parameterized.TestCase):

  def test_it_is_spread_evenly(self):
    splits = data_task.cut_validation(_problems(*"abcdefghij"), 3)
    self.assertEqual(_names(splits["validation"]), ["n0", "n3", "n6"])
    self.assertEqual(
        _names(splits["train"]), ["n1", "n2", "n4", "n5", "n7", "n8", "n9"]
    )

  @parameterized.parameters(*range(1, 8))
  def test_problems_with_one_text_stay_together(self, count):
    problems = _problems(
        "a", "b", " A", "c", "d", "e", "b\n", "f", "g", "h", "i", "j"
    )
    splits = data_task.cut_validation(problems, count)
    self.assertLen(splits["validation"], count)
    self.assertLen(splits["train"], 12 - count)
    texts = {
        split: {p.question.casefold().strip() for p in those}
        for split, those in splits.items()
    }
    self.assertEmpty(texts["train"] & texts["validation"])

  @parameterized.parameters(0, -1, 3, 4)
  def test_some_of_both_must_be_left(self, count):
    with self.assertRaisesRegex(
        ValueError, f"num_validation is {count}, expected 1 to 2 of the 3"
    ):
      data_task.cut_validation(_problems("a", "b", "c"), count)


class TwinsTest(absltest.TestCase):

  def test_the_later_split_keeps_them(self):
    splits = {
        "train": _problems("a", "B ", "c", "d", "d", prefix="t"),
        "validation": _problems("c", "x", "y", prefix="v"),
        "test": _problems("b", "y", "z", prefix="s"),
    }
    kept, names = data_task.leave_out_twins(splits)
    self.assertEqual(
        {split: _names(those) for split, those in kept.items()},
        {
            "train": ["t0", "t3", "t4"],
            "validation": ["v0", "v1"],
            "test": ["s0", "s1", "s2"],
        },
    )
    self.assertEqual(
        names,
        {
            "train": {"text_is_in_a_later_split": ["t1", "t2"]},
            "validation": {"text_is_in_a_later_split": ["v2"]},
            "test": {},
        },
    )

  def test_data_without_twins_stays_as_it_is(self):
    splits = {"train": _problems("a", "b"), "test": _problems("c")}
    kept, names = data_task.leave_out_twins(splits)
    self.assertEqual(kept, splits)
    self.assertEqual(names, {"train": {}, "test": {}})


if __name__ == "__main__":
  absltest.main()
