"""Bad settings are refused with a message that says what to change."""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
from typing import Any

from absl.testing import absltest
from absl.testing import parameterized

from configs import smollm2_passes
from configs import tiny
from score_jax import settings as settings_lib
from score_jax.objectives import Stage1
from score_jax.objectives import Stage2
from score_jax.settings import RunSettings
from score_jax.tasks import make
from score_jax.training import phases
from tests.helpers import smoke


def _read(values):
  return settings_lib.from_mapping(RunSettings, values)


def _objectives(values):
  """Those of both phases; their coefficients are read by `phases.score`."""
  return [phase.objective for phase in phases.score(_read(values))]


class SettingsTest(parameterized.TestCase):

  @parameterized.parameters(tiny, smollm2_passes)
  def test_shipped_configs_are_complete_and_valid(self, module):
    config = module.get_config()
    self.assertTrue(config.is_locked)
    settings = _read(config.to_dict())
    self.assertEqual(settings.rollout.num_attempts, 2)

  def test_groups_become_settings_classes(self):
    settings = _read(smoke.settings())
    self.assertEqual(settings.stage2.objective["bonus_coef"], 3.0)
    self.assertEqual(settings.stage1.optimizer.warmup_steps, 1)

  @parameterized.parameters((None, None), (2, 2.0), (8, 0.5))
  def test_adapters_are_scaled_by_alpha_over_rank(self, rank, expected):
    settings = _read(smoke.settings(train__lora_rank=rank))
    self.assertEqual(settings.train.lora_scale, expected)

  def test_integers_are_taken_as_floats(self):
    _, stage2 = _objectives(smoke.settings(stage2__objective__bonus_coef=10))
    self.assertIsInstance(stage2.bonus_coef, float)
    self.assertEqual(stage2.bonus_coef, 10.0)
    settings = _read(smoke.settings(stage2__optimizer__learning_rate=1))
    self.assertIsInstance(settings.stage2.optimizer.learning_rate, float)

  # Config keys that are ignored.
  @parameterized.parameters(
      ({"sed": 1}, "unknown key sed .did you mean seed."),
      (
          {"stage1__optimizer__learning_rat": 1.0},
          "unknown key stage1.optimizer.learning_rat .did you mean"
          " learning_rate.",
      ),
      ({"rollout__temprature": 1.0}, "did you mean temperature"),
  )
  def test_unknown_keys_are_errors_that_name_the_nearest(self, keys, message):
    with self.assertRaisesRegex(ValueError, message):
      _read(smoke.settings(**keys))

  def test_a_missing_key_is_an_error(self):
    values = smoke.settings()
    del values["stage2"]["steps"]
    with self.assertRaisesRegex(ValueError, "missing key stage2.steps"):
      _read(values)

  def test_a_missing_coefficient_is_an_error(self):
    values = smoke.settings()
    del values["stage2"]["objective"]["bonus_coef"]
    with self.assertRaisesRegex(
        ValueError, "missing key stage2.objective.bonus_coef"
    ):
      _objectives(values)

  def test_objectives_are_those_that_are_named(self):
    values = smoke.settings()
    stage1, stage2 = _objectives(values)
    self.assertEqual(stage1, Stage1(0.01, 1.0, num_anchored=1))
    self.assertEqual(stage2, Stage2(0.01, 3.0))
    values["stage1"]["objective"] = values["stage2"]["objective"]
    self.assertEqual(_objectives(values), [stage2, stage2])

  @parameterized.parameters(
      (4, 2, (4, 4)),
      (4, 3, (4, 4, 4)),
      ((6, 48), 2, (6, 48)),
      ([6, 4], 2, (6, 4)),
  )
  def test_limits_of_tokens_by_attempt(self, given, num_attempts, limits):
    values = smoke.settings(
        rollout__max_new_tokens=given, rollout__num_attempts=num_attempts
    )
    self.assertEqual(_read(values).rollout.attempt_limits, limits)

  @parameterized.parameters(
      [(True,), (6.0,), ("6",), (None,), ((6, True),), ((6, 48.0),)]
  )
  def test_limits_are_checked_without_a_config_too(self, limits):
    with self.assertRaisesRegex(
        ValueError, "max_new_tokens is .*whole numbers"
    ):
      dataclasses.replace(
          _read(smoke.settings()).rollout, max_new_tokens=limits
      )

  @parameterized.parameters(
      ({"seed": "0"}, "seed is '0' of type str, expected a whole number"),
      ({"seed": True}, "seed is True of type bool"),
      ({"stage1__steps": 1.5}, "stage1.steps is 1.5 of type float"),
      ({"stage1__optimizer": 3}, "stage1.optimizer is 3 .*group of settings"),
      ({"task": "addition"}, "task is 'addition' .*group of settings"),
      ({"train__kl_estimator": None}, "train.kl_estimator is None"),
      (
          {"rollout__max_new_tokens": "6,48"},
          "max_new_tokens is '6,48' of type str, expected a whole number or a"
          " list of whole numbers",
      ),
      ({"rollout__max_new_tokens": True}, "max_new_tokens is True of type"),
      ({"rollout__max_new_tokens": 6.0}, "max_new_tokens is 6.0 of type"),
      ({"rollout__max_new_tokens": [6, True]}, "a list of whole numbers"),
      ({"rollout__max_new_tokens": (6, 48.0)}, "a list of whole numbers"),
      ({"rollout__max_new_tokens": None}, "max_new_tokens is None"),
  )
  def test_wrong_types_are_errors(self, keys, message):
    with self.assertRaisesRegex(ValueError, message):
      _read(smoke.settings(**keys))

  @parameterized.parameters(
      ({"seed": -1}, "seed is -1, expected 0 to"),
      ({"seed": 2**32}, "seed is 4294967296, expected 0 to"),
      ({"rollout__samples_per_problem": 1}, "samples_per_problem is 1"),
      ({"rollout__num_attempts": 1}, "num_attempts is 1, expected at least 2"),
      ({"rollout__temperature": 0.0}, "temperature is 0.0, expected above 0"),
      ({"rollout__max_new_tokens": 0}, "max_new_tokens is 0"),
      (
          {"rollout__max_new_tokens": (6, 0)},
          r"max_new_tokens is \(6, 0\), expected whole numbers above 0",
      ),
      (
          {"rollout__max_new_tokens": (6, 48, 48)},
          r"is \(6, 48, 48\), expected 2 limits, one for each",
      ),
      ({"rollout__max_new_tokens": [6]}, r"is \[6\], expected 2 limits"),
      ({"rollout__max_new_tokens": ()}, r"is \(\), expected 2 limits"),
      (
          {"rollout__max_new_tokens": (6, 48), "rollout__num_attempts": 3},
          "expected 3 limits, .* or a single number",
      ),
      ({"stage2__optimizer__learning_rate": 0.0}, "learning_rate is 0.0"),
      ({"train__kl_estimator": "k3"}, "'k3', expected one of k1_in_reward"),
      ({"train__token_reduction": "max"}, "expected one of sum, mean"),
      ({"train__num_microbatches": 3}, "is 8 rows, .*num_microbatches 3"),
      (
          {"train__lora_rank": 0},
          "^config.train: lora_rank is 0, expected above",
      ),
      ({"train__lora_rank": 2.5}, "lora_rank is 2.5 of type float, expected a"),
      ({"train__lora_alpha": 0.0}, "lora_alpha is 0.0, expected above 0"),
      (
          {"train__lora_rank": 4, "train__reference": "host"},
          "'host' with lora_rank 4: .*give reference 'device'",
      ),
      (
          {"train__shared_prefix": True, "train__num_microbatches": 8},
          "shared_prefix is True and .*_step 4 is not .*num_microbatches 8",
      ),
      (
          {"train__shared_prefix": True, "attention": "splash"},
          "shared_prefix is True and attention is 'splash', .* set train.shar",
      ),
      (
          {
              "train__shared_prefix": True,
              "mesh": {
                  "slice": 1,
                  "data": 1,
                  "fsdp": 1,
                  "tensor": 1,
                  "sampler_tensor": 1,
              },
          },
          "shared_prefix is True and mesh is given, .* or mesh to None",
      ),
      ({"tiny_model__copy_fraction": 0.9}, "is 1.2, expected at most 1"),
      ({"tiny_model__answer_accuracy": 1.5}, "expected 0 to 1"),
      (
          {
              "model": {
                  "path": "x",
                  "revision": None,
                  "compute_dtype": "float32",
                  "chat_template_options": {},
              }
          },
          "either model .* or tiny_model .* found both",
      ),
      ({"tiny_model": None}, "either model .* or tiny_model .* found neither"),
      (
          {
              "model": {
                  "path": "x",
                  "revision": None,
                  "compute_dtype": "float16",
                  "chat_template_options": {},
              }
          },
          "compute_dtype is 'float16', expected one of float32, bfloat16",
      ),
  )
  def test_wrong_values_are_errors(self, keys, message):
    with self.assertRaisesRegex(ValueError, message):
      _read(smoke.settings(**keys))

  @parameterized.parameters(
      (
          {"stage1__objective__kl_coef": -0.1},
          "^config.stage1.objective: kl_coef is -0.1, expected 0 or more$",
      ),
      (
          {"stage1__objective__kl_coef": float("nan")},
          "^config.stage1.objective: kl_coef is nan",
      ),
      (
          {"stage1__objective__first_attempt_kl_coef": -1},
          "^config.stage1.objective: first_attempt_kl_coef is -1",
      ),
      (
          {"stage2__objective__bonus_coef": -2.0},
          "^config.stage2.objective: bonus_coef is -2.0",
      ),
      (
          {"stage2__objective__bonus_coef": "10"},
          "stage2.objective.bonus_coef is '10' of type str, expected a number",
      ),
      (
          {"stage2__objective__bonus_coeff": 1.0},
          "unknown key stage2.objective.bonus_coeff .did you mean bonus_coef.",
      ),
      (
          {"stage2__objective__num_anchored": 1},
          "unknown key stage2.objective.num_anchored",
      ),
      (
          {"stage2__objective__name": "stage3"},
          "stage2.objective.name is 'stage3', expected one of stage1, stage2",
      ),
      ({"stage1__objective": {}}, "stage1.objective.name is None"),
  )
  def test_wrong_objectives_are_errors(self, keys, message):
    with self.assertRaisesRegex(ValueError, message):
      _objectives(smoke.settings(**keys))


def _described(
    names: Sequence[str], table: Mapping[str, Any], limit: float | None = 1.0
):
  """A function of a task, with arguments of all kinds."""
  return names, table, limit


class FromMappingTest(parameterized.TestCase):

  VALUES = {"names": ["a", "b"], "table": {"x": {"y": 1}}, "limit": 2}

  def test_a_function_is_called_by_name(self):
    found = settings_lib.from_mapping(_described, self.VALUES, "task")
    # Groups without a class of their own are handed over as they are.
    self.assertEqual(found, (["a", "b"], {"x": {"y": 1}}, 2.0))
    self.assertIsInstance(found[-1], float)

  @parameterized.parameters(
      ({"names": ("a",)}, (("a",), {"x": {"y": 1}}, 2.0)),
      ({"names": []}, ([], {"x": {"y": 1}}, 2.0)),
      ({"table": {}}, (["a", "b"], {}, 2.0)),
      ({"limit": None}, (["a", "b"], {"x": {"y": 1}}, None)),
  )
  def test_what_fits(self, values, expected):
    found = settings_lib.from_mapping(_described, self.VALUES | values, "task")
    self.assertEqual(found, expected)

  @parameterized.parameters(
      (
          {"names": "ab"},
          "task.names is 'ab' of type str, expected a list of texts",
      ),
      ({"names": ["a", 1]}, "task.names is .* expected a list of texts"),
      ({"names": None}, "task.names is None"),
      (
          {"table": ["x"]},
          "task.table is .* of type list, expected a group of settings",
      ),
      ({"table": None}, "task.table is None .* expected a group of settings"),
      ({"limit": "2"}, "task.limit is '2' of type str, expected a number"),
      ({"nams": []}, "unknown key task.nams .did you mean names."),
  )
  def test_what_does_not_fit(self, values, message):
    with self.assertRaisesRegex(ValueError, message):
      settings_lib.from_mapping(_described, self.VALUES | values, "task")

  def test_parameters_with_a_default_must_be_given_too(self):
    values = {k: v for k, v in self.VALUES.items() if k != "limit"}
    with self.assertRaisesRegex(ValueError, "missing key task.limit"):
      settings_lib.from_mapping(_described, values, "task")


class MakeTaskTest(parameterized.TestCase):

  def test_makes_the_named_task(self):
    task = make.make_task(smoke.settings()["task"])
    self.assertEqual(task.name, "addition")
    self.assertLen(task.problems("test"), 11)

  @parameterized.parameters(
      ({"task__name": "multiplication"}, "expected one of addition"),
      ({"task__digits": 3}, "unknown key task.digits .did you mean num_digits"),
      ({"task__num_digits": 0}, "num_digits is 0, expected 1 to 9"),
      ({"task__num_train": 10_000}, "lower the split sizes"),
  )
  def test_refuses_what_a_task_does_not_know(self, keys, message):
    with self.assertRaisesRegex(ValueError, message):
      make.make_task(smoke.settings(**keys)["task"])


if __name__ == "__main__":
  absltest.main()
