"""Mistakes in the arguments of commands that take a config."""

import subprocess
import sys

from absl.testing import absltest
from absl.testing import parameterized
import pytest

from configs import gemma_math
from experiments import commands


class UnknownKeyTest(parameterized.TestCase):

  @parameterized.parameters(
      (
          "--config.train.num_microbatch=4",
          "--config.train.num_microbatch: config.train has no"
          " 'num_microbatch', the nearest known key is"
          " config.train.num_microbatches",
      ),
      (
          "-config.trian.remat=full",
          "--config.trian.remat: config has no 'trian', the nearest known key"
          " is config.train.remat",
      ),
      (
          "--noconfig.stage1.objective.kl_coeff",
          "--config.stage1.objective.kl_coeff: config.stage1.objective has no"
          " 'kl_coeff', the nearest known key is"
          " config.stage1.objective.kl_coef",
      ),
      (
          "--config.tiny_model.steps=3",
          "--config.tiny_model.steps: config.tiny_model is None in this config,"
          " it has no keys",
      ),
      (
          "--config.seed.value=3",
          "--config.seed.value: config.seed is 0 in this config, it has no"
          " keys",
      ),
  )
  def test_is_named_with_the_nearest(self, argument, message):
    found = commands.unknown_key(gemma_math.get_config(), ["x", argument])
    self.assertEqual(found, message)

  def test_known_keys_and_other_flags_are_left_alone(self):
    arguments = [
        "--config=configs/gemma_math.py",
        "--config.train.remat=none",
        "--config.stage2.optimizer.learning_rate",
        "1e-5",
        "--config.task.exclude[0]=a",
        "--workdir=config.nonsense=1",
    ]
    self.assertIsNone(commands.unknown_key(gemma_math.get_config(), arguments))


# ml_collections loads config files as older versions of Python do.
@pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")
class ArgumentsTest(parameterized.TestCase):

  @parameterized.parameters(
      (
          ["--config=configs/gema.py:2b"],
          "--config: there is no file .*gema.py'",
      ),
      (
          ["--workdir", "x", "--config", "configs/tiny.py", "--config.sed=1"],
          "^--config.sed: config has no 'sed', .* is config.seed$",
      ),
  )
  def test_mistakes(self, arguments, message):
    found = commands.mistake(["command", *arguments])
    self.assertRegex(found, message)

  @parameterized.parameters(
      ([],),
      (["--config=configs/tiny.py", "--config.seed=1", "--workdir=x"],),
      # What the command's parser says well enough itself.
      (["--config=configs/gemma_math.py:13b"],),
      (["--cell=base/1"],),
  )
  def test_none(self, arguments):
    self.assertIsNone(commands.mistake(["command", *arguments]))

  @parameterized.parameters(
      "evaluate", "gradient_variance", "plan", "run", "study"
  )
  @pytest.mark.slow
  def test_a_command_ends_in_one_line_with_status_1(self, name):
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            f"experiments.{name}",
            "--config=configs/tiny.py",
            "--config.train.num_microbatch=1",
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    self.assertEqual(
        done.stderr,
        "error: --config.train.num_microbatch: config.train has no"
        " 'num_microbatch', the nearest known key is"
        " config.train.num_microbatches\n",
    )
    self.assertEqual(done.stdout, "")
    self.assertEqual(done.returncode, 1)


if __name__ == "__main__":
  absltest.main()
