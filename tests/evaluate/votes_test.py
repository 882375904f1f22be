"""Tests of score_jax.evaluate.votes."""

import json

from absl.testing import absltest
from absl.testing import parameterized
import numpy as np

from score_jax.evaluate import votes
from score_jax.types import Grade
from score_jax.types import Problem
from tests.helpers.made_up_rollouts import made_up_rollouts

RIGHT = "7"


def _grades(answers):
  """'7' is right, '-' is no answer."""
  return [Grade(a == RIGHT, "status", None if a == "-" else a) for a in answers]


def _rollouts(first, second, ids=None):
  """Of strings with one character per sample: the answers of a problem."""
  samples = len(first[0])
  pairs = zip("".join(first), "".join(second), strict=True)
  grades = tuple(tuple(_grades(pair)) for pair in pairs)
  ids = ids or range(len(first))
  return made_up_rollouts(
      [Problem(i, "q", RIGHT) for i in ids],
      grades,
      rewards=np.zeros((len(first), samples, 2)),
  )


class VoteTest(parameterized.TestCase):

  @parameterized.parameters(
      ("778", "7"),
      ("87", "8"),  # the one that was seen first
      ("78887", "8"),
      ("7887", "7"),
      ("---7", "7"),
      ("---", None),
      ("", None),
  )
  def test_by_hand(self, answers, expected):
    grades = _grades(answers)
    winner = votes.majority_vote([g.answer for g in grades])
    self.assertEqual(winner, expected)
    self.assertEqual(votes.is_vote_correct(grades), expected == RIGHT)

  def test_disjoint_groups_are_averaged(self):
    grades = [_grades("778" + "887" + "7"), _grades("888" + "-7-" + "8")]
    values = votes.vote_accuracy(grades, 3)
    # Of seven samples, the last one is in no group of three.
    np.testing.assert_array_equal(values, [0.5, 0.5])
    np.testing.assert_array_equal(
        votes.vote_accuracy(grades, 1), [4 / 7, 1 / 7]
    )


class SelfConsistencyTest(parameterized.TestCase):

  def test_by_hand(self):
    rollouts = [
        _rollouts(["7777", "7888"], ["7787", "8778"]),
        _rollouts(["8-7-"], ["----"]),
    ]
    points = votes.compare(rollouts, rollouts)
    self.assertEqual([p["k"] for p in points], [1, 2])
    self.assertEqual([p["budget"] for p in points], [2, 4])
    # Budget 2. Parallel, groups of two: (1, 1), (1, 0), (0, 1). Corrections
    # one by one: 3/4, 2/4, 0.
    self.assertAlmostEqual(points[0]["parallel"]["accuracy"], 2 / 3)
    self.assertAlmostEqual(points[0]["sequential"]["accuracy"], 1.25 / 3)
    self.assertEqual(points[0]["parallel"]["groups"], 2)
    self.assertEqual(points[0]["sequential"]["groups"], 4)
    # Budget 4. All four vote: 7, 8, 8 (first of a tie). Pairs of corrections:
    # 77 and 87 -> 1/2, 87 and 78 -> 1/2, none.
    self.assertAlmostEqual(points[1]["parallel"]["accuracy"], 1 / 3)
    self.assertAlmostEqual(points[1]["sequential"]["accuracy"], 1 / 3)
    self.assertAlmostEqual(points[1]["difference"]["mean"], 0)
    self.assertEqual(points[1]["parallel"]["groups"], 1)
    low, high = points[1]["difference"]["ci95"]
    self.assertLess(low, 0)
    self.assertGreater(high, 0)
    json.dumps(points)

  def test_the_budget_is_bounded_by_either(self):
    many = [_rollouts(["7" * 16], ["7" * 16])]
    few = [_rollouts(["77"], ["77"])]
    for parallel, sequential, expected in (
        (many, many, [1, 2, 4, 8]),
        (many, few, [1, 2]),
        (few, many, [1]),
    ):
      points = votes.compare(parallel, sequential)
      self.assertEqual([p["k"] for p in points], expected)

  @parameterized.parameters(
      ([_rollouts(["77"], ["77"], ids=[3])], "expected the same problems"),
      ([], "parallel samples of 0 problems"),
      ([_rollouts(["7"], ["7"])], "1 parallel samples of each problem"),
  )
  def test_mistakes_are_refused(self, parallel, message):
    with self.assertRaisesRegex(ValueError, message):
      votes.compare(parallel, [_rollouts(["77"], ["77"])])

  def test_uneven_samples_are_refused(self):
    uneven = [
        _rollouts(["77"], ["77"], ids=[0]),
        _rollouts(["7"], ["7"], ids=[1]),
    ]
    with self.assertRaisesRegex(ValueError, r"problems with \[1, 2\] samples"):
      votes.compare(uneven, uneven)


if __name__ == "__main__":
  absltest.main()
