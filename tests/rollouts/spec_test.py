"""Tests of score_jax.rollouts.spec."""

import dataclasses

from absl.testing import absltest
from absl.testing import parameterized
import numpy as np

from score_jax import settings as settings_lib
from score_jax.rollouts import spec as spec_lib
from tests.helpers import smoke
from tests.helpers.tiny_rollouts import SPEC
from tests.helpers.tiny_rollouts import TOKENIZER

# Nothing as in the specs that are made of it.
TRAINING = dataclasses.replace(
    SPEC,
    samples_per_problem=8,
    corrections_per_attempt=2,
    num_prompt_buckets=2,
    sampling=dataclasses.replace(
        SPEC.sampling, temperature=0.7, column_multiple=4, check_every=3
    ),
)


def _differences(spec, other):
  """Names of the fields that differ, those of `sampling` among them."""
  found = set()
  for one, two in ((spec, other), (spec.sampling, other.sampling)):
    for field in dataclasses.fields(one):
      if getattr(one, field.name) != getattr(two, field.name):
        found.add(field.name)
  return found - {"sampling"}


class OtherSamplesTest(parameterized.TestCase):

  @parameterized.parameters(1, 2, 3)
  def test_greedy_is_one_cold_conversation(self, num_attempts):
    spec = TRAINING.greedy(num_attempts)
    self.assertEqual(spec.num_attempts, num_attempts)
    self.assertEqual(spec.samples_per_problem, 1)
    self.assertEqual(spec.corrections_per_attempt, 1)
    self.assertEqual(spec.sampling.temperature, 0.0)
    self.assertEqual(
        _differences(spec, TRAINING) - {"num_attempts"},
        {"samples_per_problem", "corrections_per_attempt", "temperature"},
    )

  def test_sampled_have_first_attempts_of_their_own(self):
    spec = TRAINING.sampled(6, num_attempts=3, temperature=0.2)
    self.assertEqual(spec.num_attempts, 3)
    self.assertEqual(spec.samples_per_problem, 6)
    self.assertEqual(spec.first_attempts_per_problem, 6)
    self.assertEqual(spec.sampling.temperature, 0.2)
    self.assertLen(_differences(spec, TRAINING), 4)

  def test_the_spec_of_training_stays(self):
    before = dataclasses.replace(TRAINING)
    TRAINING.greedy(3)
    self.assertEqual(TRAINING, before)


class ShapeTest(parameterized.TestCase):

  @parameterized.parameters(1, 2, 4)
  def test_a_turn_stands_between_two_attempts(self, num_attempts):
    turns = SPEC.greedy(num_attempts).turns
    self.assertLen(turns, num_attempts - 1)
    for turn in turns:
      self.assertEqual(turn.dtype, np.int32)
      self.assertEqual(tuple(turn), SPEC.turn_ids)

  @parameterized.parameters(
      (1, 17, 17), (4, 0, 0), (4, 1, 4), (4, 4, 4), (4, 5, 8), (128, 129, 256)
  )
  def test_rounded_is_the_next_multiple(self, multiple, columns, expected):
    sampling = dataclasses.replace(SPEC.sampling, column_multiple=multiple)
    self.assertEqual(sampling.rounded(columns), expected)

  def test_rows_hold_the_longest_conversation(self):
    """4 of the prompt, twice 5, and 2 + 1 between."""
    self.assertEqual(SPEC.max_tokens, 17)
    self.assertEqual(SPEC.row_tokens, 17)
    self.assertEqual(TRAINING.row_tokens, 20)
    self.assertEqual(SPEC.greedy(1).max_tokens, 9)

  @parameterized.parameters(
      (1, (3,), 4 + 3),
      (2, (3, 5), 4 + 3 + 3 + 5),
      # The last limit is that of all attempts that follow.
      (4, (3, 5, 5, 5), 4 + 3 + 3 * (3 + 5)),
  )
  def test_each_attempt_has_its_limit(self, num_attempts, limits, max_tokens):
    spec = dataclasses.replace(SPEC, max_new_tokens=(3, 5))
    self.assertEqual(spec.limits(num_attempts), limits)
    self.assertEqual(spec.greedy(num_attempts).max_tokens, max_tokens)

  @parameterized.parameters(
      ((5,), 1, False),
      ((5, 5), 1, False),
      ((5, 5, 3), 1, False),
      ((3, 5), 1, True),
      ((5, 5), 2, True),
  )
  def test_first_attempts_have_a_program_of_their_own(
      self, limits, corrections, expected
  ):
    """Where they have fewer rows, or another limit."""
    spec = dataclasses.replace(
        SPEC, max_new_tokens=limits, corrections_per_attempt=corrections
    )
    self.assertEqual(spec.decodes_first_apart, expected)

  @parameterized.parameters((()), (0,), (5, 0), (-1, 5))
  def test_impossible_limits_are_refused(self, *limits):
    with self.assertRaisesRegex(ValueError, "max_new_tokens is .*expected"):
      dataclasses.replace(SPEC, max_new_tokens=limits)


class ConversationSpecTest(absltest.TestCase):

  def test_every_setting_goes_where_it_belongs(self):
    """All of them differ, and none is a default."""
    values = smoke.settings(
        attention="splash",
        rollout__samples_per_problem=6,
        rollout__corrections_per_attempt=3,
        rollout__max_prompt_tokens=14,
        rollout__num_prompt_buckets=4,
        rollout__max_new_tokens=[9, 5],
        rollout__temperature=0.7,
        rollout__done_check_steps=5,
    )
    settings = settings_lib.from_mapping(settings_lib.RunSettings, values)
    tokenizer = dataclasses.replace(TOKENIZER, stop_ids=(TOKENIZER.eos_id, 7))
    ids = spec_lib.token_ids(tokenizer, "?a?")
    self.assertEqual(
        spec_lib.conversation_spec(settings, ids, column_multiple=128),
        spec_lib.ConversationSpec(
            num_attempts=2,
            samples_per_problem=6,
            max_prompt_tokens=14,
            max_new_tokens=(9, 5),
            sampling=spec_lib.SamplingSpec(
                temperature=0.7,
                eos_id=TOKENIZER.eos_id,
                stop_ids=(TOKENIZER.eos_id, 7),
                pad_id=TOKENIZER.pad_id,
                check_every=5,
                attention="splash",
                column_multiple=128,
            ),
            turn_ids=TOKENIZER.turn_ids("?a?"),
            num_prompt_buckets=4,
            corrections_per_attempt=3,
        ),
    )


if __name__ == "__main__":
  absltest.main()
