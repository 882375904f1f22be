"""Tests of score_jax.evaluate.statistics."""

from absl.testing import absltest
from absl.testing import parameterized
import numpy as np
import pytest

from score_jax.evaluate import statistics
from score_jax.evaluate.statistics import Difference


def _share(n, k):
  """n values, the first k of them 1."""
  return (np.arange(n) < k).astype(float)


class SeedSummaryTest(parameterized.TestCase):

  def test_by_hand(self):
    values = np.array([[1, 0, 1, 1], [0, 0, 1, 0], [1, 1, 1, 1]])
    summary = statistics.seed_summary(values)
    self.assertEqual(summary.per_seed, (0.75, 0.25, 1.0))
    self.assertAlmostEqual(summary.mean, 8 / 12)
    # Squared distances from 2/3: 1/144, 25/144, 16/144.
    self.assertAlmostEqual(summary.std, np.sqrt(42 / 144 / 2))

  def test_one_seed_has_the_interval_over_problems_and_no_spread(self):
    values = _share(300, 120)
    summary = statistics.seed_summary(values[np.newaxis], seed=4)
    low, high = statistics.bootstrap_ci95([values], seed=4)
    self.assertEqual(summary.ci95, (low[0], high[0]))
    self.assertIsNone(summary.std)

  def test_equal_seeds_add_nothing(self):
    values = _share(300, 120)
    one, three = (
        statistics.seed_summary(np.tile(values, (s, 1))) for s in (1, 3)
    )
    np.testing.assert_allclose(one.ci95, three.ci95, atol=1e-12)
    self.assertAlmostEqual(three.std, 0)

  def test_seeds_that_differ_widen_the_interval(self):
    """On problems that are all alike, the seeds are all there is."""
    values = np.array([0.2, 0.5, 0.8])[:, np.newaxis] * np.ones((1, 50))
    low, high = statistics.seed_summary(values).ci95
    # The 27 draws of three seeds: 1/27 are three times the lowest one, which
    # stands sqrt(3/2) times as far from the mean as observed.
    half = 0.3 * np.sqrt(1.5)
    np.testing.assert_allclose([low, high], [0.5 - half, 0.5 + half])

  def test_the_variance_over_seeds_is_that_of_their_mean(self):
    rng = np.random.default_rng(0)
    seeds = rng.normal(size=8)
    summary = statistics.seed_summary(seeds[:, np.newaxis] * np.ones((1, 3)))
    half = 1.96 * seeds.std(ddof=1) / np.sqrt(8)
    np.testing.assert_allclose(
        summary.ci95, [seeds.mean() - half, seeds.mean() + half], atol=0.06
    )

  @parameterized.parameters(0.0, 0.02)
  @pytest.mark.slow
  def test_intervals_hold_the_truth_often_enough(self, spread):
    """Of 200 made-up studies with three seeds, 95 % should do."""
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(200):
      hard = rng.normal(0.6, 0.2, 150)
      p = np.clip(hard + rng.normal(0, spread, (3, 1)), 0, 1)
      values = (rng.random((3, 150)) < p).astype(float)
      low, high = statistics.seed_summary(values).ci95
      hits += low <= 0.598 <= high  # mean of the clipped chances
    self.assertBetween(hits, 186, 200)

  def test_the_seed_of_the_resampling_decides(self):
    values = np.random.default_rng(0).random((3, 40))
    first, again, other = (
        statistics.seed_summary(values, s) for s in (0, 0, 1)
    )
    self.assertEqual(first, again)
    self.assertNotEqual(first.ci95, other.ci95)
    self.assertEqual(first.mean, other.mean)

  @parameterized.parameters(
      ([1.0, 0.0], r"shape \(2,\), expected seeds x problems"),
      (np.zeros((3, 0)), r"shape \(3, 0\)"),
      (np.zeros((0, 3)), r"shape \(0, 3\)"),
      ([[1.0, np.nan]], "1 of 2 values are not finite"),
  )
  def test_values_that_are_none_are_refused(self, values, message):
    with self.assertRaisesRegex(ValueError, message):
      statistics.seed_summary(np.asarray(values))


class PairedDifferenceTest(parameterized.TestCase):

  def test_pairs_make_small_differences_clear(self):
    a, b = _share(500, 260), _share(500, 250)
    paired = statistics.paired_difference(a[np.newaxis], b[np.newaxis])
    self.assertAlmostEqual(paired.mean, 0.02)
    self.assertTrue(paired.is_clear)
    rng = np.random.default_rng(0)
    unpaired = statistics.paired_difference(
        a[np.newaxis], rng.permutation(b)[np.newaxis]
    )
    self.assertAlmostEqual(unpaired.mean, 0.02)
    self.assertFalse(unpaired.is_clear)
    self.assertLess(paired.p_value, 0.01)
    self.assertGreater(unpaired.p_value, 0.2)

  def test_exchange_changes_the_sign_alone(self):
    a, b = np.random.default_rng(0).random((2, 3, 60)) < 0.6
    there = statistics.paired_difference(a, b)
    back = statistics.paired_difference(b, a)
    np.testing.assert_allclose(
        [there.mean, *there.ci95], [-back.mean, *(-x for x in back.ci95[::-1])]
    )
    self.assertEqual(there.p_value, back.p_value)

  def test_seeds_are_paired(self):
    """What both methods owe to their base model cancels."""
    rng = np.random.default_rng(0)
    base = rng.normal(0, 0.1, (3, 1))
    a = 0.5 + base + 0.02 + rng.normal(0, 0.01, (3, 50))
    b = 0.5 + base + rng.normal(0, 0.01, (3, 50))
    self.assertTrue(statistics.paired_difference(a, b).is_clear)
    # Of one seed less, it does not: the means over seeds are compared.
    self.assertFalse(statistics.paired_difference(a, b[:2]).is_clear)

  def test_other_numbers_of_seeds_compare_means_over_seeds(self):
    rng = np.random.default_rng(0)
    a, b = rng.random((3, 40)), rng.random((1, 40))
    result = statistics.paired_difference(a, b)
    self.assertAlmostEqual(result.mean, a.mean() - b.mean())
    self.assertEqual(result.num_seeds, 1)
    # The noise of b's seeds is unknown; that of a's counts.
    low, high = statistics.paired_difference(
        a.mean(axis=0, keepdims=True), b
    ).ci95
    self.assertGreater(result.ci95[1] - result.ci95[0], high - low)

  def test_seeds_of_the_two_are_resampled_apart(self):
    """Else equal spreads over seeds would cancel."""
    ones = np.ones((1, 30))
    a = np.array([[0.1], [0.9], [0.5]]) * ones
    b = np.array([[0.1], [0.9], [0.5], [0.5]]) * ones
    low, high = statistics.paired_difference(a, b).ci95
    self.assertLess(low, -0.4)
    self.assertGreater(high, 0.4)

  def test_other_problems_are_refused(self):
    with self.assertRaisesRegex(ValueError, "4 problems are compared with 5"):
      statistics.paired_difference(np.zeros((1, 4)), np.zeros((1, 5)))


class SignFlipTest(parameterized.TestCase):

  @parameterized.parameters(
      # Two of the eight flips, all one way, are as far from zero.
      ([1, 1, 1], 2 / 8),
      ([1, 1, 1, 0, 0, 0], 2 / 8),
      ([1, 1, -1], 1.0),
      ([0, 0], 1.0),
      # The flips sum to 6, 4, 2 and 0, each of both signs.
      ([3, 2, -1], 4 / 8),
      # The order of the additions must not matter.
      ([1.0, 0.1, 0.3], 2 / 8),
      ([1 / 3, 2 / 3, 0.3], 2 / 8),
  )
  def test_by_hand(self, differences, expected):
    p_value = statistics.sign_flip_p_value(np.asarray(differences, float))
    self.assertAlmostEqual(p_value, expected, delta=0.02)

  def test_on_verdicts_it_is_mcnemars_test(self):
    differences = np.repeat([1.0, -1.0, 0.0], [30, 14, 200])
    self.assertAlmostEqual(
        statistics.sign_flip_p_value(differences),
        statistics.mcnemar(30, 14),
        delta=0.006,
    )

  def test_it_is_never_zero(self):
    p_value = statistics.sign_flip_p_value(np.ones(200))
    self.assertAlmostEqual(p_value, 1 / 10_001)


class McnemarTest(parameterized.TestCase):

  @parameterized.parameters(
      (0, 0, 1.0),
      (3, 0, 2 / 8),
      (1, 4, 2 * (1 + 5) / 32),
      (3, 3, 1.0),
      (2, 6, 2 * (1 + 8 + 28) / 256),
  )
  def test_by_hand(self, won, lost, expected):
    self.assertAlmostEqual(statistics.mcnemar(won, lost), expected)
    self.assertAlmostEqual(statistics.mcnemar(lost, won), expected)

  def test_thousands_of_problems(self):
    # Normal approximation with continuity correction: z = 99 / sqrt(4000).
    self.assertAlmostEqual(statistics.mcnemar(2050, 1950), 0.1175, delta=0.0005)
    self.assertBetween(statistics.mcnemar(1500, 500), 1e-120, 1e-100)

  def test_negative_counts_are_refused(self):
    with self.assertRaisesRegex(ValueError, "num_c_to_i is -1"):
      statistics.mcnemar(3, -1)


class StatementTest(parameterized.TestCase):

  @parameterized.parameters(
      (0.031, 0.010, 0.052, "A is higher than B by 3.1 points [1.0, 5.2]"),
      (-0.031, -0.052, -0.01, "A is lower than B by 3.1 points [1.0, 5.2]"),
      (
          0.008,
          -0.007,
          0.021,
          "no difference shown between A and B: +0.8 points [-0.7, 2.1]",
      ),
      # What is printed has to bear the claim out.
      (
          0.01,
          0.0004,
          0.021,
          "no difference shown between A and B: +1.0 points [0.0, 2.1]",
      ),
      (
          -0.00001,
          -0.0004,
          0.0004,
          "no difference shown between A and B: +0.0 points [0.0, 0.0]",
      ),
  )
  def test_claims_what_the_interval_shows(self, mean, low, high, expected):
    difference = Difference(mean, (low, high), p_value=0.01, num_seeds=3)
    self.assertEqual(
        statistics.statement(difference, "A", "B", "accuracy"),
        f"accuracy: {expected}",
    )

  def test_one_seed_is_told(self):
    difference = Difference(0.03, (0.01, 0.05), p_value=0.01, num_seeds=1)
    self.assertEndsWith(
        statistics.statement(difference, "A", "B", "accuracy"),
        "[1.0, 5.0] (one seed; others may differ)",
    )


if __name__ == "__main__":
  absltest.main()
