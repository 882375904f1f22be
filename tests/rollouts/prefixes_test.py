"""Tests of score_jax.rollouts.prefixes."""

import dataclasses

from absl.testing import absltest
from absl.testing import parameterized
import numpy as np

from score_jax.rollouts import prefixes
from score_jax.rollouts import rollout
from tests.helpers.tiny_rollouts import PROBLEMS
from tests.helpers.tiny_rollouts import SPEC
from tests.helpers.tiny_rollouts import TagTask
from tests.helpers.tiny_rollouts import make_collector
from tests.helpers.tiny_rollouts import sampler_params

# Prompts of 2, 4 and 3 tokens, and of one.
QUESTIONS = [problem.question for problem in PROBLEMS]
PER_TOKEN = (
    "tokens",
    "attempt_ids",
    "trained_attempt_ids",
    "behaviour_logprobs",
    "targets",
)


class BareTask(TagTask):
  """Prompts have one token at the least."""

  def first_prompt(self, problem):
    return problem.question


def _sample(task=None, is_offline=False, **changes):
  spec = dataclasses.replace(SPEC, **changes)
  collector = make_collector(spec, task=task or TagTask())
  first = sampler_params() if is_offline else None
  params = sampler_params()
  return rollout.sample(params, collector, PROBLEMS, 0, first), spec


class ShareTest(parameterized.TestCase):

  @parameterized.parameters(
      {},
      {"samples_per_problem": 3},
      {"is_offline": True},
      {"task": BareTask()},
      {"max_prompt_tokens": 16, "num_prompt_buckets": 3},
      {"corrections_per_attempt": 2, "samples_per_problem": 4},
      {"num_attempts": 3},
  )
  def test_a_prompt_and_what_stands_behind_it_are_the_row(self, **changes):
    c, spec = _sample(**changes)
    prefix, rest = prefixes.share(c, spec)
    samples = spec.samples_per_problem
    self.assertEqual(prefix.tokens.shape, prefix.mask.shape)
    self.assertLen(prefix.tokens, len(PROBLEMS))
    for row in range(len(c.tokens)):
      before = prefix.mask[row // samples]
      length = before.sum()
      found = [*prefix.tokens[row // samples][before]]
      found += [*rest.tokens[row][rest.mask[row]]]
      np.testing.assert_array_equal(found, c.tokens[row][c.mask[row]])
      count = rest.mask[row].sum()
      self.assertTrue(rest.mask[row, :count].all())
      for name in PER_TOKEN:
        whole, own = getattr(c, name)[row], getattr(rest, name)[row]
        self.assertEqual(own.dtype, whole.dtype, name)
        np.testing.assert_array_equal(
            own[:count], whole[length : length + count], name
        )
        self.assertFalse(own[count:].any(), name)
      # One token in front of attempt 1: behind it the attempt's first is drawn.
      self.assertEqual(rest.attempt_ids[row, :2].tolist(), [0, 1])

  def test_shapes_are_those_of_the_spec_and_not_of_the_sample(self):
    c, spec = _sample(max_prompt_tokens=16)
    prefix, rest = prefixes.share(c, spec)
    self.assertEqual(prefix.tokens.shape, (3, 15))
    self.assertEqual(rest.tokens.shape, (6, spec.max_tokens - 15))
    buckets = dataclasses.replace(spec, num_prompt_buckets=3)
    prefix, rest = prefixes.share(c, buckets)
    self.assertEqual(prefix.tokens.shape, (3, 3))
    self.assertEqual(rest.tokens.shape, (6, spec.max_tokens - 15))

  def test_what_belongs_to_no_token_stays(self):
    c, spec = _sample()
    _, rest = prefixes.share(c, spec)
    self.assertEqual(rest.texts, c.texts)
    self.assertEqual(rest.problems, c.problems)
    self.assertIs(rest.is_truncated, c.is_truncated)


if __name__ == "__main__":
  absltest.main()
