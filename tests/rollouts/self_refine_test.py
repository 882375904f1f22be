"""Self-Refine: attempt, remarks, attempt."""

import dataclasses

from absl.testing import absltest
from absl.testing import parameterized
import jax
import numpy as np
import pytest

from score_jax import policy
from score_jax.rollouts import protocols
from score_jax.rollouts import self_refine
from tests.helpers.tiny_rollouts import CONFIG
from tests.helpers.tiny_rollouts import EOS
from tests.helpers.tiny_rollouts import PROBLEMS
from tests.helpers.tiny_rollouts import SPEC
from tests.helpers.tiny_rollouts import TOKENIZER
from tests.helpers.tiny_rollouts import make_collector
from tests.helpers.tiny_rollouts import model_params

FEEDBACK, REFINE = "b?", "c="


def _self_refine(num_attempts=2, spec=SPEC, **changes):
  collector = make_collector(
      spec.sampled(1, num_attempts, temperature=1.0), **changes
  )
  return collector, self_refine.self_refine(
      model_params(), collector, PROBLEMS, FEEDBACK, REFINE
  )


class SelfRefineTest(parameterized.TestCase):

  @pytest.mark.slow
  def test_a_conversation_is_attempt_request_remarks_request_attempt(self):
    _, (r,) = _self_refine()
    self.assertEqual(r.rewards.shape, (3, 1, 2))
    c = r.conversations
    feedback, refine = map(TOKENIZER.turn_ids, (FEEDBACK, REFINE))
    for row in range(3):
      first, second = (np.flatnonzero(c.attempt_ids[row] == i) for i in (1, 2))
      between = c.tokens[row, first[-1] + 1 : second[0]].tolist()
      closing = [EOS] * int(c.is_truncated[row, 0, 0])
      start = closing + list(feedback)
      self.assertEqual(between[: len(start)], start)
      self.assertEqual(tuple(between[-len(refine) :]), refine)
      remarks = between[len(start) : -len(refine)]
      self.assertEqual(remarks.index(EOS), len(remarks) - 1)
      self.assertBetween(len(remarks), 1, 6)  # closed where they were cut

  def test_remarks_are_not_graded(self):
    collector, (r,) = _self_refine()
    rows = r.conversations.texts
    self.assertEqual([len(texts) for texts in rows], [2] * 3)
    seen = {text for _, text in collector.task.seen}
    self.assertEqual(seen, {text for texts in rows for text in texts})

  @pytest.mark.slow
  def test_the_scorer_agrees_with_the_sampler(self):
    """So the second attempt was written with the remarks in sight."""
    _, (r,) = _self_refine()
    c = r.conversations
    scores = jax.jit(policy.token_logprobs, static_argnums=1)(
        model_params(), CONFIG, c.tokens, c.mask
    )
    is_attempt = c.attempt_ids[:, 1:] > 0
    np.testing.assert_allclose(
        np.where(is_attempt, scores, 0),
        c.behaviour_logprobs[:, 1:],
        atol=1e-4,
    )

  @pytest.mark.slow
  def test_first_attempts_are_those_without_remarks(self):
    collector, (r,) = _self_refine()
    (own,) = protocols.own_attempts(model_params(), collector, PROBLEMS)
    refined, plain = r.conversations.texts, own.conversations.texts
    self.assertEqual([t[0] for t in refined], [t[0] for t in plain])
    self.assertNotEqual([t[1] for t in refined], [t[1] for t in plain])

  @pytest.mark.slow
  def test_batches_do_not_matter(self):
    _, whole = _self_refine()
    _, parts = _self_refine(problems_per_batch=2)
    self.assertEqual(
        [texts for part in parts for texts in part.conversations.texts],
        list(whole[0].conversations.texts),
    )

  @parameterized.parameters((2, 5), (5, 2, 9))
  @pytest.mark.slow
  def test_remarks_have_the_limit_of_second_attempts(self, *limits):
    spec = dataclasses.replace(SPEC, max_new_tokens=limits)
    _, (r,) = _self_refine(spec=spec)
    first, second = limits[:2]
    c = r.conversations
    # 4 of the prompt, the messages, and twice 2 + 1 between.
    self.assertEqual(c.tokens.shape[1], 4 + first + 2 * second + 6)
    sizes = [(c.attempt_ids == i).sum(1) for i in (1, 2)]
    self.assertEqual([max(found) for found in sizes], [first, second])
    cut = c.is_truncated[:, 0]
    # What is no attempt: prompts of 2 to 4, two requests, closings, remarks.
    rest = c.mask.sum(1) - sum(sizes) - cut[:, 0] - 2 * 2
    remarks = rest - [len(p.question) + 1 for p in PROBLEMS]
    self.assertBetween(
        max(remarks), 1, second + 1
    )  # closed where they were cut

  def test_more_than_two_attempts_are_refused(self):
    with self.assertRaisesRegex(ValueError, "num_attempts is 3, expected 2"):
      _self_refine(num_attempts=3)

  def test_conversations_that_are_too_long_are_refused(self):
    """4 of the prompt, 3 times 5, and twice 2 + 1 between."""
    short = dataclasses.replace(CONFIG, max_positions=24)
    with self.assertRaisesRegex(ValueError, "may have 25 tokens.* for 24"):
      _self_refine(config=short)


if __name__ == "__main__":
  absltest.main()
