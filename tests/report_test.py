"""Tests of score_jax.report."""

import contextlib
import io
import json
import pathlib
import tempfile
from unittest import mock

from absl.testing import absltest
import matplotlib
from matplotlib.figure import Figure
import matplotlib.image
import numpy as np
import rich.console

from score_jax import report
from score_jax.types import Grade
from score_jax.types import Problem
from score_jax.types import Rollouts

BASE = {
    "accuracy_t1": 0.25,
    "accuracy_t2": 0.1875,
    "delta_t1_t2": -0.0625,
    "delta_i_to_c": 0.03125,
    "delta_c_to_i": 0.09375,
    "n": 32,
    "ci95": {
        "accuracy_t1": [0.125, 0.4],
        "accuracy_t2": [0.0625, 0.35],
        "delta_t1_t2": [-0.15, 0.02],
    },
    "answer_change_rate": 0.5,
    "truncated_t1": 0.0,
    "truncated_t2": 0.004,
}
STAGE2 = BASE | {"accuracy_t1": 0.5, "accuracy_t2": 1.0, "delta_t1_t2": 0.5}


def _printed(results) -> str:
  output = io.StringIO()
  with contextlib.redirect_stdout(output):
    report.print_results(results)
  return output.getvalue()


class ResultsTest(absltest.TestCase):

  def test_numbers_are_percent_with_one_decimal(self):
    lines = [line.split() for line in _printed({"base": BASE}).splitlines()]
    # Halves go to the even digit: 18.75, 6.25, 3.125, 9.375.
    self.assertIn(
        ["base", "25.0", "18.8", "-6.2", "3.1", "9.4", "50.0", "0.0"], lines
    )
    intervals = ["[12.5,", "40.0]", "[6.2,", "35.0]", "[-15.0,", "2.0]", "0.4"]
    self.assertIn(intervals, lines)

  def test_stages_that_are_missing_have_no_row(self):
    text = _printed({"base": BASE, "stage2": STAGE2})
    self.assertIn("Stage II ", text)
    self.assertNotIn("Stage I ", text)
    self.assertIn("Results", _printed({}))

  def test_interval_that_is_missing_leaves_the_number(self):
    metrics = BASE | {"ci95": {}}
    markdown = report.results_markdown({"base": metrics})
    self.assertIn("| base | 25.0 | 18.8 | -6.2 | 3.1 | 9.4 |", markdown)

  def test_table_fits_eighty_columns_without_control_codes(self):
    text = _printed({"base": BASE, "stage1": BASE, "stage2": STAGE2})
    self.assertLessEqual(max(len(line) for line in text.splitlines()), 80)
    self.assertNotIn("\x1b", text)
    self.assertNotIn("…", text)

  def test_log_is_not_folded_to_a_narrow_width(self):
    output = io.StringIO()
    console = rich.console.Console(file=output, width=40)
    with mock.patch.object(report, "console", console):
      report.print_results({"base": BASE})
    self.assertEqual(output.getvalue(), _printed({"base": BASE}))

  def test_brackets_are_not_markup(self):
    ci95 = {"accuracy_t1": [float("nan"), float("nan")]}
    self.assertIn("[nan, nan]", _printed({"base": BASE | {"ci95": ci95}}))

  def test_markdown_has_as_many_cells_in_every_row(self):
    markdown = report.results_markdown({"base": BASE, "stage2": STAGE2})
    rows = [line for line in markdown.splitlines() if line.startswith("|")]
    self.assertLen(rows, 4)
    self.assertEqual({row.count("|") for row in rows}, {9})
    self.assertIn("| Stage II | 50.0<br>[12.5, 40.0] | 100.0<br>", rows[3])
    self.assertIn("Percent of 32 problems", markdown)

  def test_no_negative_zero(self):
    metrics = BASE | {"delta_t1_t2": -0.0001, "ci95": {}}
    markdown = report.results_markdown({"base": metrics})
    self.assertIn("| 18.8 | 0.0 |", markdown)


def _records() -> list[dict]:
  """Stage I with first attempts ahead, Stage II with second ones ahead."""
  records = [{"stage": "warmup", "step": 7, "warmup/loss": 1.0}]
  for stage, ahead in (("stage1", 0.3), ("stage2", -0.3)):
    for step in range(41):
      record = {"stage": stage, "step": step}
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
    report.plot_learning_curves(_records(), self.path)
    pixels = self._pixels()
    self.assertEqual(pixels.shape, (700, 1600, 3))
    for color in ((0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)):
      self.assertGreater((pixels == color).all(-1).sum(), 1000)

  def test_global_style_is_left_alone(self):
    before = {name: matplotlib.rcParams[name] for name in report._PLOT_STYLE}
    report.plot_learning_curves(_records(), self.path)
    after = {name: matplotlib.rcParams[name] for name in report._PLOT_STYLE}
    self.assertEqual(before, after)
    self.assertNotEqual(before, report._PLOT_STYLE)

  def test_stages_lie_side_by_side(self):
    records = [r for r in _records() if "warmup/loss" not in r]
    spans = report._stage_spans(records)
    self.assertEqual(spans, {"stage1": (0, 40), "stage2": (40, 80)})
    steps, values = report._curve(records, "stage2", "train/kl_t2", 40)
    np.testing.assert_array_equal(steps, np.arange(41, 81))
    np.testing.assert_array_equal(values, np.full(40, 0.2))

  def test_gap_takes_the_color_of_the_attempt_ahead(self):
    axes = Figure().add_subplot()
    areas = []
    for stage in ("stage1", "stage2"):
      before = len(axes.collections)
      report._draw_gap(axes, _records(), stage, 0)
      first, second = axes.collections[before:]
      areas.append([len(first.get_paths()), len(second.get_paths())])
    self.assertEqual(areas, [[1, 0], [0, 1]])

  def test_missing_values_leave_gaps(self):
    steps, _ = report._curve(_records(), "stage1", "train/accuracy_t2", 0)
    self.assertNotIn(9.0, steps)
    self.assertLen(steps, 39)

  def test_smoothing_keeps_constants_and_lines_and_halves_noise(self):
    np.testing.assert_allclose(report._smooth(np.full(30, 0.3)), 0.3)
    line = np.arange(42.0)
    np.testing.assert_allclose(report._smooth(line)[3:-3], line[3:-3])
    noise = np.random.default_rng(0).standard_normal(200)
    self.assertLess(report._smooth(noise).std(), 0.5 * noise.std())
    self.assertEqual(report._smooth(np.zeros(0)).shape, (0,))

  def test_short_and_partial_runs_are_drawn(self):
    one_step = [{"stage": "stage1", "step": 1, "train/accuracy_t1": 0.5}]
    base = [{"stage": "base", "step": 0, "validation/accuracy_t1": 0.5}]
    for records in (one_step, base, base + one_step, _records()[:3]):
      report.plot_learning_curves(records, self.path)
      self.assertEqual(self._pixels().shape, (700, 1600, 3))

  def test_nothing_to_draw_is_an_error(self):
    with self.assertRaisesRegex(ValueError, "nothing to draw"):
      report.plot_learning_curves(_records()[:1], self.path)


def _rollouts() -> Rollouts:
  """Two problems x two samples; row 3 has no answer and is cut at the end."""
  texts, grades = [], []
  for row in range(4):
    texts.append((f"row {row} first", f"row {row} second\n"))
    second = Grade(True, "correct", "9")
    if row == 3:
      second = Grade(False, "no_answer", None)
    grades.append((Grade(False, "wrong", "8"), second))
  rewards = [[g.is_correct for g in pair] for pair in grades]
  is_truncated = np.zeros((2, 2, 2), bool)
  is_truncated[1, 1, 1] = True
  tokens = np.zeros((4, 5), np.int32)
  return Rollouts(
      problems=(Problem(10, "4 + 5?", "9"), Problem(11, "3 * 3?", "9")),
      tokens=tokens,
      mask=tokens == 0,
      attempt_ids=tokens,
      behaviour_logprobs=tokens.astype(np.float32),
      texts=tuple(texts),
      grades=tuple(grades),
      rewards=np.asarray(rewards, np.float32).reshape(2, 2, 2),
      is_truncated=is_truncated,
  )


class ConversationTest(absltest.TestCase):

  def test_record_takes_the_row_of_its_problem(self):
    record = report.conversation_record(_rollouts(), 3, "Try again.")
    expected = {
        "problem_id": 11,
        "question": "3 * 3?",
        "gold": "9",
        "correction_prompt": "Try again.",
        "attempts": [
            {
                "text": "row 3 first",
                "answer": "8",
                "status": "wrong",
                "is_correct": False,
                "is_truncated": False,
            },
            {
                "text": "row 3 second\n",
                "answer": None,
                "status": "no_answer",
                "is_correct": False,
                "is_truncated": True,
            },
        ],
    }
    self.assertEqual(json.loads(json.dumps(record)), expected)
    record = report.conversation_record(_rollouts(), 1, "Try again.")
    self.assertEqual(record["problem_id"], 10)
    self.assertTrue(record["attempts"][1]["is_correct"])

  def test_text_tells_the_conversation_in_order(self):
    record = report.conversation_record(_rollouts(), 3, "Try again.")
    self.assertEqual(
        report.format_conversation(record),
        """\
=== problem 11 (answer: 9)
3 * 3?
--- attempt 1: wrong, answer 8
row 3 first
--- correction prompt
Try again.
--- attempt 2: no answer, cut by the length limit
row 3 second
""",
    )

  def test_row_outside_is_named(self):
    for row in (-1, 4):
      with self.assertRaisesRegex(ValueError, f"row {row} .* 4 conversations"):
        report.conversation_record(_rollouts(), row, "")


if __name__ == "__main__":
  absltest.main()
