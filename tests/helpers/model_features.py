"""What makes one family of models another one."""

from collections.abc import Iterator
import dataclasses

from score_jax.models.config import ModelConfig


def without_features(config: ModelConfig) -> Iterator[tuple[str, ModelConfig]]:
  """Every feature that a model has, and its configuration without it.

  Yields:
    A field's name and the configuration in which it has its default, so that a
    field that is added to ModelConfig is among them; windows of one position
    more and less, and windows in the other layers.
  """

  def changed(**changes):
    return next(iter(changes)), dataclasses.replace(config, **changes)

  for field in dataclasses.fields(config):
    value, default = getattr(config, field.name), field.default
    if default is dataclasses.MISSING or value == default:
      continue
    if field.name == "sliding_window":
      yield changed(sliding_window=None, is_local=())
      yield changed(sliding_window=value + 1)
      yield changed(sliding_window=value - 1)
    elif field.name == "is_local":
      if not all(value):
        yield changed(is_local=tuple(not i for i in value))
    else:
      yield changed(**{field.name: default})
  if config.rope.scaling is not None:
    yield changed(rope=dataclasses.replace(config.rope, scaling=None))
  if config.rope.share != 1:
    rope = dataclasses.replace(config.rope, scaling=None)
    yield changed(rope=dataclasses.replace(rope, share=1.0))
  yield changed(norm_eps=1e-6)


def optional_features() -> set[str]:
  """All that `without_features` yields, for models that have everything."""
  fields = dataclasses.fields(ModelConfig)
  names = {f.name for f in fields if f.default is not dataclasses.MISSING}
  return names | {"rope", "norm_eps"}
