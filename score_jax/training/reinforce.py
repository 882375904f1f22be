"""One phase of reinforcement learning: rollout, grade, update, repeat."""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import functools
import time
from typing import Protocol

import jax
import numpy as np

from score_jax.devices import distributed
from score_jax.devices import sharding
from score_jax.evaluate import grade_shares
from score_jax.evaluate import repeat_shares
from score_jax.models.lora import Policy
from score_jax.models.transformer import Params
from score_jax.objectives import Objective
from score_jax.output.progress import TrainProgress
from score_jax.rollouts import prefixes
from score_jax.rollouts import problems as problems_lib
from score_jax.rollouts import rollout
from score_jax.rollouts.rollout import Collector
from score_jax.settings import TrainSettings
from score_jax.training import adapt
from score_jax.training import context as context_lib
from score_jax.training import scoring as scoring_lib
from score_jax.training import train
from score_jax.training.context import RunContext
from score_jax.training.phases import RlPhase
from score_jax.training.scoring import KL_ESTIMATORS
from score_jax.training.scoring import Scoring
from score_jax.training.train import LossFn
from score_jax.training.train import TrainState
from score_jax.types import Conversations
from score_jax.types import Prefix
from score_jax.types import Problem
from score_jax.types import Rollouts
from score_jax.types import TrainBatch


@dataclasses.dataclass(frozen=True)
class FrozenPolicies:
  """Policies that a phase reads and does not train, see `RunContext.frozen`.

  Attributes:
    base: the base model, which writes offline first attempts.
    reference: the policy that the KL is measured to.
  """

  base: Params
  reference: Params


@dataclasses.dataclass(frozen=True)
class StepTimes:
  """Times that the parts of one step took, in seconds."""

  rollout_s: float
  grade_s: float
  update_s: float


class StepLog(Protocol):
  """A function that is called after every update of a phase.

  Args:
    done: updates so far.
    state: training state after the update.
    scalars: the update's scalars by name.
    rollouts: graded conversations that the update was made from.
  """

  def __call__(
      self,
      done: int,
      state: TrainState,
      scalars: dict[str, float],
      rollouts: Rollouts,
  ) -> None:
    ...


class Reinforcement:
  """Makes the updates of one phase.

  The programs (sampler, reference scores, update) are compiled on first use and
  reused for every step: all batches have one shape.
  """

  def __init__(
      self,
      context: RunContext,
      phase: RlPhase,
      frozen: FrozenPolicies,
      first_step: int,
  ):
    """Prepares a phase.

    Args:
      context: the run's context.
      phase: what is trained.
      frozen: base model and reference policy.
      first_step: number of steps that earlier phases sampled; data and keys
        count on from there.
    """
    self._context = context
    self._phase = phase
    self._frozen = frozen
    self._first_step = first_step
    settings = context.settings
    self._estimator = KL_ESTIMATORS[settings.train.kl_estimator]
    self._collector = context.training_collector(phase)
    self._num_offline = phase.num_offline(settings.rollout.problems_per_step)
    self._base_copy = None
    # Where the batch has its scores, only adapters are trained beside it.
    self._reads_reference = (
        not self._estimator.needs_ref_logprobs
        or settings.train.lora_rank is not None
    )
    self._scoring = context.scoring(phase.num_attempts)
    self._ref_logprobs = make_ref_logprobs(
        self._scoring, settings.train.num_microbatches
    )
    optimizer = context_lib.optimizer(phase.optimizer, settings.train)
    places = context.trained_shardings
    self._init = functools.partial(
        train.init_train_state, optimizer=optimizer, param_shardings=places
    )
    self._update = train.make_train_step(
        make_loss_fn(settings.train, phase.objective, self._scoring),
        optimizer,
        num_microbatches=settings.train.num_microbatches,
        param_shardings=places,
    )

  def init_state(self, trained: Params) -> TrainState:
    """A state with a fresh optimizer; its first update donates `trained`."""
    with sharding.use(self._context.placement.mesh):
      return self._init(trained)

  def policy(self, state: TrainState) -> Policy:
    """The policy of a state; it shares the state's arrays."""
    settings = self._context.settings.train
    return adapt.policy(settings, state.params, self._frozen.reference)

  def step(
      self, state: TrainState, step: int
  ) -> tuple[TrainState, Rollouts, dict[str, float]]:
    """Makes one update on fresh samples of the current policy.

    Args:
      state: training state before the update; donated.
      step: number of updates of this phase so far.

    Returns:
      The new state, the rollouts it was updated with, and scalars by name.

    Raises:
      FloatingPointError: loss or gradient is not finite.
    """
    started = time.perf_counter()
    conversations = self._sample(self.policy(state), self._first_step + step)
    sampled = time.perf_counter()
    with sharding.use(self._context.placement.mesh):
      # Dispatched before grading: the device scores while the host grades.
      prefix, rows = self._split(conversations)
      score = self._dispatch_reference(prefix, rows)
      rollouts = rollout.grade(self._context.task, conversations)
      graded = time.perf_counter()
      batch = self._make_batch(prefix, rows, rollouts.rewards, score)
      reference = self._reference() if self._reads_reference else None
      state, metrics = self._update(state, reference, batch)
    metrics = {k: float(v) for k, v in distributed.to_host(metrics).items()}
    times = StepTimes(
        rollout_s=sampled - started,
        grade_s=graded - sampled,
        update_s=time.perf_counter() - graded,
    )
    _check_finite(metrics, step)
    scalars = step_scalars(rollouts, metrics, times)
    total = (self._first_step + step + 1) * len(conversations.tokens)
    return state, rollouts, scalars | {"train/conversations": total}

  def _sample(self, policy: Policy, step: int) -> Conversations:
    """A step's conversations; the first problems may have offline attempts."""
    problems = step_problems(self._context, step)
    copy, count = self._context.placement.copy, self._num_offline
    sampler_copy = copy(policy)
    if not count:
      return rollout.sample(sampler_copy, self._collector, problems, step)
    if self._base_copy is None:
      base = self._context.on_device(self._frozen.base)
      self._base_copy = copy(base)
    parts = [
        rollout.sample(
            sampler_copy,
            self._collector,
            problems[:count],
            step,
            self._base_copy,
        )
    ]
    if count < len(problems):
      parts.append(
          rollout.sample(sampler_copy, self._collector, problems[count:], step)
      )
    return rollout.concatenate(parts)

  def _split(
      self, conversations: Conversations
  ) -> tuple[Prefix | None, Conversations]:
    """What rows have in common, on the device, and what is computed of each."""
    if not self._context.settings.train.shared_prefix:
      return None, conversations
    prefix, rows = prefixes.share(conversations, self._collector.spec)
    return jax.tree.map(self._context.placement.rows, prefix), rows

  def _dispatch_reference(
      self, prefix: Prefix | None, conversations: Conversations
  ) -> jax.Array | None:
    """Log-probabilities of the reference; None where the loss makes its own."""
    if not self._estimator.needs_ref_logprobs:
      return None
    place = self._context.placement.rows
    return self._ref_logprobs(
        self._reference(),
        place(conversations.tokens),
        place(conversations.mask),
        place(conversations.targets),
        prefix,
    )

  def _make_batch(
      self,
      prefix: Prefix | None,
      conversations: Conversations,
      rewards: np.ndarray,
      ref_logprobs: jax.Array | None,
  ) -> TrainBatch:
    place = self._context.placement.rows
    attempt_ids = place(conversations.trained_attempt_ids)
    behaviour_logprobs = place(conversations.behaviour_logprobs)
    reduction = (attempt_ids, self._phase.num_attempts, self._scoring.reduce)
    kl = None
    if self._estimator.is_in_reward:
      kl = scoring_lib.reward_kl(behaviour_logprobs, ref_logprobs, *reduction)
    return TrainBatch(
        tokens=place(conversations.tokens),
        mask=place(conversations.mask),
        attempt_ids=attempt_ids,
        advantages=scoring_lib.advantages(
            self._phase.objective,
            rewards,
            kl,
            scoring_lib.sequence_logprobs(behaviour_logprobs, *reduction),
            self._phase.corrections_per_attempt,
        ),
        ref_logprobs=ref_logprobs,
        targets=place(conversations.targets),
        prefix=prefix,
    )

  def _reference(self) -> Params:
    return self._context.on_device(self._frozen.reference)


def make_loss_fn(
    settings: TrainSettings, objective: Objective, scoring: Scoring
) -> LossFn:
  """Makes the loss of a phase's updates, of what is trained."""
  estimator = KL_ESTIMATORS[settings.kl_estimator]
  loss_fn = scoring_lib.make_loss_fn(objective, estimator, scoring)
  return adapt.of_trained(settings, loss_fn)


def make_ref_logprobs(scoring: Scoring, num_microbatches: int):
  """Makes the program that scores rows under the reference policy.

  Args:
    scoring: how log-probabilities are made.
    num_microbatches: pieces of the rows, scored one after the other.

  Returns:
    (params, tokens, mask, targets, prefix) -> float32[R, T - 1], nats, of
    targets[:, 1:].
  """

  def ref_logprobs(params, tokens, mask, targets=None, prefix=None):
    return scoring.logprobs_by_microbatch(
        params, tokens, mask, num_microbatches, targets, prefix
    )

  return jax.jit(ref_logprobs)


def step_problems(context: RunContext, step: int) -> list[Problem]:
  """The training problems of a step; its number counts over all phases."""
  return problems_lib.step_problems(
      context.problems.splits["train"],
      seed=context.settings.seed,
      step=step,
      batch_size=context.settings.rollout.problems_per_step,
  )


def sample_step(
    context: RunContext, collector: Collector, policy: Policy, step: int
) -> Rollouts:
  """Samples and grades a policy's conversations on the problems of a step.

  Args:
    context: the run's context.
    collector: samples and grades the conversations.
    policy: the policy, in the layout of training.
    step: number of the step, over all phases.
  """
  conversations = rollout.sample(
      context.placement.copy(policy),
      collector,
      step_problems(context, step),
      step,
  )
  return rollout.grade(context.task, conversations)


def step_scalars(
    rollouts: Rollouts, metrics: Mapping[str, float], times: StepTimes
) -> dict[str, float]:
  """The scalars that are logged of a training step, by name."""
  conversations = rollouts.conversations
  grades = [grade for row in rollouts.grades for grade in row]
  new_tokens = int(np.sum(conversations.attempt_ids > 0))
  total_s = times.rollout_s + times.grade_s + times.update_s
  return {
      **{f"train/{name}": value for name, value in metrics.items()},
      **_by_attempt("train/accuracy", rollouts.rewards),
      **_by_attempt("train/truncated", conversations.is_truncated),
      **repeat_shares(rollouts),
      **grade_shares(grades),
      "train/new_tokens_per_row": new_tokens / len(conversations.tokens),
      "time/rollout_s": times.rollout_s,
      "time/grade_s": times.grade_s,
      "time/update_s": times.update_s,
      "time/rollout_tokens_per_s": new_tokens / times.rollout_s,
      "time/tokens_per_s": new_tokens / total_s,
  }


def _by_attempt(name: str, values: np.ndarray) -> dict[str, float]:
  """Means name_t1, name_t2, ... of values [B, K, A]."""
  means = values.mean(axis=(0, 1))
  return {f"{name}_t{i}": float(mean) for i, mean in enumerate(means, 1)}


def run(
    reinforcement: Reinforcement,
    state: TrainState,
    steps: int,
    description: str,
    on_step: StepLog,
) -> TrainState:
  """Makes the updates of a phase that are not made yet.

  Args:
    reinforcement: makes the phase's updates.
    state: training state at the start of the phase, or a restored one.
    steps: updates of the whole phase.
    description: name on the progress bar.
    on_step: called after every update.

  Returns:
    The training state at the end of the phase.

  Raises:
    FloatingPointError: loss or gradient of an update is not finite.
  """
  start = int(state.step)
  with TrainProgress(description, total=steps, start=start) as progress:
    for step in range(start, steps):
      state, rollouts, scalars = reinforcement.step(state, step)
      on_step(step + 1, state, scalars, rollouts)
      progress.update(
          step + 1,
          rewards=_attempts_of(scalars, "train/accuracy"),
          kl=sum(_attempts_of(scalars, "train/kl")),
          tokens_per_second=scalars["time/tokens_per_s"],
      )
  return state


def _attempts_of(scalars: Mapping[str, float], name: str) -> Sequence[float]:
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
