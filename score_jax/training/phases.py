"""The phases of a run: what is trained one after the other.

A phase of reinforcement learning takes fresh conversations of the policy for
every update; a supervised phase samples conversations first and imitates the
best of them. SCoRe itself is two phases of the first kind.
"""

from collections.abc import Sequence
import dataclasses

from score_jax.objectives import Objective
from score_jax.objectives import make_objective
from score_jax.rollouts.spec import ConversationSpec
from score_jax.settings import OptimizerSettings
from score_jax.settings import PhaseSettings
from score_jax.settings import RunSettings
from score_jax.training.traces import Selection

# Names of policies that no phase has trained; a run with a warm-up has both.
PRETRAINED, BASE = "pretrained", "base"


@dataclasses.dataclass(frozen=True)
class RlPhase:
  """Updates by reinforcement learning, strictly on-policy.

  Attributes:
    name: the phase's name in checkpoints, records and results.
    objective: rewards and loss.
    steps: updates; each samples a step's conversations.
    optimizer: settings of its optimizer, which starts afresh.
    num_attempts: A.
    corrections_per_attempt: K2, see `shaping.conditional_leave_one_out`.
    offline_first_attempt_fraction: share of a step's problems whose first
      attempts the base model writes; those are not trained (paper, section
      5.3).
    reference: name of the phase that the reference policy is the result of;
      BASE for the base model.
  """

  name: str
  objective: Objective
  steps: int
  optimizer: OptimizerSettings
  num_attempts: int
  corrections_per_attempt: int
  offline_first_attempt_fraction: float
  reference: str = BASE

  @property
  def sampling_steps(self) -> int:
    """Number of steps whose conversations are sampled: one per update."""
    return self.steps

  def num_offline(self, problems_per_step: int) -> int:
    """How many problems of a step, from the first on, have offline attempts."""
    return round(self.offline_first_attempt_fraction * problems_per_step)

  def conversations(self, spec: ConversationSpec) -> ConversationSpec:
    """A run's spec, with this phase's attempts and corrections."""
    return dataclasses.replace(
        spec,
        num_attempts=self.num_attempts,
        corrections_per_attempt=self.corrections_per_attempt,
    )


@dataclasses.dataclass(frozen=True)
class SftPhase:
  """One round of sampling with the policy, and imitation of a selection.

  Attributes:
    name: the phase's name in checkpoints, records and results.
    select: selects the conversations that are imitated.
    sampling_steps: number of steps whose conversations are sampled.
    steps: updates, at the most.
    epochs: passes over the selection, at the most; None for no limit.
    batch_size: conversations of an update.
    optimizer: settings of its optimizer, which starts afresh.
    start: name of the phase whose result is fine-tuned; BASE for the base
      model. The conversations are sampled from the result of the phase before
      this one.
  """

  name: str
  select: Selection
  sampling_steps: int
  steps: int
  epochs: int | None
  batch_size: int
  optimizer: OptimizerSettings
  start: str = BASE

  def conversations(self, spec: ConversationSpec) -> ConversationSpec:
    """A run's spec, with the two attempts that a selection reads."""
    return dataclasses.replace(spec, num_attempts=2, corrections_per_attempt=1)


Phase = RlPhase | SftPhase


def score(settings: RunSettings) -> tuple[RlPhase, RlPhase]:
  """SCoRe's two phases as a config has them: Stage I, then Stage II.

  Raises:
    ValueError: an objective is not known, or its coefficients do not fit.
  """
  return (
      _rl_phase(settings, "stage1", settings.stage1),
      _rl_phase(settings, "stage2", settings.stage2),
  )


def _rl_phase(
    settings: RunSettings, name: str, phase: PhaseSettings
) -> RlPhase:
  rollout = settings.rollout
  return RlPhase(
      name=name,
      objective=make_objective(phase.objective, f"{name}.objective"),
      steps=phase.steps,
      optimizer=phase.optimizer,
      num_attempts=rollout.num_attempts,
      corrections_per_attempt=rollout.corrections_per_attempt,
      offline_first_attempt_fraction=rollout.offline_first_attempt_fraction,
  )


def evaluated_attempts(phases: Sequence[Phase]) -> int:
  """Attempts of greedy evaluations: as many as are trained, at least two."""
  return max([2, *(p.num_attempts for p in phases if isinstance(p, RlPhase))])


def anchored(phases: Sequence[Phase]) -> tuple[str, ...]:
  """Names of the phases that hold first attempts to the reference policy."""
  return tuple(
      p.name
      for p in phases
      if isinstance(p, RlPhase) and p.objective.num_anchored
  )
