"""The methods of the paper's comparison, each as a sequence of phases.

Every method starts from the same base model. Every method that is trained
samples as many conversations as the two stages of SCoRe together.
"""

from collections.abc import Callable
import dataclasses

from score_jax.objectives import Objective
from score_jax.objectives import Stage1
from score_jax.objectives import Stage1Corrections
from score_jax.objectives import Stage1Entropy
from score_jax.objectives import Stage2Scaled
from score_jax.study.settings import StudySettings
from score_jax.training import phases
from score_jax.training import traces
from score_jax.training.phases import BASE
from score_jax.training.phases import Phase
from score_jax.training.phases import RlPhase
from score_jax.training.phases import SftPhase
from score_jax.training.traces import Selection

Recipe = Callable[[StudySettings], tuple[Phase, ...]]


@dataclasses.dataclass(frozen=True)
class Method:
  """One method.

  Attributes:
    label: name in tables and pictures.
    recipe: makes the phases of its training.
    is_self_refine: the method trains nothing; it is evaluated with a message of
      feedback between the attempts.
  """

  label: str
  recipe: Recipe
  is_self_refine: bool = False


def untrained(settings: StudySettings) -> tuple[Phase, ...]:
  """The base model as it is."""
  del settings
  return ()


def star(settings: StudySettings) -> tuple[Phase, ...]:
  """STaR: three rounds, each from the base model, on D_STaR."""
  return _star(settings, traces.star, _budget(settings), BASE)


def star_plus(settings: StudySettings) -> tuple[Phase, ...]:
  """STaR on D+_STaR, which also has right answers that stay right."""
  return _star(settings, traces.star_plus, _budget(settings), BASE)


def pair_sft(settings: StudySettings) -> tuple[Phase, ...]:
  """Pair-SFT: one round, one epoch, on D_SFT."""
  return (_pair_sft(settings, traces.pair),)


def pair_sft_plus(settings: StudySettings) -> tuple[Phase, ...]:
  """Pair-SFT on D+_SFT."""
  return (_pair_sft(settings, traces.pair_plus),)


def single_turn(settings: StudySettings) -> tuple[Phase, ...]:
  """RL on conversations of one attempt (Table 4, w/o multi-turn training)."""
  return tuple(
      dataclasses.replace(phase, num_attempts=1, corrections_per_attempt=1)
      for phase in multi_turn(settings)
  )


def multi_turn(settings: StudySettings) -> tuple[Phase, ...]:
  """RL that rewards both attempts from the start, without stages or bonus.

  It has the learning rates of SCoRe's two stages, and their restart.
  """
  return _stage2_alone(settings, _without_bonus(settings))


def score(settings: StudySettings) -> tuple[Phase, ...]:
  """SCoRe."""
  return phases.score(settings.run)


def score_no_stage1(settings: StudySettings) -> tuple[Phase, ...]:
  """Stage II from the start (Table 4, w/o Stage I)."""
  _, second = score(settings)
  return _stage2_alone(settings, second.objective)


def score_no_bonus(settings: StudySettings) -> tuple[Phase, ...]:
  """SCoRe with alpha = 0 in Stage II (Table 4, w/o reward shaping)."""
  first, second = score(settings)
  objective = _without_bonus(settings)
  return first, dataclasses.replace(second, objective=objective)


def score_star(settings: StudySettings) -> tuple[Phase, ...]:
  """Stage I, then STaR in place of Stage II (Table 4)."""
  first, _ = score(settings)
  rounds = _star(settings, traces.star, settings.run.stage2.steps, first.name)
  return first, *rounds


def score_offline(settings: StudySettings) -> tuple[Phase, ...]:
  """SCoRe with first attempts of the base model (Table 4, w/o on-policy)."""
  return tuple(
      dataclasses.replace(phase, offline_first_attempt_fraction=1.0)
      for phase in score(settings)
  )


def score_three_attempts(settings: StudySettings) -> tuple[Phase, ...]:
  """SCoRe with three attempts: Stages I(a), I(b) and II (appendix A.1).

  Stage I(b) holds the first two attempts close to the model at the end of Stage
  I(a).
  """
  first, second = score(settings)
  steps = settings.method.stage1b_steps
  anchored = dataclasses.replace(first.objective, num_anchored=2)
  third = dataclasses.replace(
      first,
      name="stage1b",
      objective=anchored,
      steps=steps,
      num_attempts=3,
      reference=first.name,
  )
  return (
      first,
      third,
      dataclasses.replace(second, steps=second.steps - steps, num_attempts=3),
  )


def score_k2(settings: StudySettings) -> tuple[Phase, ...]:
  """SCoRe with several second attempts behind each first one; not the paper's.

  Their leave-one-out baseline depends on the first attempt.
  """
  count = settings.method.corrections_per_attempt
  return tuple(
      dataclasses.replace(phase, corrections_per_attempt=count)
      for phase in score(settings)
  )


def score_corrections(settings: StudySettings) -> tuple[Phase, ...]:
  """SCoRe whose Stage I pays for changes alone; not the paper's."""
  return _with_stage1(
      settings, Stage1Corrections, broken_coef=settings.method.broken_coef
  )


def score_entropy(settings: StudySettings) -> tuple[Phase, ...]:
  """SCoRe whose Stage I pays for entropy too; not the paper's."""
  return _with_stage1(
      settings, Stage1Entropy, entropy_coef=settings.method.entropy_coef
  )


def score_scaled(settings: StudySettings) -> tuple[Phase, ...]:
  """SCoRe whose bonus is without -alpha r_1; not the paper's."""
  first, second = score(settings)
  plain = second.objective
  objective = Stage2Scaled(plain.kl_coef, plain.bonus_coef)
  return first, dataclasses.replace(second, objective=objective)


def score_interleaved(settings: StudySettings) -> tuple[Phase, ...]:
  """SCoRe with its stages in turns, as in the paper's first version.

  Each round of Stage I holds first attempts to the base model, as the paper
  says of Stage I. It does not say how long a round is: here all are equal.
  """
  rounds = settings.method.interleaved_rounds
  return tuple(
      dataclasses.replace(
          phase,
          name=f"{phase.name}_{i + 1}",
          steps=_share(phase.steps, i, rounds),
      )
      for i in range(rounds)
      for phase in score(settings)
  )


METHODS = {
    "base": Method("base", untrained),
    "self_refine": Method("Self-Refine", untrained, is_self_refine=True),
    "star": Method("STaR", star),
    "star_plus": Method("STaR, D+", star_plus),
    "pair_sft": Method("Pair-SFT", pair_sft),
    "pair_sft_plus": Method("Pair-SFT, D+", pair_sft_plus),
    "single_turn": Method("single-turn RL", single_turn),
    "multi_turn": Method("multi-turn RL", multi_turn),
    "score": Method("SCoRe", score),
    "score_no_stage1": Method("SCoRe without Stage I", score_no_stage1),
    "score_no_bonus": Method("SCoRe without bonus", score_no_bonus),
    "score_star": Method("Stage I, then STaR", score_star),
    "score_offline": Method("SCoRe, offline first attempts", score_offline),
    "score_three_attempts": Method(
        "SCoRe, three attempts", score_three_attempts
    ),
    "score_k2": Method("SCoRe, K2 corrections", score_k2),
    "score_corrections": Method("SCoRe, changes alone", score_corrections),
    "score_entropy": Method("SCoRe, entropy", score_entropy),
    "score_scaled": Method("SCoRe, bonus without r1", score_scaled),
    "score_interleaved": Method("SCoRe, interleaved", score_interleaved),
}


def _budget(settings: StudySettings) -> int:
  """Sampling steps of every method that is trained."""
  return settings.run.stage1.steps + settings.run.stage2.steps


def _without_bonus(settings: StudySettings) -> Objective:
  """Stage II's objective with alpha = 0."""
  _, second = score(settings)
  return dataclasses.replace(second.objective, bonus_coef=0.0)


def _with_stage1(
    settings: StudySettings, objective: type[Stage1], **coefs: float
) -> tuple[Phase, ...]:
  """SCoRe with another objective of Stage I, which has more coefficients."""
  first, second = score(settings)
  made = objective(**dataclasses.asdict(first.objective), **coefs)
  return dataclasses.replace(first, objective=made), second


def _share(steps: int, part: int, parts: int) -> int:
  """Steps of one of the parts that steps are divided into."""
  return steps * (part + 1) // parts - steps * part // parts


def _stage2_alone(
    settings: StudySettings, objective: Objective
) -> tuple[RlPhase, RlPhase]:
  """One objective with the steps and learning rates of both stages."""
  first, second = score(settings)
  return (
      dataclasses.replace(first, name="first_part", objective=objective),
      dataclasses.replace(second, name="second_part", objective=objective),
  )


def _star(
    settings: StudySettings, select: Selection, sampling_steps: int, start: str
) -> tuple[SftPhase, ...]:
  """Rounds that share the sampling steps, each fine-tuned from `start`."""
  sft = settings.method.sft
  return tuple(
      SftPhase(
          name=f"star_{i + 1}",
          select=select,
          sampling_steps=_share(sampling_steps, i, sft.star_iterations),
          steps=sft.steps,
          epochs=None,
          batch_size=sft.batch_size,
          optimizer=sft.optimizer,
          start=start,
      )
      for i in range(sft.star_iterations)
  )


def _pair_sft(settings: StudySettings, select: Selection) -> SftPhase:
  """One epoch, as in the paper; sft.steps does not limit it."""
  sft, budget = settings.method.sft, _budget(settings)
  rows = budget * settings.run.rollout.rows
  return SftPhase(
      name="pair_sft",
      select=select,
      sampling_steps=budget,
      steps=-(-2 * rows // sft.batch_size),
      epochs=1,
      batch_size=sft.batch_size,
      optimizer=sft.optimizer,
      start=BASE,
  )
