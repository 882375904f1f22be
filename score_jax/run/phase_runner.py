"""Runs what is left of one phase, with its checkpoints and records."""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from score_jax.models.lora import Adapted
from score_jax.models.lora import Policy
from score_jax.models.transformer import Params
from score_jax.output.progress import console
from score_jax.output.workdir import Workdir
from score_jax.report import tables
from score_jax.run.run_log import RunLog
from score_jax.training import checkpoint
from score_jax.training import imitate
from score_jax.training import optim
from score_jax.training import reinforce
from score_jax.training.checkpoint import Checkpointer
from score_jax.training.context import RunContext
from score_jax.training.imitate import Imitation
from score_jax.training.phases import BASE
from score_jax.training.phases import Phase
from score_jax.training.phases import RlPhase
from score_jax.training.phases import SftPhase
from score_jax.training.reinforce import FrozenPolicies
from score_jax.training.reinforce import Reinforcement
from score_jax.training.train import TrainState
from score_jax.types import Rollouts


@dataclasses.dataclass(frozen=True)
class PhaseRunner:
  """Runs the phases of a run, with what they share.

  Attributes:
    context: the run's context.
    workdir: the run's directory.
    log: the run's log.
    base: the base model, frozen; see `RunContext.frozen`.
  """

  context: RunContext
  workdir: Workdir
  log: RunLog
  base: Params

  def run(self, phase: Phase, policy: Policy, first_step: int) -> Policy:
    """Runs what is left of a phase, and leaves its end on disk.

    Args:
      phase: what is trained.
      policy: the policy. Arrays of its own are given up: their memory is used
        again.
      first_step: number of steps that earlier phases sampled.

    Returns:
      The policy at the end of the phase.
    """
    match phase:
      case RlPhase():
        return self._reinforce(phase, policy, first_step)
      case SftPhase():
        return self._imitate(phase, policy, first_step)

  def _reinforce(
      self, phase: RlPhase, policy: Policy, first_step: int
  ) -> Policy:
    frozen = FrozenPolicies(self.base, self._reference(phase, policy))
    reinforcement = Reinforcement(self.context, phase, frozen, first_step)
    state = reinforcement.init_state(self._trained(policy))
    with Checkpointer(self.workdir.checkpoints(phase.name)) as checkpointer:
      if checkpointer.latest_step() is not None:
        state = checkpointer.restored(state)
        console.print(f"{phase.name}: continued from step {int(state.step)}")
      elif phase.steps:
        self.log.start(phase, reinforcement.policy(state), first_step)
      state = reinforce.run(
          reinforcement,
          state,
          phase.steps,
          tables.phase_label(phase.name),
          functools.partial(
              self._after_update, phase, reinforcement, checkpointer
          ),
      )
    return reinforcement.policy(state)

  def _after_update(
      self,
      phase: RlPhase,
      reinforcement: Reinforcement,
      checkpointer: Checkpointer,
      done: int,
      state: TrainState,
      scalars: dict[str, float],
      rollouts: Rollouts,
  ) -> None:
    """Writes what an update has to show; saves and validates where due."""
    settings, is_last = self.context.settings, done == phase.steps
    is_due = is_last or done % settings.evaluation.every_steps == 0
    validate = reinforcement.policy(state) if is_due else None
    self.log.step(phase, done, scalars, validate)
    if done == 1 or done % settings.output.rollouts_every_steps == 0:
      self.log.sampled(f"{phase.name}_{done:06d}", rollouts)
    if is_last or done % settings.output.checkpoint_every_steps == 0:
      checkpointer.save(state)

  def _reference(self, phase: RlPhase, policy: Policy) -> Params:
    """The phase's reference policy, frozen."""
    if isinstance(policy, Adapted):  # the same one, see `adapt.check_phases`
      return policy.frozen
    if self._trains_adapters and policy is not self.base:
      return self.context.frozen(policy)
    if phase.reference == BASE:
      return self.base
    like = _all_parameters(policy)
    return self.context.frozen(self._end_of(phase.reference, like))

  def _trained(self, policy: Policy) -> Params:
    """What reinforcement learning trains of a policy; the rest is given up."""
    if not self._trains_adapters:
      return policy
    if isinstance(policy, Adapted):
      return policy.factors
    self._give_up(policy)
    return self.context.init_factors()

  def _give_up(self, policy: Policy) -> None:
    """Frees the memory of parameters that no other policy shares."""
    if policy is not self.base and not isinstance(policy, Adapted):
      checkpoint.delete(policy)

  @property
  def _trains_adapters(self) -> bool:
    return self.context.settings.train.lora_rank is not None

  def _imitate(
      self, phase: SftPhase, policy: Policy, first_step: int
  ) -> Params:
    """Runs a supervised phase, which leaves one checkpoint, at its end."""
    imitation = Imitation(self.context, phase, first_step)
    label, like = tables.phase_label(phase.name), _all_parameters(policy)
    with Checkpointer(self.workdir.checkpoints(phase.name)) as checkpointer:
      if checkpointer.latest_step() is not None:
        self._give_up(policy)
        state = imitation.init_state(_zeros(like))
        return checkpointer.restored(state).params
      rollouts = imitation.sample(policy, f"{label}: sampling")
      self.log.sampled(f"{phase.name}_sampled", rollouts[0])
      self._give_up(policy)
      state = imitation.init_state(self._end_of(phase.start, like))
      chosen = imitation.select(rollouts)
      last = imitate.num_updates(phase, len(chosen))
      if not first_step:
        self.log.start(phase, state.params, first_step)

      def on_step(done: int, state: TrainState, scalars: dict[str, float]):
        validate = state.params if done == last else None
        self.log.step(phase, done, scalars, validate)

      state = imitation.run(state, chosen, label, on_step)
      checkpointer.save(state)
    return state.params

  def _end_of(self, name: str, like: Params) -> Params:
    """The parameters that a phase ended with; the base model is read again."""
    if name == BASE:
      return self.context.load_base()
    with Checkpointer(self.workdir.checkpoints(name)) as checkpointer:
      return checkpointer.restore_params(like)


def _all_parameters(policy: Policy) -> Params:
  """Shapes and places of all parameters, in the type that is trained."""
  params = policy.frozen if isinstance(policy, Adapted) else policy
  return jax.tree.map(
      lambda s: jax.ShapeDtypeStruct(
          s.shape, jnp.dtype(optim.PARAM_DTYPE), sharding=s.sharding
      ),
      checkpoint.abstract(params),
  )


def _zeros(like: Params) -> Params:
  return jax.tree.map(
      lambda s: jnp.zeros(s.shape, s.dtype, device=s.sharding), like
  )
