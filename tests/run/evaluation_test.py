"""Evaluation of a checkpoint on its own: own attempts, given ones, mistakes."""

import collections
import json
import pathlib
import tempfile
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import pytest

from experiments import evaluate
from score_jax.models import hf
from score_jax.rollouts.protocols import MoreAttempts
from score_jax.run import evaluation
from tests.helpers import shipped_configs
from tests.helpers import tiny_gemma

ROWS = [{"q": f"{i} + 1?", "a": str(i + 1), "name": f"n{i}"} for i in range(9)]


def _write(path, rows):
  path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
  return str(path)


@pytest.mark.slow
class EvaluationRunTest(parameterized.TestCase):

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.root = pathlib.Path(
        cls.enterClassContext(tempfile.TemporaryDirectory())
    )
    tiny_gemma.save(str(cls.root / "run" / "export"))
    (cls.root / "run" / "checkpoints").mkdir()
    (cls.root / "unfinished" / "checkpoints").mkdir(parents=True)
    _write(cls.root / "train.jsonl", ROWS[:4])
    _write(cls.root / "test.jsonl", ROWS[4:])

  def _config(self):
    config = shipped_configs.load("gemma_math")
    shipped_configs.shrink(config, self.root, [])
    for split in ("train", "test"):
      config.task[split].unlock()
      config.task[split] = {
          "dataset": "file",
          "path": str(self.root / f"{split}.jsonl"),
          "question": "q",
          "answer": "a",
          "id": "name",
      }
    config.task.num_validation = 1
    config.rollout.max_new_tokens = 40
    return config

  def _evaluate(self, name, given=None, checkpoint="run", **asked):
    path = None
    if given is not None:
      path = _write(self.root / f"{name}_given.jsonl", given)
    result = evaluate.evaluate(
        self._config(),
        str(self.root / checkpoint),
        str(self.root / name),
        path,
        **asked,
    )
    self.assertEqual(
        result, json.loads((self.root / name / "results.json").read_text())
    )
    lines = (self.root / name / "rollouts.jsonl").read_text("utf-8")
    return result, [json.loads(line) for line in lines.splitlines()]

  def test_a_runs_export_on_all_test_problems(self):
    result, rollouts = self._evaluate("own")
    self.assertEqual(result["n"], 5)
    self.assertEqual(
        [r["source_id"] for r in rollouts], [f"n{i}" for i in range(4, 9)]
    )
    statuses = collections.Counter(
        attempt["status"] for r in rollouts for attempt in r["attempts"]
    )
    for status, count in statuses.items():
      self.assertEqual(result[f"grade/status_{status}"], count / 10)

  def test_the_manifest_says_what_was_evaluated(self):
    self._evaluate("told")
    text = (self.root / "told" / "manifest.json").read_text("utf-8")
    manifest = json.loads(text)
    self.assertEqual(manifest["checkpoint"], str(self.root / "run"))
    self.assertEqual(manifest["num_problems"], {"test": 5})
    self.assertEqual(manifest["settings"]["rollout"]["max_new_tokens"], 40)
    self.assertLen(manifest["data_sha256"], 64)

  def test_weights_are_held_in_the_type_that_they_are_computed_in(self):
    """Nothing is trained: bfloat16 halves the memory."""
    config = self._config()
    config.model.compute_dtype = "bfloat16"
    run, path = str(self.root / "run"), str(self.root / "half")
    with mock.patch.object(hf, "load", wraps=hf.load) as load:
      evaluate.evaluate(config, run, path, None)
    self.assertEqual(load.call_args.args[1], "bfloat16")

  def test_a_run_without_an_export_is_refused(self):
    with self.assertRaisesRegex(ValueError, "has not come to its end"):
      self._evaluate("early", checkpoint="unfinished")

  def test_conversations_beyond_the_model_are_refused(self):
    config = self._config()
    config.rollout.max_new_tokens = 4000
    with self.assertRaisesRegex(ValueError, "model was made for 4096"):
      evaluate.evaluate(
          config, str(self.root / "run"), str(self.root / "long"), None
      )

  @mock.patch.object(hf, "load")
  def test_what_the_devices_cannot_take_is_refused_first(self, load):
    kernels, batches = self._config(), self._config()
    kernels.attention = "splash"
    batches.mesh = shipped_configs.load("gemma_math").mesh
    batches.mesh.sampler_tensor = 1
    for name, config, message in (
        ("kernels", kernels, 'devices are cpu: give attention "xla"'),
        ("batches", batches, r"^4 rows \(evaluation.batch_size\) .*8 parts"),
    ):
      with self.assertRaisesRegex(ValueError, message):
        evaluate.evaluate(
            config, str(self.root / "run"), str(self.root / name), None
        )
    load.assert_not_called()

  def test_given_attempts_are_the_first_ones(self):
    given = [
        {"id": "n5", "completion": "Final Answer: \\boxed{6}."},
        {"id": "n8", "completion": "Final Answer: \\boxed{1}."},
    ]
    result, rollouts = self._evaluate("repair", given, "run/export")
    self.assertEqual(result["n"], 2)
    # One of the given ones is right, and random letters repair nothing.
    self.assertEqual(result["accuracy_t1"], 0.5)
    self.assertEqual(result["delta_c_to_i"], 0.5)
    self.assertEqual(
        [r["attempts"][0]["text"] for r in rollouts],
        [g["completion"] for g in given],
    )

  def test_more_attempts_and_samples(self):
    result, rollouts = self._evaluate("more", num_attempts=3, samples=1)
    self.assertEqual([m["pair"] for m in result["attempts"]], [[1, 2], [2, 3]])
    self.assertEqual([m["n"] for m in result["attempts"]], [5, 5])
    self.assertEqual(result["self_consistency"]["temperature"], 0.7)
    self.assertLen(result["self_consistency"]["points"], 1)
    self.assertEqual([len(r["attempts"]) for r in rollouts], [3] * 5)
    lines = (self.root / "more" / "samples.jsonl").read_text("utf-8")
    samples = [json.loads(line) for line in lines.splitlines()]
    # Two conversations of each problem, of two attempts.
    self.assertEqual(
        [r["source_id"] for r in samples],
        [f"n{i}" for i in range(4, 9) for _ in range(2)],
    )
    self.assertEqual({len(r["attempts"]) for r in samples}, {2})
    text = (self.root / "more" / "manifest.json").read_text("utf-8")
    self.assertEqual(
        json.loads(text)["test_time"],
        {"num_attempts": 3, "samples": 1, "temperature": 0.7},
    )

  @mock.patch.object(evaluation, "run", return_value={"attempts": []})
  def test_samples_alone_keep_the_configs_attempts(self, run):
    evaluate.evaluate(
        self._config(), "", str(self.root / "some"), None, samples=4
    )
    self.assertEqual(
        run.call_args.args[-1],
        evaluation.Request(
            more=MoreAttempts(num_attempts=2, samples=4, temperature=0.7)
        ),
    )

  def test_more_attempts_than_the_model_has_room_for_are_refused(self):
    with self.assertRaisesRegex(ValueError, "model was made for 4096"):
      self._evaluate("endless", num_attempts=60)

  def test_given_attempts_and_more_of_them_exclude_each_other(self):
    given = [{"id": "n5", "completion": "x"}]
    with self.assertRaisesRegex(ValueError, "leave out --num_attempts"):
      self._evaluate("both", given, num_attempts=2)

  @parameterized.parameters(
      ([{"id": "n1", "completion": "x"}], "1 of 1 ids are no test problems"),
      ([{"id": "n5", "text": "x"}], "no column 'completion', only id, text"),
      ([{"id": "n5", "completion": "x" * 99}], "has 100 tokens, the limit"),
      ([{"id": "n5", "completion": "x"}] * 2, "id 'n5' is used twice"),
  )
  def test_given_attempts_that_do_not_fit_are_refused(self, given, message):
    with self.assertRaisesRegex(ValueError, message):
      self._evaluate(message.replace(" ", "_"), given)

  def test_a_directory_in_use_is_refused(self):
    (self.root / "used").mkdir()
    (self.root / "used" / "file").touch()
    with self.assertRaisesRegex(ValueError, "is not empty: choose another"):
      self._evaluate("used")


if __name__ == "__main__":
  absltest.main()
