"""Tests of score_jax.report.tables."""

import contextlib
import io
from unittest import mock

from absl.testing import absltest
import rich.console

from score_jax.report import tables

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
    tables.print_results(results)
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

  def test_phases_that_are_missing_have_no_row(self):
    text = _printed({"base": BASE, "stage2": STAGE2})
    self.assertIn("Stage II ", text)
    self.assertNotIn("Stage I ", text)
    self.assertIn("Results", _printed({}))

  def test_interval_that_is_missing_leaves_the_number(self):
    metrics = BASE | {"ci95": {}}
    lines = [line.split() for line in _printed({"base": metrics}).splitlines()]
    row = ["base", "25.0", "18.8", "-6.2", "3.1", "9.4", "50.0", "0.0"]
    self.assertEqual(lines[lines.index(row) + 1], ["0.4"])

  def test_table_fits_eighty_columns_without_control_codes(self):
    text = _printed({"base": BASE, "stage1": BASE, "stage2": STAGE2})
    self.assertLessEqual(max(len(line) for line in text.splitlines()), 80)
    self.assertNotIn("\x1b", text)
    self.assertNotIn("…", text)

  def test_log_is_not_folded_to_a_narrow_width(self):
    output = io.StringIO()
    console = rich.console.Console(file=output, width=40)
    with mock.patch.object(tables, "console", console):
      tables.print_results({"base": BASE})
    self.assertEqual(output.getvalue(), _printed({"base": BASE}))

  def test_brackets_are_not_markup(self):
    ci95 = {"accuracy_t1": [float("nan"), float("nan")]}
    self.assertIn("[nan, nan]", _printed({"base": BASE | {"ci95": ci95}}))

  def test_no_negative_zero(self):
    metrics = BASE | {"delta_t1_t2": -0.0001, "ci95": {}}
    self.assertRegex(_printed({"base": metrics}), "18.8 +0.0 +3.1")


class ManifestLinesTest(absltest.TestCase):

  def test_counts_are_told_with_the_first_names(self):
    names = [f"n{i}" for i in range(23)]
    manifest = {
        "num_problems": {"train": 12_000, "test": 5},
        "num_long_prompts_dropped": {"train": 0, "test": 1},
        "task": {
            "name": "code",
            "left_out": {
                "train": {"own_program_fails": ["a", "b"]},
                "validation": {"gold_cannot_be_read": names},
                "test": {},
            },
        },
    }
    self.assertEqual(
        tables.manifest_lines(manifest),
        [
            "Problems: 12,000 train, 5 test (1 too long)",
            "Task name: code",
            "Left out of train, own program fails: 2 (a, b)",
            "Left out of validation, gold cannot be read: 23"
            f" ({', '.join(names[:20])} and 3 more)",
        ],
    )


if __name__ == "__main__":
  absltest.main()
