"""Tests of score_jax.scalars."""

import json

from absl.testing import absltest
from absl.testing import parameterized
import numpy as np

from score_jax import evaluate
from score_jax import scalars
from score_jax.scalars import Format

# What training logs, see training/reinforce.py and training/imitate.py. Tests
# that run the whole recipe fail where this list is too short.
_LOGGED = (
    *(
        f"train/{name}_t{i}"
        for name in ("accuracy", "kl", "truncated")
        for i in (1, 2, 3)
    ),
    *("train/loss", "train/grad_norm", "train/conversations"),
    *("train/new_tokens_per_row", "train/traces", "train/epochs"),
    *("train/copied", "train/same_answer"),
    *("grade/status_correct", "grade/status_timeout", "grade/method_symbolic"),
    *("time/rollout_s", "time/grade_s", "time/update_s"),
    *("time/rollout_tokens_per_s", "time/tokens_per_s"),
)


class ScalarsTest(parameterized.TestCase):

  @parameterized.parameters(
      ("train/kl_t1", "attempt 1", 1),
      ("train/kl_t12", "attempt 12", 12),
      ("validation/accuracy_t2", "attempt 2", 2),
      ("validation/delta_t1_t2", "delta", None),
      ("train/loss", "loss", None),
      ("grade/status_no_answer", "no_answer", None),
      ("grade/method_exact", "decided by exact", None),
  )
  def test_a_logged_name_is_found_with_what_it_says(self, name, label, attempt):
    found = scalars.find(name)
    self.assertEqual(found.name, name)
    self.assertEqual((found.label, found.attempt), (label, attempt))

  @parameterized.parameters(
      "train/kl_t0",
      "train/kl_t",
      "train/kl_t{i}",
      "kl_t1",
      "train/loss2",
      "a/train/loss",
      "grade/status_",
      "accuracy_t1",
      "stage",
  )
  def test_other_names_are_not_declared(self, name):
    self.assertIsNone(scalars.find(name))
    with self.assertRaisesRegex(ValueError, r"scalars.py"):
      scalars.check_declared(["train/loss", name])

  def test_what_training_logs_is_declared(self):
    scalars.check_declared(_LOGGED)

  def test_every_declaration_finds_itself(self):
    for declared in scalars.SCALARS:
      name = declared.name.format(i=1, word="some word")
      found = scalars.find(name)
      self.assertEqual(found.name, name)
      self.assertEqual(found.chart, declared.chart)
      self.assertEqual(found.unit, declared.unit)

  def test_scalars_of_a_chart_share_its_axis(self):
    axes = {}
    for scalar in scalars.SCALARS:
      if scalar.chart:
        axes.setdefault(scalar.chart, set()).add((scalar.unit, scalar.format))
    self.assertLen(axes, 6)
    for shared in axes.values():
      self.assertLen(shared, 1)

  def test_found_ones_keep_the_order_of_the_declarations(self):
    names = ["train/loss", "train/kl_t2", "unknown", "train/kl_t1"]
    self.assertEqual(
        [scalar.name for scalar in scalars.find_all(names)],
        ["train/kl_t1", "train/kl_t2", "train/loss"],
    )


class MetricsTest(absltest.TestCase):

  def test_they_are_those_that_an_evaluation_measures(self):
    ((measured,),) = [
        evaluate.attempt_metrics(
            np.asarray([[False, True]]),
            [["1", "2"]],
            np.asarray([[False, False]]),
        )
    ]
    self.assertEqual(
        list(measured), [metric.name for metric in scalars.METRICS]
    )
    for name, values in measured.items():
      low, high = scalars.metric(name).format.range
      self.assertBetween(values[0], low, high)
      self.assertIsNotNone(scalars.find(f"validation/{name}"))

  def test_metrics_that_are_compared_have_a_phrase(self):
    for metric in scalars.METRICS:
      self.assertEqual(bool(metric.phrase), metric.name in scalars.COMPARED)

  def test_attempts_that_were_cut_share_a_column(self):
    names = [[m.name for m in column] for column in scalars.columns()]
    self.assertEqual(names[-1], ["truncated_t1", "truncated_t2"])
    self.assertLen(names, 7)

  def test_terminal_headings_are_ascii(self):
    for metric in scalars.METRICS:
      self.assertTrue(metric.terminal.isascii(), metric.terminal)
      self.assertEqual(bool(metric.terminal), bool(metric.column))

  def test_formats_become_their_names_in_json(self):
    self.assertEqual(json.dumps(Format.POINTS), '"points"')


if __name__ == "__main__":
  absltest.main()
