"""What reinforcement learning trains: all parameters, or adapters alone.

With `train.lora_rank` the frozen part of a policy is the reference policy, so
that there is no copy of it: adapters start at zero in the first phase of
reinforcement learning, and phases behind it with the same reference go on with
them. A training state then holds factors and their moments alone.
"""

from collections.abc import Sequence
import functools
from typing import Any

import jax

from score_jax.devices import sharding
from score_jax.models import hf
from score_jax.models import lora
from score_jax.models import transformer
from score_jax.models.config import ModelConfig
from score_jax.models.lora import Adapted
from score_jax.models.lora import Policy
from score_jax.models.placement import Placement
from score_jax.models.transformer import Params
from score_jax.settings import TrainSettings
from score_jax.training.phases import BASE
from score_jax.training.phases import Phase
from score_jax.training.phases import RlPhase
from score_jax.training.phases import SftPhase
from score_jax.training.train import LossFn


def factor_shapes(model: ModelConfig, rank: int) -> Params:
  """Shapes of the factors of a model; nothing is allocated."""
  shapes = hf.parameter_shapes(model)["layers"]
  init = functools.partial(lora.init_factors, shapes=shapes, rank=rank)
  return jax.eval_shape(init, jax.random.key(0))


def trained_shardings(
    train: TrainSettings, model: ModelConfig, placement: Placement
) -> Any:
  """NamedSharding of everything that is trained; None without a mesh."""
  if train.lora_rank is None:
    return placement.params
  return sharding.tree_shardings(
      placement.mesh,
      factor_shapes(model, train.lora_rank),
      transformer.factor_axes(model),
  )


def init_factors(
    key: jax.Array,
    train: TrainSettings,
    model: ModelConfig,
    placement: Placement,
) -> Params:
  """Factors that change nothing yet, where they are trained."""
  init = functools.partial(
      lora.init_factors,
      shapes=hf.parameter_shapes(model)["layers"],
      rank=train.lora_rank,
  )
  places = trained_shardings(train, model, placement)
  return jax.jit(init, out_shardings=places)(key)


def policy(train: TrainSettings, trained: Params, reference: Params) -> Policy:
  """The policy of a training state's parameters.

  Args:
    train: settings of training.
    trained: all parameters, or the factors of adapters.
    reference: the reference policy, which the policy is beside its adapters.
  """
  if train.lora_rank is None:
    return trained
  return Adapted(reference, trained, train.lora_scale)


def of_trained(train: TrainSettings, loss_fn: LossFn) -> LossFn:
  """A loss of policy and reference as one of what is trained and reference."""

  def loss(trained, ref_params, batch):
    params = lora.params_of(policy(train, trained, ref_params))
    return loss_fn(params, ref_params, batch)

  return loss if train.lora_rank is not None else loss_fn


def check_phases(train: TrainSettings, phases: Sequence[Phase]) -> None:
  """Refuses phases that adapters cannot be trained in.

  Raises:
    ValueError: with adapters, a phase of reinforcement learning does not start
      from its reference policy or from adapters beside it, or a supervised
      phase starts from adapters.
  """
  if train.lora_rank is None:
    return
  adapted = {phase.name for phase in phases if isinstance(phase, RlPhase)}
  frozen = BASE  # what the policy is, beside its adapters
  for phase in phases:
    if isinstance(phase, SftPhase):
      wanted, frozen = phase.start, phase.name
      is_refused = wanted in adapted
    else:
      wanted = phase.reference
      is_refused = wanted != frozen
    if is_refused:
      raise ValueError(
          f"phase {phase.name!r} reads the result of {wanted!r}, which"
          f" train.lora_rank {train.lora_rank} does not allow: adapters are"
          " trained beside the reference policy, which must be what the first"
          " phase of reinforcement learning starts from, and supervised phases"
          " cannot start from adapters; give train.lora_rank None"
      )
