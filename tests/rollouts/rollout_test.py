"""Tests of score_jax.rollouts.rollout."""

import dataclasses
import functools
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from score_jax import policy
from score_jax.grading.errors import GraderError
from score_jax.rollouts import rollout
from score_jax.rollouts import sampler
from score_jax.rollouts import spec as spec_lib
from score_jax.types import Attempt
from tests.helpers.tiny_rollouts import CHARACTERS
from tests.helpers.tiny_rollouts import CONFIG
from tests.helpers.tiny_rollouts import EOS
from tests.helpers.tiny_rollouts import PROBLEMS
from tests.helpers.tiny_rollouts import SPEC
from tests.helpers.tiny_rollouts import TOKENIZER
from tests.helpers.tiny_rollouts import TagTask
from tests.helpers.tiny_rollouts import make_collector
from tests.helpers.tiny_rollouts import model_params
from tests.helpers.tiny_rollouts import sampler_params


def _is_right(b, k, i):
  return (b + k * i) % 2 == 0


def _tag(b, k, i):
  """problem id, is it right, sample, attempt: as text."""
  return f"{PROBLEMS[b].id}{int(_is_right(b, k, i))}{k}{i}"


def _is_cut(b, k, i):
  return (b, k, i) in {(0, 1, 1), (2, 0, 1), (1, 1, 2)}


def _tagged_attempt(i):
  """Attempt i of all rows; some were cut off at the limit of five tokens."""
  tokens, masks, cuts = [], [], []
  for b in range(3):
    for k in range(2):
      (ids,) = TOKENIZER.prompt_ids([_tag(b, k, i)])
      cuts.append(_is_cut(b, k, i))
      tokens.append(ids + ([3] if cuts[-1] else [EOS]))
      masks.append([True] * 5)
      if k == 1 and i == 1 and not cuts[-1]:  # a shorter one
        tokens[-1] = ids[:3] + [EOS, TOKENIZER.pad_id]
        masks[-1][4] = False
  # Each log-probability is its own place: row, attempt, token.
  places = np.arange(6)[:, None] * 100 + i * 10 + np.arange(5)[None]
  mask = np.array(masks)
  return Attempt(
      tokens=np.array(tokens, np.int32),
      mask=mask,
      behaviour_logprobs=np.where(mask, places, 0).astype(np.float32),
      is_truncated=np.array(cuts),
  )


@functools.cache
def _tagged():
  """Conversations packed from hand-made attempts."""
  return _pack([_tagged_attempt(1), _tagged_attempt(2)])


def _pack(attempts, tokenizer=TOKENIZER):
  collector = make_collector(tokenizer=tokenizer)
  prompts = collector.prompt_ids(PROBLEMS)
  return rollout.pack(collector, PROBLEMS, prompts, attempts)


class PackTest(absltest.TestCase):
  """Everything of a row is of the same problem and sample."""

  def test_tokens_grades_and_rewards_agree_on_problem_sample_attempt(self):
    graded = rollout.grade(TagTask(), _tagged())
    c = graded.conversations
    attempts = {i: _tagged_attempt(i) for i in (1, 2)}
    for r in range(6):
      b, k = divmod(r, 2)
      for i in (1, 2):
        written = c.tokens[r][c.attempt_ids[r] == i]
        attempt = attempts[i]
        np.testing.assert_array_equal(
            written, attempt.tokens[r][attempt.mask[r]]
        )
        self.assertStartsWith(_tag(b, k, i) + "0", c.texts[r][i - 1])
        self.assertStartsWith(c.texts[r][i - 1], _tag(b, k, i)[:3])
        self.assertEqual(graded.grades[r][i - 1].answer, c.texts[r][i - 1])
        self.assertEqual(graded.rewards[b, k, i - 1], _is_right(b, k, i))
        self.assertEqual(c.is_truncated[b, k, i - 1], _is_cut(b, k, i))
        np.testing.assert_array_equal(
            c.behaviour_logprobs[r][c.attempt_ids[r] == i],
            r * 100 + i * 10 + np.arange(len(written)),
        )
    self.assertIs(c, _tagged())
    self.assertEqual(c.problems, PROBLEMS)
    self.assertEqual(graded.rewards.shape, (3, 2, 2))
    self.assertEqual(graded.rewards.dtype, np.float32)

  def test_rows_decode_to_prompt_attempt_turn_attempt(self):
    c = _tagged()
    for r in range(6):
      b, _ = divmod(r, 2)
      cut = "<eos>" if c.is_truncated[b, r % 2, 0] else ""
      first, second = (
          TOKENIZER.tokenizer.decode(c.tokens[r][c.attempt_ids[r] == i])
          for i in (1, 2)
      )
      self.assertEqual(
          TOKENIZER.tokenizer.decode(c.tokens[r][c.mask[r]]),
          f"{PROBLEMS[b].question}={first}{cut}?={second}",
      )

  def test_padding_is_on_the_right_only(self):
    c = _tagged()
    lengths = c.mask.sum(1, keepdims=True)
    np.testing.assert_array_equal(c.mask, np.arange(SPEC.max_tokens) < lengths)
    self.assertGreater(len(set(lengths[:, 0])), 1)
    np.testing.assert_array_equal(c.tokens[~c.mask], TOKENIZER.pad_id)
    np.testing.assert_array_equal(c.attempt_ids[~c.mask], 0)
    np.testing.assert_array_equal(c.behaviour_logprobs[c.attempt_ids == 0], 0)

  def test_the_eos_that_closes_a_truncated_attempt_gets_no_credit(self):
    c = _tagged()
    row = 1  # sample 1 of problem 0
    last = np.flatnonzero(c.attempt_ids[row] == 1)[-1]
    self.assertNotEqual(c.tokens[row, last], EOS)
    self.assertEqual(c.tokens[row, last + 1], EOS)
    self.assertEqual(c.attempt_ids[row, last + 1], 0)
    self.assertTrue(c.mask[row, last + 1])

  def test_eos_that_the_model_wrote_belongs_to_its_attempt(self):
    c = _tagged()
    last = np.flatnonzero(c.attempt_ids[0] == 1)[-1]
    self.assertEqual(c.tokens[0, last], EOS)
    self.assertEqual((c.tokens[0] == EOS).sum(), 2)

  def test_another_stop_id_is_a_target_and_the_end_of_turn_is_read(self):
    """Neither of them is in the text that is graded."""
    stop = CHARACTERS.index("c") + 3
    tokenizer = dataclasses.replace(TOKENIZER, stop_ids=(EOS, stop))
    ids = spec_lib.token_ids(tokenizer, "?=")
    self.assertEqual(ids.stop_ids, (EOS, stop))
    attempt = _tagged_attempt(1)
    tokens = np.where(attempt.tokens == EOS, stop, attempt.tokens)
    attempts = [attempt.replace(tokens=tokens), _tagged_attempt(2)]
    c = _pack(attempts, tokenizer)
    self.assertEqual(c.texts, _tagged().texts)
    np.testing.assert_array_equal(c.tokens, _tagged().tokens)
    np.testing.assert_array_equal(c.attempt_ids, _tagged().attempt_ids)
    stopped = np.where(_tagged().tokens == EOS, stop, _tagged().tokens)
    is_first = _tagged().attempt_ids == 1
    self.assertTrue((stopped != c.tokens)[is_first].any())
    np.testing.assert_array_equal(
        c.targets, np.where(is_first, stopped, _tagged().tokens)
    )

  def test_of_one_stop_id_the_targets_are_the_tokens(self):
    np.testing.assert_array_equal(_tagged().targets, _tagged().tokens)


class GradeTest(absltest.TestCase):

  def test_the_grader_sees_exactly_the_response(self):
    """No prompt, no turn, nothing stripped."""
    task = TagTask()
    rollout.grade(task, _tagged())
    expected = []
    for r in range(6):
      for i, attempt in enumerate((_tagged_attempt(1), _tagged_attempt(2))):
        ids = attempt.tokens[r][attempt.mask[r]]
        text = "".join(CHARACTERS[t - 3] for t in ids if t != EOS)
        expected.append((PROBLEMS[r // 2].id, text))
        self.assertEqual(_tagged().texts[r][i], text)
    self.assertEqual(task.seen, expected)

  def test_a_padding_token_within_an_attempt_is_not_hidden(self):
    """`7<pad>1` is not the answer `71`."""
    attempt = _tagged_attempt(1)
    tokens = attempt.tokens.copy()
    tokens[0, 1] = TOKENIZER.pad_id
    attempts = [attempt.replace(tokens=tokens), _tagged_attempt(2)]
    c = _pack(attempts)
    self.assertEqual(c.texts[0][0], "7<pad>01")

  def test_a_failing_grader_raises(self):
    """An error is never a silent 0."""
    task = TagTask()
    task.grade = lambda problems, completions: 1 / 0
    with self.assertRaises(ZeroDivisionError):
      rollout.grade(task, _tagged())

  def test_a_grade_too_few_raises(self):
    """Else grades would go to the wrong attempts."""
    task, whole = TagTask(), TagTask()
    task.grade = lambda *arguments: whole.grade(*arguments)[:-1]
    with self.assertRaisesRegex(GraderError, "11 grades for 12 attempts"):
      rollout.grade(task, _tagged())


@functools.cache
def other_params():
  """Another policy over the same tokens."""
  return jax.tree.map(lambda a: 0.8 * jnp.flip(a, -1), model_params())


def _sample(
    problems=PROBLEMS, spec=SPEC, step=0, first_params=None, **collector
):
  """Conversations; `first_params` as they are trained."""
  if first_params is not None:
    first_params = sampler_params(first_params)
  return rollout.sample(
      sampler_params(),
      make_collector(spec, key=jax.random.key(3), **collector),
      problems,
      step,
      first_params,
  )


_token_logprobs = jax.jit(policy.token_logprobs, static_argnums=1)


class SampleTest(absltest.TestCase):

  def test_the_scorer_agrees_with_the_sampler_on_packed_rows(self):
    """The ids that are scored are those sampled.

    A random model's distribution depends on every token before, so this holds
    only where prompt, attempts, EOS and turn stand as they did in the sampler.
    """
    c = _sample()
    self.assertTrue(c.is_truncated[..., 0].any())
    self.assertFalse(c.is_truncated.all())
    logprobs = _token_logprobs(model_params(), CONFIG, c.tokens, c.mask)
    is_written = c.attempt_ids[:, 1:] > 0
    np.testing.assert_allclose(
        np.where(is_written, logprobs, 0),
        c.behaviour_logprobs[:, 1:],
        atol=1e-4,
    )
    self.assertTrue((c.behaviour_logprobs[:, 1:][is_written] < 0).all())

  def test_what_stands_between_attempts_is_the_same_for_all_rows(self):
    """No hint whether the first attempt was right."""
    graded = rollout.grade(TagTask(), _tagged())
    self.assertEqual(set(graded.rewards[..., 0].flat), {0.0, 1.0})
    for c in (_tagged(), _sample()):
      for r in range(6):
        first, second = (np.flatnonzero(c.attempt_ids[r] == i) for i in (1, 2))
        turn = c.tokens[r, first[-1] + 1 : second[0]].tolist()
        closing = [EOS] * int(c.is_truncated.reshape(6, 2)[r, 0])
        self.assertEqual(turn, closing + list(SPEC.turn_ids))

  def test_rows_start_with_their_problems_prompt(self):
    c = _sample()
    for r in range(6):
      start = np.flatnonzero(c.attempt_ids[r])[0]
      prompt = TOKENIZER.tokenizer.decode(c.tokens[r, :start])
      self.assertEqual(prompt, f"{PROBLEMS[r // 2].question}=")

  def test_rows_do_not_depend_on_the_order_of_problems(self):
    c, reversed_c = _sample(), _sample(PROBLEMS[::-1])
    order = [4, 5, 2, 3, 0, 1]
    np.testing.assert_array_equal(reversed_c.tokens, c.tokens[order])
    np.testing.assert_array_equal(reversed_c.attempt_ids, c.attempt_ids[order])
    self.assertEqual(reversed_c.texts, tuple(c.texts[r] for r in order))

  @pytest.mark.slow
  def test_another_step_gives_other_rows(self):
    self.assertFalse(np.array_equal(_sample(step=1).tokens, _sample().tokens))

  def test_an_empty_correction_turn_is_refused(self):
    with self.assertRaisesRegex(ValueError, "turn"):
      _sample(spec=dataclasses.replace(SPEC, turn_ids=()))

  def test_a_prompt_that_is_too_long_is_refused(self):
    """Nothing is cut away silently."""
    with self.assertRaisesRegex(ValueError, "prompt 1 has 4 tokens.* 1 to 3"):
      _sample(spec=dataclasses.replace(SPEC, max_prompt_tokens=3))


SHARED = dataclasses.replace(
    SPEC, samples_per_problem=4, corrections_per_attempt=2
)


class CorrectionsTest(parameterized.TestCase):
  """Several second attempts at one first attempt."""

  def test_rows_of_a_first_attempt_share_it(self):
    c = _sample(spec=SHARED)
    self.assertEqual(c.is_truncated.shape, (3, 4, 2))
    for r in range(0, 12, 2):
      first = [
          np.where(c.attempt_ids[i] == 1, c.tokens[i], 0) for i in (r, r + 1)
      ]
      np.testing.assert_array_equal(*first)
      self.assertEqual(c.texts[r][0], c.texts[r + 1][0])
    grouped = c.is_truncated[..., 0].reshape(3, 2, 2)
    np.testing.assert_array_equal(grouped[..., 0], grouped[..., 1])
    self.assertGreater(len({texts[0] for texts in c.texts}), 3)
    self.assertGreater(len({texts[1] for texts in c.texts}), 6)

  def test_the_scorer_agrees_with_the_sampler(self):
    c = _sample(spec=SHARED)
    logprobs = _token_logprobs(model_params(), CONFIG, c.tokens, c.mask)
    is_written = c.attempt_ids[:, 1:] > 0
    np.testing.assert_allclose(
        np.where(is_written, logprobs, 0),
        c.behaviour_logprobs[:, 1:],
        atol=1e-4,
    )

  @pytest.mark.slow
  def test_a_shared_first_attempt_is_judged_once(self):
    task, c = TagTask(), _sample(spec=SHARED)
    graded = rollout.grade(task, c)
    asked = [
        (PROBLEMS[r // 4].id, text) for r in range(12) for text in c.texts[r]
    ]
    self.assertLen(task.seen, len(set(asked)))
    self.assertEqual(set(task.seen), set(asked))
    answers = [grade.answer for row in graded.grades for grade in row]
    self.assertEqual(answers, [text for _, text in asked])

  def test_equal_texts_at_other_problems_are_judged_apart(self):
    c = _tagged()
    texts = (("7100", "7100"),) * len(c.texts)
    graded = rollout.grade(TagTask(), dataclasses.replace(c, texts=texts))
    np.testing.assert_array_equal(graded.rewards[0], 1)
    np.testing.assert_array_equal(graded.rewards[1:], 0)

  @parameterized.parameters(
      ({"corrections_per_attempt": 3}, "is 3, expected a divisor .* is 4"),
      ({"corrections_per_attempt": 0}, "is 0, expected a divisor"),
      ({"num_attempts": 3}, "is 2 with 3 attempts: set num_attempts to 2"),
  )
  def test_shapes_that_do_not_fit_are_refused(self, changes, message):
    with self.assertRaisesRegex(ValueError, message):
      dataclasses.replace(SHARED, **changes)


LIMITED = dataclasses.replace(SPEC, max_new_tokens=(2, 5))


class LimitsTest(parameterized.TestCase):
  """First attempts of at most two tokens, second ones of at most five."""

  @parameterized.parameters(1, 2)
  @pytest.mark.slow
  def test_rows_are_as_sampled(self, corrections):
    spec = dataclasses.replace(
        LIMITED, samples_per_problem=4, corrections_per_attempt=corrections
    )
    c = _sample(spec=spec)
    # 4 of the prompt, 2, 1 + 2 between, and 5.
    self.assertEqual(c.tokens.shape[1], 4 + 2 + 1 + 2 + 5)
    lengths = [(c.attempt_ids == i).sum(1) for i in (1, 2)]
    self.assertEqual([max(found) for found in lengths], [2, 5])
    cut = c.is_truncated.reshape(12, 2)
    self.assertTrue(cut[:, 0].any())
    for row, texts in enumerate(c.texts):
      first, second = (
          TOKENIZER.tokenizer.decode(c.tokens[row][c.attempt_ids[row] == i])
          for i in (1, 2)
      )
      closing = "<eos>" if cut[row, 0] else ""
      self.assertEqual(
          TOKENIZER.tokenizer.decode(c.tokens[row][c.mask[row]]),
          f"{PROBLEMS[row // 4].question}={first}{closing}?={second}",
      )
      self.assertEqual(
          [first.removesuffix("<eos>"), second.removesuffix("<eos>")],
          list(texts),
      )
    logprobs = _token_logprobs(model_params(), CONFIG, c.tokens, c.mask)
    is_written = c.attempt_ids[:, 1:] > 0
    np.testing.assert_allclose(
        np.where(is_written, logprobs, 0),
        c.behaviour_logprobs[:, 1:],
        atol=1e-4,
    )

  @pytest.mark.slow
  def test_offline_first_attempts_have_the_first_limit(self):
    online = _sample(spec=LIMITED)
    offline = _sample(spec=LIMITED, first_params=model_params())
    np.testing.assert_array_equal(offline.tokens, online.tokens)
    np.testing.assert_array_equal(offline.attempt_ids, online.attempt_ids)
    np.testing.assert_array_equal(offline.is_truncated, online.is_truncated)
    self.assertEqual(rollout.later_prompt_tokens(4, LIMITED), 4 + 2 + 1 + 2)


class OfflineFirstAttemptsTest(parameterized.TestCase):
  """First attempts of another policy."""

  @parameterized.parameters(SPEC, SHARED)
  def test_of_the_same_policy_they_are_what_it_samples(self, spec):
    """Whose second attempts are those of a plain loop, see sampler_test."""
    online = _sample(spec=spec)
    offline = _sample(spec=spec, first_params=model_params())
    np.testing.assert_array_equal(offline.tokens, online.tokens)
    np.testing.assert_array_equal(offline.attempt_ids, online.attempt_ids)
    np.testing.assert_array_equal(offline.is_truncated, online.is_truncated)
    np.testing.assert_allclose(
        offline.behaviour_logprobs, online.behaviour_logprobs, atol=1e-5
    )
    self.assertEqual(offline.texts, online.texts)

  @parameterized.parameters(SPEC, SHARED)
  def test_each_attempt_has_the_log_probabilities_of_who_wrote_it(self, spec):
    c = _sample(spec=spec, first_params=other_params())
    for attempt, (own, other) in enumerate(
        [(other_params(), model_params()), (model_params(), other_params())],
        start=1,
    ):
      is_own = c.attempt_ids[:, 1:] == attempt
      recorded = c.behaviour_logprobs[:, 1:][is_own]
      scores, others = (
          np.asarray(_token_logprobs(p, CONFIG, c.tokens, c.mask))[is_own]
          for p in (own, other)
      )
      np.testing.assert_allclose(recorded, scores, atol=1e-4)
      self.assertGreater(np.abs(recorded - others).max(), 0.1)

  def test_first_attempts_are_not_trained(self):
    c = _sample(first_params=other_params())
    np.testing.assert_array_equal(
        c.trained_attempt_ids, np.where(c.attempt_ids == 1, 0, c.attempt_ids)
    )
    self.assertIn(1, c.attempt_ids)
    online = _sample()
    np.testing.assert_array_equal(
        online.trained_attempt_ids, online.attempt_ids
    )

  @pytest.mark.slow
  def test_three_attempts(self):
    spec = dataclasses.replace(SPEC, num_attempts=3)
    online = _sample(spec=spec)
    offline = _sample(spec=spec, first_params=model_params())
    np.testing.assert_array_equal(offline.tokens, online.tokens)
    self.assertEqual(set(offline.trained_attempt_ids.flat), {0, 2, 3})

  def test_pieces_of_a_batch_are_the_batch(self):
    options = dict(first_params=other_params())
    np.testing.assert_array_equal(
        _sample(problems_per_batch=1, **options).tokens,
        _sample(**options).tokens,
    )

  def test_one_attempt_is_refused(self):
    spec = dataclasses.replace(SPEC, num_attempts=1)
    with self.assertRaisesRegex(ValueError, "nothing is left to train"):
      _sample(spec=spec, first_params=other_params())

  @parameterized.product(spec=(SPEC, SHARED), num_prompt_buckets=(1, 2))
  @pytest.mark.slow
  def test_later_attempts_start_from_whole_conversations(
      self, spec, num_prompt_buckets
  ):
    """Of each distinct first attempt one, of one length in every step."""
    spec = dataclasses.replace(spec, num_prompt_buckets=num_prompt_buckets)
    with mock.patch.object(
        sampler, "sample_messages", wraps=sampler.sample_messages
    ) as sample_messages:
      c = _sample(PROBLEMS[:1], spec, first_params=other_params())
    first, later = (call.args for call in sample_messages.call_args_list)
    self.assertEqual((first[-1], later[-1]), rollout.offline_specs(spec))
    prompt_tokens = {1: 4, 2: 2}[num_prompt_buckets]
    self.assertEqual(first[2].tokens.shape, (1, prompt_tokens))
    later_tokens = rollout.later_prompt_tokens(prompt_tokens, spec)
    # 5 of the first attempt, 1 that closes it, 2 of the turn.
    self.assertEqual(later_tokens, prompt_tokens + 5 + 1 + 2)
    self.assertEqual(later[2].tokens.shape, (2, later_tokens))
    copies = len(c.tokens) // 2
    for r in range(len(c.tokens)):
      start = np.flatnonzero(c.attempt_ids[r] == 2)[0]
      prompt = later[2].tokens[r // copies][later[2].mask[r // copies]]
      np.testing.assert_array_equal(prompt, c.tokens[r, :start])

  @pytest.mark.slow
  def test_corrections_of_a_batch_that_is_cut_share_first_attempts(self):
    """As they do where it is not."""
    options = dict(spec=SHARED, first_params=other_params())
    whole, cut = _sample(**options), _sample(problems_per_batch=1, **options)
    np.testing.assert_array_equal(cut.tokens, whole.tokens)
    np.testing.assert_array_equal(
        cut.trained_attempt_ids, whole.trained_attempt_ids
    )
    for r in range(0, 12, 2):
      self.assertEqual(cut.texts[r][0], cut.texts[r + 1][0])
    self.assertGreater(len({texts[1] for texts in cut.texts}), 6)


class OfflineSpecsTest(parameterized.TestCase):

  def test_corrections_are_later_attempts_of_fewer_first_ones(self):
    first, later = rollout.offline_specs(SHARED)
    self.assertEqual((first.num_attempts, later.num_attempts), (1, 1))
    self.assertEqual(first.samples_per_problem, 2)
    self.assertEqual(later.samples_per_problem, 4)
    for spec in (first, later):
      self.assertEqual(spec.corrections_per_attempt, 1)
      self.assertEqual(spec.sampling, SHARED.sampling)
      self.assertEqual(spec.turn_ids, SHARED.turn_ids)
      self.assertEqual(spec.prompt_buckets, SHARED.prompt_buckets)

  def test_of_three_attempts_two_are_later_ones(self):
    spec = dataclasses.replace(SPEC, num_attempts=3)
    first, later = rollout.offline_specs(spec)
    self.assertEqual(first, dataclasses.replace(spec, num_attempts=1))
    self.assertEqual(later, dataclasses.replace(spec, num_attempts=2))

  @parameterized.parameters(
      (2, (2, 5), (5,)),
      (3, (2, 5), (5, 5)),
      (3, (2, 3, 5), (3, 5)),
      (3, (4,), (4, 4)),
      (1, (4,), ()),  # such as of single-turn phases: nothing is later
  )
  def test_later_attempts_keep_their_limits(self, num_attempts, limits, kept):
    spec = dataclasses.replace(
        SPEC, num_attempts=num_attempts, max_new_tokens=limits
    )
    first, later = rollout.offline_specs(spec)
    self.assertEqual(first.limits(first.num_attempts), limits[:1])
    self.assertEqual(later.limits(later.num_attempts), kept)


class CollectorTest(parameterized.TestCase):

  def test_prompts_are_those_of_the_task_as_ids(self):
    """In the order of the problems, neither padded nor cut."""
    ids = make_collector().prompt_ids(PROBLEMS[::-1])
    self.assertEqual(
        ids, [TOKENIZER.encode([t])[0] for t in ("cc=", "bbb=", "a=")]
    )
    self.assertEqual([len(row) for row in ids], [3, 4, 2])

  def test_another_spec_changes_nothing_else(self):
    collector = make_collector()
    other = collector.with_spec(SHARED)
    self.assertIs(other.spec, SHARED)
    self.assertEqual(other.with_spec(SPEC), collector)

  @parameterized.parameters(
      (7, 3, [[0, 1, 2], [3, 4, 5], [6]]),
      (6, 3, [[0, 1, 2], [3, 4, 5]]),
      (2, 3, [[0, 1]]),
      (2, 1, [[0], [1]]),
      (0, 3, []),
  )
  def test_batches_are_all_problems_once(self, count, per_batch, expected):
    slices = rollout.batch_slices(count, per_batch)
    self.assertEqual([[*range(count)][part] for part in slices], expected)
    # Planning reads their lengths.
    self.assertEqual(
        [part.stop - part.start for part in slices], list(map(len, expected))
    )


class ConcatenateTest(absltest.TestCase):

  def test_is_one_batch_of_all_problems(self):
    whole = _sample()
    parts = [_sample(PROBLEMS[:1]), _sample(PROBLEMS[1:])]
    joined = rollout.concatenate(parts)
    for field in dataclasses.fields(joined):
      name = field.name
      expected = getattr(whole, name)
      if isinstance(expected, np.ndarray):
        np.testing.assert_array_equal(
            getattr(joined, name).shape, expected.shape
        )
      else:
        self.assertEqual(getattr(joined, name), expected)
    np.testing.assert_array_equal(joined.tokens, whole.tokens)
    np.testing.assert_array_equal(joined.attempt_ids, whole.attempt_ids)
    self.assertEqual(
        rollout.grade(TagTask(), joined).grades,
        rollout.grade(TagTask(), whole).grades,
    )

  def test_each_part_keeps_what_is_trained(self):
    parts = [
        _sample(PROBLEMS[:1], first_params=other_params()),
        _sample(PROBLEMS[1:]),
    ]
    joined = rollout.concatenate(parts)
    is_first = joined.attempt_ids == 1
    trained = (joined.trained_attempt_ids == 1).any(axis=1)
    self.assertTrue(is_first.any(axis=1).all())
    self.assertEqual(trained.tolist(), [False] * 2 + [True] * 4)


if __name__ == "__main__":
  absltest.main()
