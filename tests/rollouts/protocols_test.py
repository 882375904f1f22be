"""Evaluation on own attempts and on given ones."""

import dataclasses
import functools
import json

from absl.testing import absltest
from absl.testing import parameterized
import numpy as np
import pytest

from score_jax.models import transformer
from score_jax.rollouts import protocols
from tests.helpers.tiny_rollouts import CONFIG
from tests.helpers.tiny_rollouts import EOS
from tests.helpers.tiny_rollouts import PROBLEMS
from tests.helpers.tiny_rollouts import SPEC
from tests.helpers.tiny_rollouts import TOKENIZER
from tests.helpers.tiny_rollouts import make_collector
from tests.helpers.tiny_rollouts import model_params


def _greedy_collector(problems_per_batch=2, num_attempts=2):
  return make_collector(
      SPEC.greedy(num_attempts), problems_per_batch=problems_per_batch
  )


def _repairs(texts, problems_per_batch=2, num_attempts=2):
  given = {p.id: text for p, text in zip(PROBLEMS, texts, strict=True)}
  return protocols.repairs(
      model_params(),
      _greedy_collector(problems_per_batch, num_attempts),
      PROBLEMS,
      given,
  )


def _own_attempts():
  return protocols.own_attempts(model_params(), _greedy_collector(), PROBLEMS)


class ProtocolsTest(absltest.TestCase):

  @pytest.mark.slow
  def test_every_problem_is_rolled_out_once(self):
    parts = _own_attempts()
    ids = [p.id for part in parts for p in part.conversations.problems]
    self.assertEqual(ids, [p.id for p in PROBLEMS])

  @pytest.mark.slow
  def test_second_attempts_see_the_given_ones(self):
    """Each is the greedy continuation of the whole conversation before it."""
    params = model_params()
    for r in _repairs(["12", "", "1234"]):
      c = r.conversations
      logits = transformer.logits(params, CONFIG, c.tokens, c.mask)
      likeliest = np.argmax(logits[:, :-1], axis=-1)
      is_second = c.attempt_ids[:, 1:] == 2
      self.assertTrue(is_second.any(axis=-1).all())
      np.testing.assert_array_equal(
          likeliest[is_second], c.tokens[:, 1:][is_second]
      )

  @pytest.mark.slow
  def test_given_attempts_stand_where_own_ones_would(self):
    texts = ["12", "", "1234"]
    parts = [r.conversations for r in _repairs(texts)]
    rows = [(c, i) for c in parts for i in range(len(c.tokens))]
    for text, problem, (c, i) in zip(texts, PROBLEMS, rows, strict=True):
      (prompt,) = TOKENIZER.prompt_ids([f"{problem.question}="])
      (ids,) = TOKENIZER.encode([text])
      start = [*prompt, *ids, EOS, *SPEC.turn_ids]
      self.assertEqual(c.tokens[i, : len(start)].tolist(), start)
      self.assertEqual(c.texts[i][0], text)
      self.assertTrue(
          (c.attempt_ids[i][len(prompt) :][: len(ids) + 1] == 1).all()
      )
      self.assertFalse(c.is_truncated[i, 0, 0])

  @pytest.mark.slow
  def test_given_attempts_are_graded(self):
    right = f"{PROBLEMS[0].answer}1"
    graded = _repairs([right, "9", "9"], problems_per_batch=3)[0]
    self.assertEqual(graded.rewards[:, 0, 0].tolist(), [1.0, 0.0, 0.0])

  def test_a_given_attempt_that_is_too_long_is_refused(self):
    with self.assertRaisesRegex(ValueError, "has 6 tokens, the limit is 5"):
      _repairs(["12345", "1", "1"])

  @pytest.mark.slow
  def test_given_and_second_attempts_have_limits_of_their_own(self):
    collector = _greedy_collector(problems_per_batch=3)
    given = {p.id: "1" for p in PROBLEMS}
    first, second = (
        [(c.attempt_ids == i).sum(1).tolist() for i in (1, 2)]
        for c in (
            protocols.repairs(
                model_params(), collector.with_spec(spec), PROBLEMS, given
            )[0].conversations
            for spec in (
                dataclasses.replace(collector.spec, max_new_tokens=limits)
                for limits in ((2, 5), (2, 3))
            )
        )
    )
    self.assertEqual(max(first[1]), 5)
    self.assertEqual(second, [[2] * 3, np.minimum(first[1], 3).tolist()])
    short = dataclasses.replace(collector.spec, max_new_tokens=(1, 5))
    with self.assertRaisesRegex(ValueError, "has 2 tokens, the limit is 1"):
      protocols.repairs(
          model_params(), collector.with_spec(short), PROBLEMS, given
      )

  def test_more_than_two_attempts_are_refused(self):
    with self.assertRaisesRegex(ValueError, "num_attempts is 3, expected 2"):
      _repairs(["1", "1", "1"], num_attempts=3)

  def test_a_given_attempt_with_a_special_token_is_refused(self):
    with self.assertRaisesRegex(ValueError, "special token '<eos>'"):
      _repairs(["1<eos>2", "1", "1"])


def _rows(parts):
  """Tokens of every conversation, by problem id and sample."""
  return {
      (p.id, k): r.conversations.tokens[b * r.rewards.shape[1] + k].tolist()
      for r in parts
      for b, p in enumerate(r.conversations.problems)
      for k in range(r.rewards.shape[1])
  }


@functools.cache  # compiling is most of the work
def _sampled(problems_per_batch, samples=4, temperature=1.0):
  collector = make_collector(
      SPEC.sampled(samples, num_attempts=2, temperature=temperature),
      problems_per_batch=problems_per_batch,
  )
  return protocols.sampled_attempts(model_params(), collector, PROBLEMS)


class SampledAttemptsTest(absltest.TestCase):

  def test_every_problem_has_its_samples(self):
    """Of two problems a batch: the filling of the last one is dropped."""
    parts = _sampled(problems_per_batch=8)
    self.assertEqual([len(r.conversations.problems) for r in parts], [2, 1])
    self.assertEqual([len(r.conversations.tokens) for r in parts], [8, 4])
    self.assertEqual([r.rewards.shape for r in parts], [(2, 4, 2), (1, 4, 2)])
    self.assertEqual([len(r.grades) for r in parts], [8, 4])
    self.assertLen(_rows(parts), 12)

  @pytest.mark.slow
  def test_batches_do_not_matter(self):
    self.assertEqual(_rows(_sampled(8)), _rows(_sampled(1)))

  @pytest.mark.slow
  def test_samples_differ_unless_it_is_cold(self):
    for temperature, expected in ((1.0, 4), (1e-4, 1)):
      rows = _rows(_sampled(8, temperature=temperature))
      distinct = {tuple(rows[PROBLEMS[0].id, k]) for k in range(4)}
      self.assertLen(distinct, expected)


class TestTimeTest(parameterized.TestCase):

  @pytest.mark.slow
  def test_what_is_asked_for(self):
    result, greedy, sampled = protocols.test_time(
        model_params(),
        _greedy_collector(),
        PROBLEMS,
        protocols.MoreAttempts(num_attempts=3, samples=2, temperature=1.0),
    )
    self.assertEqual(json.loads(json.dumps(result)), result)
    self.assertEqual([m["pair"] for m in result["attempts"]], [[1, 2], [2, 3]])
    self.assertEqual([m["n"] for m in result["attempts"]], [3, 3])
    self.assertLen(result["curve"], 3)
    self.assertEqual(result["self_consistency"]["temperature"], 1.0)
    points = result["self_consistency"]["points"]
    self.assertEqual([p["budget"] for p in points], [2, 4])
    self.assertEqual({r.rewards.shape[1:] for r in sampled}, {(4, 2)})
    # The first two attempts cannot know of the third.
    two = _own_attempts()
    self.assertEqual(
        [texts[:2] for r in greedy for texts in r.conversations.texts],
        [texts for r in two for texts in r.conversations.texts],
    )

  @parameterized.parameters(
      ({"num_attempts": 1}, "num_attempts is 1, expected 2 or more"),
      ({"samples": -1}, "samples is -1, expected 1 or more"),
      ({"temperature": 0.0}, "temperature is 0.0, expected above 0"),
  )
  def test_mistakes_are_refused(self, changes, message):
    asked = {"num_attempts": 2, "samples": 0, "temperature": 0.7} | changes
    with self.assertRaisesRegex(ValueError, message):
      protocols.MoreAttempts(**asked)


if __name__ == "__main__":
  absltest.main()
