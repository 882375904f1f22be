"""What is listed as sampled at once is what training and evaluation sample."""

from collections.abc import Callable
from collections.abc import Sequence
import functools
import pathlib
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from score_jax import settings as settings_lib
from score_jax.models import hf
from score_jax.plan import precompile
from score_jax.plan.precompile import Sampling
from score_jax.rollouts import protocols
from score_jax.rollouts import rollout
from score_jax.rollouts import sampler
from score_jax.run import preparation
from score_jax.run import tiny_base
from score_jax.settings import RunSettings
from score_jax.training import phases as phases_lib
from score_jax.training import reinforce
from score_jax.training.context import RunContext
from score_jax.training.imitate import Imitation
from score_jax.training.phases import SftPhase
from score_jax.training.reinforce import FrozenPolicies
from score_jax.training.reinforce import Reinforcement
from score_jax.types import Attempt
from score_jax.types import Grade
from score_jax.types import Problem
from tests.helpers import smoke


class _Task:
  """Problems whose prompts all have one length; no attempt is right."""

  name = "length"
  correction_prompt = "+="

  def __init__(self, length):
    self._length = length

  def problems(self, split):
    start = {"train": 10, "test": 20}[split]
    return [
        Problem(i, str(i).zfill(self._length - 1), "1")
        for i in range(start, start + 8)
    ]

  def first_prompt(self, problem):
    return f"{problem.question}="

  def grade(self, problems, completions):
    del problems
    return [Grade(False, "wrong", text) for text in completions]


def _settings(**overrides):
  changes = {
      "rollout__problems_per_step": 8,
      "rollout__num_prompt_buckets": 2,
      "rollout__samples_per_problem": 4,
  }
  values = smoke.settings(**(changes | overrides))
  return settings_lib.from_mapping(RunSettings, values)


def _context(settings, length):
  base = tiny_base.describe(settings.tiny_model, pathlib.Path("nowhere"))
  return RunContext.open(settings, _Task(length), base, ["train", "test"])


def _samplings(settings, phases, attempts=2):
  context = _context(settings, length=6)
  evaluation = context.spec.greedy(attempts)
  job = preparation.job(context)
  return precompile.samplings(job, phases, evaluation), context.spec


def _sft_phase(settings):
  return SftPhase(
      name="sft",
      select=None,
      sampling_steps=1,
      steps=1,
      epochs=1,
      batch_size=4,
      optimizer=settings.stage1.optimizer,
  )


class ByHandTest(parameterized.TestCase):

  def test_corrections_that_share_a_first_attempt(self):
    settings = _settings(rollout__corrections_per_attempt=2)
    phases = phases_lib.score(settings)
    found, spec = _samplings(settings, phases)
    self.assertEqual(spec.corrections_per_attempt, 2)
    self.assertEqual(spec.first_attempts_per_problem, 2)
    # Evaluations of 4 problems, steps by 2; both stages sample alike.
    self.assertEqual(
        found,
        [
            Sampling(spec.greedy(2), (4, 3), 4),
            Sampling(spec.greedy(2), (4, 6), 4),
            Sampling(spec, (2, 3), 2),
            Sampling(spec, (2, 6), 2),
        ],
    )

  @parameterized.parameters(1, 2)
  def test_half_offline_with_batches_that_do_not_divide_it(self, corrections):
    settings = _settings(
        rollout__corrections_per_attempt=corrections,
        rollout__offline_first_attempt_fraction=0.5,
        rollout__problems_per_step=9,
        rollout__problems_per_batch=3,
    )
    phases = phases_lib.score(settings)
    self.assertEqual(phases[0].num_offline(9), 4)
    found, spec = _samplings(settings, phases)
    first, later = rollout.offline_specs(spec)
    distinct = 4 // corrections
    self.assertEqual(first.num_attempts, 1)
    self.assertEqual(first.samples_per_problem, distinct)
    self.assertEqual(later.num_attempts, 1)
    self.assertEqual(later.samples_per_problem, 4)
    self.assertEqual(later.corrections_per_attempt, 1)
    turn = len(spec.turn_ids)
    expected = [Sampling(spec.greedy(2), (4, size), 4) for size in (3, 6)]
    for size in (3, 6):
      # Of 5 problems: 3 and 2. Of 4: 3 and 1.
      expected += [Sampling(spec, (count, size), count) for count in (3, 2)]
      for count in (3, 1):
        # Prompt, first attempt, end of a truncated one, correction turn.
        columns = size + 4 + 1 + turn
        expected += [
            Sampling(first, (count, size), count),
            Sampling(later, (count * distinct, columns), count),
        ]
    self.assertCountEqual(found, expected)

  def test_limits_by_attempt(self):
    settings = _settings(
        rollout__max_new_tokens=(2, 4),
        rollout__num_prompt_buckets=1,
        rollout__offline_first_attempt_fraction=1.0,
    )
    found, spec = _samplings(settings, phases_lib.score(settings))
    first, later = rollout.offline_specs(spec)
    self.assertEqual(first.limits(1), (2,))
    self.assertEqual(later.limits(1), (4,))
    columns = 6 + 2 + 1 + len(spec.turn_ids)
    expected = [
        Sampling(spec.greedy(2), (4, 6), 4),
        Sampling(first, (2, 6), 2),
        Sampling(later, (2 * 4, columns), 2),
    ]
    self.assertEqual(found, expected)

  def test_all_offline(self):
    settings = _settings(rollout__offline_first_attempt_fraction=1.0)
    found, spec = _samplings(settings, phases_lib.score(settings))
    first, later = rollout.offline_specs(spec)
    specs = [sampling.spec for sampling in found]
    self.assertEqual(specs, 2 * [spec.greedy(2)] + 2 * [first, later])


def _shapes_alone(name, program, *args):
  """In place of `sampler.run_program`: traced, and not compiled."""
  del name
  return program.eval_shape(*args)


def _longest(message: Attempt) -> Attempt:
  """A message of the given shapes, cut off at its limit in every row."""
  one = tiny_base.make_tokenizer().encode(["1"])[0][0]
  return Attempt(
      tokens=np.full(message.tokens.shape, one, np.int32),
      mask=np.ones(message.mask.shape, bool),
      behaviour_logprobs=np.zeros(message.tokens.shape, np.float32),
      is_truncated=np.ones(message.is_truncated.shape, bool),
  )


class AsSampledTest(parameterized.TestCase):
  """A tiny run, with the arguments of its sampler recorded."""

  def _record(
      self,
      sample: Callable[[int], None],
      lengths: Sequence[int] = (3, 6),
      *,
      is_real: bool = False,
  ) -> set[Sampling]:
    """What is sampled with prompts of the given lengths.

    Args:
      sample: samples with prompts of one length.
      lengths: of the prompts.
      is_real: the sampler's programs are run; else they are traced, and all
        messages have the greatest length.
    """
    found = set()
    sample_messages = sampler.sample_messages

    def spy(params, config, prompts, turns, occasion, spec):
      found.add(Sampling(spec, prompts.tokens.shape, len(prompts.problem_ids)))
      self.assertLen(turns, spec.num_attempts - 1)
      args = (params, config, prompts, turns, occasion, spec)
      if is_real:
        return sample_messages(*args)
      messages = sample_messages(*args, run=_shapes_alone)
      return tuple(_longest(message) for message in messages)

    with mock.patch.object(sampler, "sample_messages", spy):
      for length in lengths:
        sample(length)
    return found

  @parameterized.named_parameters(
      ("plain", {}),
      ("shared_first_attempts", {"corrections_per_attempt": 2}),
      (
          "half_offline",
          {
              "problems_per_step": 6,
              "problems_per_batch": 2,
              "offline_first_attempt_fraction": 0.5,
          },
      ),
      (
          "half_offline_shared_first_attempts",
          {
              "problems_per_step": 6,
              "problems_per_batch": 2,
              "offline_first_attempt_fraction": 0.5,
              "corrections_per_attempt": 2,
          },
      ),
      (
          "three_attempts_all_offline",
          {
              "num_attempts": 3,
              "offline_first_attempt_fraction": 1.0,
              "max_new_tokens": (2, 3, 4),
          },
      ),
  )
  @pytest.mark.slow
  def test_reinforcement_and_evaluation(self, changes):
    settings = _settings(**{f"rollout__{k}": v for k, v in changes.items()})
    phases = phases_lib.score(settings)
    attempts = phases_lib.evaluated_attempts(phases)
    found = self._record(lambda length: _step(settings, phases[0], length))
    listed, _ = _samplings(settings, phases, attempts)
    self.assertLen(set(listed), len(listed))
    self.assertEqual(found, set(listed))

  @pytest.mark.slow
  def test_where_the_programs_are_run(self):
    settings = _settings(
        rollout__num_prompt_buckets=1,
        rollout__problems_per_step=4,
        rollout__problems_per_batch=2,
        rollout__corrections_per_attempt=2,
        rollout__offline_first_attempt_fraction=0.25,
    )
    phases = phases_lib.score(settings)
    found = self._record(
        lambda length: _step(settings, phases[0], length), [6], is_real=True
    )
    listed, spec = _samplings(settings, phases)
    self.assertEqual(found, set(listed))
    first, later = rollout.offline_specs(spec)
    self.assertEqual(
        {sampling.spec for sampling in found},
        {spec, spec.greedy(2), first, later},
    )

  @pytest.mark.slow
  def test_imitation(self):
    settings = _settings(rollout__corrections_per_attempt=2)
    phase = _sft_phase(settings)

    def sample(length):
      context = _context(settings, length)
      params = _params(context.base.config)
      Imitation(context, phase, 0).sample(params, "Sampling")

    found = self._record(sample)
    listed, spec = _samplings(settings, [phase])
    evaluations = {s for s in listed if s.spec == spec.greedy(2)}
    self.assertEqual(found, set(listed) - evaluations)
    self.assertEqual({s.spec.corrections_per_attempt for s in found}, {1})


@functools.cache
def _params(config):
  """Random parameters, of numpy: nothing is compiled."""
  rng = np.random.default_rng(0)
  return jax.tree.map(
      lambda s: jnp.asarray(0.5 * rng.normal(size=s.shape), s.dtype),
      hf.parameter_shapes(config),
  )


def _step(settings, phase, length):
  """Samples a step of a phase and an evaluation; makes no update."""
  context = _context(settings, length)
  params = _params(context.base.config)
  with mock.patch.object(reinforce.train, "make_train_step", _no_update):
    reinforcement = Reinforcement(
        context, phase, FrozenPolicies(params, params), 0
    )
  reinforcement.step(reinforcement.init_state(params), 0)
  protocols.own_attempts(
      params,
      context.greedy_collector(phases_lib.evaluated_attempts([phase])),
      context.problems.splits["test"],
  )


def _no_update(*args, **kwargs):
  """In place of `train.make_train_step`: nothing is trained."""
  del args, kwargs
  return lambda state, reference, batch: (state, {})


if __name__ == "__main__":
  absltest.main()
