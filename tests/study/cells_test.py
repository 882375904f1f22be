"""A study from the command line: cells as processes, results, resuming."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

from absl.testing import absltest
from absl.testing import parameterized
import numpy as np
import pytest

from configs import smollm2_passes_study
from configs import tiny_study
from score_jax import evaluate
from score_jax import settings as settings_lib
from score_jax.study import cells as cells_lib
from score_jax.study.cells import Cell
from score_jax.study.settings import StudySettings

ROOT = pathlib.Path(__file__).resolve().parents[2]


def _study(workdir, *flags):
  """Runs the command, and returns its exit status and what it printed."""
  # One device: the cells of a study are runs on a plain CPU.
  env = os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""}
  done = subprocess.run(
      [
          *(sys.executable, "-m", "experiments.study"),
          "--config=tests/helpers/smoke_study.py",
          f"--workdir={workdir}",
          *flags,
      ],
      capture_output=True,
      text=True,
      cwd=ROOT,
      env=env,
  )
  return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
class CommandTest(absltest.TestCase):

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    directory = tempfile.TemporaryDirectory()
    cls.addClassCleanup(directory.cleanup)
    cls.root = pathlib.Path(directory.name) / "study"
    # A random model is never right: STaR finds nothing to imitate.
    cls.status, cls.output = _study(
        cls.root, "--methods=self_refine,star,score_k2", "--seeds=1"
    )
    cls.result = json.loads((cls.root / "study.json").read_text())

  def test_a_failed_cell_is_told_and_the_others_are_kept(self):
    self.assertEqual(self.status, 1, self.output)
    self.assertIn("star/0: FAILED (1)", self.output)
    self.assertIn("error: 1 of 4 cells failed", self.output)
    log = (self.root / "logs" / "star_0.txt").read_text()
    self.assertIn("none of the sampled conversations can be imitated", log)
    self.assertEqual(self.result["unfinished"], ["star/0"])
    self.assertEqual(
        list(self.result["methods"]), ["base", "self_refine", "score_k2"]
    )

  def test_numbers_are_those_of_the_conversations(self):
    method = self.result["methods"]["score_k2"]
    self.assertEqual(method["conversations"], 8 * 4 * 4)
    path = self.root / method["cells"]["0"] / "rollouts" / "test_stage2.jsonl"
    lines = path.read_text().splitlines()
    values = evaluate.per_problem_of_records(list(map(json.loads, lines)))
    self.assertEqual(self.result["num_problems"], 11)
    for name, summary in method["summary"].items():
      self.assertAlmostEqual(summary["mean"], float(np.mean(values[name])))
    self.assertEqual(sum(method["edit_distance"]["counts"]), 11)
    test_time = method["test_time"]
    self.assertLen(test_time["num_attempts"]["accuracy"], 3)
    budgets = [p["budget"] for p in test_time["self_consistency"]]
    self.assertEqual(budgets, [2, 4])
    self.assertEqual(
        [p["conversations"] for p in method["curve"]], [0, 32, 64, 96, 128]
    )

  def test_base_and_self_refine_have_the_same_first_attempts(self):
    base, refined = (
        self.result["methods"][name]["summary"]["accuracy_t1"]["mean"]
        for name in ("base", "self_refine")
    )
    self.assertEqual(base, refined)

  def test_there_is_a_report(self):
    self.assertTrue((self.root / "report.html").exists())
    self.assertIn("Self-Refine", self.output)

  def test_finished_cells_are_not_run_again(self):
    times = {p: p.stat().st_mtime_ns for p in self.root.rglob("cell.json")}
    self.assertLen(times, 3)
    status, output = _study(self.root, "--methods=score_k2", "--seeds=1")
    self.assertEqual(status, 0, output)
    for path, before in times.items():
      self.assertEqual(path.stat().st_mtime_ns, before)
    status, output = _study(
        self.root, "--methods=score_k2", "--config.run.stage1.steps=3"
    )
    self.assertEqual(status, 1)
    self.assertIn("run.stage1.steps: 4 -> 3", output)


class BaseSourcesTest(absltest.TestCase):
  """Which cell makes a base model, and which ones copy it."""

  def _sources(self, config):
    settings = settings_lib.from_mapping(
        StudySettings, json.loads(config.to_json())
    )
    cells = [Cell(m, s) for m in ("base", "score") for s in range(2)]
    return cells_lib.base_sources(settings, cells)

  def test_each_seed_makes_one(self):
    self.assertEqual(
        self._sources(tiny_study.get_config()),
        {Cell("score", 0): Cell("base", 0), Cell("score", 1): Cell("base", 1)},
    )

  def test_a_warmup_is_that_of_all_seeds(self):
    self.assertEqual(
        self._sources(smollm2_passes_study.get_config()),
        {
            Cell("base", 1): Cell("base", 0),
            Cell("score", 0): Cell("base", 0),
            Cell("score", 1): Cell("base", 0),
        },
    )


class RunCellsTest(parameterized.TestCase):
  """The scheduler, with programs in place of cells."""

  def setUp(self):
    super().setUp()
    directory = tempfile.TemporaryDirectory()
    self.addCleanup(directory.cleanup)
    self.root = pathlib.Path(directory.name)

  def _run(self, program, cells, workers):
    command = [sys.executable, "-c", program, str(self.root)]
    sources = {c: Cell("base", c.seed) for c in cells if c.method != "base"}
    return cells_lib.run_cells(cells, command, self.root, workers, sources)

  # Leaves what a finished cell leaves, and notes the cores that it may use.
  _CELL = """
import json, os, pathlib, sys
method, seed = sys.argv[2].split("/")
path = pathlib.Path(sys.argv[1]) / "cells" / method / f"seed{seed}"
path.mkdir(parents=True)
needs = path.parents[1] / "base" / f"seed{seed}" / "cell.json"
assert method == "base" or needs.exists()
(path / "cell.json").write_text(json.dumps(sorted(os.sched_getaffinity(0))))
"""

  def test_base_models_are_there_before_the_others(self):
    cells = [Cell(m, s) for m in ("base", "star", "score") for s in range(2)]
    self.assertEqual(self._run(self._CELL, cells, 2), {})
    cores = [json.loads(p.read_text()) for p in self.root.rglob("cell.json")]
    self.assertLen(cores, 6)
    for those in cores:
      self.assertLen(those, 1)

  def test_one_worker_has_all_cores(self):
    self._run(self._CELL, [Cell("base", 0)], 1)
    (path,) = self.root.rglob("cell.json")
    self.assertEqual(
        json.loads(path.read_text()), sorted(os.sched_getaffinity(0))
    )

  def test_cells_without_their_base_model_fail_with_it(self):
    cells = [Cell("base", 0), Cell("score", 0)]
    failed = self._run("import sys; sys.exit(3)", cells, 2)
    self.assertEqual(failed, {Cell("base", 0): 3, Cell("score", 0): -1})


if __name__ == "__main__":
  absltest.main()
