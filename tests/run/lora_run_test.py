"""Runs that train adapters: exact, resumed, exported, after other phases."""

import pathlib
import shutil
import tempfile
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import jax
import numpy as np
import pytest
import safetensors.numpy

from score_jax import settings as settings_lib
from score_jax.models import hf
from score_jax.models import lora
from score_jax.output import metrics
from score_jax.output.workdir import Workdir
from score_jax.run import export
from score_jax.run import recipe
from score_jax.settings import RunSettings
from score_jax.study import methods
from score_jax.training import phases as phases_lib
from score_jax.training import reinforce
from score_jax.training.checkpoint import Checkpointer
from tests.helpers import lottery
from tests.helpers import smoke
from tests.helpers import smoke_study

pytestmark = pytest.mark.usefixtures("quick_compilation")

_STEPS = 2
_CHANGES = {
    "train__lora_rank": 2,
    "stage1__steps": _STEPS,
    "stage2__steps": _STEPS,
    "stage1__optimizer__learning_rate": 0.1,
    "stage2__optimizer__learning_rate": 0.1,
    "output__checkpoint_every_steps": 1,
}


def _run(path, base=None, phases=None, **overrides):
  """Runs the recipe; `base` is a base model to take instead of making one."""
  values = smoke.settings(**(_CHANGES | overrides))
  settings = settings_lib.from_mapping(RunSettings, values)
  workdir = Workdir(path, values)
  if base is not None and not workdir.base.exists():
    shutil.copytree(base, workdir.base)
  phases = phases or phases_lib.score(settings)
  # Any model is right now and then: otherwise there is nothing to learn.
  task = lottery.make_task(settings.task)
  return recipe.run_phases(settings, task, workdir, phases)


def _records(path):
  """metrics.jsonl without what depends on the clock."""
  records = metrics.read_metrics(path / "metrics.jsonl")
  return [
      {k: v for k, v in r.items() if not k.startswith("time")} for r in records
  ]


def _weights(path):
  return safetensors.numpy.load_file(path / "model.safetensors")


def _on_disk(path, phase):
  with Checkpointer(path / "checkpoints" / phase) as checkpointer:
    return checkpointer._manager.restore(checkpointer.latest_step())


@pytest.mark.slow
class LoraRunTest(parameterized.TestCase):

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    directory = tempfile.TemporaryDirectory()
    cls.addClassCleanup(directory.cleanup)
    cls.root = pathlib.Path(directory.name)
    cls.whole = cls.root / "whole"
    cls.outcome = _run(cls.whole)
    cls.base = cls.whole / "base"

  def test_the_first_step_is_the_base_and_later_ones_are_not(self):
    records = {(r["stage"], r["step"]): r for r in _records(self.whole)}
    self.assertLess(abs(records["stage1", 1]["train/kl_t1"]), 1e-6)
    self.assertGreater(records["stage1", 2]["train/kl_t1"], 1e-6)
    # Stage II goes on with the adapters of Stage I, held to the base.
    self.assertGreater(records["stage2", 1]["train/kl_t1"], 1e-6)

  def test_a_checkpoint_holds_adapters_and_their_moments_alone(self):
    factors = self.outcome.policy.factors
    for phase in ("stage1", "stage2"):
      found = _on_disk(self.whole, phase)
      shapes = sorted(a.shape for a in jax.tree.leaves(found) if a.ndim)
      expected = [f.shape for f in factors.values()]
      self.assertEqual(shapes, sorted(3 * expected))
    jax.tree.map(
        np.testing.assert_array_equal,
        _on_disk(self.whole, "stage2")["params"],
        factors,
    )

  def test_what_is_frozen_is_the_base_to_the_bit(self):
    _, base = hf.load(self.base)
    jax.tree.map(
        np.testing.assert_array_equal, self.outcome.policy.frozen, base
    )

  def test_the_export_is_the_merged_policy(self):
    exported, base = _weights(self.whole / "export"), _weights(self.base)
    _, params = hf.load(self.whole / "export")
    policy = self.outcome.policy
    merged = self.outcome.collector.placement.copy(policy)
    for i, layer in enumerate(merged["layers"]):
      for name, found in layer.items():
        np.testing.assert_allclose(
            found, params["layers"][name][i], atol=1e-6, err_msg=name
        )
    moved = {name for name in base if (exported[name] != base[name]).any()}
    self.assertEqual(moved, {name for name in base if "_proj." in name})

  def test_the_newest_checkpoint_is_what_the_run_exported(self):
    output = self.root / "exported_again"
    self.assertEqual(export.export_run(self.whole, output), ("stage2", _STEPS))
    for file in (self.whole / "export").iterdir():
      again = (output / file.name).read_bytes()
      self.assertEqual(again, file.read_bytes(), file.name)

  def test_adapters_are_exported_alone(self):
    output = self.root / "adapter"
    export.export_run(self.whole, output, is_adapter=True)
    tensors = safetensors.numpy.load_file(output / "adapter_model.safetensors")
    name = "base_model.model.model.layers.0.mlp.down_proj.lora_{}.weight"
    a, b = (tensors[name.format(x)] for x in "AB")
    base, merged = _weights(self.base), _weights(self.whole / "export")
    name = "model.layers.0.mlp.down_proj.weight"
    np.testing.assert_allclose(
        merged[name], base[name] + 4.0 / 2 * (b @ a), atol=1e-6
    )

  # Also across the switch of stages.
  @parameterized.parameters(1, 3)  # in Stage I, and in Stage II
  def test_an_interrupted_run_ends_bit_for_bit_the_same(self, steps):
    path = self.root / f"interrupted_{steps}"
    step, left = reinforce.Reinforcement.step, [steps]

    def interrupted(*args):
      if not left[0]:
        raise KeyboardInterrupt
      left[0] -= 1
      return step(*args)

    with mock.patch.object(reinforce.Reinforcement, "step", interrupted):
      with self.assertRaises(KeyboardInterrupt):
        _run(path, self.base)
    self.assertEqual(_run(path).results, self.outcome.results)
    self.assertEqual(_records(path), _records(self.whole))
    jax.tree.map(
        np.testing.assert_array_equal,
        _weights(path / "export"),
        _weights(self.whole / "export"),
    )

  @parameterized.parameters("k1_in_reward", "k2")
  def test_estimators_whose_update_reads_no_reference(self, estimator):
    path = self.root / estimator
    _run(path, self.base, train__kl_estimator=estimator)
    records = {(r["stage"], r["step"]): r for r in _records(path)}
    self.assertLess(abs(records["stage1", 1]["train/kl_t1"]), 1e-5)
    self.assertGreater(abs(records["stage2", 1]["train/kl_t1"]), 1e-6)

  def test_the_reference_may_be_the_result_of_a_supervised_phase(self):
    config = smoke_study.get_config().to_dict()
    study = settings_lib.from_mapping(methods.StudySettings, config)
    (first,) = methods.pair_sft(study)
    settings = settings_lib.from_mapping(
        RunSettings, smoke.settings(**_CHANGES)
    )
    phases = (
        first,
        *(
            phase.__class__(**(vars(phase) | {"reference": first.name}))
            for phase in phases_lib.score(settings)
        ),
    )
    path = self.root / "supervised"
    outcome = _run(path, self.base, phases)
    with Checkpointer(path / "checkpoints" / first.name) as checkpointer:
      expected = checkpointer.restore_params(hf.load(self.base)[1])
    jax.tree.map(np.testing.assert_array_equal, outcome.policy.frozen, expected)
    before = _weights(path / "export")
    for name in ("export", "results.json", "evaluations/stage2.json"):
      target = path / name
      shutil.rmtree(target) if target.is_dir() else target.unlink()
    shutil.rmtree(path / "checkpoints" / "stage2" / str(_STEPS))
    self.assertEqual(_run(path, None, phases).results, outcome.results)
    jax.tree.map(
        np.testing.assert_array_equal, _weights(path / "export"), before
    )

  def test_phases_that_adapters_cannot_follow_are_refused(self):
    config = smoke_study.get_config().to_dict()
    study = settings_lib.from_mapping(methods.StudySettings, config)
    for recipe_of, message in (
        (
            methods.score_three_attempts,
            "'stage1b' reads the result of 'stage1'",
        ),
        (methods.score_star, "'star_1' reads the result of 'stage1'"),
    ):
      path = self.root / message.split("'")[1]
      with self.assertRaisesRegex(ValueError, message):
        _run(path, self.base, recipe_of(study))
      self.assertFalse((path / "manifest.json").exists())

  def test_a_run_without_adapters_has_none_to_export(self):
    path = self.root / "full"
    _run(path, self.base, train__lora_rank=None, stage2__steps=0)
    with self.assertRaisesRegex(ValueError, "no adapters to write"):
      export.export_run(path, self.root / "none", is_adapter=True)

  def test_adapters_behind_a_warm_up_are_beside_its_result(self):
    optimizer = smoke.SETTINGS["stage1"]["optimizer"]
    lesson = {"steps": 1, "batch_size": 8, "optimizer": optimizer}
    path = self.root / "warm"
    _run(
        path,
        tiny_model=None,
        model={
            "path": str(self.base),
            "revision": None,
            "compute_dtype": "bfloat16",
            "chat_template_options": {},
        },
        warmup={
            "seed": 5,
            "answers": lesson,
            "corrections": lesson,
            "habit": lesson,
            "copy_fraction": 0.5,
            "check_every_steps": 1,
            "checkpoint_every_steps": 1,
        },
        stage2__steps=0,
    )
    export.export_run(path, self.root / "warm_again")
    again, found = (
        _weights(p) for p in (self.root / "warm_again", path / "export")
    )
    base = _weights(path / "base")
    jax.tree.map(np.testing.assert_array_equal, again, found)
    for name, value in found.items():
      self.assertEqual(value.dtype, np.float32)
      rounded = base[name].astype("bfloat16").astype(np.float32)
      is_moved = (value != rounded).any()
      self.assertEqual(is_moved, "_proj." in name, name)

  def test_other_seeds_have_other_factors(self):
    policies = [self.outcome.policy]
    path = self.root / "seed1"
    changes = {"seed": 1, "stage1__steps": 0, "stage2__steps": 0}
    policies.append(_run(path, self.base, **changes).policy)
    a = [lora.factors_of(p.factors, "query")[0] for p in policies]
    self.assertGreater(np.abs(a[0] - a[1]).max(), 0.1)


if __name__ == "__main__":
  absltest.main()
