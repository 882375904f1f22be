"""MATH in its published forms, from the files to the first updates.

The problems are sums, in the real forms and numbers, and three of them have
faults of the published files. The model is a tiny one.
"""

import contextlib
import io
import json
import pathlib
import subprocess
import sys
import tempfile

from absl.testing import absltest
from absl.testing import parameterized
import pytest

from experiments import run
from score_jax.output import progress
from score_jax.tasks import make
from tests.helpers import made_up_data
from tests.helpers import tiny_gemma
from tests.helpers.made_up_data import EMPTY_BOXES
from tests.helpers.made_up_data import NO_BOX
from tests.helpers.shipped_configs import load
from tests.helpers.shipped_configs import shrink

ROOT = pathlib.Path(__file__).resolve().parents[2]


def _prepare(root, layout):
  """Runs the command, and returns its lines."""
  made_up_data.write_published_math(str(root / "manual"), layout)
  command = [sys.executable, "-m", "experiments.prepare_data"]
  command += ["--dataset=math", f"--manual_dir={root / 'manual'}"]
  command += [f"--data_dir={root / 'data'}"]
  return subprocess.check_output(command, cwd=ROOT, text=True).splitlines()


def _task_settings(root):
  """The settings of the shipped config, with another data directory alone."""
  settings = json.loads(load("gemma_math").to_json())["task"]
  return settings | {"data_dir": str(root / "data"), "manual_dir": "/nowhere"}


@pytest.mark.slow
class LayoutsTest(parameterized.TestCase):

  @parameterized.parameters("tree", "lines", "hub", "original_hub")
  def test_the_shipped_config_reads_it_without_a_setting(self, layout):
    root = pathlib.Path(self.create_tempdir().full_path)
    lines = _prepare(root, layout)
    self.assertStartsWith(lines[0], "math train: 12000 rows, ")
    self.assertStartsWith(lines[1], "math test: 500 rows, ")
    has_names = layout != "original_hub"
    lost = [NO_BOX] if has_names else ["original-train-00003"]
    if not has_names:  # the made-up texts are not those that are known
      lost += ["original-train-07115", "original-train-07117"]
    self.assertEndsWith(
        lines[2],
        f"no answer is stated, runs leave out: {len(lost)} ({', '.join(lost)})",
    )
    if has_names:
      self.assertEndsWith(lines[3], f"2 ({', '.join(EMPTY_BOXES)})")
    self.assertLen(lines, 3 + has_names)
    task = make.make_task(_task_settings(root))
    self.enterContext(contextlib.closing(task))
    self.assertEqual(
        {s: len(task.problems(s)) for s in ("train", "validation", "test")},
        {"train": 12_000 - 256 - len(lost), "validation": 256, "test": 500},
    )
    self.assertEqual(
        task.provenance()["left_out"],
        {"train": {"gold_cannot_be_read": lost}, "test": {}},
    )
    answers = {
        p.source_id: p.answer
        for s in ("train", "validation")
        for p in task.problems(s)
    }
    self.assertNotIn(lost[0], answers)
    for name in EMPTY_BOXES:
      self.assertEqual(answers.get(name), "0" if has_names else None)


@pytest.mark.slow
class FirstStepTest(absltest.TestCase):

  def test_a_run_on_the_original_tree(self):
    root = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
    _prepare(root, "tree")
    tiny_gemma.save(str(root / "model"))
    kept = {
        NO_BOX,
        *EMPTY_BOXES,
        *(f"test/prealgebra/{i}.json" for i in range(12_000, 12_004)),
    }
    task = make.make_task(_task_settings(root))
    with contextlib.closing(task):
      names = [
          p.source_id
          for s in ("train", "validation", "test")
          for p in task.problems(s)
      ]
    others = [name for name in names if name not in kept]
    config = shrink(load("gemma_math"), root, others[1_000:])
    config.task.num_validation = 8
    terminal = io.StringIO()
    progress.console.file = terminal
    try:
      run.train(config, str(root / "run"))
    finally:
      progress.console.file = None
    manifest = json.loads((root / "run/manifest.json").read_text("utf-8"))
    self.assertEqual(
        manifest["task"]["left_out"],
        {"train": {"gold_cannot_be_read": [NO_BOX]}, "test": {}},
    )
    self.assertEqual(manifest["num_problems"]["test"], 4)
    self.assertIn(
        f"Left out of train, gold cannot be read: 1 ({NO_BOX})\n",
        terminal.getvalue(),
    )
    records = [
        json.loads(line)
        for line in (root / "run/metrics.jsonl").read_text("utf-8").splitlines()
    ]
    updates = [r["stage"] for r in records if "train/loss" in r]
    self.assertEqual(updates, ["stage1", "stage2"])


if __name__ == "__main__":
  absltest.main()
