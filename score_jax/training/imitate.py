"""One supervised phase: sample, select, imitate."""

from collections.abc import Callable
from collections.abc import Iterator
import dataclasses

import jax.numpy as jnp
import numpy as np

from score_jax import losses
from score_jax import policy
from score_jax.devices import distributed
from score_jax.devices import sharding
from score_jax.models import placement
from score_jax.models.transformer import Execution
from score_jax.models.transformer import Params
from score_jax.output.progress import work_progress
from score_jax.rollouts import rollout
from score_jax.settings import RunSettings
from score_jax.text import tokenization
from score_jax.training import optim
from score_jax.training import reinforce
from score_jax.training import traces
from score_jax.training import train
from score_jax.training.phases import SftPhase
from score_jax.training.reinforce import Policy
from score_jax.training.traces import Traces
from score_jax.training.train import TrainState
from score_jax.types import Rollouts

# (updates done, state, scalars)
OnStep = Callable[[int, TrainState, dict[str, float]], None]


class Imitation:
  """Runs a supervised phase.

  The loss is the mean over conversations of the negative log-likelihood of the
  second attempt, a sum over its tokens.
  """

  def __init__(
      self,
      fixed: Policy,
      settings: RunSettings,
      phase: SftPhase,
      first_step: int,
  ):
    """Prepares a phase.

    Args:
      fixed: what does not change over the run.
      settings: of the run.
      phase: what is sampled and imitated.
      first_step: steps that were sampled in earlier phases.
    """
    self._fixed = fixed
    self._settings = settings
    self._phase = phase
    self._first_step = first_step
    # Of the selection and of the order of its batches.
    self._rng = np.random.default_rng([settings.seed, first_step])
    optimizer = optim.make_optimizer(
        **dataclasses.asdict(phase.optimizer),
        moment_dtype=jnp.dtype(settings.train.moment_dtype),
    )
    self._optimizer = optimizer
    self._update = train.make_train_step(
        self._loss,
        optimizer,
        num_microbatches=settings.train.num_microbatches,
        param_shardings=fixed.placement.params,
    )

  def init_state(self, params: Params) -> TrainState:
    """A state with a fresh optimiser, around a copy of params."""
    with sharding.use(self._fixed.placement.mesh):
      return train.init_train_state(
          params,
          optimizer=self._optimizer,
          param_shardings=self._fixed.placement.params,
      )

  @property
  def num_conversations(self) -> int:
    """Sampled conversations, those of earlier phases included."""
    rollout_settings = self._settings.rollout
    rows = (
        rollout_settings.problems_per_step
        * rollout_settings.samples_per_problem
    )
    return (self._first_step + self._phase.sampling_steps) * rows

  def sample(self, params: Params, description: str) -> list[Rollouts]:
    """Graded conversations of a policy, of all steps that the phase samples."""
    fixed, settings = self._fixed, self._settings
    spec = reinforce.conversation_spec(
        settings,
        fixed.tokenizer,
        fixed.task,
        fixed.placement,
        temperature=settings.rollout.temperature,
        samples=settings.rollout.samples_per_problem,
        num_attempts=2,
    )
    rollouts = []
    with work_progress(description, self._phase.sampling_steps) as advance:
      for step in range(self._phase.sampling_steps):
        conversations = reinforce.sample_step(
            fixed, settings, spec, params, self._first_step + step
        )
        rollouts.append(rollout.grade(fixed.task, conversations))
        advance()
    return rollouts

  def select(self, rollouts: list[Rollouts]) -> Traces:
    """What is imitated of the conversations."""
    return self._phase.select(rollouts, self._rng)

  def run(
      self,
      state: TrainState,
      chosen: Traces,
      description: str,
      on_step: OnStep,
  ) -> TrainState:
    """Imitates the selection; on_step sees every update."""
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
    place = self._fixed.placement.rows
    batch = next(batches)
    packed = tokenization.PackedRows(
        place(batch.tokens), place(batch.mask), place(batch.labels)
    )
    with sharding.use(self._fixed.placement.mesh):
      state, metrics = self._update(state, None, packed)
    metrics = distributed.to_host(metrics)
    return state, {f"train/{k}": float(v) for k, v in metrics.items()}

  def _loss(self, params, ref_params, batch: tokenization.PackedRows):
    del ref_params
    settings = self._settings.train
    logprobs = policy.token_logprobs(
        params,
        self._fixed.config,
        batch.tokens,
        batch.mask,
        chunk=settings.logprob_chunk_tokens,
        execution=Execution(
            placement.compute_dtype(self._settings),
            settings.remat,
            settings.attention,
        ),
    )
    weights = (batch.labels[:, 1:] == traces.TAUGHT).astype(logprobs.dtype)
    return losses.sft_loss(logprobs, weights), {}


def num_updates(phase: SftPhase, num_traces: int) -> int:
  """Updates until the phase's limit of steps or of epochs.

  A last update that would reach into another epoch is made where the first one
  would be left out otherwise.
  """
  if phase.epochs is None:
    return phase.steps
  whole = phase.epochs * num_traces // phase.batch_size
  return min(phase.steps, max(whole, 1))
