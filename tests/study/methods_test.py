"""The methods: equal budgets, and what makes each of them what it is."""

import dataclasses
import json
import os

from absl.testing import absltest
from absl.testing import parameterized

from configs import tiny_study
from score_jax import settings as settings_lib
from score_jax.objectives import Stage1
from score_jax.objectives import Stage1Corrections
from score_jax.objectives import Stage1Entropy
from score_jax.objectives import Stage2
from score_jax.objectives import Stage2Scaled
from score_jax.study import cells as cells_lib
from score_jax.study import methods
from score_jax.study.settings import StudySettings
from score_jax.training import phases
from score_jax.training import traces
from score_jax.training.phases import BASE
from score_jax.training.phases import RlPhase
from score_jax.training.phases import SftPhase


def _settings(**changes):
  config = json.loads(tiny_study.get_config().to_json())
  for path, value in changes.items():
    *groups, key = path.split("__")
    target = config
    for group in groups:
      target = target[group]
    target[key] = value
  return settings_lib.from_mapping(StudySettings, config)


SETTINGS = _settings()


class MethodsTest(parameterized.TestCase):

  @parameterized.parameters(
      *(n for n in methods.METHODS if n not in ("base", "self_refine"))
  )
  def test_all_sample_as_many_conversations(self, name):
    phases = methods.METHODS[name].recipe(SETTINGS)
    run = SETTINGS.run
    self.assertEqual(
        sum(phase.sampling_steps for phase in phases),
        run.stage1.steps + run.stage2.steps,
    )
    names = [phase.name for phase in phases]
    self.assertLen(set(names), len(names))

  def test_untrained(self):
    self.assertEqual(methods.untrained(SETTINGS), ())
    self.assertTrue(methods.METHODS["self_refine"].is_self_refine)

  def test_score_is_the_run_that_experiments_run_makes(self):
    first, second = methods.score(SETTINGS)
    stage1, stage2 = phases.score(SETTINGS.run)
    self.assertEqual(first.objective, stage1.objective)
    self.assertEqual(second.objective, stage2.objective)
    self.assertEqual(first.reference, BASE)
    self.assertEqual(second.reference, BASE)

  def test_single_turn_sees_one_attempt(self):
    for phase in methods.single_turn(SETTINGS):
      self.assertEqual(phase.num_attempts, 1)
      self.assertEqual(phase.objective, Stage2(0.01, 0.0))

  def test_multi_turn_has_score_s_learning_rates_and_no_bonus(self):
    phases = methods.multi_turn(SETTINGS)
    self.assertEqual([p.objective for p in phases], [Stage2(0.01, 0.0)] * 2)
    run = SETTINGS.run
    self.assertEqual(
        [p.optimizer for p in phases],
        [run.stage1.optimizer, run.stage2.optimizer],
    )

  def test_what_the_ablations_leave_out(self):
    without = methods.score_no_stage1(SETTINGS)
    self.assertEqual([p.objective for p in without], [Stage2(0.01, 10.0)] * 2)
    first, second = methods.score_no_bonus(SETTINGS)
    self.assertEqual(first, methods.score(SETTINGS)[0])
    self.assertEqual(second.objective, Stage2(0.01, 0.0))
    for phase in methods.score_offline(SETTINGS):
      self.assertEqual(phase.offline_first_attempt_fraction, 1.0)

  def test_star_starts_every_round_from_the_base_model(self):
    rounds = methods.star(SETTINGS)
    self.assertEqual([r.start for r in rounds], [BASE] * 3)
    self.assertEqual([r.sampling_steps for r in rounds], [53, 53, 54])
    self.assertEqual({r.select for r in rounds}, {traces.star})
    self.assertEqual(methods.star_plus(SETTINGS)[0].select, traces.star_plus)

  def test_star_in_place_of_stage_2_starts_from_stage_1(self):
    first, *rounds = methods.score_star(SETTINGS)
    self.assertIsInstance(first, RlPhase)
    self.assertEqual([r.start for r in rounds], ["stage1"] * 3)
    self.assertEqual([r.sampling_steps for r in rounds], [33, 33, 34])

  def test_pair_sft_is_one_round_of_one_epoch(self):
    (phase,) = methods.pair_sft(SETTINGS)
    self.assertIsInstance(phase, SftPhase)
    self.assertEqual(phase.epochs, 1)
    self.assertEqual(phase.start, BASE)
    # An epoch of all that can be selected fits.
    rows = phase.sampling_steps * 32 * 8
    self.assertGreaterEqual(phase.steps * phase.batch_size, 2 * rows)

  def test_three_attempts_hold_two_of_them_to_the_end_of_stage_1(self):
    first, third, second = methods.score_three_attempts(SETTINGS)
    self.assertEqual(first.num_attempts, 2)
    self.assertEqual((third.num_attempts, second.num_attempts), (3, 3))
    self.assertEqual(third.objective, Stage1(0.01, 1.0, num_anchored=2))
    self.assertEqual(third.reference, "stage1")
    self.assertEqual(second.reference, BASE)
    self.assertEqual(third.steps + second.steps, SETTINGS.run.stage2.steps)

  def test_k2(self):
    for phase in methods.score_k2(SETTINGS):
      self.assertEqual(phase.corrections_per_attempt, 2)

  def test_other_objectives_have_score_s_coefficients(self):
    """And the rest of SCoRe as it is."""
    first, second = methods.score(SETTINGS)
    for recipe, expected in (
        (methods.score_corrections, Stage1Corrections(0.01, 1.0, 1, 0.5)),
        (methods.score_entropy, Stage1Entropy(0.01, 1.0, 1, 0.05)),
    ):
      changed, kept = recipe(SETTINGS)
      self.assertEqual(changed.objective, expected)
      self.assertEqual(
          dataclasses.replace(changed, objective=first.objective), first
      )
      self.assertEqual(kept, second)
    kept, changed = methods.score_scaled(SETTINGS)
    self.assertEqual(kept, first)
    self.assertEqual(changed.objective, Stage2Scaled(0.01, 10.0))

  def test_interleaved_stages_take_turns(self):
    settings = _settings(method__interleaved_rounds=3, run__stage2__steps=101)
    found = methods.score_interleaved(settings)
    self.assertEqual(
        [(p.name, p.steps) for p in found],
        [
            ("stage1_1", 20),
            ("stage2_1", 33),
            ("stage1_2", 20),
            ("stage2_2", 34),
            ("stage1_3", 20),
            ("stage2_3", 34),
        ],
    )
    first, second = methods.score(settings)
    self.assertEqual(
        [p.objective for p in found], [first.objective, second.objective] * 3
    )
    self.assertEqual({p.reference for p in found}, {BASE})
    self.assertEqual(
        phases.anchored(found), ("stage1_1", "stage1_2", "stage1_3")
    )

  @parameterized.parameters(
      ("broken_coef", -0.5, "expected 0 or more"),
      ("entropy_coef", -0.1, "expected 0 or more"),
      ("interleaved_rounds", 0, "expected above 0"),
  )
  def test_coefficients_that_are_none(self, name, value, message):
    with self.assertRaisesRegex(ValueError, f"{name} is {value}, {message}"):
      _settings(**{f"method__{name}": value})


class StudyTest(parameterized.TestCase):

  def test_base_models_come_first_even_where_they_are_not_asked_for(self):
    cells = cells_lib.all_cells(
        _settings(methods=["score", "star"], num_seeds=2)
    )
    self.assertEqual(
        [str(c) for c in cells],
        ["base/0", "base/1", "score/0", "score/1", "star/0", "star/1"],
    )

  @parameterized.parameters((["score", "sore"],), ([],), (["base", "base"],))
  def test_methods_that_there_are_not(self, names):
    with self.assertRaisesRegex(ValueError, "distinct names out of base, self"):
      cells_lib.check_methods(_settings(methods=names))

  def test_wrong_coefficients_are_refused_before_any_cell_runs(self):
    wrong = _settings(run__stage2__objective__kl_coef=-1.0, methods=["score"])
    with self.assertRaisesRegex(ValueError, "stage2.objective: kl_coef is -1"):
      cells_lib.check_methods(wrong)

  @parameterized.parameters("score", "score/x", "sore/1", "")
  def test_cells_that_there_are_not(self, text):
    with self.assertRaisesRegex(ValueError, "expected METHOD/SEED"):
      cells_lib.parse_cell(text)

  def test_workers(self):
    self.assertEqual(cells_lib.num_workers(_settings(workers=5), "cpu"), 5)
    self.assertEqual(cells_lib.num_workers(SETTINGS, "tpu"), 1)
    huge = _settings(cell_memory_gb=1e6)
    self.assertEqual(cells_lib.num_workers(huge, "cpu"), 1)
    tiny = _settings(cell_memory_gb=1e-6)
    self.assertEqual(
        cells_lib.num_workers(tiny, "cpu"), len(os.sched_getaffinity(0))
    )

  def test_corrections_that_do_not_divide_the_samples(self):
    with self.assertRaisesRegex(ValueError, "corrections_per_attempt 3 does"):
      _settings(method__corrections_per_attempt=3)

  @parameterized.parameters("feedback_prompt", "refine_prompt")
  def test_requests_of_self_refine_without_words(self, name):
    with self.assertRaisesRegex(ValueError, f"{name} is ' ', expected a text"):
      _settings(**{f"method__self_refine__{name}": " "})

  def test_steps_that_stage_2_does_not_have(self):
    with self.assertRaisesRegex(ValueError, "expected fewer than run.stage2"):
      _settings(method__stage1b_steps=100)


if __name__ == "__main__":
  absltest.main()
