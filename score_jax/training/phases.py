"""The phases of a run: what is trained one after the other.

A phase of reinforcement learning takes fresh conversations of the policy for
every update; a supervised phase samples conversations first and imitates the
best of them. SCoRe itself is two phases of the first kind.
"""

from collections.abc import Sequence
import dataclasses

from score_jax.settings import OptimizerSettings
from score_jax.settings import RunSettings
from score_jax.training.objective import Stage1
from score_jax.training.objective import Stage2
from score_jax.training.traces import Selection

BASE = "base"


@dataclasses.dataclass(frozen=True)
class RlPhase:
  """Updates by reinforcement learning, strictly on-policy.

  Attributes:
    name: of its checkpoints, records and results.
    objective: rewards and loss.
    steps: updates; each samples a step's conversations.
    optimizer: of this phase, which starts afresh.
    num_attempts: A, of its conversations.
    corrections_per_attempt: K2, see `shaping.conditional_leave_one_out`.
    offline_first_attempt_fraction: of a step's problems, whose first attempts
      are drawn from the base model and not trained (paper, section 5.3).
    reference: name of the phase whose end the KL is measured to, or BASE.
  """

  name: str
  objective: Stage1 | Stage2
  steps: int
  optimizer: OptimizerSettings
  num_attempts: int
  corrections_per_attempt: int
  offline_first_attempt_fraction: float
  reference: str = BASE

  @property
  def sampling_steps(self) -> int:
    """Steps' worth of conversations that are sampled."""
    return self.steps


@dataclasses.dataclass(frozen=True)
class SftPhase:
  """One round of sampling with the policy, and imitation of a selection.

  Attributes:
    name: of its checkpoints, records and results.
    select: which of the conversations are imitated.
    sampling_steps: steps' worth of conversations that are sampled.
    steps: updates, at the most.
    epochs: passes over the selection, at the most; None for no limit.
    batch_size: conversations of an update.
    optimizer: of this phase, which starts afresh.
    start: name of the phase from whose end the fine-tuning starts, or BASE. The
      conversations are sampled from the end of the phase before.
  """

  name: str
  select: Selection
  sampling_steps: int
  steps: int
  epochs: int | None
  batch_size: int
  optimizer: OptimizerSettings
  start: str = BASE


Phase = RlPhase | SftPhase


def stage1(settings: RunSettings) -> RlPhase:
  """Stage I as a config has it."""
  objective = Stage1(
      settings.stage1.kl_coef,
      settings.stage1.first_attempt_kl_coef,
      num_anchored=1,
  )
  return _rl(settings, "stage1", objective)


def stage2(settings: RunSettings) -> RlPhase:
  """Stage II as a config has it."""
  objective = Stage2(settings.stage2.kl_coef, settings.stage2.bonus_coef)
  return _rl(settings, "stage2", objective)


def score(settings: RunSettings) -> tuple[RlPhase, RlPhase]:
  """SCoRe: Stage I, then Stage II."""
  return stage1(settings), stage2(settings)


def _rl(
    settings: RunSettings, name: str, objective: Stage1 | Stage2
) -> RlPhase:
  stage = {"stage1": settings.stage1, "stage2": settings.stage2}[name]
  return RlPhase(
      name=name,
      objective=objective,
      steps=stage.steps,
      optimizer=stage.optimizer,
      num_attempts=settings.rollout.num_attempts,
      corrections_per_attempt=settings.rollout.corrections_per_attempt,
      offline_first_attempt_fraction=(
          settings.rollout.offline_first_attempt_fraction
      ),
  )


def evaluated_attempts(phases: Sequence[Phase]) -> int:
  """Attempts of greedy evaluations: two, or as many as were trained."""
  return max([2, *(p.num_attempts for p in phases if isinstance(p, RlPhase))])


def anchored(phases: Sequence[Phase]) -> tuple[str, ...]:
  """Names of the phases that hold first attempts to the reference policy."""
  return tuple(
      p.name
      for p in phases
      if isinstance(p, RlPhase) and isinstance(p.objective, Stage1)
  )
