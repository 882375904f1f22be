"""Attempts that end with any of several stop ids.

Base models end with the EOS of their tokenizer where the template has an end of
turn of its own. The second prompt is the template's all the same, and what is
scored is what was sampled.
"""

import dataclasses
import functools
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tokenizers

from score_jax import losses
from score_jax import policy
from score_jax import settings as settings_lib
from score_jax import shaping
from score_jax.models import transformer
from score_jax.objectives import Stage2
from score_jax.rollouts import rollout
from score_jax.run import preparation
from score_jax.settings import RunSettings
from score_jax.tasks import make
from score_jax.text import tokenization
from score_jax.training import phases as phases_lib
from score_jax.training import reinforce
from score_jax.training import scoring as scoring_lib
from score_jax.training import traces
from score_jax.training.reinforce import FrozenPolicies
from score_jax.training.reinforce import Reinforcement
from score_jax.training.scoring import Scoring
from score_jax.types import TrainBatch
from tests.helpers import smoke
from tests.helpers.tiny_rollouts import CHARACTERS
from tests.helpers.tiny_rollouts import CONFIG
from tests.helpers.tiny_rollouts import PROBLEMS
from tests.helpers.tiny_rollouts import SPEC
from tests.helpers.tiny_rollouts import TagTask
from tests.helpers.tiny_rollouts import make_collector

TEMPLATE = (
    "{% for m in messages %}{{ '<q>' if m['role'] == 'user' else '<a>' }}"
    "{{ m['content'] }}<end>?{% endfor %}"
    "{% if add_generation_prompt %}<a>{% endif %}"
)


@functools.cache
def _tokenizer():
  """<end> ends a turn; <eos> and <eom> end an attempt too."""
  raw = tokenization.make_character_tokenizer(CHARACTERS)
  marks = ("<q>", "<a>", "<end>", "<eom>")
  raw.add_tokens([tokenizers.AddedToken(m, special=True) for m in marks])
  raw.chat_template = TEMPLATE
  return tokenization.wrap(raw, {}, [raw.convert_tokens_to_ids("<eom>")])


@functools.cache
def _config():
  size = 1 + max(_tokenizer().tokenizer.get_vocab().values())
  return dataclasses.replace(CONFIG, vocab_size=size)


@functools.cache
def _params(seed=1):
  shapes = jax.eval_shape(
      functools.partial(transformer.init_params, config=_config()),
      jax.random.key(0),
  )
  leaves, structure = jax.tree.flatten(shapes)
  rng = np.random.default_rng(seed)
  return structure.unflatten(
      jnp.asarray(0.3 * rng.normal(size=x.shape), x.dtype) for x in leaves
  )


def _spec(**changes):
  tokenizer = _tokenizer()
  sampling = dataclasses.replace(
      SPEC.sampling,
      eos_id=tokenizer.eos_id,
      stop_ids=tokenizer.stop_ids,
      pad_id=tokenizer.pad_id,
  )
  return dataclasses.replace(
      SPEC,
      samples_per_problem=16,
      max_prompt_tokens=8,
      sampling=sampling,
      turn_ids=tokenizer.turn_ids("?="),
      **changes,
  )


@functools.cache
def _sample(is_offline=False, **changes):
  collector = make_collector(
      _spec(**changes), config=_config(), tokenizer=_tokenizer()
  )
  copy = collector.placement.copy
  first = copy(_params(2)) if is_offline else None
  return rollout.sample(copy(_params()), collector, PROBLEMS, 0, first)


CASES = (
    {},
    {"is_offline": True},
    {"num_attempts": 3},
    {"corrections_per_attempt": 2},
)


def _last(c, attempt):
  """int[R], where the attempt ends in each row."""
  ids = c.attempt_ids[:, ::-1] == attempt
  return c.attempt_ids.shape[1] - 1 - np.argmax(ids, axis=1)


class PromptsTest(parameterized.TestCase):

  def test_attempts_end_with_each_stop_id_or_are_cut(self):
    tokenizer, c = _tokenizer(), _sample()
    names = tokenizer.tokenizer.convert_ids_to_tokens(tokenizer.stop_ids)
    self.assertEqual(names, ["<end>", "<eom>", "<eos>"])
    for attempt in (1, 2):
      ends = c.targets[np.arange(len(c.targets)), _last(c, attempt)]
      self.assertContainsSubset(tokenizer.stop_ids, ends.tolist())
      self.assertTrue(c.is_truncated[..., attempt - 1].any())

  @parameterized.parameters(*CASES)
  @pytest.mark.slow
  def test_a_later_prompt_is_the_templates_own(self, **case):
    tokenizer, c = _tokenizer(), _sample(**case)
    samples = c.is_truncated.shape[1]
    for row, texts in enumerate(c.texts):
      question = TagTask().first_prompt(c.problems[row // samples])
      messages = [{"role": "user", "content": question}]
      for attempt, text in enumerate(texts, start=1):
        start = np.flatnonzero(c.attempt_ids[row] == attempt)[0]
        expected = tokenizer.tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_dict=False
        )
        self.assertEqual(c.tokens[row, :start].tolist(), expected)
        messages.append({"role": "assistant", "content": text})
        messages.append({"role": "user", "content": "?="})

  @parameterized.parameters(*CASES)
  @pytest.mark.slow
  def test_what_was_sampled_is_what_is_scored(self, **case):
    c = _sample(**case)
    differs = c.targets != c.tokens
    self.assertTrue(differs.any())
    self.assertTrue((c.attempt_ids[differs] > 0).all())
    self.assertEqual(set(c.tokens[differs]), {_tokenizer().eos_id})
    found = policy.token_logprobs(
        _params(), _config(), c.tokens, c.mask, targets=c.targets
    )
    is_own = c.trained_attempt_ids[:, 1:] > 0
    np.testing.assert_allclose(
        np.asarray(found)[is_own],
        c.behaviour_logprobs[:, 1:][is_own],
        atol=1e-4,
    )

  def test_a_plain_loop_has_the_same_log_probabilities(self):
    """Each token given the ids before it, one forward pass per token."""
    c = _sample()
    rows = np.flatnonzero((c.targets != c.tokens).any(axis=1))[:4]
    for row in rows:
      for place in np.flatnonzero(c.attempt_ids[row]):
        logits = _last_logits(c.tokens[row], place)
        logprob = jax.nn.log_softmax(logits)[c.targets[row, place]]
        self.assertAlmostEqual(
            c.behaviour_logprobs[row, place], float(logprob), delta=1e-4
        )


@jax.jit
def _last_logits(tokens, place):
  """float32[V] of the token at `place`, of what stands before it alone."""
  mask = jnp.arange(len(tokens)) < place
  tokens = jnp.where(mask, tokens, 0)
  logits = transformer.logits(_params(), _config(), tokens[None], mask[None])
  return logits[0, place - 1]


class TrainingTest(parameterized.TestCase):

  @parameterized.parameters(*scoring_lib.KL_ESTIMATORS)
  @pytest.mark.slow
  def test_the_loss_is_that_of_the_sampled_stop_ids(self, name):
    estimator = scoring_lib.KL_ESTIMATORS[name]
    c = _sample()
    scoring = Scoring(_config(), 2, 1.0, shaping.attempt_sums)
    rng = np.random.default_rng(0)
    advantages = rng.normal(size=(len(c.tokens), 2)).astype(np.float32)
    batch = TrainBatch(
        c.tokens,
        c.mask,
        c.attempt_ids,
        advantages,
        scoring.logprobs(_params(2), c.tokens, c.mask, c.targets),
        c.targets,
    )
    loss_fn = scoring_lib.make_loss_fn(Stage2(0.0, 0.0), estimator, scoring)
    found, _ = loss_fn(_params(), _params(2), batch)
    expected = losses.reinforce_loss(
        c.behaviour_logprobs[:, 1:], c.attempt_ids, advantages
    )
    self.assertAlmostEqual(float(found), float(expected), delta=2e-3)
    as_read, _ = loss_fn(_params(), _params(2), batch.replace(targets=None))
    self.assertGreater(abs(float(as_read - expected)), 0.05)

  @pytest.mark.slow
  def test_a_step_hands_the_sampled_ids_to_reference_and_update(self):
    settings = settings_lib.from_mapping(
        RunSettings, smoke.settings(train__kl_estimator="k1_in_reward")
    )
    context = preparation.open_run(
        settings, make.make_task(settings.task), mock.MagicMock()
    )
    base = context.base
    others = tuple(range(3, 9))  # digits end attempts as well
    tokenizer = dataclasses.replace(
        base.tokenizer, stop_ids=(base.tokenizer.eos_id, *others)
    )
    context = dataclasses.replace(
        context, base=dataclasses.replace(base, tokenizer=tokenizer)
    )
    params = transformer.init_params(jax.random.key(0), base.config)
    given = []

    def update(state, reference, batch):
      del reference
      given.append(batch)
      return state, {}

    with mock.patch.object(
        reinforce.train, "make_train_step", lambda *_, **__: update
    ):
      reinforcement = Reinforcement(
          context,
          phases_lib.score(settings)[0],
          FrozenPolicies(params, params),
          0,
      )
    state = reinforcement.init_state(params)
    _, rollouts, _ = reinforcement.step(state, 0)
    c, (batch,) = rollouts.conversations, given
    np.testing.assert_array_equal(batch.tokens, c.tokens)
    np.testing.assert_array_equal(batch.targets, c.targets)
    self.assertTrue((c.tokens != c.targets).any())
    is_own = c.attempt_ids[:, 1:] > 0
    np.testing.assert_allclose(
        np.asarray(batch.ref_logprobs)[is_own],
        c.behaviour_logprobs[:, 1:][is_own],
        atol=1e-4,
    )

  def test_imitation_teaches_the_end_of_turn(self):
    """Whatever ended the attempt that is imitated."""
    c = _sample()
    rollouts = rollout.grade(TagTask(), c)
    right = np.zeros_like(rollouts.rewards)
    right[..., 1] = 1.0
    rollouts = dataclasses.replace(rollouts, rewards=right)
    for select in (traces.star, traces.pair):
      chosen = select([rollouts], np.random.default_rng(0))
      self.assertNotEmpty(chosen)
      others = [i for i in _tokenizer().stop_ids if i != _tokenizer().eos_id]
      self.assertFalse(np.isin(chosen.tokens[chosen.labels > 0], others).any())


if __name__ == "__main__":
  absltest.main()
