"""Which conversations the supervised baselines imitate."""

from absl.testing import absltest
from absl.testing import parameterized
import numpy as np

from score_jax.training import traces
from score_jax.types import Grade
from score_jax.types import Problem
from tests.helpers.made_up_rollouts import made_up_rollouts

PROMPT, TURN, EOS, PAD = 90, 91, 1, 0


def _rollouts(problem_id, attempts):
  """One problem; attempts: per sample ((token, is_correct), (token, ...)).

  Rows are prompt, token, EOS, turn, token, EOS, padding; token 0 stands for an
  attempt without tokens but EOS.
  """
  width = 8
  tokens = np.full((len(attempts), width), PAD, np.int32)
  attempt_ids = np.zeros_like(tokens)
  mask = np.zeros(tokens.shape, bool)
  rewards = np.zeros((1, len(attempts), 2), np.float32)
  for row, (first, second) in enumerate(attempts):
    pieces = [(PROMPT, 0)]
    for i, (token, is_correct) in enumerate((first, second)):
      pieces += [(token, i + 1)] * (token > 0) + [(EOS, i + 1)]
      pieces += [(TURN, 0)] * (i == 0)
      rewards[0, row, i] = is_correct
    tokens[row, : len(pieces)] = [token for token, _ in pieces]
    attempt_ids[row, : len(pieces)] = [label for _, label in pieces]
    mask[row, : len(pieces)] = True
  return made_up_rollouts(
      [Problem(problem_id, "", "")],
      [[Grade(False, "wrong", None)] * 2] * len(attempts),
      rewards=rewards,
      tokens=tokens,
      mask=mask,
      attempt_ids=attempt_ids,
  )


# Tokens 10 to 19 are right, 20 to 29 are wrong.
ROLLOUTS = [
    _rollouts(
        7,
        [
            ((20, False), (10, True)),
            ((11, True), (12, True)),
            ((13, True), (21, False)),
            ((0, False), (22, False)),
        ],
    ),
    _rollouts(8, [((23, False), (24, False)), ((25, False), (26, False))]),
    _rollouts(9, [((27, False), (14, True)), ((15, True), (16, True))]),
]
RIGHT_OF_7 = {10, 11, 12, 13}


def _said(chosen):
  """(context, imitated) tokens of every trace."""
  result = []
  for tokens, mask, labels in zip(
      chosen.tokens, chosen.mask, chosen.labels, strict=True
  ):
    is_taught = labels == traces.TAUGHT
    result.append(
        (tokens[mask & ~is_taught].tolist(), tokens[is_taught].tolist())
    )
  return result


class SelectionTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.rng = np.random.default_rng(0)

  def test_star_takes_wrong_then_right_as_written(self):
    self.assertEqual(
        _said(traces.star(ROLLOUTS, self.rng)),
        [
            ([PROMPT, 20, EOS, TURN], [10, EOS]),
            ([PROMPT, 27, EOS, TURN], [14, EOS]),
        ],
    )

  def test_star_plus_adds_as_many_that_are_right_twice(self):
    said = _said(traces.star_plus(ROLLOUTS, self.rng))
    self.assertCountEqual([taught[0] for _, taught in said], [10, 14, 12, 16])
    extra = [_rollouts(6, [((11, True), (12, True))] * 5)]
    said = _said(traces.star_plus(ROLLOUTS + extra, self.rng))
    self.assertLen(said, 4)

  def test_pair_takes_every_wrong_first_attempt_that_has_a_right_one(self):
    drawn = {}
    for seed in range(50):
      said = _said(traces.pair(ROLLOUTS, np.random.default_rng(seed)))
      self.assertEqual(
          [context for context, _ in said],
          [
              [PROMPT, 20, EOS, TURN],
              [PROMPT, EOS, TURN],
              [PROMPT, 27, EOS, TURN],
          ],
      )
      for (_, taught), found in zip(said, "abc", strict=True):
        self.assertEqual(taught[1:], [EOS])
        drawn.setdefault(found, set()).add(taught[0])
    # Of both attempts of all samples of the problem, and of no other problem.
    self.assertEqual(drawn["a"], RIGHT_OF_7)
    self.assertEqual(drawn["b"], RIGHT_OF_7)
    self.assertEqual(drawn["c"], {14, 15, 16})

  def test_pair_plus_adds_as_many_right_first_attempts(self):
    said = _said(traces.pair_plus(ROLLOUTS, self.rng))
    self.assertLen(said, 6)
    firsts = [context[1] for context, _ in said]
    self.assertCountEqual(firsts, [20, EOS, 27, 11, 13, 15])
    for _, taught in said:
      self.assertBetween(taught[0], 10, 19)

  def test_masks_cover_what_was_said_and_nothing_else(self):
    chosen = traces.pair(ROLLOUTS, self.rng)
    np.testing.assert_array_equal(chosen.mask.sum(1), [6, 5, 6])
    np.testing.assert_array_equal(chosen.tokens[~chosen.mask], PAD)


class BatchesTest(absltest.TestCase):

  def test_every_trace_is_seen_equally_often(self):
    tokens = np.arange(5, dtype=np.int32)[:, None]
    chosen = traces.Traces(tokens, tokens >= 0, tokens * 0)
    batches = traces.batches(chosen, 3, np.random.default_rng(0))
    seen = np.concatenate([next(batches).tokens[:, 0] for _ in range(5)])
    for start in (0, 5, 10):
      self.assertCountEqual(seen[start : start + 5], range(5))
    self.assertNotEqual(seen[:5].tolist(), seen[5:10].tolist())

  def test_nothing_to_imitate_is_an_error(self):
    tokens = np.zeros((0, 4), np.int32)
    nothing = traces.Traces(tokens, tokens > 0, tokens)
    with self.assertRaisesRegex(ValueError, "no right attempt behind a wrong"):
      next(traces.batches(nothing, 2, np.random.default_rng(0)))


if __name__ == "__main__":
  absltest.main()
