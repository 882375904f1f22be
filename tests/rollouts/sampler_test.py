"""Tests of score_jax.rollouts.sampler."""

import dataclasses
import functools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from score_jax import policy
from score_jax.models import decoding
from score_jax.models import transformer
from score_jax.models.config import ModelConfig
from score_jax.models.config import Rope
from score_jax.rollouts import sampler
from score_jax.rollouts.sampler import Occasion
from score_jax.rollouts.sampler import Prompts
from score_jax.rollouts.spec import ConversationSpec
from score_jax.rollouts.spec import SamplingSpec
from score_jax.types import Attempt

CONFIG = ModelConfig(
    model_type="llama",
    vocab_size=9,
    d_model=12,
    num_layers=2,
    num_heads=4,
    num_kv_heads=2,
    head_dim=4,
    d_ff=16,
    rope=Rope(100.0),
    norm_eps=1e-5,
    is_tied=False,
    max_positions=64,
)
EOS, PAD = 1, 0
LIMIT = 6
SPEC = SamplingSpec(
    temperature=1.0,
    eos_id=EOS,
    stop_ids=(EOS,),
    pad_id=PAD,
    check_every=4,
)
PROMPTS = ((3, 5), (2, 7, 8, 4, 6), (5, 5, 4))
IDS = (70, 4, 11)
SAMPLES = 4
TURN = (8, 2)
SEED, STEP = 17, 23


@functools.cache
def _params():
  """A random model that ends about one attempt in two before the limit."""
  shapes = jax.eval_shape(
      functools.partial(transformer.init_params, config=CONFIG),
      jax.random.key(0),
  )
  leaves, structure = jax.tree.flatten(shapes)
  rng = np.random.default_rng(3)
  return structure.unflatten(
      jnp.asarray(0.4 * rng.normal(size=x.shape), x.dtype) for x in leaves
  )


def _left_pad(prompts, length, pad_id=PAD):
  tokens = np.full((len(prompts), length), pad_id, np.int32)
  mask = np.zeros((len(prompts), length), bool)
  for r, prompt in enumerate(prompts):
    tokens[r, length - len(prompt) :] = prompt
    mask[r, length - len(prompt) :] = True
  return tokens, mask


def _make_prompts(prompts, ids, length, pad_id=PAD):
  tokens, mask = _left_pad(prompts, length, pad_id)
  return Prompts(tokens, mask, np.asarray(ids, np.int32))


def _sample(
    prompts=PROMPTS,
    ids=IDS,
    *,
    length=5,
    spec=SPEC,
    samples=SAMPLES,
    turn=TURN,
    seed=SEED,
    step=STEP,
    params=None,
    num_attempts=2,
    corrections_per_attempt=1,
    limits=(LIMIT,),
):
  params = _params() if params is None else params
  conversation_spec = ConversationSpec(
      num_attempts=num_attempts,
      samples_per_problem=samples,
      max_prompt_tokens=length,
      max_new_tokens=limits,
      sampling=spec,
      turn_ids=turn,
      corrections_per_attempt=corrections_per_attempt,
  )
  attempts = sampler.sample_messages(
      decoding.layout(params, CONFIG),
      CONFIG,
      _make_prompts(prompts, ids, length, spec.pad_id),
      conversation_spec.turns,
      Occasion(jax.random.key(seed), step),
      conversation_spec,
  )
  return jax.device_get(attempts)


def _rows(attempts, rows):
  return jax.tree.map(lambda a: a[np.asarray(rows)], attempts)


def _conversations(attempts, prompts=PROMPTS, samples=SAMPLES, turn=TURN):
  """Each row's ids in order, and where its attempts' tokens are."""
  rows = []
  for r in range(len(prompts) * samples):
    ids, places = list(prompts[r // samples]), []
    for i, attempt in enumerate(attempts):
      if i:
        was_truncated = attempts[i - 1].is_truncated[r]
        ids += [EOS] * bool(was_truncated) + list(turn)
      written = attempt.tokens[r][attempt.mask[r]].tolist()
      places.append(np.arange(len(ids), len(ids) + len(written)))
      ids += written
    rows.append((ids, places))
  return rows


def _score(conversations, temperature=1.0, context=None):
  """The scorer's log-probability of each conversation's ids, by index."""
  length = 24  # longer than all of them
  targets, mask = _left_pad([ids for ids, _ in conversations], length)
  tokens = targets if context is None else _left_pad(context, length)[0]
  logprobs = _token_logprobs(
      _params(),
      CONFIG,
      tokens,
      mask,
      targets=targets,
      temperature=temperature,
  )
  return [
      np.asarray(row)[length - 1 - len(ids) :]
      for row, (ids, _) in zip(logprobs, conversations, strict=True)
  ]


_token_logprobs = jax.jit(policy.token_logprobs, static_argnums=1)


@jax.jit
def _all_logits(tokens):
  """float32[S, V]; causal, so whatever stands behind a position is unseen."""
  mask = jnp.ones((1, tokens.shape[0]), bool)
  return transformer.logits(_params(), CONFIG, tokens[None], mask)[0]


def _reference_attempt(ids, key, spec, limit=LIMIT):
  """One attempt of one row: no cache, no batch, the whole forward per token."""
  ids, tokens, logprobs = list(ids), [], []
  while len(tokens) < limit and not _has_stop(tokens, spec):
    padded = np.zeros(20, np.int32)
    padded[: len(ids)] = ids
    logits = np.asarray(_all_logits(padded)[len(ids) - 1])
    if spec.temperature:
      logits = logits / np.float32(spec.temperature)
      token_key = jax.random.fold_in(key, len(tokens))
      token = int(jax.random.categorical(token_key, logits))
    else:
      token = int(np.argmax(logits))
    tokens.append(token)
    logprobs.append(logits[token] - np.log(np.sum(np.exp(logits))))
    ids.append(token)
  return tokens, logprobs


def _has_stop(tokens, spec):
  return not set(spec.stop_ids).isdisjoint(tokens)


def _row_key(problem_id, sample, message, seed=SEED, step=STEP):
  key = jax.random.key(seed)
  for number in (step, problem_id, sample, message):
    key = jax.random.fold_in(key, number)
  return key


SPECS = (
    SPEC,
    dataclasses.replace(SPEC, temperature=0.7),
    dataclasses.replace(SPEC, temperature=0.0),
)
TWO_STOPS = dataclasses.replace(SPEC, stop_ids=(EOS, 4))


class ReferenceTest(parameterized.TestCase):

  def test_the_case_is_not_trivial(self):
    """Both attempts end early, at different lengths, or are truncated."""
    for attempt in _sample():
      lengths = attempt.mask.sum(1)
      self.assertGreater(len(set(lengths)), 2)
      self.assertTrue(attempt.is_truncated.any())
      self.assertFalse(attempt.is_truncated.all())

  @parameterized.parameters(*SPECS, TWO_STOPS)
  @pytest.mark.slow
  def test_equals_a_plain_loop_over_rows_and_tokens(self, spec):
    attempts = _sample(spec=spec)
    for r in range(len(PROMPTS) * SAMPLES):
      problem, sample = divmod(r, SAMPLES)
      ids = list(PROMPTS[problem])
      for number, attempt in enumerate(attempts, start=1):
        key = _row_key(IDS[problem], sample, number)
        tokens, logprobs = _reference_attempt(ids, key, spec)
        mask = attempt.mask[r]
        self.assertEqual(attempt.tokens[r][mask].tolist(), tokens)
        np.testing.assert_allclose(
            attempt.behaviour_logprobs[r][mask], logprobs, atol=1e-4
        )
        is_ended = _has_stop(tokens, spec)
        self.assertEqual(bool(attempt.is_truncated[r]), not is_ended)
        # EOS stands in place of the stop id, or behind what was cut off.
        ids += (tokens[:-1] if is_ended else tokens) + [EOS, *TURN]

  @parameterized.parameters(*SPECS[:2])
  def test_log_probabilities_equal_the_scorers(self, spec):
    attempts = _sample(spec=spec)
    conversations = _conversations(attempts)
    scores = _score(conversations, spec.temperature)
    for r, (_, places) in enumerate(conversations):
      for attempt, place in zip(attempts, places, strict=True):
        np.testing.assert_allclose(
            attempt.behaviour_logprobs[r][attempt.mask[r]],
            scores[r][place],
            atol=1e-4,
        )

  def test_the_test_above_would_notice_another_first_attempt(self):
    """A swapped token of y1 moves the log-probabilities of y2."""
    attempts = _sample()
    swapped = []
    for ids, places in _conversations(attempts):
      ids = list(ids)
      ids[places[0][0]] = 3 if ids[places[0][0]] != 3 else 4
      swapped.append((ids, places))
    for r, score in enumerate(_score(swapped)):
      second = attempts[1].behaviour_logprobs[r][attempts[1].mask[r]]
      difference = np.abs(score[swapped[r][1][1]] - second)
      self.assertGreater(difference.max(), 1e-3)


class LimitsTest(parameterized.TestCase):
  """Attempts with a limit of tokens of their own."""

  @parameterized.parameters(
      ((3, 6), 1), ((6, 3), 1), ((3, 6), 2), ((1, 2, 5), 1)
  )
  @pytest.mark.slow
  def test_equals_a_plain_loop_over_rows_and_tokens(self, limits, corrections):
    attempts = _sample(
        limits=limits,
        num_attempts=len(limits),
        corrections_per_attempt=corrections,
    )
    for r in range(len(PROMPTS) * SAMPLES):
      problem, sample = divmod(r, SAMPLES)
      ids, key_sample = list(PROMPTS[problem]), sample // corrections
      for number, (attempt, limit) in enumerate(
          zip(attempts, limits, strict=True), start=1
      ):
        key = _row_key(IDS[problem], key_sample, number)
        tokens, logprobs = _reference_attempt(ids, key, SPEC, limit)
        mask = attempt.mask[r]
        self.assertEqual(attempt.tokens[r][mask].tolist(), tokens)
        np.testing.assert_allclose(
            attempt.behaviour_logprobs[r][mask], logprobs, atol=1e-4
        )
        is_ended = _has_stop(tokens, SPEC)
        self.assertEqual(bool(attempt.is_truncated[r]), not is_ended)
        ids += (tokens[:-1] if is_ended else tokens) + [EOS, *TURN]
        key_sample = sample

  def test_first_attempts_are_the_beginnings_of_longer_ones(self):
    """Those that have ended by then stay, and are followed by the same."""
    cut, whole = _sample(limits=(3, 6)), _sample()
    np.testing.assert_array_equal(cut[0].tokens, whole[0].tokens[:, :3])
    np.testing.assert_array_equal(cut[0].mask, whole[0].mask[:, :3])
    ends = ~cut[0].is_truncated
    self.assertTrue(ends.any() and not ends.all())
    np.testing.assert_array_equal(ends, whole[0].mask.sum(1) <= 3)
    _assert_same_samples(_rows(cut[1:], ends), _rows(whole[1:], ends))

  @parameterized.parameters((2,), (2, 2))
  def test_the_last_limit_is_that_of_all_that_follow(self, *limits):
    found = _sample(limits=limits, num_attempts=3)
    expected = _sample(limits=(2, 2, 2), num_attempts=3)
    jax.tree.map(np.testing.assert_array_equal, found, expected)

  def test_equal_limits_are_decoded_by_one_program(self):
    counts = [sampler.decode._cache_size()]
    for limits in ((2, 2), (2,), (2, 2, 2), (2, 3)):
      # A temperature of no other test: none of its programs is there yet.
      spec = dataclasses.replace(SPEC, temperature=0.9)
      _sample(limits=limits, spec=spec, num_attempts=2)
      counts.append(sampler.decode._cache_size())
    # Columns of the cache are others with (2, 3), so both programs are.
    self.assertEqual([c - counts[0] for c in counts], [0, 1, 1, 1, 3])


class CorrectionsTest(parameterized.TestCase):
  """Several second attempts at one first attempt."""

  def test_equals_a_plain_loop_over_rows_and_tokens(self):
    attempts = _sample(corrections_per_attempt=2)
    for r in range(len(PROMPTS) * SAMPLES):
      problem, sample = divmod(r, SAMPLES)
      ids = list(PROMPTS[problem])
      for number, attempt, key_sample in zip(
          (1, 2), attempts, (sample // 2, sample), strict=True
      ):
        key = _row_key(IDS[problem], key_sample, number)
        tokens, logprobs = _reference_attempt(ids, key, SPEC)
        mask = attempt.mask[r]
        self.assertEqual(attempt.tokens[r][mask].tolist(), tokens)
        np.testing.assert_allclose(
            attempt.behaviour_logprobs[r][mask], logprobs, atol=1e-4
        )
        self.assertEqual(bool(attempt.is_truncated[r]), EOS not in tokens)
        ids += tokens + [EOS] * (EOS not in tokens) + list(TURN)

  def test_log_probabilities_equal_the_scorers(self):
    attempts = _sample(corrections_per_attempt=2)
    conversations = _conversations(attempts)
    for r, score in enumerate(_score(conversations)):
      for attempt, place in zip(attempts, conversations[r][1], strict=True):
        np.testing.assert_allclose(
            attempt.behaviour_logprobs[r][attempt.mask[r]],
            score[place],
            atol=1e-4,
        )

  @pytest.mark.slow
  def test_corrections_share_their_first_attempt_and_differ(self):
    first, second = _sample(corrections_per_attempt=4)
    for b in range(len(PROMPTS)):
      rows = slice(b * SAMPLES, (b + 1) * SAMPLES)
      for array in jax.tree.leaves(first):
        np.testing.assert_array_equal(array[rows], array[rows][:1].repeat(4, 0))
      self.assertGreater(len(set(map(tuple, second.tokens[rows]))), 2)

  def test_first_attempts_are_those_of_fewer_samples(self):
    first, _ = _sample(corrections_per_attempt=2)
    distinct = jax.tree.map(lambda a: a[::2], first)
    _assert_same_samples([distinct], _sample(samples=2)[:1])

  def test_no_two_second_attempts_share_a_key(self):
    """Not within a first attempt, and not with the same one drawn twice."""
    occasion = Occasion(jax.random.key(0), 0, message=2)
    keys = sampler.row_keys(occasion, np.arange(5), 4)
    self.assertLen(np.unique(jax.random.key_data(keys), axis=0), 20)
    greedy = dataclasses.replace(SPEC, temperature=0.0)
    prompts = _conversations(_sample(spec=greedy))
    prompts = [ids[: places[1][0]] for ids, places in prompts[::2]]
    _, second = _continue(prompts)
    for b in range(len(PROMPTS)):
      rows = second.tokens[b * SAMPLES : (b + 1) * SAMPLES]
      self.assertGreater(len(set(map(tuple, rows))), 2)

  @pytest.mark.slow
  def test_conversations_go_on_as_if_they_had_not_stopped(self):
    """The second prompt read at once, row by row, and not from the cache."""
    attempts = _sample(corrections_per_attempt=2)
    prompts = [
        ids[: places[1][0]] for ids, places in _conversations(attempts)[::2]
    ]
    _assert_same_samples(_continue(prompts)[1:], attempts[1:])


def _continue(prompts):
  """(prompts, attempt 2): two corrections each of two conversations."""
  length = 5 + LIMIT + 1 + len(TURN)
  spec = ConversationSpec(
      num_attempts=1,
      samples_per_problem=SAMPLES,
      max_prompt_tokens=length,
      max_new_tokens=(LIMIT,),
      sampling=SPEC,
      turn_ids=TURN,
  )
  (second,) = sampler.sample_messages(
      decoding.layout(_params(), CONFIG),
      CONFIG,
      _make_prompts(prompts, IDS, length),
      (),
      Occasion(jax.random.key(SEED), STEP, message=2),
      spec,
  )
  return prompts, jax.device_get(second)


class InvarianceTest(parameterized.TestCase):
  """A sample is a function of its problem, its number, seed and step."""

  def test_batch_order_changes_nothing(self):
    order = [2, 0, 1]
    permuted = _sample([PROMPTS[b] for b in order], [IDS[b] for b in order])
    rows = [b * SAMPLES + k for b in order for k in range(SAMPLES)]
    _assert_same_samples(permuted, _rows(_sample(), rows))

  def test_batch_mates_change_nothing(self):
    others = _sample(((6, 6, 6, 6), PROMPTS[1], (2,)), (1, IDS[1], 2))
    rows = range(SAMPLES, 2 * SAMPLES)
    _assert_same_samples(_rows(others, rows), _rows(_sample(), rows))

  @pytest.mark.slow
  def test_a_problem_alone_gets_the_same_samples(self):
    alone = _sample(PROMPTS[1:2], IDS[1:2])
    _assert_same_samples(alone, _rows(_sample(), range(SAMPLES, 2 * SAMPLES)))

  @pytest.mark.slow
  def test_more_samples_and_prompt_padding_change_nothing(self):
    """The first samples of a problem stay the same."""
    rows = [b * SAMPLES + k for b in range(3) for k in range(2)]
    fewer = _sample(samples=2, length=8)
    _assert_same_samples(fewer, _rows(_sample(), rows))

  @parameterized.parameters({"check_every": 1, "pad_id": 7}, {"pad_id": EOS})
  @pytest.mark.slow
  def test_padding_id_and_check_every_change_nothing(self, **changes):
    """The padding id may be the EOS id."""
    spec = dataclasses.replace(SPEC, **changes)
    changed = _sample(spec=spec)
    _assert_same_samples(changed, _sample())
    for attempt in changed:
      np.testing.assert_array_equal(attempt.tokens[~attempt.mask], spec.pad_id)

  @parameterized.parameters({"seed": 18}, {"step": 24}, {"ids": (71, 5, 12)})
  def test_other_seeds_steps_and_problems_give_other_samples(self, **changes):
    same = np.all(_sample(**changes)[0].tokens == _sample()[0].tokens, axis=1)
    self.assertLess(same.mean(), 0.5)

  def test_samples_of_a_problem_differ(self):
    tokens = _sample()[0].tokens[:SAMPLES].tolist()
    self.assertGreater(len({tuple(t) for t in tokens}), 2)

  def test_all_keys_of_a_run_differ(self):
    data = [
        jax.random.key_data(
            sampler.row_keys(
                Occasion(jax.random.key(0), step, message),
                np.arange(5),
                samples=3,
            )
        )
        for step in (0, 1)
        for message in (1, 2)
    ]
    keys = np.concatenate(data)
    self.assertLen(np.unique(keys, axis=0), 2 * 2 * 5 * 3)

  def test_other_values_do_not_compile_again(self):
    _sample()
    programs = (sampler.row_keys, sampler.start, sampler.decode, sampler.ask)
    compiled = [program._cache_size() for program in programs]
    _sample(((2,), (3,), (4, 4)), (1, 2, 3), turn=(7, 7), seed=0, step=1)
    self.assertEqual([program._cache_size() for program in programs], compiled)


def _assert_same_samples(actual, expected):
  """Token-identical; log-probabilities up to the order of float sums."""
  for a, e in zip(actual, expected, strict=True):
    np.testing.assert_array_equal(a.mask, e.mask)
    np.testing.assert_array_equal(a.tokens[a.mask], e.tokens[e.mask])
    np.testing.assert_array_equal(a.is_truncated, e.is_truncated)
    np.testing.assert_allclose(
        a.behaviour_logprobs, e.behaviour_logprobs, atol=1e-5
    )


class EndOfAttemptTest(parameterized.TestCase):
  """EOS belongs to the attempt, and nothing after it."""

  def test_the_mask_ends_with_eos_and_nothing_follows(self):
    for attempt in _sample():
      for r, mask in enumerate(attempt.mask):
        length = mask.sum()
        np.testing.assert_array_equal(mask, np.arange(6) < length)
        is_eos = attempt.tokens[r][mask] == EOS
        self.assertFalse(is_eos[:-1].any())
        self.assertEqual(is_eos[-1], not attempt.is_truncated[r])
      np.testing.assert_array_equal(attempt.tokens[~attempt.mask], PAD)
      np.testing.assert_array_equal(
          attempt.behaviour_logprobs[~attempt.mask], 0
      )
      self.assertTrue((attempt.behaviour_logprobs[attempt.mask] < 0).all())

  @parameterized.parameters(PAD, EOS)
  def test_eos_as_first_token(self, pad_id):
    first, second = _sample_bigram({3: EOS, TURN[-1]: EOS}, pad_id=pad_id)
    for attempt in (first, second):
      self.assertEqual(attempt.mask.sum(1).tolist(), [1] * 12)
      self.assertEqual(attempt.tokens[:, 0].tolist(), [EOS] * 12)
      self.assertFalse(attempt.is_truncated.any())
      np.testing.assert_allclose(attempt.behaviour_logprobs[:, 0], 0, atol=1e-4)

  @parameterized.parameters(PAD, EOS)
  def test_without_eos_the_attempt_is_truncated(self, pad_id):
    first, _ = _sample_bigram({3: 4, 4: 4, TURN[-1]: 5}, pad_id=pad_id)
    self.assertTrue(first.mask.all())
    self.assertEqual(np.unique(first.tokens).tolist(), [4])
    self.assertTrue(first.is_truncated.all())

  def test_eos_in_the_last_place_is_not_truncated(self):
    chain = {3: 4, 4: 5, 5: 6, 6: 7, 7: 0, 0: EOS, TURN[-1]: EOS}
    first, _ = _sample_bigram(chain)
    self.assertEqual(first.tokens[0].tolist(), [4, 5, 6, 7, 0, EOS])
    self.assertFalse(first.is_truncated.any())

  @pytest.mark.slow
  def test_any_stop_id_ends_an_attempt_and_stays_in_it(self):
    chain = {3: 4, 4: 6, 6: 6, 7: 7, TURN[-1]: 7}
    first, second = _sample_bigram(chain, stop_ids=(EOS, 6, 7))
    for attempt, tokens in ((first, [4, 6]), (second, [7])):
      length = len(tokens)
      self.assertEqual(attempt.tokens[:, :length].tolist(), [tokens] * 12)
      self.assertEqual(attempt.mask.sum(1).tolist(), [length] * 12)
      self.assertFalse(attempt.is_truncated.any())

  @pytest.mark.slow
  def test_the_turn_follows_eos_whichever_stop_id_ended_the_attempt(self):
    """The scorer agrees with EOS as context and the stop id as target."""
    attempts = _sample(spec=TWO_STOPS)
    ends = [a.tokens[np.arange(12), a.mask.sum(1) - 1] for a in attempts]
    for attempt, end in zip(attempts, ends, strict=True):
      np.testing.assert_array_equal(
          attempt.is_truncated, ~np.isin(end, TWO_STOPS.stop_ids)
      )
    self.assertContainsSubset([EOS, 4], ends[0])
    sampled = _conversations(attempts)
    read = []
    for ids, places in sampled:
      last = places[0][-1]
      read.append([*ids[:last], {4: EOS}.get(ids[last], ids[last])])
      read[-1] += ids[last + 1 :]
    for r, score in enumerate(_score(sampled, context=read)):
      for attempt, places in zip(attempts, sampled[r][1], strict=True):
        np.testing.assert_allclose(
            score[places],
            attempt.behaviour_logprobs[r][attempt.mask[r]],
            atol=1e-4,
        )
    as_sampled = _score(sampled)
    for r in np.flatnonzero(ends[0] == 4):
      second = attempts[1].behaviour_logprobs[r][attempts[1].mask[r]]
      difference = as_sampled[r][sampled[r][1][1]] - second
      self.assertGreater(np.abs(difference).max(), 1e-3)

  def test_an_eos_id_that_does_not_stop_is_refused(self):
    with self.assertRaisesRegex(ValueError, r"eos_id 1 is not among .*\(4,\)"):
      dataclasses.replace(SPEC, stop_ids=(4,))

  def test_the_model_may_write_the_padding_token(self):
    first, _ = _sample_bigram({3: PAD, PAD: 4, 4: EOS, TURN[-1]: EOS})
    self.assertEqual(first.tokens[0, :3].tolist(), [PAD, 4, EOS])
    self.assertEqual(first.mask[0].sum(), 3)

  def test_a_truncated_attempt_is_closed_before_the_turn(self):
    """The scorer agrees only where EOS stands between attempt and turn."""
    attempts = _sample()
    conversations = _conversations(attempts)
    truncated = np.flatnonzero(attempts[0].is_truncated)
    without = [
        (ids[: p[0][-1] + 1] + ids[p[0][-1] + 2 :], [p[0], p[1] - 1])
        for ids, p in (conversations[r] for r in truncated)
    ]
    scores = _score(without + conversations[: 12 - len(without)])
    for r, score, (_, places) in zip(truncated, scores, without, strict=False):
      second = attempts[1].behaviour_logprobs[r][attempts[1].mask[r]]
      difference = np.abs(score[places[1]] - second)
      self.assertGreater(difference.max(), 1e-3)


def _bigram_params(logits):
  """A model whose next-token logits are logits[token], whatever came before.

  Hidden states are one-hot: all layers add nothing, and the norm scales a
  one-hot vector by sqrt(D).
  """
  size, width = CONFIG.vocab_size, CONFIG.d_model
  params = jax.tree.map(np.zeros_like, jax.device_get(_params()))
  params["embedding"][:, :size] = np.eye(size)
  params["final_norm"][:] = 1
  params["head"][:size] = np.asarray(logits) / np.sqrt(width)
  return params


def _chain(successors):
  """Logits [V, V] under which each token is followed by its successor."""
  logits = np.zeros((CONFIG.vocab_size,) * 2)
  for token, successor in successors.items():
    logits[token, successor] = 50
  return logits


def _sample_bigram(successors, **changes):
  """Twelve conversations whose prompts end with 3."""
  return _sample(
      ((3,), (5, 3), (2, 3)),
      spec=dataclasses.replace(SPEC, **changes),
      params=_bigram_params(_chain(successors)),
  )


@functools.partial(jax.jit, static_argnames=("limit", "spec"))
def _decode(params, tokens, mask, keys, limit, spec):
  layout = decoding.layout(params, CONFIG)
  prompts = Prompts(tokens, mask, np.arange(len(tokens), dtype=np.int32))
  state = sampler.start(layout, CONFIG, prompts, copies=1, columns=40)
  return sampler.decode(layout, CONFIG, state, keys, limit, spec)


class DecodeTest(parameterized.TestCase):

  @parameterized.parameters(
      # EOS is the second token; both steps are within the first four.
      ({3: 4, 4: EOS}, 4, 4),
      ({3: 4, 4: EOS}, 1, 2),
      ({3: 4, 4: 4}, 4, 30),
  )
  @pytest.mark.slow
  def test_decoding_stops_when_all_rows_are_done(
      self, successors, check_every, steps
  ):
    spec = dataclasses.replace(SPEC, check_every=check_every)
    params = _bigram_params(_chain(successors))
    tokens, mask = _left_pad(((3,), (2, 3)), 2)
    keys = jax.random.split(jax.random.key(0), 2)
    state, _ = _decode(params, tokens, mask, keys, 30, spec)
    self.assertEqual(int(state.cache.column), 1 + steps)

  def test_greedy_log_probabilities_are_at_temperature_one(self):
    attempt, _ = _sample(spec=dataclasses.replace(SPEC, temperature=0.0))
    ids = [
        list(PROMPTS[r // SAMPLES]) + attempt.tokens[r][m].tolist()
        for r, m in enumerate(attempt.mask)
    ]
    for r, score in enumerate(_score([(row, None) for row in ids])):
      mask = attempt.mask[r]
      np.testing.assert_allclose(
          attempt.behaviour_logprobs[r][mask], score[-mask.sum() :], atol=1e-4
      )

  @pytest.mark.slow
  def test_frequencies_match_the_softmax(self):
    """Nothing is cut off the distribution."""
    rng = np.random.default_rng(5)
    logits = rng.normal(size=(CONFIG.vocab_size,) * 2)
    count = 4000
    (attempt,) = _sample(
        ((3,),),
        (0,),
        length=1,
        limits=(1,),
        samples=count,
        params=_bigram_params(logits),
        num_attempts=1,
    )
    found = np.bincount(attempt.tokens[:, 0], minlength=CONFIG.vocab_size)
    odds = np.exp(logits[3])
    expected = count * odds / odds.sum()
    chi_square = np.sum((found - expected) ** 2 / expected)
    self.assertLess(chi_square, 26.1)  # 8 degrees of freedom, p = 0.001
    np.testing.assert_allclose(
        np.exp(attempt.behaviour_logprobs[:, 0]),
        (expected / count)[attempt.tokens[:, 0]],
        rtol=1e-4,
    )

  @parameterized.parameters({"check_every": 0}, {"temperature": -0.1})
  def test_impossible_choices_are_refused(self, **changes):
    (name,) = changes
    with self.assertRaisesRegex(ValueError, name):
      dataclasses.replace(SPEC, **changes)


def _start(copies, columns=40):
  prompts = _make_prompts(PROMPTS, IDS, 5)
  layout = decoding.layout(_params(), CONFIG)
  return sampler.start(layout, CONFIG, prompts, copies, columns)


def _message(rows):
  """Messages of which some were cut."""
  return Attempt(
      tokens=jnp.full((rows, 6), 3),
      mask=jnp.ones((rows, 6), bool),
      behaviour_logprobs=jnp.zeros((rows, 6)),
      is_truncated=jnp.arange(rows) % 2 == 0,
  )


def _is_deleted(tree):
  return {array.is_deleted() for array in jax.tree.leaves(tree)}


class ProgramsTest(parameterized.TestCase):

  @pytest.mark.slow
  def test_rows_of_a_problem_start_alike(self):
    one, many = _start(copies=1), _start(copies=3)
    repeated, message = sampler.repeat(one, _message(3), copies=3)
    for state in (many, repeated):
      jax.tree.map(
          np.testing.assert_array_equal,
          state,
          jax.tree.map(
              lambda a: jnp.repeat(a, 3, axis=0) if a.ndim else a, one
          ),
      )
    for found, expected in zip(
        jax.tree.leaves(message), jax.tree.leaves(_message(3)), strict=True
    ):
      np.testing.assert_array_equal(found, np.repeat(expected, 3, axis=0))

  @pytest.mark.slow
  def test_what_goes_on_takes_the_state_over(self):
    """A cache is updated where it lies; a start is still there to repeat."""
    layout = decoding.layout(_params(), CONFIG)
    keys = jax.random.split(jax.random.key(0), 3)
    before = _start(copies=1)
    sampler.repeat(before, _message(3), copies=2)
    self.assertEqual(_is_deleted(before.cache), {False})
    decoded, message = sampler.decode(layout, CONFIG, before, keys, 6, SPEC)
    self.assertEqual(_is_deleted(before), {True})
    asked = sampler.ask(
        layout, CONFIG, decoded, np.array(TURN), message.is_truncated, EOS
    )
    self.assertEqual(_is_deleted(decoded), {True})
    self.assertEqual(_is_deleted((asked, message, layout)), {False})

  @parameterized.parameters(
      (1, (6, 6), "prefill keys decode turn keys decode"),
      (2, (6, 6), "prefill keys decode_first turn repeat keys decode"),
      (1, (6,), "prefill keys decode"),
      (1, (6, 6, 6), "prefill keys decode turn keys decode turn keys decode"),
      (1, (3, 6), "prefill keys decode_first turn keys decode"),
      (2, (3, 6), "prefill keys decode_first turn repeat keys decode"),
      (1, (6, 6, 3), "prefill keys decode turn keys decode turn keys decode"),
  )
  @pytest.mark.slow
  def test_programs_of_a_conversation(self, corrections, limits, expected):
    names = []

    def run(name, program, *args):
      names.append(name)
      return program(*args)

    spec = ConversationSpec(
        num_attempts=len(limits),
        samples_per_problem=SAMPLES,
        max_prompt_tokens=5,
        max_new_tokens=limits,
        sampling=SPEC,
        turn_ids=TURN,
        corrections_per_attempt=corrections,
    )
    messages = sampler.sample_messages(
        decoding.layout(_params(), CONFIG),
        CONFIG,
        _make_prompts(PROMPTS, IDS, 5),
        spec.turns,
        Occasion(jax.random.key(SEED), STEP),
        spec,
        run,
    )
    self.assertEqual(names, expected.split())
    for message, limit in zip(messages, limits, strict=True):
      self.assertEqual(message.tokens.shape, (12, limit))

  @parameterized.parameters(
      ((6,), (), 1, 5 + 6),
      ((6, 6), (2,), 1, 5 + 6 + 1 + 2 + 6),
      ((3, 6), (2,), 1, 5 + 3 + 1 + 2 + 6),
      # Room for the longest turn each time.
      ((6, 6, 6), (2, 4), 1, 5 + 6 + 1 + 4 + 6 + 1 + 4 + 6),
      ((6, 6), (2,), 128, 128),
  )
  def test_a_cache_holds_whole_conversations(
      self, limits, turns, multiple, expected
  ):
    spec = dataclasses.replace(SPEC, column_multiple=multiple)
    self.assertEqual(sampler.cache_columns(5, limits, turns, spec), expected)


if __name__ == "__main__":
  absltest.main()
