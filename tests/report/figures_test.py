"""Tests of score_jax.report.tables.figures."""

import pathlib
import tempfile

from absl.testing import absltest
from absl.testing import parameterized
import matplotlib.image
import numpy as np
import pytest

from score_jax.report import figures
from tests.helpers import made_up_study


class FiguresTest(parameterized.TestCase):

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    with tempfile.TemporaryDirectory() as directory:
      cls.study = made_up_study.make_study(
          pathlib.Path(directory), seeds=(0,), n=10
      )

  def setUp(self):
    super().setUp()
    directory = self.enterContext(tempfile.TemporaryDirectory())
    self.directory = pathlib.Path(directory) / "figures"

  def _pixels(self, name: str) -> np.ndarray:
    image = matplotlib.image.imread(self.directory / name)
    return np.round(255 * image[..., :3])

  def _count(self, name: str, color: str) -> int:
    rgb = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    return int((self._pixels(name) == rgb).all(-1).sum())

  @pytest.mark.slow
  def test_every_figure_is_drawn_in_its_colors(self):
    paths = figures.plot_all(self.study, self.directory)
    names = ["methods.png", "budget_curves.png", "edit_distance.png"]
    self.assertEqual([path.name for path in paths], names)
    for name in names:
      self.assertEqual(self._pixels(name).shape[1], 1600)
    for color in ("#0072B2", "#D55E00"):
      self.assertGreater(self._count("methods.png", color), 500)
    # Three trained methods have the first three colors, and no fourth.
    for color in figures.METHOD_COLORS[:3]:
      self.assertGreater(self._count("budget_curves.png", color), 100)
    self.assertEqual(
        self._count("budget_curves.png", figures.METHOD_COLORS[3]), 0
    )
    self.assertGreater(self._count("edit_distance.png", "#D55E00"), 500)

  def test_a_study_of_the_base_alone_has_no_budget_curve(self):
    base = self.study["methods"]["base"] | {"edit_distance": None}
    paths = figures.plot_all({"methods": {"base": base}}, self.directory)
    self.assertEqual([path.name for path in paths], ["methods.png"])

  @parameterized.parameters(
      (figures.plot_method_bars, "method"),
      (figures.plot_budget_curves, "curve of a trained method"),
      (figures.plot_edit_distance, "edit_distance"),
  )
  def test_nothing_to_draw_is_an_error(self, plot, what):
    with self.assertRaisesRegex(ValueError, f"no {what}: there is nothing"):
      plot({"methods": {}}, self.directory)

  @parameterized.parameters(
      ([0.5], [0.5]),
      ([0.1, 0.9], [0.1, 0.9]),
      ([0.5, 0.5, 0.5], [0.5, 0.6, 0.7]),
      ([0.9, 0.2, 0.25], [0.9, 0.2, 0.3]),
      ([0.99, 1.0], [0.9, 1.0]),
      ([-0.2, 0.0], [0.0, 0.1]),
  )
  def test_labels_are_spread_in_their_order(self, places, expected):
    spread = figures.spread(np.asarray(places), 0.1)
    np.testing.assert_allclose(spread, expected, atol=1e-12)


if __name__ == "__main__":
  absltest.main()
