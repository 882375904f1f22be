"""Variance and signal of gradients."""

import json
import pathlib
import tempfile
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import jax
from ml_collections import ConfigDict
import numpy as np
import pytest

from experiments import gradient_variance as experiment
from score_jax.evaluate import gradient_variance
from score_jax.models import hf
from score_jax.models import transformer
from score_jax.run import tiny_base
from score_jax.settings import TinyModelSettings
from score_jax.tasks.addition import AdditionTask
from score_jax.types import Grade
from tests.helpers import smoke


def _gradients(count=6, size=50, seed=0):
  generator = np.random.default_rng(seed)
  return generator.normal(1.0, 2.0, (count, size)).astype(np.float32)


class StatisticsTest(parameterized.TestCase):

  def test_numbers(self):
    """Two batches with gradients (1, 0) and (3, 4): mean (2, 2)."""
    inner = gradient_variance.gram(np.array([[1, 0], [3, 4]], np.float32))
    np.testing.assert_array_equal(inner, [[1, 3], [3, 25]])
    self.assertEqual(gradient_variance.variance(inner), 2 + 8)
    self.assertEqual(gradient_variance.squared_mean(inner), 3)

  def test_variance_is_the_sum_of_that_of_each_parameter(self):
    gradients = _gradients()
    self.assertAlmostEqual(
        gradient_variance.variance(gradient_variance.gram(gradients)),
        float(np.var(gradients.astype(float), axis=0, ddof=1).sum()),
    )

  def test_signal_has_no_noise_in_it(self):
    """Over many draws it is the squared norm of the mean, 50 times 1."""
    signals, plain = [], []
    for seed in range(400):
      gradients = _gradients(seed=seed)
      signals.append(
          gradient_variance.squared_mean(gradient_variance.gram(gradients))
      )
      plain.append(np.sum(np.mean(gradients, axis=0) ** 2))
    error = np.std(signals) / np.sqrt(len(signals))
    self.assertLess(abs(np.mean(signals) - 50), 4 * error)
    self.assertGreater(np.mean(plain) - 50, 20 * error)

  def test_many_parameters_are_taken_in_pieces(self):
    gradients = _gradients(3, 200_000)
    inner = gradient_variance.gram(gradients)
    whole = gradients.astype(float) @ gradients.astype(float).T
    np.testing.assert_allclose(inner, whole, rtol=1e-12)

  def test_interval_covers_the_ratio_and_resamples_pairs(self):
    baseline = gradient_variance.gram(_gradients(30))
    other = gradient_variance.gram(_gradients(30, seed=1) * 0.5)
    low, high = gradient_variance.ratio_interval(other, baseline)
    self.assertBetween(0.25, low, high)
    self.assertBetween(high - low, 0.001, 0.2)
    same = gradient_variance.ratio_interval(4 * baseline, baseline)
    np.testing.assert_allclose(same, [4, 4])

  def test_a_comparison_with_itself(self):
    inner = gradient_variance.gram(_gradients())
    found = gradient_variance.compare({"a": {"all": inner}}, "a")["a"]["all"]
    self.assertEqual(found["variance_ratio"], 1)
    np.testing.assert_allclose(found["variance_ratio_ci95"], [1, 1])
    self.assertEqual(
        found["signal_to_noise"], found["squared_mean"] / found["variance"]
    )

  def test_gradients_that_are_all_the_same_are_refused(self):
    inner = np.zeros((3, 3))
    with self.assertRaisesRegex(ValueError, "no attempt is right"):
      gradient_variance.compare({"a": {"all": inner}}, "a")


class ParityTask(AdditionTask):
  """Attempts of an untrained model that are right half of the time."""

  def grade(self, problems, completions):
    is_right = [sum(map(ord, text)) % 2 == 0 for text in completions]
    return [Grade(r, "correct" if r else "wrong", "") for r in is_right]


@pytest.mark.slow
class ExperimentTest(parameterized.TestCase):

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    root = cls.enterClassContext(tempfile.TemporaryDirectory())
    cls.base = pathlib.Path(root) / "base"
    tiny = TinyModelSettings(**smoke.settings()["tiny_model"])
    config = tiny_base.model_config(tiny, 16)
    params = transformer.init_params(jax.random.key(0), config)
    tokenizer = tiny_base.make_tokenizer().tokenizer
    hf.save(cls.base, config, params, tokenizer=tokenizer)

  def _measure(self, num_batches=2, corrections=(2,), **overrides):
    values = smoke.settings(rollout__samples_per_problem=4, **overrides)
    output = pathlib.Path(self.create_tempdir().full_path) / "out"
    task = {k: v for k, v in values["task"].items() if k != "name"}
    with mock.patch.object(
        experiment.make, "make_task", lambda _: ParityTask(**task)
    ):
      result = experiment.measure(
          ConfigDict(values),
          str(self.base),
          str(output),
          num_batches,
          corrections,
      )
    written = json.loads((output / "results.json").read_text("utf-8"))
    self.assertEqual(result, written)
    return result

  def test_all_estimators_are_measured(self):
    result = self._measure()
    self.assertEqual(result["conversations_per_batch"], 16)
    estimators = result["estimators"]
    self.assertEqual(
        list(estimators),
        ["corrections_1", "corrections_1_without_r1", "corrections_2"],
    )
    for parts in estimators.values():
      for part in ("attempt_2", "all"):
        self.assertGreater(parts[part]["variance"], 0)
    plain = estimators["corrections_1"]
    self.assertEqual(plain["attempt_2"]["variance_ratio"], 1)
    # Only attempt 1 is left out of the one and not of the other.
    self.assertNotEqual(
        plain["attempt_2"]["variance"], plain["all"]["variance"]
    )

  def test_without_a_bonus_there_is_no_first_reward_to_leave_out(self):
    estimators = self._measure(stage2__objective__bonus_coef=0.0)["estimators"]
    self.assertEqual(
        estimators["corrections_1"], estimators["corrections_1_without_r1"]
    )

  @parameterized.parameters(
      ({"num_batches": 1}, "num_batches is 1, expected 2"),
      ({"corrections": (3,)}, "4 samples per problem with 3 corrections"),
      ({"rollout__num_attempts": 3}, "num_attempts is 3, expected 2"),
  )
  def test_what_cannot_be_measured_is_refused(self, options, message):
    with self.assertRaisesRegex(ValueError, message):
      self._measure(**options)


if __name__ == "__main__":
  absltest.main()
