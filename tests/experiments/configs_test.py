"""The configs of the paper's tasks: complete, and one update on the CPU.

The model is a tiny one with random weights, the problems are made up in the
published forms (HumanEval is the real one); everything else is as on a TPU.
"""

import json
import pathlib
import sys
import tempfile
from unittest import mock
import zlib

from absl import flags
from absl.testing import absltest
from absl.testing import parameterized
from ml_collections import config_flags
import pytest

from experiments import run
from score_jax import settings
from score_jax.grading import math_answer
from score_jax.tasks import programs
from tests.helpers import made_up_data
from tests.helpers import tiny_gemma
from tests.helpers.shipped_configs import load
from tests.helpers.shipped_configs import shrink


class ConfigsTest(parameterized.TestCase):

  @parameterized.parameters(
      ("tiny",),
      ("smollm2_passes",),
      ("gemma_code",),
      ("gemma_math",),
      ("gemma_math", "9b"),
      ("gemma_math", "27b"),
      ("qwen_math",),
      ("qwen_math", "7b"),
      ("llama_math",),
      ("llama_math", "8b"),
  )
  def test_every_key_is_known_and_none_is_missing(self, *name):
    config = json.loads(load(*name).to_json())
    settings.from_mapping(settings.RunSettings, config)

  @parameterized.parameters("gemma_code", "gemma_math", "qwen_math")
  def test_problems_can_be_left_out_on_the_command_line(self, name):
    values = flags.FlagValues()
    argv = ["run", "--config.task.exclude=('test/a/1.json','mbpp/2')"]
    with mock.patch.object(sys, "argv", argv):
      config_flags.DEFINE_config_dict("config", load(name), flag_values=values)
      values(argv)
    task = json.loads(values.config.to_json())["task"]
    self.assertEqual(task["exclude"], ["test/a/1.json", "mbpp/2"])

  @parameterized.parameters("gemma_math", "qwen_math", "llama_math")
  def test_a_size_that_does_not_exist(self, name):
    with self.assertRaisesRegex(ValueError, "'70b', expected one of"):
      load(name, "70b")

  @parameterized.parameters(
      ("gemma_math", 512, 3000, 5e-6, 0.1),
      ("gemma_code", 128, 1500, 1e-5, 0.25),
  )
  def test_settings_of_the_paper(self, name, batch, steps, rate, beta2):
    """Table 8 of the camera-ready version."""
    config = load(name)
    rollout = config.rollout
    rows = rollout.problems_per_step * rollout.samples_per_problem
    self.assertEqual(rows, batch)
    self.assertEqual(config.stage1.steps + config.stage2.steps, steps)
    for stage in (config.stage1, config.stage2):
      self.assertEqual(stage.optimizer.learning_rate, rate)
      self.assertEqual(stage.objective.kl_coef, 0.01)
    objective = config.stage1.objective
    self.assertEqual(objective.first_attempt_kl_coef, beta2)
    self.assertEqual(config.stage2.objective.bonus_coef, 10)
    self.assertEqual(rollout.temperature, 1.0)


@pytest.mark.slow
class SmokeTest(absltest.TestCase):

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.root = pathlib.Path(
        cls.enterClassContext(tempfile.TemporaryDirectory())
    )
    made_up_data.write_math(str(cls.root / "manual"))
    made_up_data.write_mbpp(str(cls.root / "manual"))
    tiny_gemma.save(str(cls.root / "model"))

  def _run(self, name, excluded, num_validation=None):
    config = shrink(load(name), self.root, excluded)
    if num_validation is not None:
      config.task.num_validation = num_validation
    workdir = self.root / name
    results = run.train(config, str(workdir))
    lines = (workdir / "metrics.jsonl").read_text("utf-8").splitlines()
    manifest = json.loads((workdir / "manifest.json").read_text("utf-8"))
    return results, [json.loads(line) for line in lines], manifest

  def _check(self, results, records, num_test, right):
    for name in ("base", "stage1", "stage2"):
      self.assertEqual(results[name]["n"], num_test)
    updates = [r for r in records if "train/loss" in r]
    self.assertEqual([r["stage"] for r in updates], ["stage1", "stage2"])
    shares = [r.get(f"grade/status_{right}", 0.0) for r in updates]
    # What is right by the grader is what is rewarded.
    for record, share in zip(updates, shares, strict=True):
      rewards = record["train/accuracy_t1"] + record["train/accuracy_t2"]
      self.assertAlmostEqual(rewards / 2, share)
    self.assertGreater(sum(shares), 0)
    self.assertLess(sum(shares), 2)

  # Random letters hold no answer. So that there is something to grade, every
  # attempt is taken to state one, which is right about every second time.

  def test_math(self):
    """Problems whose sum is 60 or 61, and attempts that state either."""
    sums = {i: sum(divmod(i, 120)) for i in range(12_500)}
    others = [i for i, total in sums.items() if total not in (60, 61)]
    excluded = [
        f"{'test' if i >= 12_000 else 'train'}/prealgebra/{i}.json"
        for i in others
        if i < 12_000 or i >= 12_006
    ]

    def stated(text):
      return str(60 + zlib.crc32(text.encode()) % 2)

    with mock.patch.object(math_answer, "stated_answer", stated):
      results, records, manifest = self._run("gemma_math", excluded, 8)
    self._check(results, records, 6, "correct")
    self.assertEqual(
        manifest["num_problems"], {"train": 115, "validation": 8, "test": 6}
    )

  def test_code(self):
    """Attempts that add the number of the task, or one more."""
    excluded = [f"HumanEval/{i}" for i in range(6, 164)]
    excluded += [f"mbpp/{i}" for i in [*range(530, 601), *range(620, 975)]]

    def extracted(text, entry_point):
      number = entry_point.rpartition("_")[2]
      more = zlib.crc32(text.encode()) % 2
      return f"def {entry_point}(x):\n  return x + {number} + {more}"

    with mock.patch.object(programs, "extract_program", extracted):
      results, records, manifest = self._run("gemma_code", excluded)
    self._check(results, records, 6, "pass")
    self.assertEqual(results["base"]["accuracy_t1"], 0.0)
    self.assertIn(manifest["task"]["sandbox_tier"], ("namespaces", "seccomp"))


if __name__ == "__main__":
  absltest.main()
