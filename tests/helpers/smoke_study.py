"""The smallest study, as a config file for tests."""

import ml_collections

from configs import tiny_study
from tests.helpers import smoke


def get_config() -> ml_collections.ConfigDict:
  config = tiny_study.get_config().unlock()
  config.run = ml_collections.ConfigDict(smoke.settings())
  config.run.rollout.samples_per_problem = 4
  config.run.tiny_model.max_positions = 64
  config.method.stage1b_steps = 2
  config.method.sft.steps = 2
  config.method.sft.batch_size = 4
  config.test_time.num_attempts = 3
  config.test_time.samples = 2
  config.test_time.problems = 5
  return config.lock()
