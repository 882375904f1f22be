"""Self-Refine: attempt, remarks, attempt."""

import dataclasses

from absl.testing import absltest
from absl.testing import parameterized
import jax
import numpy as np

from score_jax import policy
from score_jax.models import placement
from score_jax.rollouts import protocols
from score_jax.rollouts import self_refine
from tests.helpers.tiny_rollouts import CONFIG
from tests.helpers.tiny_rollouts import EOS
from tests.helpers.tiny_rollouts import PROBLEMS
from tests.helpers.tiny_rollouts import SPEC
from tests.helpers.tiny_rollouts import TOKENIZER
from tests.helpers.tiny_rollouts import TagTask
from tests.helpers.tiny_rollouts import model_params

FEEDBACK, REFINE = "b?", "c="


def _self_refine(batch_size=3, config=CONFIG, **spec):
  evaluation = protocols.Evaluation(
      config=config,
      tokenizer=TOKENIZER,
      task=TagTask(),
      spec=dataclasses.replace(SPEC, samples_per_problem=1, **spec),
      batch_size=batch_size,
      key=jax.random.key(0),
      placement=placement.make_placement(CONFIG),
  )
  return evaluation, self_refine.self_refine(
      model_params(), evaluation, PROBLEMS, FEEDBACK, REFINE
  )


class SelfRefineTest(parameterized.TestCase):

  def test_a_conversation_is_attempt_request_remarks_request_attempt(self):
    _, (r,) = _self_refine()
    self.assertEqual(r.rewards.shape, (3, 1, 2))
    feedback, refine = map(TOKENIZER.turn_ids, (FEEDBACK, REFINE))
    for row in range(3):
      first, second = (np.flatnonzero(r.attempt_ids[row] == i) for i in (1, 2))
      between = r.tokens[row, first[-1] + 1 : second[0]].tolist()
      closing = [EOS] * int(r.is_truncated[row, 0, 0])
      start = closing + list(feedback)
      self.assertEqual(between[: len(start)], start)
      self.assertEqual(tuple(between[-len(refine) :]), refine)
      remarks = between[len(start) : -len(refine)]
      self.assertEqual(remarks.index(EOS), len(remarks) - 1)
      self.assertBetween(len(remarks), 1, 6)  # closed where they were cut

  def test_remarks_are_not_graded(self):
    evaluation, (r,) = _self_refine()
    self.assertEqual([len(texts) for texts in r.texts], [2] * 3)
    seen = {text for _, text in evaluation.task.seen}
    self.assertEqual(seen, {text for texts in r.texts for text in texts})

  def test_the_scorer_agrees_with_the_sampler(self):
    """So the second attempt was written with the remarks in sight."""
    _, (r,) = _self_refine()
    scores = jax.jit(policy.token_logprobs, static_argnums=1)(
        model_params(), CONFIG, r.tokens, r.mask
    )
    is_attempt = r.attempt_ids[:, 1:] > 0
    np.testing.assert_allclose(
        np.where(is_attempt, scores, 0),
        r.behaviour_logprobs[:, 1:],
        atol=1e-4,
    )

  def test_first_attempts_are_those_without_remarks(self):
    evaluation, (r,) = _self_refine()
    (own,) = protocols.own_attempts(model_params(), evaluation, PROBLEMS)
    self.assertEqual([t[0] for t in r.texts], [t[0] for t in own.texts])
    self.assertNotEqual([t[1] for t in r.texts], [t[1] for t in own.texts])

  def test_batches_do_not_matter(self):
    _, whole = _self_refine()
    _, parts = _self_refine(batch_size=2)
    self.assertEqual(
        [texts for part in parts for texts in part.texts], list(whole[0].texts)
    )

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
