"""Evaluation on own attempts and on given ones."""

import dataclasses

from absl.testing import absltest
import jax
import numpy as np

from score_jax import placement
from score_jax import protocols
from score_jax.models import transformer
from tests import rollout_test
from tests.rollout_test import CONFIG
from tests.rollout_test import EOS
from tests.rollout_test import PROBLEMS
from tests.rollout_test import SPEC
from tests.rollout_test import TOKENIZER
from tests.rollout_test import model_params

GREEDY = dataclasses.replace(
    SPEC,
    samples_per_problem=1,
    sampling=dataclasses.replace(SPEC.sampling, temperature=0.0),
)


def _evaluation(batch_size=2, **spec):
  return protocols.Evaluation(
      config=CONFIG,
      tokenizer=TOKENIZER,
      task=rollout_test.TagTask(),
      spec=dataclasses.replace(GREEDY, **spec),
      batch_size=batch_size,
      key=jax.random.key(0),
      placement=placement.make_placement(CONFIG),
  )


def _repairs(texts, batch_size=2, **spec):
  given = {p.id: text for p, text in zip(PROBLEMS, texts, strict=True)}
  return protocols.repairs(
      model_params(), _evaluation(batch_size, **spec), PROBLEMS, given
  )


class ProtocolsTest(absltest.TestCase):

  def test_every_problem_is_rolled_out_once(self):
    parts = protocols.own_attempts(model_params(), _evaluation(), PROBLEMS)
    ids = [p.id for part in parts for p in part.problems]
    self.assertEqual(ids, [p.id for p in PROBLEMS])

  def test_second_attempts_see_the_given_ones(self):
    """Each is the greedy continuation of the whole conversation before it."""
    params = model_params()
    for r in _repairs(["12", "", "1234"]):
      logits = transformer.logits(params, CONFIG, r.tokens, r.mask)
      likeliest = np.argmax(logits[:, :-1], axis=-1)
      is_second = r.attempt_ids[:, 1:] == 2
      self.assertTrue(is_second.any(axis=-1).all())
      np.testing.assert_array_equal(
          likeliest[is_second], r.tokens[:, 1:][is_second]
      )

  def test_given_attempts_stand_where_own_ones_would(self):
    texts = ["12", "", "1234"]
    rows = [(r, i) for r in _repairs(texts) for i in range(len(r.tokens))]
    for text, problem, (r, i) in zip(texts, PROBLEMS, rows, strict=True):
      (prompt,) = TOKENIZER.prompt_ids([f"{problem.question}="])
      (ids,) = TOKENIZER.encode([text])
      start = [*prompt, *ids, EOS, *SPEC.turn_ids]
      self.assertEqual(r.tokens[i, : len(start)].tolist(), start)
      self.assertEqual(r.texts[i][0], text)
      self.assertTrue(
          (r.attempt_ids[i][len(prompt) :][: len(ids) + 1] == 1).all()
      )
      self.assertFalse(r.is_truncated[i, 0, 0])

  def test_given_attempts_are_graded(self):
    right = f"{PROBLEMS[0].answer}1"
    graded = _repairs([right, "9", "9"], batch_size=3)[0]
    self.assertEqual(graded.rewards[:, 0, 0].tolist(), [1.0, 0.0, 0.0])

  def test_a_given_attempt_that_is_too_long_is_refused(self):
    with self.assertRaisesRegex(ValueError, "has 6 tokens, the limit is 5"):
      _repairs(["12345", "1", "1"])

  def test_more_than_two_attempts_are_refused(self):
    with self.assertRaisesRegex(ValueError, "num_attempts is 3, expected 2"):
      _repairs(["1", "1", "1"], num_attempts=3)

  def test_a_given_attempt_with_a_special_token_is_refused(self):
    with self.assertRaisesRegex(ValueError, "special token '<eos>'"):
      _repairs(["1<eos>2", "1", "1"])


if __name__ == "__main__":
  absltest.main()
