"""Phases that plain SCoRe does not have: three attempts, offline, in turns."""

import pathlib
import shutil
import tempfile

from absl.testing import absltest
import numpy as np
import pytest
import safetensors.numpy

from score_jax import settings as settings_lib
from score_jax.output import metrics
from score_jax.output.workdir import Workdir
from score_jax.run import recipe
from score_jax.settings import RunSettings
from score_jax.study import methods
from score_jax.tasks import make
from tests.helpers import smoke
from tests.helpers import smoke_study

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.mark.slow
class PhasesRunTest(absltest.TestCase):

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    directory = tempfile.TemporaryDirectory()
    cls.addClassCleanup(directory.cleanup)
    cls.root = pathlib.Path(directory.name)
    config = smoke_study.get_config().to_dict()
    cls.study = settings_lib.from_mapping(methods.StudySettings, config)
    cls.config = config["run"]
    cls.three = cls._run("three", methods.score_three_attempts(cls.study))
    cls.offline = cls._run("offline", methods.score_offline(cls.study))

  @classmethod
  def _run(cls, name, phases):
    workdir = Workdir(cls.root / name, cls.config)
    if name != "three" and not workdir.base.exists():
      shutil.copytree(cls.root / "three" / "base", workdir.base)
    task = make.make_task(cls.study.run.task)
    return recipe.run_phases(cls.study.run, task, workdir, phases)

  def _steps(self, name, phase, scalar):
    records = metrics.read_metrics(self.root / name / "metrics.jsonl")
    return [r[scalar] for r in records if r["stage"] == phase and r["step"] > 0]

  def test_three_attempts_are_sampled_and_evaluated(self):
    self.assertEqual(
        list(self.three.results), ["base", "stage1", "stage1b", "stage2"]
    )
    self.assertLen(self._steps("three", "stage1b", "train/accuracy_t3"), 2)
    self.assertEqual(self.three.collector.spec.num_attempts, 3)
    lines = (self.root / "three" / "rollouts" / "test_base.jsonl").read_text()
    self.assertEqual(lines.count('"text"'), 3 * 11)

  def test_stage_1b_is_held_to_the_end_of_stage_1_and_stage_2_to_the_base(self):
    for attempt in (1, 2, 3):
      kl = self._steps("three", "stage1b", f"train/kl_t{attempt}")
      self.assertLess(abs(kl[0]), 1e-6)
      self.assertGreater(kl[1], 1e-6)
      kl = self._steps("three", "stage2", f"train/kl_t{attempt}")
      self.assertGreater(kl[0], 1e-5)

  def test_stage_1b_goes_on_with_its_own_reference(self):
    path = self.root / "continued"
    shutil.copytree(self.root / "three", path)
    shutil.rmtree(path / "export")
    shutil.rmtree(path / "checkpoints" / "stage1b" / "2")
    shutil.rmtree(path / "checkpoints" / "stage2")
    for name in ("stage1b", "stage2"):
      (path / "evaluations" / f"{name}.json").unlink()
    phases = methods.score_three_attempts(self.study)
    outcome = self._run("continued", phases)
    self.assertEqual(outcome.results, self.three.results)
    before, after = (
        safetensors.numpy.load_file(p / "export" / "model.safetensors")
        for p in (self.root / "three", path)
    )
    for name, value in before.items():
      np.testing.assert_array_equal(after[name], value)

  def test_offline_first_attempts_are_not_trained(self):
    for phase in ("stage1", "stage2"):
      kl = self._steps("offline", phase, "train/kl_t1")
      np.testing.assert_array_equal(kl, 0.0)
      self.assertGreater(self._steps("offline", phase, "train/kl_t2")[-1], 1e-6)

  def test_interleaved_stages_are_held_to_the_base(self):
    phases = methods.score_interleaved(self.study)
    names = ["stage1_1", "stage2_1", "stage1_2", "stage2_2"]
    results = self._run("interleaved", phases).results
    self.assertEqual(list(results), ["base", *names])
    sampled = [
        count
        for name in names
        for count in self._steps("interleaved", name, "train/conversations")
    ]
    self.assertEqual(sampled, sorted(set(sampled)))
    self.assertLen(sampled, sum(phase.steps for phase in phases))
    first, later = (
        self._steps("interleaved", name, "train/kl_t1")[0]
        for name in names[::2]
    )
    self.assertLess(abs(first), 1e-6)
    self.assertGreater(later, 1e-6)

  def test_half_of_the_problems_offline(self):
    values = smoke.settings(
        stage1__steps=2,
        stage2__steps=0,
        rollout__offline_first_attempt_fraction=0.5,
    )
    settings = settings_lib.from_mapping(RunSettings, values)
    workdir = Workdir(self.root / "half", values)
    shutil.copytree(self.root / "three" / "base", workdir.base)
    recipe.run(settings, make.make_task(settings.task), workdir)
    kl = self._steps("half", "stage1", "train/kl_t1")
    self.assertGreater(kl[-1], 1e-7)
    new_tokens = self._steps("half", "stage1", "train/new_tokens_per_row")
    self.assertLen(new_tokens, 2)


if __name__ == "__main__":
  absltest.main()
