"""Supervised phases: what they learn, from where, and when they stop."""

import dataclasses
import json
import pathlib
import tempfile

from absl.testing import absltest
from absl.testing import parameterized
import numpy as np
import pytest
import safetensors.numpy

from configs import tiny_study
from score_jax import settings as settings_lib
from score_jax.output import metrics
from score_jax.output.workdir import Workdir
from score_jax.run import recipe
from score_jax.study import methods
from score_jax.study.settings import StudySettings
from score_jax.training import imitate
from tests.helpers import lottery
from tests.helpers import smoke

pytestmark = pytest.mark.usefixtures("quick_compilation")


def _study(**overrides):
  config = json.loads(tiny_study.get_config().to_json())
  config["run"] = smoke.settings(
      stage1__steps=2,
      stage2__steps=4,
      rollout__samples_per_problem=4,
      **overrides,
  )
  config["method"]["stage1b_steps"] = 2
  config["method"]["sft"] |= {"steps": 16, "batch_size": 8}
  config["method"]["sft"]["optimizer"]["learning_rate"] = 1e-2
  return settings_lib.from_mapping(StudySettings, config), config["run"]


@pytest.mark.slow
class SftTest(parameterized.TestCase):

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    directory = tempfile.TemporaryDirectory()
    cls.addClassCleanup(directory.cleanup)
    cls.root = pathlib.Path(directory.name)
    cls.settings, cls.config = _study()
    cls.outcomes = {
        name: cls._run(cls.root / name, name)
        for name in ("star", "pair_sft", "score_star")
    }

  @classmethod
  def _run(cls, path, name):
    workdir = Workdir(path, cls.config)
    run = cls.settings.run
    phases = methods.METHODS[name].recipe(cls.settings)
    return recipe.run_phases(run, lottery.make_task(run.task), workdir, phases)

  def _records(self, name):
    return metrics.read_metrics(self.root / name / "metrics.jsonl")

  def test_every_round_is_evaluated(self):
    self.assertEqual(
        list(self.outcomes["star"].results),
        ["base", "star_1", "star_2", "star_3"],
    )
    self.assertEqual(
        list(self.outcomes["score_star"].results),
        ["base", "stage1", "star_1", "star_2", "star_3"],
    )

  def test_conversations_are_counted_over_rounds(self):
    last = [r for r in self._records("star") if r["step"] == 16]
    rows = 4 * 4
    self.assertEqual(
        [r["train/conversations"] for r in last],
        [2 * rows, 4 * rows, 6 * rows],
    )
    for record in last:
      self.assertIn("validation/accuracy_t2", record)

  def test_pair_sft_takes_one_epoch(self):
    records = [r for r in self._records("pair_sft") if r["step"]]
    traces = records[0]["train/traces"]
    self.assertLen(records, traces // 8)
    self.assertLessEqual(records[-1]["train/epochs"], 1)
    self.assertGreater(records[-1]["train/epochs"] + 8 / traces, 1)

  def test_training_makes_the_imitated_more_likely(self):
    losses = [
        r["train/loss"]
        for r in self._records("star")
        if r["stage"] == "star_1" and r["step"]
    ]
    self.assertLess(np.mean(losses[-4:]), 0.9 * np.mean(losses[:4]))

  def test_a_second_call_ends_with_the_same_weights(self):
    """The last round is lost and made again, from what is on disk."""

    def weights():
      return safetensors.numpy.load_file(
          self.root / "star" / "export" / "model.safetensors"
      )

    before = weights()
    for name in ("export", "checkpoints/star_3"):
      for file in sorted((self.root / "star" / name).rglob("*"), reverse=True):
        file.unlink() if file.is_file() else file.rmdir()
      (self.root / "star" / name).rmdir()
    (self.root / "star" / "evaluations" / "star_3.json").unlink()
    outcome = self._run(self.root / "star", "star")
    self.assertEqual(
        outcome.results["star_3"], self.outcomes["star"].results["star_3"]
    )
    after = weights()
    for name, value in before.items():
      np.testing.assert_array_equal(after[name], value)

  @parameterized.parameters(
      (100, None, 30),  # no limit of epochs: all steps
      (1000, 1, 15),  # what is left of a batch is left out
      (100_000, 1, 30),  # the limit of steps
      (3, 1, 1),  # less than a batch, still learnt from
      (1000, 2, 30),
  )
  def test_number_of_updates(self, num_traces, epochs, expected):
    settings, _ = _study()
    (phase,) = methods.pair_sft(settings)
    phase = dataclasses.replace(phase, steps=30, epochs=epochs, batch_size=64)
    self.assertEqual(imitate.num_updates(phase, num_traces), expected)


if __name__ == "__main__":
  absltest.main()
