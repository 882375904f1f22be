"""Objectives of phases: which rewards, which loss, with which coefficients.

An objective puts the pure functions of shaping.py and losses.py together, and
holds the coefficients that both need. A new formula is a class here, an entry
of OBJECTIVES, and a config that names it.
"""

from collections.abc import Mapping
import dataclasses
from typing import Any
from typing import Protocol

import jax

from score_jax import losses
from score_jax import shaping
from score_jax.settings.strict import check_not_negative
from score_jax.settings.strict import from_mapping


class Objective(Protocol):
  """What a phase of reinforcement learning maximises.

  Attributes:
    num_anchored: number of first attempts that are held to the reference policy
      and not rewarded; 0 for none.
  """

  num_anchored: int

  def shaped_rewards(
      self,
      rewards: jax.Array,
      sequence_kl: jax.Array,
      sequence_logprobs: jax.Array,
  ) -> jax.Array:
    """Shapes the rewards from which advantages are made.

    Args:
      rewards: float32[B, K, A], 1 where the attempt is correct, else 0.
      sequence_kl: float32[B, K, A], nats, of each attempt; zeros where the KL
        is a term of the loss.
      sequence_logprobs: float32[B, K, A], nats, of each attempt under the
        policy that sampled it. Most objectives do not read them.

    Returns:
      float32[B, K, A].
    """
    ...

  def loss(
      self,
      logprobs: jax.Array,
      attempt_ids: jax.Array,
      advantages: jax.Array,
      kl: jax.Array,
      *,
      reduce: losses.Reduce,
  ) -> jax.Array:
    """The loss of a batch, a mean over its rows.

    Args:
      logprobs: float32[R, T - 1], nats, of tokens[:, 1:].
      attempt_ids: int32[R, T], attempt of each trained token, 0 elsewhere.
      advantages: float32[R, A].
      kl: float32[R, A], what an estimator of the KL adds to the loss.
      reduce: makes one value per attempt of its tokens' values.

    Returns:
      float32[].
    """
    ...


@dataclasses.dataclass(frozen=True)
class Stage1:
  """Stage I (Eq. 3): `shaping.stage1_rewards` and `losses.stage1_loss`.

  Attributes:
    kl_coef: beta1 of the paper, per nat, on the rewarded attempts.
    first_attempt_kl_coef: beta2 of the paper, per nat, on the anchored ones.
    num_anchored: number of first attempts that are held to the reference
      policy.
  """

  kl_coef: float
  first_attempt_kl_coef: float
  num_anchored: int

  def __post_init__(self):
    check_not_negative(self, "kl_coef", "first_attempt_kl_coef")

  def shaped_rewards(
      self,
      rewards: jax.Array,
      sequence_kl: jax.Array,
      sequence_logprobs: jax.Array,
  ) -> jax.Array:
    """Stage I's shaped rewards, see `shaping.stage1_rewards`.

    Raises:
      ValueError: num_anchored does not fit the number of attempts.
    """
    del sequence_logprobs
    return shaping.stage1_rewards(rewards, sequence_kl, **self._coefs())

  def loss(self, *args: jax.Array, reduce: losses.Reduce) -> jax.Array:
    """Stage I's loss, see `losses.stage1_loss`."""
    return losses.stage1_loss(*args, **self._coefs(), reduce=reduce)

  def _coefs(self) -> dict[str, Any]:
    """The paper's coefficients, by their names in shaping.py and losses.py."""
    return {
        "kl_coef": self.kl_coef,
        "first_attempt_kl_coef": self.first_attempt_kl_coef,
        "num_anchored": self.num_anchored,
    }


@dataclasses.dataclass(frozen=True)
class Stage1Corrections(Stage1):
  """Stage I that pays for changes alone: `shaping.correction_rewards`.

  Not the paper's, which pays for a correct copy too, see docs/copying.md.

  Attributes:
    broken_coef: what a correct answer costs that becomes wrong, where a wrong
      one that becomes correct earns 1; with 1 the expected gradient is that of
      Stage I.
  """

  broken_coef: float

  def __post_init__(self):
    super().__post_init__()
    check_not_negative(self, "broken_coef")

  def shaped_rewards(
      self,
      rewards: jax.Array,
      sequence_kl: jax.Array,
      sequence_logprobs: jax.Array,
  ) -> jax.Array:
    """Stage I's, made of rewards of changes.

    Raises:
      ValueError: num_anchored does not fit the number of attempts.
    """
    changes = shaping.correction_rewards(rewards, broken_coef=self.broken_coef)
    return super().shaped_rewards(changes, sequence_kl, sequence_logprobs)


@dataclasses.dataclass(frozen=True)
class Stage1Entropy(Stage1):
  """Stage I that also pays for entropy: `shaping.entropy_bonus`.

  Not the paper's, which has no such bonus, see docs/copying.md.

  Attributes:
    entropy_coef: bonus per nat of the entropy of a rewarded attempt.
  """

  entropy_coef: float

  def __post_init__(self):
    super().__post_init__()
    check_not_negative(self, "entropy_coef")

  def shaped_rewards(
      self,
      rewards: jax.Array,
      sequence_kl: jax.Array,
      sequence_logprobs: jax.Array,
  ) -> jax.Array:
    """Stage I's, with the bonus.

    Raises:
      ValueError: num_anchored does not fit the number of attempts.
    """
    shaped = super().shaped_rewards(rewards, sequence_kl, sequence_logprobs)
    return shaped + shaping.entropy_bonus(
        sequence_logprobs,
        entropy_coef=self.entropy_coef,
        num_anchored=self.num_anchored,
    )


@dataclasses.dataclass(frozen=True)
class Stage2:
  """Stage II (Eq. 4): `shaping.stage2_rewards` and `losses.stage2_loss`.

  Attributes:
    kl_coef: beta1 of the paper, per nat.
    bonus_coef: alpha of the paper.
    num_anchored: 0, as every attempt is rewarded.
  """

  kl_coef: float
  bonus_coef: float
  num_anchored: int = dataclasses.field(default=0, init=False)

  def __post_init__(self):
    check_not_negative(self, "kl_coef", "bonus_coef")

  def shaped_rewards(
      self,
      rewards: jax.Array,
      sequence_kl: jax.Array,
      sequence_logprobs: jax.Array,
  ) -> jax.Array:
    """Stage II's shaped rewards, see `shaping.stage2_rewards`."""
    del sequence_logprobs
    return shaping.stage2_rewards(
        rewards, sequence_kl, kl_coef=self.kl_coef, bonus_coef=self.bonus_coef
    )

  def loss(self, *args: jax.Array, reduce: losses.Reduce) -> jax.Array:
    """Stage II's loss, see `losses.stage2_loss`."""
    return losses.stage2_loss(*args, kl_coef=self.kl_coef, reduce=reduce)


@dataclasses.dataclass(frozen=True)
class Stage2Scaled(Stage2):
  """Stage II without -alpha r_1: `shaping.stage2_scaled_rewards`.

  Not the paper's: an equal expected gradient, with less noise.
  """

  def shaped_rewards(
      self,
      rewards: jax.Array,
      sequence_kl: jax.Array,
      sequence_logprobs: jax.Array,
  ) -> jax.Array:
    """Shaped rewards, see `shaping.stage2_scaled_rewards`."""
    del sequence_logprobs
    return shaping.stage2_scaled_rewards(
        rewards, sequence_kl, kl_coef=self.kl_coef, bonus_coef=self.bonus_coef
    )


# By the name that a config gives. The first two are the paper's.
OBJECTIVES = {
    "stage1": Stage1,
    "stage2": Stage2,
    "stage1_corrections": Stage1Corrections,
    "stage1_entropy": Stage1Entropy,
    "stage2_scaled": Stage2Scaled,
}


def make_objective(settings: Mapping[str, Any], path: str) -> Objective:
  """Makes the objective that `settings["name"]` names from the other settings.

  Args:
    settings: the name and all coefficients.
    path: where `settings` stands in the config, for messages.

  Raises:
    ValueError: no such objective, or coefficients that are unknown, missing or
      refused.
  """
  coefficients = dict(settings)
  name = coefficients.pop("name", None)
  if not isinstance(name, str) or name not in OBJECTIVES:
    raise ValueError(
        f"config: {path}.name is {name!r}, expected one of"
        f" {', '.join(OBJECTIVES)}"
    )
  return from_mapping(OBJECTIVES[name], coefficients, path)
