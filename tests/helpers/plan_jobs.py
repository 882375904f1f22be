"""Jobs of shipped configs, for tests that compile them."""

import dataclasses
import json

from configs import gemma_math
from score_jax import settings as settings_lib
from score_jax.plan import architectures
from score_jax.plan import outcome
from score_jax.plan import topologies
from score_jax.plan.programs import Job


def gemma_2b(
    topology: str, *, num_microbatches: int | None = None, **rollout: int
) -> Job:
  """configs/gemma_math.py on a slice, with settings of `rollout` changed."""
  settings = settings_lib.from_mapping(
      settings_lib.RunSettings, json.loads(gemma_math.get_config().to_json())
  )
  train = settings.train
  if num_microbatches is not None:
    train = dataclasses.replace(train, num_microbatches=num_microbatches)
  settings = dataclasses.replace(
      settings,
      train=train,
      rollout=dataclasses.replace(settings.rollout, **rollout),
  )
  model = architectures.load(settings.model.path)
  return outcome.make_job(settings, model, topologies.parse(topology))
