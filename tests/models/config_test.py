"""Tests of score_jax.models.config."""

import dataclasses
import json

from absl.testing import absltest
from absl.testing import parameterized

from score_jax.models import config as config_lib
from score_jax.models import hf_config
from score_jax.models.config import LinearScaling
from score_jax.models.config import Llama3Scaling
from score_jax.models.config import Rope
from tests.helpers.model_features import without_features
from tests.helpers.published_configs import PUBLISHED


def _published(name):
  return hf_config.from_hf(PUBLISHED[name].config, name)


class DescriptionTest(parameterized.TestCase):

  def test_by_hand(self):
    llama = _published("meta-llama/Llama-3.2-1B")
    self.assertEqual(
        config_lib.description(llama),
        {
            "model_type": "llama",
            "vocab_size": 128256,
            "d_model": 2048,
            "num_layers": 16,
            "num_heads": 32,
            "num_kv_heads": 8,
            "head_dim": 64,
            "d_ff": 8192,
            "rope": {
                "kind": "Rope",
                "theta": 500000.0,
                "scaling": {
                    "kind": "Llama3Scaling",
                    "factor": 32.0,
                    "low_freq_factor": 1.0,
                    "high_freq_factor": 4.0,
                    "original_max_positions": 8192,
                },
            },
            "norm_eps": 1e-05,
            "is_tied": True,
            "max_positions": 131072,
        },
    )

  @parameterized.parameters(*PUBLISHED)
  def test_json_gives_it_back(self, name):
    description = config_lib.description(_published(name))
    written = json.dumps(description, allow_nan=False)
    self.assertEqual(json.loads(written), description)

  @parameterized.parameters(*PUBLISHED)
  def test_without_any_feature_it_is_another(self, name):
    config = _published(name)
    configs = {config, *(other for _, other in without_features(config))}
    self.assertGreater(len(configs), 1)
    texts = {json.dumps(config_lib.description(c)) for c in configs}
    self.assertLen(texts, len(configs))

  def test_scalings_with_equal_numbers_are_told_apart(self):
    config = _published("google/gemma-2-2b")
    scalings = (None, LinearScaling(8.0), Llama3Scaling(8.0, 1.0, 4.0, 16))
    texts = {
        json.dumps(
            config_lib.description(
                dataclasses.replace(config, rope=Rope(1e4, scaling))
            )
        )
        for scaling in scalings
    }
    self.assertLen(texts, len(scalings))


if __name__ == "__main__":
  absltest.main()
