"""One supervised phase: sample, select, imitate."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from score_jax import losses
from score_jax import policy
from score_jax.devices import distributed
from score_jax.devices import sharding
from score_jax.models.lora import Policy
from score_jax.models.transformer import Params
from score_jax.output.progress import work_progress
from score_jax.text import tokenization
from score_jax.training import context as context_lib
from score_jax.training import reinforce
from score_jax.training import traces
from score_jax.training import train
from score_jax.training.context import RunContext
from score_jax.training.phases import SftPhase
from score_jax.training.traces import Traces
from score_jax.training.train import TrainState
from score_jax.types import Rollouts


class StepLog(Protocol):
  """A function that is called after every update of a supervised phase.

  Args:
    done: updates so far.
    state: training state after the update.
    scalars: the update's scalars by name.
  """

  def __call__(
      self, done: int, state: TrainState, scalars: dict[str, float]
  ) -> None:
    ...


class Imitation:
  """Runs a supervised phase.

  The loss is the mean over conversations of the negative log-likelihood of the
  second attempt, a sum over its tokens.
  """

  def __init__(self, context: RunContext, phase: SftPhase, first_step: int):
    """Prepares a phase.

    Args:
      context: the run's context.
      phase: what is sampled and imitated.
      first_step: number of steps that earlier phases sampled.
    """
    self._context = context
    self._phase = phase
    self._first_step = first_step
    self._execution = context_lib.execution(context.settings)
    # Draws the selection and the order of its batches.
    self._rng = np.random.default_rng([context.settings.seed, first_step])
    settings = context.settings.train
    self._optimizer = context_lib.optimizer(phase.optimizer, settings)
    self._update = train.make_train_step(
        self._loss,
        self._optimizer,
        num_microbatches=settings.num_microbatches,
        param_shardings=context.placement.params,
    )

  def init_state(self, params: Params) -> TrainState:
    """A state with a fresh optimizer; its first update donates `params`."""
    with sharding.use(self._context.placement.mesh):
      return train.init_train_state(
          params,
          optimizer=self._optimizer,
          param_shardings=self._context.placement.params,
      )

  @property
  def num_conversations(self) -> int:
    """Number of sampled conversations, those of earlier phases included."""
    steps = self._first_step + self._phase.sampling_steps
    return steps * self._context.settings.rollout.rows

  def sample(self, policy: Policy, description: str) -> list[Rollouts]:
    """Samples and grades the phase's conversations; one Rollouts per step."""
    collector = self._context.training_collector(self._phase)
    rollouts = []
    with work_progress(description, self._phase.sampling_steps) as advance:
      for step in range(self._phase.sampling_steps):
        rollouts.append(
            reinforce.sample_step(
                self._context, collector, policy, self._first_step + step
            )
        )
        advance()
    return rollouts

  def select(self, rollouts: list[Rollouts]) -> Traces:
    """Selects the conversations that are imitated."""
    return self._phase.select(rollouts, self._rng)

  def run(
      self,
      state: TrainState,
      chosen: Traces,
      description: str,
      on_step: StepLog,
  ) -> TrainState:
    """Imitates the selection, and calls `on_step` after every update.

    Raises:
      ValueError: nothing was selected.
    """
    steps = num_updates(self._phase, len(chosen))
    batches = traces.batches(chosen, self._phase.batch_size, self._rng)
    with work_progress(description, steps) as advance:
      for step in range(1, steps + 1):
        state, scalars = self._step(state, batches)
        epochs = step * self._phase.batch_size / len(chosen)
        scalars |= {
            "train/traces": len(chosen),
            "train/epochs": epochs,
            "train/conversations": self.num_conversations,
        }
        on_step(step, state, scalars)
        advance(1, f"loss {scalars['train/loss']:.3f}, {epochs:.1f} epochs")
    return state

  def _step(
      self, state: TrainState, batches: Iterator[Traces]
  ) -> tuple[TrainState, dict[str, float]]:
    place = self._context.placement.rows
    batch = next(batches)
    packed = tokenization.PackedRows(
        place(batch.tokens), place(batch.mask), place(batch.labels)
    )
    with sharding.use(self._context.placement.mesh):
      state, metrics = self._update(state, None, packed)
    metrics = distributed.to_host(metrics)
    return state, {f"train/{k}": float(v) for k, v in metrics.items()}

  def _loss(self, params, ref_params, batch: tokenization.PackedRows):
    del ref_params
    logprobs = policy.token_logprobs(
        params,
        self._context.base.config,
        batch.tokens,
        batch.mask,
        execution=self._execution,
    )
    weights = (batch.labels[:, 1:] == traces.TAUGHT).astype(logprobs.dtype)
    return losses.sft_loss(logprobs, weights), {}


def num_updates(phase: SftPhase, num_traces: int) -> int:
  """Number of updates up to the phase's limit of steps or of epochs.

  An update that would reach beyond the last epoch is left out, unless it is the
  first one.
  """
  if phase.epochs is None:
    return phase.steps
  whole = phase.epochs * num_traces // phase.batch_size
  return min(phase.steps, max(whole, 1))
