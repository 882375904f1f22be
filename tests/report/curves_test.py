"""Tests of score_jax.report.curves."""

import pathlib
import tempfile

from absl.testing import absltest
import matplotlib
from matplotlib.figure import Figure
import matplotlib.image
import numpy as np
import pytest

from score_jax.report import curves


def _records() -> list[dict]:
  """Stage I with first attempts ahead, Stage II with second ones ahead."""
  records = [{"stage": "warmup", "step": 7, "warmup/loss": 1.0}]
  for phase, ahead in (("stage1", 0.3), ("stage2", -0.3)):
    for step in range(41):
      record = {"stage": phase, "step": step}
      if step:
        record |= {
            "train/accuracy_t1": 0.5 + ahead,
            "train/accuracy_t2": None if step == 9 else 0.5,
            "train/kl_t1": 0.1,
            "train/kl_t2": 0.2,
        }
      if step % 10 == 0:
        record |= {"validation/accuracy_t1": 0.4, "validation/accuracy_t2": 0.9}
      records.append(record)
  return records


class LearningCurvesTest(absltest.TestCase):

  def setUp(self):
    super().setUp()
    directory = self.enterContext(tempfile.TemporaryDirectory())
    self.path = pathlib.Path(directory) / "curves.png"

  def _pixels(self) -> np.ndarray:
    return np.round(255 * matplotlib.image.imread(self.path)[..., :3])

  def test_picture_has_its_size_and_both_colors(self):
    curves.plot_learning_curves(_records(), self.path)
    pixels = self._pixels()
    self.assertEqual(pixels.shape, (700, 1600, 3))
    for color in ((0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)):
      self.assertGreater((pixels == color).all(-1).sum(), 1000)

  def test_global_style_is_left_alone(self):
    before = {name: matplotlib.rcParams[name] for name in curves._PLOT_STYLE}
    curves.plot_learning_curves(_records(), self.path)
    after = {name: matplotlib.rcParams[name] for name in curves._PLOT_STYLE}
    self.assertEqual(before, after)
    self.assertNotEqual(before, curves._PLOT_STYLE)

  def test_a_phase_is_moved_to_its_place(self):
    steps, values = curves._curve(_records(), "stage2", "train/kl_t2", 40)
    np.testing.assert_array_equal(steps, np.arange(41, 81))
    np.testing.assert_array_equal(values, np.full(40, 0.2))

  def test_gap_takes_the_color_of_the_attempt_ahead(self):
    axes = Figure().add_subplot()
    areas = []
    for phase in ("stage1", "stage2"):
      before = len(axes.collections)
      curves._draw_gap(axes, _records(), phase, 0)
      first, second = axes.collections[before:]
      areas.append([len(first.get_paths()), len(second.get_paths())])
    self.assertEqual(areas, [[1, 0], [0, 1]])

  def test_missing_values_leave_gaps(self):
    steps, _ = curves._curve(_records(), "stage1", "train/accuracy_t2", 0)
    self.assertNotIn(9.0, steps)
    self.assertLen(steps, 39)

  def test_smoothing_keeps_constants_and_lines_and_halves_noise(self):
    np.testing.assert_allclose(curves._smooth(np.full(30, 0.3)), 0.3)
    line = np.arange(42.0)
    np.testing.assert_allclose(curves._smooth(line)[3:-3], line[3:-3])
    noise = np.random.default_rng(0).standard_normal(200)
    self.assertLess(curves._smooth(noise).std(), 0.5 * noise.std())
    self.assertEqual(curves._smooth(np.zeros(0)).shape, (0,))

  @pytest.mark.slow
  def test_short_and_partial_runs_are_drawn(self):
    one_step = [{"stage": "stage1", "step": 1, "train/accuracy_t1": 0.5}]
    base = [{"stage": "base", "step": 0, "validation/accuracy_t1": 0.5}]
    for records in (one_step, base, base + one_step, _records()[:3]):
      curves.plot_learning_curves(records, self.path)
      self.assertEqual(self._pixels().shape, (700, 1600, 3))

  def test_nothing_to_draw_is_an_error(self):
    with self.assertRaisesRegex(ValueError, "nothing to draw"):
      curves.plot_learning_curves(_records()[:1], self.path)


if __name__ == "__main__":
  absltest.main()
