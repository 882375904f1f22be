"""The whole recipe on the smallest settings: it runs, resumes, and is exact."""

import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import jax
from jax.experimental.compilation_cache import compilation_cache
import numpy as np
import pytest
import safetensors.numpy

from score_jax import settings as settings_lib
from score_jax.models import hf
from score_jax.output import metrics
from score_jax.output.workdir import Workdir
from score_jax.rollouts import problems as problems_lib
from score_jax.rollouts import sampler
from score_jax.rollouts import spec
from score_jax.run import export
from score_jax.run import preparation
from score_jax.run import recipe
from score_jax.run import tiny_base
from score_jax.settings import RunSettings
from score_jax.tasks import make
from score_jax.text import tokenization
from score_jax.training import context
from score_jax.training import reinforce
from score_jax.training.checkpoint import Checkpointer
from score_jax.training.context import RunContext
from tests.helpers import smoke

_METRICS = {
    "accuracy_t1",
    "accuracy_t2",
    "delta_t1_t2",
    "delta_i_to_c",
    "delta_c_to_i",
    "answer_change_rate",
    "truncated_t1",
    "truncated_t2",
    "n",
    "ci95",
}


def _run(path, base=None, **overrides):
  """Runs the recipe; `base` is a base model to take instead of making one."""
  values = smoke.settings(**overrides)
  settings = settings_lib.from_mapping(RunSettings, values)
  workdir = Workdir(path, values)
  if base is not None and not workdir.base.exists():
    shutil.copytree(base, workdir.base)
  return recipe.run(settings, make.make_task(settings.task), workdir)


def _records(path):
  """metrics.jsonl without what depends on the clock."""
  records = metrics.read_metrics(path / "metrics.jsonl")
  return [
      {k: v for k, v in r.items() if not k.startswith("time")} for r in records
  ]


def _weights(path):
  return safetensors.numpy.load_file(path / "export" / "model.safetensors")


def _cache_programs(cls, path):
  """Runs of one config make the same programs: compiled once for the class."""
  for name, value in (
      ("jax_compilation_cache_dir", str(path)),
      ("jax_persistent_cache_min_compile_time_secs", 0.0),
      ("jax_persistent_cache_min_entry_size_bytes", -1),
  ):
    cls.addClassCleanup(jax.config.update, name, jax.config.values[name])
    jax.config.update(name, value)
  compilation_cache.reset_cache()
  cls.addClassCleanup(compilation_cache.reset_cache)


@pytest.mark.slow
class RecipeTest(parameterized.TestCase):

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    directory = tempfile.TemporaryDirectory()
    cls.addClassCleanup(directory.cleanup)
    cls.root = pathlib.Path(directory.name)
    cls.whole = cls.root / "whole"
    _cache_programs(cls, cls.root / "cache")
    sampler.decode.clear_cache()
    cls.updates = []
    make_train_step = reinforce.train.make_train_step

    def spy(*args, **kwargs):
      cls.updates.append(make_train_step(*args, **kwargs))
      return cls.updates[-1]

    with mock.patch.object(reinforce.train, "make_train_step", spy):
      cls.results = _run(cls.whole)
    cls.sampler_programs = sampler.decode._cache_size()
    cls.base = cls.whole / "base"

  def test_results_hold_every_metric_of_every_stage(self):
    self.assertEqual(list(self.results), ["base", "stage1", "stage2"])
    for result in self.results.values():
      self.assertEqual(set(result), _METRICS)
      self.assertEqual(result["n"], 11)  # not a multiple of the batch of 4
    written = json.loads((self.whole / "results.json").read_text())
    self.assertEqual(written, self.results)

  def test_every_step_is_logged_with_its_split_of_time(self):
    records = metrics.read_metrics(self.whole / "metrics.jsonl")
    steps = [(r["stage"], r["step"]) for r in records]
    expected = [(s, i) for s in ("stage1", "stage2") for i in range(5)]
    self.assertEqual(steps, expected)
    for record in records:
      if record["step"]:
        for name in ("rollout_s", "grade_s", "update_s", "tokens_per_s"):
          self.assertGreater(record[f"time/{name}"], 0)
      has_validation = "validation/accuracy_t2" in record
      self.assertEqual(has_validation, record["step"] % 2 == 0)

  # KL is 0 at the first step of Stage I, not at that of Stage II.
  def test_reference_is_the_base_model_in_both_stages(self):
    records = {(r["stage"], r["step"]): r for r in _records(self.whole)}
    self.assertLess(abs(records["stage1", 1]["train/kl_t1"]), 1e-6)
    self.assertGreater(records["stage2", 1]["train/kl_t1"], 1e-6)

  def test_each_program_is_compiled_once(self):
    # Three phases of warm-up and two stages. The sampler: training, evaluation,
    # and for the warm-up accuracy, half and whole batches, two temperatures.
    self.assertLen(self.updates, 5)
    self.assertEqual([u._cache_size() for u in self.updates], [1] * 5)
    self.assertEqual(self.sampler_programs, 7)

  def test_artefacts_are_there_and_read_as_what_they_are(self):
    png = (self.whole / "learning_curves.png").read_bytes()
    self.assertEqual(png[1:4], b"PNG")
    lines = (self.whole / "rollouts" / "stage2_000004.jsonl").read_text()
    rows = [json.loads(line) for line in lines.splitlines()]
    self.assertLen(rows, 3)
    self.assertLen(rows[0]["attempts"], 2)
    test_rows = (self.whole / "rollouts" / "test_stage2.jsonl").read_text()
    ids = [json.loads(line)["problem_id"] for line in test_rows.splitlines()]
    self.assertEqual(ids, list(range(11)))
    config, params = hf.load(self.whole / "export")
    base_config, base_params = hf.load(self.whole / "base")
    self.assertEqual(config, base_config)
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), params, base_params)
    self.assertTrue(jax.tree.all(moved))

  def test_the_newest_checkpoint_is_what_the_run_exported(self):
    output = self.root / "exported_again"
    found = export.export_run(self.whole, output)
    self.assertEqual(found, ("stage2", 4))
    names = sorted(p.name for p in (self.whole / "export").iterdir())
    self.assertEqual(sorted(p.name for p in output.iterdir()), names)
    for name in names:
      self.assertEqual(
          (output / name).read_bytes(),
          (self.whole / "export" / name).read_bytes(),
          name,
      )

  def test_an_export_has_the_format_of_the_run(self):
    for path in (self.whole / "export", self.root / "exported_format"):
      if not path.exists():
        export.export_run(self.whole, path)
      config = json.loads((path / "tokenizer_config.json").read_text())
      self.assertEqual(config["tokenizer_class"], "PreTrainedTokenizerFast")
      self.assertEqual(
          tokenization.load(path).description(),
          tokenization.load(self.whole / "base").description(),
      )

  def test_a_stage_and_a_type_can_be_chosen_for_an_export(self):
    output = self.root / "stage1_half"
    found = export.export_run(
        self.whole, output, phase="stage1", dtype="bfloat16"
    )
    self.assertEqual(found, ("stage1", 4))
    _, params = hf.load(output, "bfloat16")
    with Checkpointer(self.whole / "checkpoints" / "stage1") as checkpointer:
      expected = checkpointer.restore_params(hf.load(self.base)[1])
    jax.tree.map(
        lambda half, full: np.testing.assert_array_equal(
            half, full.astype("bfloat16")
        ),
        params,
        expected,
    )

  def test_a_directory_without_run_or_checkpoint_is_not_exported(self):
    with self.assertRaisesRegex(ValueError, "no run directory"):
      export.export_run(self.root, self.root / "out")
    Workdir(self.root / "fresh", smoke.settings())
    with self.assertRaisesRegex(ValueError, "no checkpoint of stage1 or"):
      export.export_run(self.root / "fresh", self.root / "out")
    with self.assertRaisesRegex(ValueError, "exists already"):
      export.export_run(self.whole, self.whole / "export")

  def test_a_finished_run_is_not_run_again(self):
    with mock.patch.object(reinforce.Reinforcement, "step") as step:
      self.assertEqual(_run(self.whole), self.results)
    step.assert_not_called()

  # Also across the switch of stages.
  @parameterized.parameters(1, 4, 7)
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
    self.assertEqual(_run(path), self.results)
    self.assertEqual(_records(path), _records(self.whole))
    jax.tree.map(
        np.testing.assert_array_equal, _weights(path), _weights(self.whole)
    )

  @parameterized.parameters("k1_in_reward", "k2", "per_position")
  def test_every_estimator_trains(self, estimator):
    results = _run(
        self.root / estimator,
        self.base,
        train__kl_estimator=estimator,
        train__token_reduction="mean",
        stage1__steps=1,
        stage2__steps=1,
    )
    self.assertEqual(set(results["stage2"]), _METRICS)

  def test_three_attempts_train(self):
    results = _run(
        self.root / "three",
        self.base,
        rollout__num_attempts=3,
        stage1__steps=1,
        stage2__steps=1,
    )
    self.assertEqual(set(results["stage2"]), _METRICS)

  def test_another_seed_is_another_run(self):
    path = self.root / "seed1"
    _run(path, self.base, seed=1, stage1__steps=1, stage2__steps=1)
    self.assertNotEqual(_records(path)[1], _records(self.whole)[1])

  # The base is made again, bit for bit: a warm-up that was killed starts over.
  def test_the_warm_up_is_exact(self):
    path = self.root / "again"
    with mock.patch.object(
        reinforce.Reinforcement, "step", side_effect=KeyboardInterrupt
    ):
      with self.assertRaises(KeyboardInterrupt):
        _run(path)
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
      again = (path / "base" / name).read_bytes()
      self.assertEqual(again, (self.base / name).read_bytes())

  def test_a_resumed_run_is_held_to_its_model_and_tokenizer(self):
    model, path = self.root / "model", self.root / "pretrained"
    shutil.copytree(self.base, model)
    values = smoke.settings(
        tiny_model=None,
        model={
            "path": str(model),
            "revision": None,
            "compute_dtype": "float32",
            "chat_template_options": {},
        },
        stage1__steps=1,
        stage2__steps=0,
    )
    settings = settings_lib.from_mapping(RunSettings, values)
    task = make.make_task(settings.task)
    recipe.run(settings, task, Workdir(path, values))
    for file, change, message in (
        ("config.json", {"rope_theta": 200.0}, "model_config.*100.0 -> 200.0"),
        (
            "generation_config.json",
            {"eos_token_id": [1, 3]},
            r"tokenizer.stop_ids: \[1\] -> \[1, 3\]",
        ),
        (
            "tokenizer_config.json",
            {"pad_token": "<unk>"},
            "tokenizer.pad_id: 0 -> 2",
        ),
        (
            "tokenizer.json",
            {"normalizer": {"type": "Lowercase"}},
            "tokenizer.tokenizer_sha256",
        ),
    ):
      before = (model / file).read_text()
      (model / file).write_text(json.dumps(json.loads(before) | change))
      with self.assertRaisesRegex(ValueError, message):
        recipe.run(settings, task, Workdir(path, values))
      (model / file).write_text(before)
    recipe.run(settings, task, Workdir(path, values))
    exported = export.export_run(path, self.root / "pretrained_export")
    self.assertEqual(exported, ("stage1", 1))

  # Nothing that fails is passed over.
  def test_a_failing_grader_stops_the_run(self):
    task = make.make_task(smoke.settings()["task"])
    with mock.patch.object(
        type(task), "grade", side_effect=RuntimeError("grader broke")
    ):
      with self.assertRaisesRegex(RuntimeError, "grader broke"):
        _run(self.root / "grader", self.base)

  def test_a_loss_that_is_not_finite_stops_the_run_and_is_not_saved(self):
    make_train_step = reinforce.train.make_train_step

    def broken(*args, **kwargs):
      update = make_train_step(*args, **kwargs)

      def step(*args):
        state, metrics = update(*args)
        return state, metrics | {"loss": float("nan")}

      return step

    path = self.root / "nan"
    with mock.patch.object(reinforce.train, "make_train_step", broken):
      with self.assertRaisesRegex(FloatingPointError, "step 0 .*'loss': nan"):
        _run(path, self.base, output__checkpoint_every_steps=1)
    self.assertEmpty(list((path / "checkpoints" / "stage1").glob("[0-9]*")))

  @parameterized.parameters(
      ({"rollout__max_prompt_tokens": 4}, "prompt of 6 tokens, the limit is 4"),
      ({"task__num_test": 0}, "no problems in split 'test'"),
      ({"task__num_train": 3}, "has 3 problems, 4 are asked for"),
      ({"evaluation__validation_problems": 9}, "has 8 problems, 9 are asked"),
  )
  def test_bad_data_is_refused_before_training(self, overrides, message):
    path = self.root / message.replace(" ", "_")
    with mock.patch.object(reinforce.Reinforcement, "step") as step:
      with self.assertRaisesRegex(ValueError, message):
        _run(path, **overrides)
    step.assert_not_called()

  def test_wrong_coefficients_are_refused_before_anything_is_made(self):
    path = self.root / "wrong"
    with self.assertRaisesRegex(
        ValueError, "^config.stage1.objective: kl_coef is -0.1"
    ):
      _run(path, stage1__objective__kl_coef=-0.1)
    # Beside the directory of a run, whose config it holds.
    self.assertFalse((path / "base").exists())
    self.assertFalse((path / "manifest.json").exists())


class TinyBaseTest(parameterized.TestCase):
  """What is known of the tiny base model before it is made."""

  @pytest.mark.slow
  def test_description_is_what_is_read_back(self):
    root = pathlib.Path(self.create_tempdir().full_path)
    values = smoke.settings(
        tiny_model__max_answer_steps=1,
        tiny_model__max_skill_steps=1,
        tiny_model__habit_steps=1,
    )
    settings = settings_lib.from_mapping(RunSettings, values)
    task = make.make_task(settings.task)
    described = tiny_base.describe(settings.tiny_model, root / "base")
    self.assertEqual(described.directory, root / "base")
    self.assertFalse(described.directory.exists())
    run = RunContext.open(settings, task, described, ["train"])
    tiny_base.make(run)
    read = context.read_base(settings, described.directory)
    self.assertEqual(read.config, described.config)
    self.assertEqual(
        *(
            spec.token_ids(base.tokenizer, task.correction_prompt)
            for base in (read, described)
        )
    )
    problems = task.problems("train")[:4]
    for texts in (
        [task.first_prompt(p) for p in problems],
        [task.correction_prompt],
    ):
      self.assertEqual(
          read.tokenizer.prompt_ids(texts),
          described.tokenizer.prompt_ids(texts),
      )
    answers = [p.answer for p in problems]
    self.assertEqual(
        read.tokenizer.encode(answers), described.tokenizer.encode(answers)
    )
    self.assertEqual(len(read.tokenizer.tokenizer), described.config.vocab_size)


class ManifestTest(absltest.TestCase):

  def test_another_prompt_is_other_data(self):
    """Prompts may come from a file, of which the config has only the name."""
    task = make.make_task(smoke.settings()["task"])
    problems = problems_lib.RunProblems(
        {"test": task.problems("test")}, {"test": 0}
    )

    def sha256():
      return preparation.data_sha256(task, problems)

    before = sha256()
    self.assertEqual(before, sha256())
    with mock.patch.object(type(task), "first_prompt", lambda *_: "Sum?"):
      self.assertNotEqual(before, sha256())


class CommandTest(parameterized.TestCase):
  """The command itself: errors in the first seconds, in one line."""

  def setUp(self):
    super().setUp()
    self.path = pathlib.Path(self.create_tempdir().full_path)

  def _command(self, *flags, config="configs/tiny.py"):
    return subprocess.run(
        [sys.executable, "-m", "experiments.run", f"--config={config}", *flags],
        capture_output=True,
        text=True,
        timeout=120,
    )

  @parameterized.parameters(
      ("--config.sed=1", "seed"),
      ("--config.stage1.steps=many", "steps"),
      ("--config.stage1.steps=-1", "error: config.stage1: steps is -1"),
      ("--config.train.num_microbatches=7", "num_microbatches 7"),
      ("--workdir=/dev/null/x", "cannot be written"),
      ("--config.task.num_digits=0", "num_digits is 0"),
  )
  @pytest.mark.slow
  def test_mistakes_end_the_command_with_a_message(self, flag, message):
    flags = [] if "workdir" in flag else [f"--workdir={self.path / 'run'}"]
    result = self._command(flag, *flags)
    self.assertNotEqual(result.returncode, 0)
    self.assertIn(message, result.stderr)

  @pytest.mark.slow
  def test_wrong_coefficients_leave_no_run_directory(self):
    """With one, the command with the right ones would be another run."""
    flag = f"--workdir={self.path / 'run'}"
    result = self._command(flag, "--config.stage1.objective.kl_coef=-0.1")
    self.assertEqual(result.returncode, 1)
    self.assertIn(
        "error: config.stage1.objective: kl_coef is -0.1", result.stderr
    )
    self.assertFalse((self.path / "run").exists())

  @pytest.mark.slow
  def test_a_missing_checkpoint_is_named(self):
    result = self._command(
        f"--workdir={self.path / 'run'}",
        "--config.model.path=/nowhere/at/all",
        config="configs/smollm2_passes.py",
    )
    self.assertNotEqual(result.returncode, 0)
    self.assertIn("'/nowhere/at/all' does not exist", result.stderr)

  @pytest.mark.slow
  def test_a_workdir_of_another_config_is_refused(self):
    Workdir(self.path / "run", {"seed": 5})
    result = self._command(f"--workdir={self.path / 'run'}")
    self.assertNotEqual(result.returncode, 0)
    self.assertIn("seed: 5 -> 0", result.stderr)


if __name__ == "__main__":
  absltest.main()
