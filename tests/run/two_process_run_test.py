"""A whole run on two processes, against the same run on one of them.

Loopback, two CPU devices in each process, collectives by Gloo.
"""

import json
import pathlib
import signal
import tempfile

from absl.testing import absltest
import jax
import numpy as np
import pytest
import safetensors.numpy

from score_jax.models import hf
from score_jax.models import transformer
from score_jax.output import metrics
from score_jax.run import export
from score_jax.run import tiny_base
from score_jax.settings import TinyModelSettings
from tests.helpers import smoke
from tests.helpers.two_process_pair import Processes

# Sums over another number of devices, through three updates.
TOLERANCE = 1e-5

SETTINGS = smoke.settings(
    mesh={
        "slice": 1,
        "data": 1,
        "fsdp": -1,
        "tensor": 1,
        "sampler_tensor": 2,
    },
    task__num_test=5,
    rollout__problems_per_batch=4,
    train__kl_estimator="k2",
    train__num_microbatches=2,
    stage1__steps=2,
    stage2__steps=1,
    evaluation__validation_problems=4,
    output__checkpoint_every_steps=1,
)


def _make_base(path):
  """A model that knows nothing, in place of the one that is warmed up."""
  tokenizer = tiny_base.make_tokenizer()
  config = tiny_base.model_config(
      TinyModelSettings(**SETTINGS["tiny_model"]), len(tokenizer.tokenizer)
  )
  params = transformer.init_params(jax.random.key(0), config)
  hf.save(path, config, params, tokenizer=tokenizer.tokenizer)


def _conversations(path):
  """What was sampled, by file."""
  return {file.name: file.read_text() for file in (path / "rollouts").iterdir()}


@pytest.mark.slow
class TwoProcessRunTest(absltest.TestCase):

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    directory = tempfile.TemporaryDirectory()
    cls.addClassCleanup(directory.cleanup)
    cls.root = pathlib.Path(directory.name)
    _make_base(cls.root / "base")
    cls.one = cls.root / "one"
    cls._run(cls.one, num_processes=1)

  @classmethod
  def _start(cls, path, num_processes):
    argument = json.dumps([str(path), str(cls.root / "base"), SETTINGS])
    return Processes(
        "run",
        argument,
        module="tests.helpers.two_process_run_job",
        num_processes=num_processes,
        devices=4 // num_processes,
        env={"JAX_COMPILATION_CACHE_DIR": str(cls.root / "cache")},
    )

  @classmethod
  def _run(cls, path, num_processes):
    with cls._start(path, num_processes) as processes:
      for index in range(num_processes):
        status, _ = processes.wait(index)
        assert status == 0, processes.output(index)
      return [processes.output(i) for i in range(num_processes)]

  def assert_same_run(self, path):
    """Results, samples, logged numbers and exported weights."""
    results = json.loads((path / "results.json").read_text())
    self.assertEqual(
        results, json.loads((self.one / "results.json").read_text())
    )
    self.assertEqual(_conversations(path), _conversations(self.one))
    found, expected = (
        metrics.read_metrics(p / "metrics.jsonl") for p in (path, self.one)
    )
    self.assertLen(found, len(expected))
    for a, b in zip(found, expected, strict=True):
      self.assertEqual(a.keys(), b.keys())
      for name in a:
        if isinstance(a[name], str):
          self.assertEqual(a[name], b[name])
        elif not name.startswith("time"):
          np.testing.assert_allclose(
              a[name], b[name], rtol=TOLERANCE, atol=TOLERANCE, err_msg=name
          )
    found, expected = (
        safetensors.numpy.load_file(p / "export" / "model.safetensors")
        for p in (path, self.one)
    )
    for name in expected:
      np.testing.assert_allclose(found[name], expected[name], atol=TOLERANCE)
    before = safetensors.numpy.load_file(
        self.root / "base" / "model.safetensors"
    )
    moved = max(abs(expected[n] - before[n]).max() for n in expected)
    self.assertGreater(moved, 100 * TOLERANCE)

  def test_two_processes_run_as_one(self):
    path = self.root / "two"
    outputs = self._run(path, num_processes=2)
    self.assert_same_run(path)
    # Process 0 alone has written: one line for each step.
    steps = [
        (r["stage"], r["step"])
        for r in metrics.read_metrics(path / "metrics.jsonl")
    ]
    self.assertLen(steps, len(set(steps)))
    self.assertNotIn("lost process", "".join(outputs))
    # A checkpoint of four devices becomes a model on one.
    export.export_run(path, self.root / "exported")
    found, expected = (
        safetensors.numpy.load_file(p / "model.safetensors")
        for p in (self.root / "exported", path / "export")
    )
    for name in expected:
      np.testing.assert_array_equal(found[name], expected[name])

  def test_one_process_goes_on_where_two_were_stopped(self):
    path = self.root / "elastic"
    with self._start(path, num_processes=2) as processes:
      processes.wait_for(lambda: (path / "checkpoints/stage1/1").is_dir())
      processes.send(1, signal.SIGKILL)
      status, seconds = processes.wait(0)
      self.assertNotEqual(status, 0)
      self.assertLess(seconds, 10)
      self.assertIn("error: lost process 1 (", processes.output(0))
    self.assertFalse((path / "results.json").exists())
    self._run(path, num_processes=1)
    self.assert_same_run(path)


if __name__ == "__main__":
  absltest.main()
