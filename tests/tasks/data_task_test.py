"""Splits of data sets: validation, names that are left out, twins."""

import contextlib
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized

from score_jax.datasets import prepared
from score_jax.tasks import data_task
from score_jax.tasks import make
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


class CodeTwinsTest(absltest.TestCase):

  @mock.patch.object(prepared, "prepare_and_load")
  def test_problems_of_mbpps_test_are_not_trained_on(self, load):
    """MBPP's splits share a few texts."""

    def row(number, text):
      return {
          "id": f"mbpp/{number}",
          "task_id": str(number),
          "text": text,
          "code": "def f(x):\n  return x",
          "tests": "assert f(1) == 1",
          "setup": "",
          "entry_point": "f",
      }

    load.return_value = {
        "train": [row(601, "Write a."), row(602, "Write b.")],
        "validation": [row(511, "Write c."), row(512, "Write d.")],
        "prompt": [row(2, "Write b.")],
        "test": [
            row(11, "Write  b."),
            row(12, "write d."),
            row(13, "Write e."),
        ],
    }
    settings = {
        "name": "code",
        "mbpp": "full",
        "test": "mbpp",
        "num_shots": 0,
        "exclude": [],
        "data_dir": "data",
        "manual_dir": "manual",
        "prompts": "code",
        "grader": {
            "num_workers": 1,
            "timeout_s": 5.0,
            "memory_mb": 512,
            "allow_unsandboxed": False,
        },
    }
    task = self.enterContext(contextlib.closing(make.make_task(settings)))
    self.assertEqual(
        {s: _names(task.problems(s)) for s in ("train", "validation", "test")},
        {
            "train": ["mbpp/601"],
            "validation": ["mbpp/511"],
            "test": ["mbpp/11", "mbpp/12", "mbpp/13"],
        },
    )
    self.assertEqual(
        task.provenance()["left_out"],
        {
            "train": {"text_is_in_a_later_split": ["mbpp/602"]},
            "validation": {"text_is_in_a_later_split": ["mbpp/512"]},
            "test": {},
        },
    )


if __name__ == "__main__":
  absltest.main()
