"""Rotary embeddings from and to Hugging Face's config.json.

Three forms are read, each as transformers 5 does: `rope_scaling` and
`rope_theta` (transformers 4), `rope_parameters` (transformers 5), and
`rope_parameters` by kind of layer. A part that one form lacks is taken from
another one, or from the family's defaults.
"""

from collections.abc import Mapping
import math
from typing import Any

from score_jax.models.config import LinearScaling
from score_jax.models.config import Llama3Scaling
from score_jax.models.config import LongRopeScaling
from score_jax.models.config import ModelConfig
from score_jax.models.config import Rope
from score_jax.models.config import YarnScaling
from score_jax.models.hf_families import Family
from score_jax.models.hf_families import RopeLayout

LOCAL, GLOBAL = "sliding_attention", "full_attention"

_PLAIN = {"rope_type": "default"}
_DYNAMIC = (
    ". Up to max_position_embeddings 'dynamic' is no scaling: for such rows"
    " remove it from a copy of config.json"
)
# What some kinds do not give stands beside the scaling.
_ORIGINAL = "original_max_position_embeddings"
_SHARE = "partial_rotary_factor"


def read(values: Mapping[str, Any], family: Family) -> tuple[Rope, Rope | None]:
  """Rotary embeddings of global layers and, where they differ, local ones.

  Args:
    values: fields of a config.json, with the family's defaults.
    family: the model's family.

  Raises:
    ValueError: a kind of scaling is not implemented, or lacks a number.
  """
  parameters = _object(values, "rope_parameters")
  scaling = _object(values, "rope_scaling")
  if family.rope_layout is RopeLayout.BY_KIND:
    far = {**_object(parameters, GLOBAL), **scaling}
    near = _object(parameters, LOCAL)
    _refuse_truncate(parameters, far, near)
    near_theta = family.local_rope_theta or values["rope_local_base_freq"]
    return (
        _rope({"rope_theta": values["rope_theta"], **far}, values, family),
        _rope({"rope_theta": near_theta, **near}, values, family),
    )
  flat = scaling or parameters
  if GLOBAL in flat or LOCAL in flat:
    raise ValueError(
        "rope_parameters has an entry for each kind of layer, which"
        " transformers does not read in this family: give one for all"
    )
  if _SHARE in family.defaults:
    flat = {_SHARE: values[_SHARE], **flat}
  outside = {k: v for k, v in values.items() if k == _ORIGINAL}
  whole = {"rope_theta": values["rope_theta"], **flat, **outside}
  return _rope(whole, values, family), None


def written(config: ModelConfig, family: Family) -> dict[str, Any]:
  """Fields of a config.json, in the layout of transformers 4 if it has them."""
  rope, local_rope = config.rope, config.local_rope
  scaling = _scaling(rope)
  fields = {"rope_theta": rope.theta, "rope_scaling": scaling}
  if _SHARE in family.defaults:
    fields[_SHARE] = rope.share
  if _ORIGINAL in family.defaults and scaling is not None:
    # transformers 4 refuses Phi 3's scaling with more than it needs.
    fields[_ORIGINAL] = scaling.pop(_ORIGINAL)
    factor = config.max_positions / fields[_ORIGINAL]
    usual = _longrope_attention_factor(factor, fields[_ORIGINAL])
    if scaling["attention_factor"] == usual:
      del scaling["attention_factor"]
  if local_rope is None:
    return fields
  theta = family.local_rope_theta or local_rope.theta
  if local_rope != Rope(theta):  # the older layout cannot say it
    fields["rope_parameters"] = {
        kind: {"rope_theta": each.theta, **(_scaling(each) or _PLAIN)}
        for kind, each in ((GLOBAL, rope), (LOCAL, local_rope))
    }
  return fields


def _scaling(rope: Rope) -> dict[str, Any] | None:
  """The field `rope_scaling`; None for none."""
  scaling = rope.scaling
  if scaling is None:
    return None
  if isinstance(scaling, LinearScaling):
    return {"rope_type": "linear", "factor": scaling.factor}
  if isinstance(scaling, LongRopeScaling):
    return {
        "type": "longrope",
        "short_factor": list(scaling.short_factors),
        "long_factor": list(scaling.long_factors),
        _ORIGINAL: scaling.original_max_positions,
        "attention_factor": scaling.attention_factor,
    }
  if isinstance(scaling, YarnScaling):
    return {
        "rope_type": "yarn",
        "factor": scaling.factor,
        _ORIGINAL: scaling.original_max_positions,
        "attention_factor": scaling.attention_factor,
        "beta_fast": scaling.beta_fast,
        "beta_slow": scaling.beta_slow,
        "truncate": scaling.has_whole_bounds,
    }
  return {
      "rope_type": "llama3",
      "factor": scaling.factor,
      "low_freq_factor": scaling.low_freq_factor,
      "high_freq_factor": scaling.high_freq_factor,
      _ORIGINAL: scaling.original_max_positions,
  }


def number(values: Mapping[str, Any], name: str) -> float:
  """A field that must be a finite number.

  Raises:
    ValueError: it is something else.
  """
  value = values[name]
  if type(value) not in (int, float) or not math.isfinite(value):
    raise ValueError(f"{name} is {value!r}, expected a number")
  return float(value)


def positive(values: Mapping[str, Any], name: str) -> float:
  """A field that must be a finite number above 0.

  Raises:
    ValueError: it is something else.
  """
  value = number(values, name)
  if value <= 0:
    raise ValueError(f"{name} is {value}, expected a number above 0")
  return value


def _object(values: Mapping[str, Any], name: str) -> dict[str, Any]:
  """A field that is an object; empty where it is absent or null."""
  value = values.get(name)
  if value is None:
    return {}
  if not isinstance(value, Mapping):
    raise ValueError(f"{name} is {value!r}, expected an object")
  return dict(value)


def _rope(
    parameters: Mapping[str, Any], values: Mapping[str, Any], family: Family
) -> Rope:
  """One rotary embedding; lengths that it lacks are those of the model."""
  name = parameters.get("rope_type", parameters.get("type", "default"))
  if name not in family.rope_kinds:
    raise ValueError(
        f"rope type {name!r} is not supported; supported:"
        f" {', '.join(map(repr, family.rope_kinds))}"
        f"{_DYNAMIC if name == 'dynamic' else ''}"
    )
  scaling = _SCALINGS[family.rope_kinds[name]](parameters, values)
  theta = positive(parameters, "rope_theta")
  return Rope(theta, scaling, _share(parameters, family))


def _share(parameters: Mapping[str, Any], family: Family) -> float:
  """Share of a head that is rotated."""
  if _SHARE not in family.defaults:
    if parameters.get(_SHARE) not in (1, None):
      raise ValueError(
          f"{_SHARE} is {parameters[_SHARE]!r}, the decoder rotates whole heads"
          " of this family"
      )
    return 1.0
  share = positive(parameters, _SHARE)
  if share > 1:
    raise ValueError(f"{_SHARE} is {share}, expected at most 1")
  return share


def _default(parameters: Mapping[str, Any], values: Mapping[str, Any]) -> None:
  """No scaling."""
  del parameters, values


def _linear(
    parameters: Mapping[str, Any], values: Mapping[str, Any]
) -> LinearScaling:
  del values
  return LinearScaling(positive(parameters, "factor"))


def _llama3(
    parameters: Mapping[str, Any], values: Mapping[str, Any]
) -> Llama3Scaling:
  return Llama3Scaling(
      factor=positive(parameters, "factor"),
      low_freq_factor=positive(parameters, "low_freq_factor"),
      high_freq_factor=positive(parameters, "high_freq_factor"),
      original_max_positions=_original_length(parameters, values),
  )


def _yarn(
    parameters: Mapping[str, Any], values: Mapping[str, Any]
) -> YarnScaling:
  length = _original_length(parameters, values)
  if positive(parameters, "rope_theta") <= 1:
    raise ValueError(
        f"rope_theta is {parameters['rope_theta']}, expected more than 1 for"
        " YaRN, which divides by its logarithm"
    )
  if parameters["factor"] is None:
    factor = values["max_position_embeddings"] / length
  else:
    factor = positive(parameters, "factor")
  truncate = parameters.get("truncate", True)
  if type(truncate) is not bool:
    raise ValueError(f"truncate is {truncate!r}, expected true or false")
  return YarnScaling(
      factor=factor,
      original_max_positions=length,
      attention_factor=_attention_factor(parameters, factor),
      beta_fast=_positive_or(parameters, "beta_fast", 32.0),
      beta_slow=_positive_or(parameters, "beta_slow", 1.0),
      has_whole_bounds=truncate,
  )


def _longrope(
    parameters: Mapping[str, Any], values: Mapping[str, Any]
) -> LongRopeScaling:
  length = _original_length(parameters, values)
  factor = values["max_position_embeddings"] / length
  if parameters.get("factor") is not None:
    factor = positive(parameters, "factor")
  attention_factor = _longrope_attention_factor(factor, length)
  if parameters.get("attention_factor") is not None:
    attention_factor = positive(parameters, "attention_factor")
  return LongRopeScaling(
      short_factors=_positive_numbers(parameters, "short_factor"),
      long_factors=_positive_numbers(parameters, "long_factor"),
      original_max_positions=length,
      attention_factor=attention_factor,
  )


def _longrope_attention_factor(factor: float, length: int) -> float:
  """Its own, for rows that may be `factor` times as long as the original."""
  if factor <= 1:
    return 1.0
  return math.sqrt(1 + math.log(factor) / math.log(length))


def _attention_factor(parameters: Mapping[str, Any], factor: float) -> float:
  """YaRN's own, which grows with the logarithm of the factor, or the given."""
  if parameters.get("attention_factor") is not None:
    return positive(parameters, "attention_factor")

  def grown(share):
    return 1.0 if factor <= 1 else 0.1 * share * math.log(factor) + 1.0

  shares = [
      _positive_or(parameters, name, 0.0)
      for name in ("mscale", "mscale_all_dim")
  ]
  return grown(shares[0]) / grown(shares[1]) if all(shares) else grown(1.0)


def _refuse_truncate(*parts: Mapping[str, Any]) -> None:
  """Refuses what transformers does not find where kinds of layers differ."""
  for part in parts:
    if part.get("truncate", True) is not True:
      raise ValueError(
          f"truncate is {part['truncate']!r}, which transformers does not read"
          " in this family: remove it from a copy of config.json"
      )


def _original_length(
    parameters: Mapping[str, Any], values: Mapping[str, Any]
) -> int:
  """Positions before the scaling; those of the model where it says nothing."""
  length = parameters.get(_ORIGINAL, values["max_position_embeddings"])
  if type(length) is not int or length < 2:
    raise ValueError(
        f"{_ORIGINAL} is {length!r}, expected a whole number above 1"
    )
  return length


def _positive_or(values: Mapping[str, Any], name: str, default: float) -> float:
  """A number above 0; the default where it is absent, null or 0."""
  return positive(values, name) if values.get(name) else default


def _positive_numbers(
    values: Mapping[str, Any], name: str
) -> tuple[float, ...]:
  if not isinstance(values[name], list):
    raise ValueError(f"{name} is {values[name]!r}, expected a list of numbers")
  return tuple(positive({name: value}, name) for value in values[name])


_SCALINGS = {
    "default": _default,
    "linear": _linear,
    "llama3": _llama3,
    "longrope": _longrope,
    "yarn": _yarn,
}
