"""Tests of score_jax.report.histograms."""

from absl.testing import absltest
import numpy as np

from score_jax.report import histograms
from tests.helpers import made_up_study


class HistogramsTest(absltest.TestCase):

  def test_histogram_counts_every_conversation_once(self):
    pairs = [("abcd", "abcd"), ("abcd", "abce"), ("", "abcd"), ("", "")]
    records = [
        made_up_study.conversation(i, (True, True), texts)
        for i, texts in enumerate(pairs)
    ]
    histogram = histograms.edit_histogram(records)
    # Ratios 0, 2/8, 1, 0 in bins of 1/20.
    expected = [2, 0, 0, 0, 0, 1, *[0] * 13, 1]
    self.assertEqual(histogram["counts"], expected)
    np.testing.assert_allclose(histogram["edges"], np.arange(21) / 20)


if __name__ == "__main__":
  absltest.main()
