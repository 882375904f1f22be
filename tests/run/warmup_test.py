"""Tests of run.warmup, training.lessons and training.teacher."""

import dataclasses
import pathlib
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
from score_jax.models import transformer
from score_jax.output import metrics
from score_jax.output.workdir import Workdir
from score_jax.run import preparation
from score_jax.run import recipe
from score_jax.run import tiny_base
from score_jax.tasks import make
from score_jax.training import lessons
from score_jax.training.teacher import Teacher
from tests.helpers import smoke

pytestmark = pytest.mark.usefixtures("quick_compilation")

_OPTIMIZER = {"learning_rate": 3e-3, "warmup_steps": 1, "max_grad_norm": 1.0}
_WARMUP = {
    "seed": 5,
    "answers": {"steps": 4, "batch_size": 8, "optimizer": _OPTIMIZER},
    "corrections": {"steps": 4, "batch_size": 8, "optimizer": _OPTIMIZER},
    "habit": {"steps": 2, "batch_size": 8, "optimizer": _OPTIMIZER},
    "copy_fraction": 0.5,
    "check_every_steps": 2,
    "checkpoint_every_steps": 2,
}


def _make_pretrained(directory):
  """A model of random weights as a Hugging Face directory."""
  tiny = settings_lib.from_mapping(
      settings_lib.TinyModelSettings, smoke.SETTINGS["tiny_model"], "tiny"
  )
  base = tiny_base.describe(tiny, directory)
  params = transformer.init_params(jax.random.key(3), base.config)
  hf.save(directory, base.config, params, tokenizer=base.tokenizer.tokenizer)


class WarmupTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    directory = tempfile.TemporaryDirectory()
    self.addCleanup(directory.cleanup)
    self.root = pathlib.Path(directory.name)
    _make_pretrained(self.root / "pretrained")

  def _config(self, **overrides):
    model = {
        "path": str(self.root / "pretrained"),
        "revision": None,
        "compute_dtype": "float32",
        "chat_template_options": {},
    }
    own = dict(model=model, tiny_model=None, warmup=_WARMUP)
    return smoke.settings(**own, **overrides)

  def _open(self, name, **overrides):
    config = self._config(**overrides)
    settings = settings_lib.from_mapping(settings_lib.RunSettings, config)
    workdir = Workdir(self.root / name, config)
    task = make.make_task(settings.task)
    return preparation.open_run(settings, task, workdir), workdir

  def _base(self, name):
    path = self.root / name / "base" / "model.safetensors"
    return safetensors.numpy.load_file(path)

  def test_what_is_taught(self):
    context, _ = self._open("run")
    problems = context.problems.splits["train"][:3]
    right, wrong, cut_off = (
        lessons.FirstAttempt([2, 1], True, True),
        lessons.FirstAttempt([3, 3, 1], True, False),
        lessons.FirstAttempt([4, 4, 1], False, False),
    )
    firsts = [[right, wrong], [right, right], [cut_off, right]]
    answers = lessons.answer_rows(context, problems)
    corrections = lessons.correction_rows(context, problems, firsts)
    habit = lessons.habit_rows(context, problems, firsts, [False, True, True])
    tokenizer, turn = context.base.tokenizer, (context.spec.turn_ids, 0)
    prompts = [
        (ids, 0)
        for ids in tokenizer.prompt_ids(
            [context.task.first_prompt(p) for p in problems]
        )
    ]
    golds = [(tokenizer.attempt_ids(p.answer), 1) for p in problems]
    for i, prompt in enumerate(prompts):
      self.assertEqual(answers[i], [prompt, golds[i]])
    self.assertEqual(
        corrections,
        [
            [prompts[0], (wrong.ids, 0), turn, golds[0]],
            [prompts[1], (right.ids, 1)],
            [prompts[2], (cut_off.ids, 0), turn, golds[2]],
        ],
    )
    self.assertEqual(
        habit,
        [
            [prompts[0], (right.ids, 0), turn, golds[0]],
            [prompts[1], (right.ids, 0), turn, (right.ids, 1)],
            [prompts[2], (cut_off.ids, 0), turn, golds[2]],
        ],
    )

  def test_rows_are_a_function_of_parameters_and_step(self):
    context, _ = self._open("run")
    problems = list(context.problems.splits["train"])[:16]
    params = context.load_pretrained()
    for lesson in lessons.lessons(context)[1:]:
      rows = lesson.rows(params, problems, 0)
      self.assertEqual(rows, lesson.rows(params, problems, 0))
      self.assertNotEqual(rows, lesson.rows(params, problems, 1))
      self.assertEqual([len(row) for row in rows[:4]], [2] * 4)
      self.assertEqual([len(row) for row in rows[4:]], [4] * 12)

  def test_own_attempts_are_closed_and_judged(self):
    context, _ = self._open("run")
    problems = context.problems.splits["train"][:16]
    params = context.load_pretrained()
    own = lessons.own_attempts(context, params, problems, (1, 0), 3)
    self.assertLen(own, 16)
    eos_id = context.base.tokenizer.eos_id
    limit = context.settings.rollout.max_new_tokens
    flat = [attempt for those in own for attempt in those]
    self.assertLen(flat, 48)
    for attempt in flat:
      self.assertEqual(attempt.ids[-1], eos_id)
      self.assertLessEqual(len(attempt.ids), limit + (not attempt.is_whole))
    self.assertFalse(all(attempt.is_whole for attempt in flat))
    for occasion in ((1, 1), (2, 0)):
      other = lessons.own_attempts(context, params, problems, occasion, 3)
      self.assertNotEqual(own, other)

  def test_a_demonstration_that_is_too_long_is_refused(self):
    context, _ = self._open("run", rollout__max_new_tokens=2)
    with self.assertRaisesRegex(ValueError, "attempt 1 may have 2"):
      lessons.lessons(context)

  def test_a_batch_that_micro_batches_do_not_divide_is_refused(self):
    lesson = _WARMUP["habit"] | {"batch_size": 7}
    config = self._config() | {"warmup": _WARMUP | {"habit": lesson}}
    with self.assertRaisesRegex(ValueError, "warmup.habit.batch_size is 7"):
      settings_lib.from_mapping(settings_lib.RunSettings, config)

  def test_lessons_need_a_pretrained_model(self):
    config = smoke.settings(warmup=_WARMUP)
    with self.assertRaisesRegex(ValueError, "warmup prepares a pretrained"):
      settings_lib.from_mapping(settings_lib.RunSettings, config)

  @pytest.mark.slow
  def test_a_warmup_that_was_cut_off_ends_with_the_same_bits(self):
    context, workdir = self._open("whole")
    preparation.make_base(context, workdir)
    context, workdir = self._open("broken")
    step = Teacher.step

    def cut_off(teacher, state, number):
      if teacher.name == "corrections" and number == 3:
        raise KeyboardInterrupt
      return step(teacher, state, number)

    with mock.patch.object(Teacher, "step", cut_off):
      with self.assertRaises(KeyboardInterrupt):
        preparation.make_base(context, workdir)
    self.assertFalse(workdir.base.exists())
    preparation.make_base(context, workdir)
    whole, broken = self._base("whole"), self._base("broken")
    self.assertEqual(whole.keys(), broken.keys())
    for name, array in whole.items():
      np.testing.assert_array_equal(array, broken[name])
    records = [
        [(r["stage"], r["step"], r["train/loss"]) for r in those]
        for those in (
            metrics.read_metrics(self.root / name / "warmup" / "metrics.jsonl")
            for name in ("whole", "broken")
        )
    ]
    self.assertEqual(*records)
    self.assertLen(records[0], 10)
    self.assertFalse((workdir.warmup / "checkpoints").exists())

  @pytest.mark.slow
  def test_lessons_lower_the_loss_and_seeds_share_the_base(self):
    lesson = _WARMUP["answers"] | {"steps": 40}
    warmup = _WARMUP | {"answers": lesson, "check_every_steps": 40}
    for seed in (0, 1):
      context, workdir = self._open(f"seed{seed}", seed=seed)
      context = dataclasses.replace(
          context,
          settings=settings_lib.from_mapping(
              settings_lib.RunSettings,
              self._config(seed=seed) | {"warmup": warmup},
          ),
      )
      preparation.make_base(context, workdir)
    records = metrics.read_metrics(workdir.warmup / "metrics.jsonl")
    losses = [r["train/loss"] for r in records if r["stage"] == "answers"]
    self.assertLess(np.mean(losses[-5:]), 0.8 * losses[0])
    for name, array in self._base("seed0").items():
      np.testing.assert_array_equal(array, self._base("seed1")[name])

  @pytest.mark.slow
  def test_the_base_is_what_reinforcement_learning_starts_from(self):
    config = self._config()
    settings = settings_lib.from_mapping(settings_lib.RunSettings, config)
    workdir = Workdir(self.root / "run", config)
    task = make.make_task(settings.task)
    results = recipe.run(settings, task, workdir)
    self.assertEqual(list(results), ["pretrained", "base", "stage1", "stage2"])
    records = metrics.read_metrics(workdir.metrics)
    first = [r for r in records if (r["stage"], r["step"]) == ("stage1", 1)]
    self.assertLess(abs(first[0]["train/kl_t1"]), 1e-6)
    manifest = preparation.make_manifest(*_reopened(settings, task, workdir))
    self.assertEqual(manifest["model"]["directory"], "pretrained")


def _reopened(settings, task, workdir):
  context = preparation.open_run(settings, task, workdir)
  return context, context.load_base()


if __name__ == "__main__":
  absltest.main()
