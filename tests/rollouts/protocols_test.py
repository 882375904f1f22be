"""Evaluation on own attempts and on given ones."""

import dataclasses
import functools
import json

from absl.testing import absltest
from absl.testing import parameterized
import jax
import numpy as np

from score_jax.models import placement
from score_jax.models import transformer
from score_jax.rollouts import protocols
from tests.helpers.tiny_rollouts import CONFIG
from tests.helpers.tiny_rollouts import EOS
from tests.helpers.tiny_rollouts import PROBLEMS
from tests.helpers.tiny_rollouts import SPEC
from tests.helpers.tiny_rollouts import TOKENIZER
from tests.helpers.tiny_rollouts import TagTask
from tests.helpers.tiny_rollouts import model_params

GREEDY = dataclasses.replace(
    SPEC,
    samples_per_problem=1,
    sampling=dataclasses.replace(SPEC.sampling, temperature=0.0),
)


def _evaluation(batch_size=2, **spec):
  return protocols.Evaluation(
      config=CONFIG,
      tokenizer=TOKENIZER,
      task=TagTask(),
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


def _rows(parts):
  """Tokens of every conversation, by problem id and sample."""
  return {
      (p.id, k): r.tokens[b * r.rewards.shape[1] + k].tolist()
      for r in parts
      for b, p in enumerate(r.problems)
      for k in range(r.rewards.shape[1])
  }


@functools.cache  # compiling is most of the work
def _sampled(batch_size, samples=4, temperature=1.0):
  return protocols.sampled_attempts(
      model_params(),
      _evaluation(batch_size),
      PROBLEMS,
      samples=samples,
      num_attempts=2,
      temperature=temperature,
  )


class SampledAttemptsTest(absltest.TestCase):

  def test_every_problem_has_its_samples(self):
    """Of two problems a batch: the filling of the last one is dropped."""
    parts = _sampled(batch_size=8)
    self.assertEqual([len(r.problems) for r in parts], [2, 1])
    self.assertEqual([len(r.tokens) for r in parts], [8, 4])
    self.assertEqual([r.rewards.shape for r in parts], [(2, 4, 2), (1, 4, 2)])
    self.assertEqual([len(r.grades) for r in parts], [8, 4])
    self.assertLen(_rows(parts), 12)

  def test_batches_do_not_matter(self):
    self.assertEqual(_rows(_sampled(8)), _rows(_sampled(1)))

  def test_samples_differ_unless_it_is_cold(self):
    for temperature, expected in ((1.0, 4), (1e-4, 1)):
      rows = _rows(_sampled(8, temperature=temperature))
      distinct = {tuple(rows[PROBLEMS[0].id, k]) for k in range(4)}
      self.assertLen(distinct, expected)


class TestTimeTest(parameterized.TestCase):

  def test_what_is_asked_for(self):
    result, greedy, sampled = protocols.test_time(
        model_params(),
        _evaluation(),
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
    two = protocols.own_attempts(model_params(), _evaluation(), PROBLEMS)
    self.assertEqual(
        [texts[:2] for r in greedy for texts in r.texts],
        [texts for r in two for texts in r.texts],
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
