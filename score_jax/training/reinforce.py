"""One phase of reinforcement learning: rollout, grade, update, repeat."""

import collections
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import functools
import time

import jax
import jax.numpy as jnp
import numpy as np

from score_jax.devices import distributed
from score_jax.devices import sharding
from score_jax.models import placement
from score_jax.models.config import ModelConfig
from score_jax.models.placement import Placement
from score_jax.models.transformer import Execution
from score_jax.models.transformer import Params
from score_jax.output.progress import TrainProgress
from score_jax.rollouts import problems as problems_lib
from score_jax.rollouts import rollout
from score_jax.rollouts.rollout import ConversationSpec
from score_jax.settings import RunSettings
from score_jax.tasks.task import Task
from score_jax.text.tokenization import ConversationTokenizer
from score_jax.training import objective
from score_jax.training import optim
from score_jax.training import train
from score_jax.training.checkpoint import Checkpointer
from score_jax.training.objective import KL_ESTIMATORS
from score_jax.training.objective import TOKEN_REDUCTIONS
from score_jax.training.objective import Scoring
from score_jax.training.phases import RlPhase
from score_jax.training.train import TrainState
from score_jax.types import Grade
from score_jax.types import Problem
from score_jax.types import Rollouts
from score_jax.types import TrainBatch


@dataclasses.dataclass(frozen=True)
class Policy:
  """What does not change over a run.

  Attributes:
    config: of the model.
    tokenizer: of the model.
    placement: where its parameters and batches lie.
    base_params: the base model, in the type that it is computed in; on the
      devices or in the memory of their hosts.
    ref_params: the reference policy, likewise: the base model, but in phases
      that say otherwise.
    task: prompts and grades.
    problems: of the task, by split.
    key: from which training samples are drawn.
  """

  config: ModelConfig
  tokenizer: ConversationTokenizer
  placement: Placement
  base_params: Params
  ref_params: Params
  task: Task
  problems: Mapping[str, Sequence[Problem]]
  key: jax.Array


@dataclasses.dataclass(frozen=True)
class StepTimes:
  """Seconds of one step's parts."""

  rollout_s: float
  grade_s: float
  update_s: float


class Stage:
  """Runs updates of one phase.

  The programs (sampler, reference scores, update) are compiled on first use and
  reused for every step: all batches have one shape.
  """

  def __init__(
      self,
      fixed: Policy,
      settings: RunSettings,
      phase: RlPhase,
      first_step: int,
  ):
    """Prepares a phase.

    Args:
      fixed: what does not change over the run.
      settings: of the run.
      phase: what is trained.
      first_step: steps that were sampled in earlier phases; data and keys count
        on from there.
    """
    self._fixed = fixed
    self._settings = settings
    self._phase = phase
    self._first_step = first_step
    self._estimator = KL_ESTIMATORS[settings.train.kl_estimator]
    self._reduce = TOKEN_REDUCTIONS[settings.train.token_reduction]
    self._spec = conversation_spec(
        settings,
        fixed.tokenizer,
        fixed.task,
        fixed.placement,
        temperature=settings.rollout.temperature,
        samples=settings.rollout.samples_per_problem,
        num_attempts=phase.num_attempts,
        corrections_per_attempt=phase.corrections_per_attempt,
    )
    self._num_offline = round(
        phase.offline_first_attempt_fraction
        * settings.rollout.problems_per_step
    )
    self._base_copy = None
    scoring = Scoring(
        model=fixed.config,
        num_attempts=phase.num_attempts,
        temperature=settings.rollout.temperature,
        chunk=settings.train.logprob_chunk_tokens,
        reduce=self._reduce,
        execution=Execution(
            placement.compute_dtype(settings),
            settings.train.remat,
            settings.train.attention,
        ),
    )
    self._ref_logprobs = jax.jit(
        functools.partial(_logprobs, scoring, settings.train.num_microbatches)
    )
    optimizer = optim.make_optimizer(
        **dataclasses.asdict(phase.optimizer),
        moment_dtype=jnp.dtype(settings.train.moment_dtype),
    )
    self._init = functools.partial(
        train.init_train_state,
        optimizer=optimizer,
        param_shardings=fixed.placement.params,
    )
    self._update = train.make_train_step(
        objective.make_loss_fn(phase.objective, self._estimator, scoring),
        optimizer,
        num_microbatches=settings.train.num_microbatches,
        param_shardings=fixed.placement.params,
    )

  def init_state(self, params: Params) -> TrainState:
    """A state with a fresh optimiser, around a copy of params."""
    with sharding.use(self._fixed.placement.mesh):
      return self._init(params)

  def step(
      self, state: TrainState, step: int
  ) -> tuple[TrainState, Rollouts, dict[str, float]]:
    """One update on fresh samples of the current policy.

    Args:
      state: donated.
      step: updates of this phase so far.

    Returns:
      The new state, the rollouts it was updated with, and scalars by name.

    Raises:
      FloatingPointError: loss or gradient is not finite.
    """
    fixed, started = self._fixed, time.perf_counter()
    conversations = self._sample(state.params, self._first_step + step)
    sampled = time.perf_counter()
    with sharding.use(fixed.placement.mesh):
      # Dispatched before grading: the device scores while the host grades.
      batch = self._make_batch(conversations)
      rollouts = rollout.grade(fixed.task, conversations)
      graded = time.perf_counter()
      batch = batch.replace(advantages=self._advantages(rollouts, batch))
      # Where the batch has its scores, the loss does not read it.
      reference = (
          None if self._estimator.needs_ref_logprobs else self._reference()
      )
      state, metrics = self._update(state, reference, batch)
    metrics = {k: float(v) for k, v in distributed.to_host(metrics).items()}
    times = StepTimes(
        rollout_s=sampled - started,
        grade_s=graded - sampled,
        update_s=time.perf_counter() - graded,
    )
    _check_finite(metrics, step)
    scalars = step_scalars(rollouts, metrics, times)
    total = (self._first_step + step + 1) * len(rollouts.tokens)
    return state, rollouts, scalars | {"train/conversations": total}

  def _sample(self, params: Params, step: int) -> rollout.Conversations:
    """A step's conversations; the first problems may have offline attempts."""
    fixed, count = self._fixed, self._num_offline
    sample = functools.partial(
        sample_step, fixed, self._settings, self._spec, params, step
    )
    if not count:
      return sample()
    if self._base_copy is None:
      self._base_copy = fixed.placement.copy(self._on_device(fixed.base_params))
    offline = sample(part=slice(0, count), first_params=self._base_copy)
    if count == self._settings.rollout.problems_per_step:
      return offline
    return rollout.concatenate([offline, sample(part=slice(count, None))])

  def _make_batch(self, conversations: rollout.Conversations) -> TrainBatch:
    rows, attempts = len(conversations.tokens), self._spec.num_attempts
    place = self._fixed.placement.rows
    batch = TrainBatch(
        tokens=place(conversations.tokens),
        mask=place(conversations.mask),
        attempt_ids=place(conversations.trained_attempt_ids),
        advantages=place(np.zeros((rows, attempts), np.float32)),
    )
    if self._estimator.needs_ref_logprobs:
      ref_logprobs = self._ref_logprobs(self._reference(), batch)
      batch = batch.replace(ref_logprobs=ref_logprobs)
    return batch

  def _advantages(self, rollouts: Rollouts, batch: TrainBatch) -> jax.Array:
    return objective.advantages(
        self._phase.objective,
        rollouts.rewards,
        batch,
        self._fixed.placement.rows(rollouts.behaviour_logprobs),
        is_in_reward=self._estimator.is_in_reward,
        reduce=self._reduce,
        corrections_per_attempt=self._phase.corrections_per_attempt,
    )

  def _reference(self) -> Params:
    return self._on_device(self._fixed.ref_params)

  def _on_device(self, params: Params) -> Params:
    """A frozen policy on the devices, wherever it waits."""
    if self._settings.train.reference == "host":
      params = to_memory(params, "device")
    return params


def to_memory(params: Params, kind: str) -> Params:
  """The same arrays in the memory of a kind: "device" or "pinned_host"."""
  places = jax.tree.map(lambda a: a.sharding.with_memory_kind(kind), params)
  return jax.device_put(params, places)


def _logprobs(
    scoring: Scoring, num_microbatches: int, params: Params, batch: TrainBatch
) -> jax.Array:
  """float32[R, T - 1] of the rows of one micro-batch after the other."""
  if num_microbatches == 1:
    return scoring.logprobs(params, batch)
  pieces = train.microbatches(batch, num_microbatches)
  logprobs = jax.lax.map(functools.partial(scoring.logprobs, params), pieces)
  logprobs = logprobs.reshape(-1, logprobs.shape[-1])
  return sharding.constrain(logprobs, "rows", None)


def sample_step(
    fixed: Policy,
    settings: RunSettings,
    spec: ConversationSpec,
    params: Params,
    step: int,
    *,
    part: slice = slice(None),
    first_params: Params | None = None,
) -> rollout.Conversations:
  """Samples the conversations of one step, or of some of its problems.

  Args:
    fixed: what does not change over the run.
    settings: of the run.
    spec: shape of the conversations.
    params: policy to sample from.
    step: number of the step, over all phases.
    part: of the step's problems.
    first_params: the sampler's copy of the policy that makes the first
      attempts; None for the same one.
  """
  problems = problems_lib.step_problems(
      fixed.problems["train"],
      seed=settings.seed,
      step=step,
      batch_size=settings.rollout.problems_per_step,
  )
  return rollout.sample(
      fixed.placement.copy(params),
      fixed.config,
      fixed.tokenizer,
      fixed.task,
      problems[part],
      spec,
      key=fixed.key,
      step=step,
      mesh=fixed.placement.sampler_mesh,
      problems_per_batch=settings.rollout.problems_per_batch,
      first_params=first_params,
  )


def conversation_spec(
    settings: RunSettings,
    tokenizer: ConversationTokenizer,
    task: Task,
    place: Placement,
    *,
    temperature: float,
    samples: int,
    num_attempts: int,
    corrections_per_attempt: int = 1,
) -> ConversationSpec:
  """Conversations as the run has them, at a temperature."""
  return rollout.make_spec(
      tokenizer,
      task.correction_prompt,
      num_attempts=num_attempts,
      samples_per_problem=samples,
      corrections_per_attempt=corrections_per_attempt,
      max_prompt_tokens=settings.rollout.max_prompt_tokens,
      num_prompt_buckets=settings.rollout.num_prompt_buckets,
      max_new_tokens=settings.rollout.max_new_tokens,
      temperature=temperature,
      check_every=settings.rollout.done_check_steps,
      attention=settings.train.attention,
      column_multiple=place.column_multiple,
  )


def step_scalars(
    rollouts: Rollouts, metrics: Mapping[str, float], times: StepTimes
) -> dict[str, float]:
  """What is logged of a training step, by name."""
  attempts = rollouts.rewards.shape[-1]
  accuracy = rollouts.rewards.mean(axis=(0, 1))
  grades = [grade for row in rollouts.grades for grade in row]
  truncated = rollouts.is_truncated.mean(axis=(0, 1))
  new_tokens = int(np.sum(rollouts.attempt_ids > 0))
  total_s = times.rollout_s + times.grade_s + times.update_s
  return {
      **{f"train/{name}": value for name, value in metrics.items()},
      **{
          f"train/accuracy_t{i + 1}": float(accuracy[i])
          for i in range(attempts)
      },
      **{
          f"train/truncated_t{i + 1}": float(truncated[i])
          for i in range(attempts)
      },
      **grade_shares(grades),
      "train/new_tokens_per_row": new_tokens / len(rollouts.tokens),
      "time/rollout_s": times.rollout_s,
      "time/grade_s": times.grade_s,
      "time/update_s": times.update_s,
      "time/rollout_tokens_per_s": new_tokens / times.rollout_s,
      "time/tokens_per_s": new_tokens / total_s,
  }


def run_stage(
    stage: Stage,
    state: TrainState,
    *,
    description: str,
    steps: int,
    checkpointer: Checkpointer,
    checkpoint_every_steps: int,
    on_step: Callable[[int, TrainState, Rollouts, dict[str, float]], None],
) -> TrainState:
  """Runs what is left of a stage, and leaves its end on disk.

  Args:
    stage: the stage.
    state: at its start, or as restored.
    description: name on the progress bar.
    steps: updates of the whole stage.
    checkpointer: of the stage.
    checkpoint_every_steps: updates between two checkpoints.
    on_step: called with updates done, state, rollouts and scalars.
  """
  start = int(state.step)
  with TrainProgress(description, total=steps, start=start) as progress:
    for step in range(start, steps):
      state, rollouts, scalars = stage.step(state, step)
      done = step + 1
      on_step(done, state, rollouts, scalars)
      progress.update(
          done,
          rewards=_by_attempt(scalars, "train/accuracy"),
          kl=sum(_by_attempt(scalars, "train/kl")),
          tokens_per_second=scalars["time/tokens_per_s"],
      )
      if done % checkpoint_every_steps == 0 or done == steps:
        checkpointer.save(state)
  return state


def _by_attempt(scalars: Mapping[str, float], name: str) -> list[float]:
  """The scalars name_t1, name_t2, ... as far as there are attempts."""
  names = [f"{name}_t{i + 1}" for i in range(len(scalars))]
  return [scalars[name] for name in names if name in scalars]


def _check_finite(metrics: Mapping[str, float], step: int) -> None:
  bad = {k: v for k, v in metrics.items() if not np.isfinite(v)}
  if bad:
    raise FloatingPointError(
        f"step {step} of the phase gave {bad}; the last checkpoint is good:"
        " lower the learning rate, or look at the rollouts of this step"
    )


def grade_shares(grades: Sequence[Grade]) -> dict[str, float]:
  """Share of each status, and of what decided it, among attempts."""
  names = [f"status_{grade.status}" for grade in grades]
  names += [f"method_{grade.method}" for grade in grades]
  return {
      f"grade/{name}": count / len(grades)
      for name, count in sorted(collections.Counter(names).items())
  }
