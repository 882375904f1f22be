"""Checks of rows: ids, counts, fingerprints."""

from absl.testing import absltest
from absl.testing import parameterized

from score_jax.datasets import rows


def _rows(*texts, prefix="a"):
  return [{"id": f"{prefix}{i}", "text": t} for i, t in enumerate(texts)]


class FingerprintTest(absltest.TestCase):

  def test_the_bytes_are_fixed(self):
    # SHA-256 of two lines of JSON: '{"id": "a0", "text": "\u00e9"}' and
    # '{"id": "a1", "text": ""}', each with a line feed.
    self.assertEqual(
        rows.fingerprint(_rows("\u00e9", "")),
        "a0f6ffb6709cba758f6755200fb9c75706172c4155fe52783cafcea70653f0d9",
    )

  def test_order_of_columns_makes_no_difference(self):
    self.assertEqual(
        rows.fingerprint([{"a": "1", "b": "2"}]),
        rows.fingerprint([{"b": "2", "a": "1"}]),
    )

  def test_every_other_difference_does(self):
    variants = [
        [],
        _rows("x", "y"),
        _rows("y", "x"),
        _rows("x\ny"),
        _rows("x", "y", prefix="b"),
        _rows("x", "y "),
        _rows("x", "Y"),
        _rows("x", "y", "y"),
    ]
    self.assertLen({rows.fingerprint(v) for v in variants}, len(variants))


class CheckTest(parameterized.TestCase):

  @parameterized.parameters(
      {"train": ["x"]},
      {"train": ["x", "y"], "test": ["z"]},
      {"train": [], "test": ["z"]},
      {"train": ["x"], "test": ["z"], "more": []},
  )
  def test_other_counts_are_refused(self, **texts):
    splits = {split: _rows(*those) for split, those in texts.items()}
    with self.assertRaisesRegex(
        ValueError, f"X: found {len(splits['train'])} train.*, expected 1 train"
    ):
      rows.check_counts(splits, {"train": 1, "test": 1}, "X")

  def test_the_right_counts_pass(self):
    splits = {"train": _rows("x", "y"), "test": []}
    rows.check_counts(splits, {"test": 0, "train": 2}, "X")

  @parameterized.parameters(
      (0, 0, False),
      (0, 500, False),
      (1, 1, True),
      (1, 200, True),
      (1, 201, False),
      (59, 12_000, False),
      (60, 12_000, True),
      (2, 500, False),
      (3, 500, True),
  )
  def test_half_a_percent_is_too_many(self, count, total, expected):
    self.assertEqual(rows.is_too_many(count, total), expected)

  def test_names_are_listed_up_to_twenty(self):
    names = [f"n{i}" for i in range(25)]
    self.assertEqual(rows.listed(names[:2]), "n0, n1")
    self.assertEndsWith(rows.listed(names[:20]), ", n19")
    self.assertEndsWith(rows.listed(names), ", n19 and 5 more")

  def test_rows_without_an_answer(self):
    few = [{"id": f"a{i}", "answer": "1"} for i in range(5)]
    rows.check_answers({"train": few, "test": []}, "X", "no box")
    some = [row | {"answer": ""} for row in few[:2]] + few[2:]
    with self.assertRaisesRegex(
        ValueError, "^X: 2 of 5 rows of train .*, a0, a1: no box. Fetch the"
    ):
      rows.check_answers({"train": some, "test": few}, "X", "no box")

  def test_ids_are_unique_over_all_splits(self):
    rows.check_unique_ids({"a": _rows("x"), "b": _rows("x", prefix="b")})
    with self.assertRaisesRegex(
        ValueError, "'a0' is used twice, in split 'a' and in 'b'"
    ):
      rows.check_unique_ids({"a": _rows("x"), "b": _rows("y")})


if __name__ == "__main__":
  absltest.main()
