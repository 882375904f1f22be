"""Makes the tiny base model, by supervised lessons designed for the purpose.

Reinforcement learning selects among what a model already does now and then.
A pretrained model has seen people correct themselves; a model of 0.4 million
parameters made from nothing has not. It is therefore taught in three lessons:

1. answers: the right answer, at once or behind a first attempt with slips,
   until first attempts reach a given accuracy;
2. skill: second attempts that are right, behind the model's own first ones,
   until second attempts reach a given accuracy;
3. habit: second attempts that mostly repeat the first, sometimes slip, and are
   right in a minority of cases.

The result holds the skill to correct itself in its weights and does not show
it: its second attempt is as good as its first.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import dataclasses
import pathlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from score_jax import losses
from score_jax import policy
from score_jax.models import decoding
from score_jax.models import hf
from score_jax.models import transformer
from score_jax.models.config import ModelConfig
from score_jax.models.config import Rope
from score_jax.models.placement import Placement
from score_jax.models.transformer import Params
from score_jax.output.progress import work_progress
from score_jax.rollouts import rollout
from score_jax.rollouts import spec as spec_lib
from score_jax.rollouts.rollout import Collector
from score_jax.rollouts.spec import ConversationSpec
from score_jax.settings import TinyModelSettings
from score_jax.tasks import addition
from score_jax.text import tokenization
from score_jax.text.tokenization import ConversationTokenizer
from score_jax.training import optim
from score_jax.training import train
from score_jax.training.context import TINY_BASE
from score_jax.training.context import BaseModel
from score_jax.training.context import RunContext
from score_jax.training.context import run_key
from score_jax.types import Conversations
from score_jax.types import Problem

# Conversation pieces: ids, and whether the model is taught to write them.
Pieces = list[tuple[Sequence[int], int]]
_CONTEXT, _TAUGHT = 0, 1
_LEARNING_RATE_WARMUP_STEPS = 20
_VALIDATION_PROBLEMS = 500


def model_config(settings: TinyModelSettings, vocab_size: int) -> ModelConfig:
  """Configuration of the tiny model: the llama family, untied."""
  return ModelConfig(
      model_type="llama",
      vocab_size=vocab_size,
      d_model=settings.d_model,
      num_layers=settings.num_layers,
      num_heads=settings.num_heads,
      num_kv_heads=settings.num_heads,
      head_dim=settings.head_dim,
      d_ff=settings.d_ff,
      rope=Rope(settings.rope_theta),
      norm_eps=1e-5,
      is_tied=False,
      max_positions=settings.max_positions,
  )


def make_tokenizer() -> ConversationTokenizer:
  """The tiny model's tokenizer: a token per character."""
  return tokenization.wrap(
      tokenization.make_character_tokenizer(addition.CHARACTERS)
  )


def describe(settings: TinyModelSettings, path: pathlib.Path) -> BaseModel:
  """Configuration and tokenizer of the base model, before it is made.

  Args:
    settings: its architecture.
    path: the directory that it will be written to.
  """
  tokenizer = make_tokenizer()
  config = model_config(settings, len(tokenizer.tokenizer))
  return BaseModel(path, path, config, tokenizer)


def make(context: RunContext) -> None:
  """Makes the base model of a run, and saves it as a Hugging Face directory.

  It is made on the default device, whatever the mesh of the run.

  Args:
    context: the run's context. Its task has a split 'base' beside the others.

  Raises:
    ValueError: a lesson did not reach the accuracy that is asked of it, or the
      split 'base' has fewer problems than a batch.
  """
  key = run_key(context.settings, TINY_BASE)
  base, maker = context.base, _Maker(context, key)
  params = maker.learn_answers(transformer.init_params(key, base.config))
  answerer = params
  params = maker.learn_skill(params, answerer)
  params = maker.learn_habit(params, answerer)
  tokenizer = base.tokenizer.tokenizer
  hf.save(base.directory, base.config, params, tokenizer=tokenizer)


class _Target(NamedTuple):
  """Greedy validation accuracy that ends a lesson.

  Attributes:
    setting: name of the setting that `accuracy` comes from, for messages.
    attempt: 0 for first attempts, 1 for second ones.
    accuracy: the accuracy to be reached.
  """

  setting: str
  attempt: int
  accuracy: float


class _Maker:
  """The three lessons, over one stream of problems."""

  def __init__(self, context: RunContext, key: jax.Array):
    settings, config = context.settings, context.base.config
    self._settings = settings.tiny_model
    self._task = context.task
    self._tokenizer = context.base.tokenizer
    self._config = config
    copy = decoding.make_copy(config, dtype=None, mesh=None)
    ids = spec_lib.token_ids(self._tokenizer, self._task.correction_prompt)
    # One device: prompts of one length, and no kernels.
    plain = dataclasses.replace(
        settings,
        attention="xla",
        rollout=dataclasses.replace(settings.rollout, num_prompt_buckets=1),
    )
    self._spec = spec_lib.conversation_spec(plain, ids, 1).greedy(2)
    self._collector = Collector(
        config=config,
        tokenizer=self._tokenizer,
        task=self._task,
        spec=self._spec,
        problems_per_batch=max(self._settings.batch_size, _VALIDATION_PROBLEMS),
        key=key,
        placement=Placement(None, None, None, copy),
    )
    self._rng = np.random.default_rng(settings.seed)
    self._batches = self._problem_batches()
    self._occasion = 0

  def learn_answers(self, params: Params) -> Params:
    """Lesson 1: the sum, and the sum behind a first attempt with slips.

    Both from the start: a model that has only ever answered once takes long to
    look elsewhere in a second attempt.
    """
    s = self._settings

    def rows() -> list[Pieces]:
      problems = next(self._batches)
      golds = self._golds(problems)
      corrections = round(s.correction_fraction * len(problems))
      firsts = [self._slip(g, s.slip_rate) for g in golds[:corrections]]
      answers = zip(
          self._prompts(problems[corrections:]),
          golds[corrections:],
          strict=True,
      )
      return self._conversations(
          problems[:corrections], firsts, golds[:corrections], 0
      ) + [[(prompt, _CONTEXT), (gold, _TAUGHT)] for prompt, gold in answers]

    return self._fit(
        "Base model 1/3: answers",
        params,
        rows,
        max_steps=s.max_answer_steps,
        learning_rate=s.answer_learning_rate,
        target=_Target("tiny_model.answer_accuracy", 0, s.answer_accuracy),
    )

  def learn_skill(self, params: Params, answerer: Params) -> Params:
    """Lesson 2: gold second attempts behind first attempts of the model.

    Half of the rows keep the first attempt as it is, by teaching it what it
    samples at a low temperature. The other half give a second attempt more to
    mend: first attempts at temperature 1, not taught.
    """

    def rows() -> list[Pieces]:
      problems = next(self._batches)
      half = len(problems) // 2
      firsts = self._attempts(
          answerer, problems[:half], self._settings.self_temperature
      ) + self._attempts(answerer, problems[half:], 1.0)
      return self._conversations(problems, firsts, self._golds(problems), half)

    s = self._settings
    return self._fit(
        "Base model 2/3: skill",
        params,
        rows,
        max_steps=s.max_skill_steps,
        learning_rate=s.skill_learning_rate,
        target=_Target("tiny_model.skill_accuracy", 1, s.skill_accuracy),
    )

  def learn_habit(self, params: Params, answerer: Params) -> Params:
    """Lesson 3: second attempts that mostly repeat the first."""
    s = self._settings

    def rows() -> list[Pieces]:
      problems = next(self._batches)
      firsts = self._attempts(answerer, problems, s.self_temperature)
      retries = self._attempts(answerer, problems, 1.0)
      seconds = [
          self._second(first, retry, gold)
          for first, retry, gold in zip(
              firsts, retries, self._golds(problems), strict=True
          )
      ]
      half = len(problems) // 2
      return self._conversations(problems, firsts, seconds, half)

    return self._fit(
        "Base model 3/3: habit",
        params,
        rows,
        max_steps=s.habit_steps,
        learning_rate=s.habit_learning_rate,
        target=None,
    )

  def _second(
      self, first: np.ndarray, retry: np.ndarray, gold: np.ndarray
  ) -> np.ndarray:
    """One second attempt of the third lesson's mixture."""
    s, draw = self._settings, self._rng.random()
    if draw < s.copy_fraction:
      return first
    if draw < s.copy_fraction + s.retry_fraction:
      return retry
    if draw < s.copy_fraction + s.retry_fraction + s.slip_fraction:
      return self._slip(first, s.slip_rate)
    return gold

  def _slip(self, attempt: np.ndarray, rate: float) -> np.ndarray:
    """Moves each digit one up or down with probability `rate`, 9 next to 0."""
    zero = self._tokenizer.encode(["0"])[0][0]
    is_moved = (attempt >= zero) & (attempt < zero + 10)
    is_moved &= self._rng.random(len(attempt)) < rate
    change = self._rng.choice([-1, 1], len(attempt))
    moved = zero + (attempt - zero + change) % 10
    return np.where(is_moved, moved, attempt)

  def _conversations(
      self,
      problems: Sequence[Problem],
      firsts: Sequence[np.ndarray],
      seconds: Sequence[np.ndarray],
      num_taught_firsts: int,
  ) -> list[Pieces]:
    pieces = zip(self._prompts(problems), firsts, seconds, strict=True)
    return [
        [
            (prompt, _CONTEXT),
            (first, _TAUGHT if i < num_taught_firsts else _CONTEXT),
            (self._spec.turn_ids, _CONTEXT),
            (second, _TAUGHT),
        ]
        for i, (prompt, first, second) in enumerate(pieces)
    ]

  def _prompts(self, problems: Sequence[Problem]) -> list[list[int]]:
    return self._tokenizer.prompt_ids(
        [self._task.first_prompt(p) for p in problems]
    )

  def _golds(self, problems: Sequence[Problem]) -> list[np.ndarray]:
    golds = self._tokenizer.encode([p.answer for p in problems])
    return [np.asarray([*ids, self._tokenizer.eos_id]) for ids in golds]

  def _attempts(
      self, params: Params, problems: Sequence[Problem], temperature: float
  ) -> list[np.ndarray]:
    """First attempts as ids."""
    sampling = dataclasses.replace(self._spec.sampling, temperature=temperature)
    spec = dataclasses.replace(self._spec, num_attempts=1, sampling=sampling)
    sampled = self._sample(params, problems, spec)
    rows = zip(sampled.tokens, sampled.attempt_ids, strict=True)
    return [tokens[attempt_ids > 0] for tokens, attempt_ids in rows]

  def _sample(
      self, params: Params, problems: Sequence[Problem], spec: ConversationSpec
  ) -> Conversations:
    self._occasion += 1
    copy = self._collector.placement.copy(params)
    collector = self._collector.with_spec(spec)
    return rollout.sample(copy, collector, problems, self._occasion)

  def _problem_batches(self) -> Iterator[list[Problem]]:
    """Batches without end; each pass is a new permutation."""
    problems = self._task.problems("base")
    size = self._settings.batch_size
    if len(problems) < size:
      raise ValueError(
          f"there are {len(problems)} problems to make the base model from,"
          f" fewer than tiny_model.batch_size {size}"
      )
    while True:
      order = self._rng.permutation(len(problems))
      for start in range(0, len(order) - size + 1, size):
        yield [problems[i] for i in order[start : start + size]]

  def _accuracy(self, params: Params) -> np.ndarray:
    """Greedy validation accuracy of each attempt: float32[2]."""
    validation = self._task.problems("validation")[:_VALIDATION_PROBLEMS]
    sampled = self._sample(params, validation, self._spec)
    return rollout.grade(self._task, sampled).rewards.mean(axis=(0, 1))

  def _fit(
      self,
      description: str,
      params: Params,
      rows: Callable[[], list[Pieces]],
      *,
      max_steps: int,
      learning_rate: float,
      target: _Target | None,
  ) -> Params:
    """Makes supervised updates on fresh rows until the target is reached.

    Raises:
      ValueError: the target was not reached within `max_steps` updates.
    """
    optimizer = optim.make_optimizer(
        learning_rate=learning_rate,
        warmup_steps=_LEARNING_RATE_WARMUP_STEPS,
        max_grad_norm=self._settings.max_grad_norm,
    )
    update = train.make_train_step(self._loss, optimizer)
    # A copy: the model of the first lesson is sampled from in the others.
    state = train.init_train_state(jax.tree.map(jnp.copy, params), optimizer)
    # First attempts are taught as second ones too, whatever those' limit.
    limits = (max(self._spec.max_new_tokens),)
    spec = dataclasses.replace(self._spec, max_new_tokens=limits)
    columns, note = spec.max_tokens, ""
    with work_progress(description, max_steps) as advance:
      for step in range(1, max_steps + 1):
        packed = tokenization.pack_rows(rows(), columns, self._tokenizer.pad_id)
        state, metrics = update(state, None, packed)
        is_check = step % self._settings.check_steps == 0 or step == max_steps
        if is_check:
          accuracy = self._accuracy(state.params)
          shown = ", ".join(f"{a:.3f}" for a in accuracy)
          note = f"loss {float(metrics['loss']):.2f}, accuracy {shown}"
        advance(1, note)
        if is_check and target and accuracy[target.attempt] >= target.accuracy:
          return state.params
    if target:
      raise ValueError(
          "the base model reached an accuracy of"
          f" {accuracy[target.attempt]:.3f} in {max_steps} updates, below"
          f" {target.setting} {target.accuracy}: allow more updates or lower it"
      )
    return state.params

  def _loss(self, params, ref_params, batch: tokenization.PackedRows):
    del ref_params
    logprobs = policy.token_logprobs(
        params, self._config, batch.tokens, batch.mask
    )
    weights = (batch.labels[:, 1:] == _TAUGHT).astype(logprobs.dtype)
    return losses.sft_loss(logprobs, weights), {}
