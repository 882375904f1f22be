"""Everything a run can be told, as frozen dataclasses that check themselves.

`from_mapping` turns a nested mapping (a config file) into `RunSettings`: every
key must be known, none may be missing, types must fit. There are no defaults
here: the config file is complete.
"""

from collections.abc import Iterable
from collections.abc import Mapping
import dataclasses
import difflib
import types
import typing
from typing import Any
from typing import TypeVar

from score_jax import data
from score_jax import objective
from score_jax.models import transformer
from score_jax.sharding import MeshShape

T = TypeVar("T")


# Types of parameters: Adam's small steps are lost in bfloat16 parameters.
DTYPES = ("float32", "bfloat16")

# Where the reference policy waits until a step needs it.
REFERENCE_PLACES = ("device", "host")


@dataclasses.dataclass(frozen=True)
class ModelSettings:
  """A pretrained base model.

  Attributes:
    path: Hugging Face directory, or the id of a model on the hub.
    dtype: of the parameters that are trained, one of DTYPES.
    compute_dtype: of weights and activations in use, in training and sampling,
      and of the reference policy; one of DTYPES.
    chat_template_options: variables of the chat template, such as
      enable_thinking of Qwen 3.
  """

  path: str
  dtype: str
  compute_dtype: str
  chat_template_options: Mapping[str, Any]

  def __post_init__(self):
    _check_choice(self, "dtype", DTYPES)
    _check_choice(self, "compute_dtype", DTYPES)


@dataclasses.dataclass(frozen=True)
class MeshSettings:
  """Devices along each axis of the mesh, see `sharding.MeshShape`.

  Attributes:
    slice: TPU slices.
    data: copies of the training state.
    fsdp: parts of a copy.
    tensor: parts of a layer.
    sampler_tensor: parts of a layer while sampling, whose other devices hold
      copies of the model.
  """

  slice: int
  data: int
  fsdp: int
  tensor: int
  sampler_tensor: int

  def __post_init__(self):
    _ = self.shape  # refuses what is no shape
    _check_positive(self, "sampler_tensor")

  @property
  def shape(self) -> MeshShape:
    """Of the mesh for training."""
    return MeshShape(self.slice, self.data, self.fsdp, self.tensor)


@dataclasses.dataclass(frozen=True)
class TinyModelSettings:
  """Architecture of a model made from nothing, and its warm-up."""

  d_model: int
  num_layers: int
  num_heads: int
  head_dim: int
  d_ff: int
  rope_theta: float
  batch_size: int
  max_grad_norm: float
  answer_accuracy: float
  max_answer_steps: int
  check_steps: int
  answer_learning_rate: float
  correction_fraction: float
  slip_rate: float
  self_temperature: float
  skill_accuracy: float
  max_skill_steps: int
  skill_learning_rate: float
  habit_steps: int
  habit_learning_rate: float
  copy_fraction: float
  retry_fraction: float
  slip_fraction: float

  def __post_init__(self):
    _check_positive(
        self,
        "d_model",
        "num_layers",
        "num_heads",
        "head_dim",
        "d_ff",
        "batch_size",
        "max_grad_norm",
        "max_answer_steps",
        "max_skill_steps",
        "check_steps",
        "answer_learning_rate",
        "self_temperature",
        "skill_learning_rate",
        "habit_learning_rate",
    )
    _check_not_negative(self, "habit_steps")
    _check_fraction(
        self,
        "answer_accuracy",
        "skill_accuracy",
        "correction_fraction",
        "slip_rate",
    )
    fractions = ("copy_fraction", "retry_fraction", "slip_fraction")
    _check_fraction(self, *fractions)
    total = sum(vars(self)[name] for name in fractions)
    if total > 1:
      raise ValueError(
          f"{' + '.join(fractions)} is {total:g}, expected at most 1"
      )


@dataclasses.dataclass(frozen=True)
class RolloutSettings:
  """Shape of a step's conversations.

  Attributes:
    problems_per_step: B.
    problems_per_batch: of them, sampled at once: the cache of keys and values
      holds that many times samples_per_problem rows.
    samples_per_problem: K.
    num_attempts: A.
    max_prompt_tokens: P.
    num_prompt_buckets: lengths that prompts are padded to: P, its half, its
      quarter, ...
    long_prompts: one of data.LONG_PROMPTS.
    max_new_tokens: of one attempt.
    temperature: of training samples.
    done_check_steps: decode steps between two looks whether all rows are done.
  """

  problems_per_step: int
  problems_per_batch: int
  samples_per_problem: int
  num_attempts: int
  max_prompt_tokens: int
  num_prompt_buckets: int
  long_prompts: str
  max_new_tokens: int
  temperature: float
  done_check_steps: int

  def __post_init__(self):
    _check_positive(
        self,
        "problems_per_step",
        "problems_per_batch",
        "samples_per_problem",
        "num_attempts",
        "max_prompt_tokens",
        "num_prompt_buckets",
        "max_new_tokens",
        "temperature",
        "done_check_steps",
    )
    _check_choice(self, "long_prompts", data.LONG_PROMPTS)
    if self.problems_per_step % self.problems_per_batch:
      raise ValueError(
          f"problems_per_batch {self.problems_per_batch} does not divide"
          f" problems_per_step {self.problems_per_step}"
      )
    for name in ("samples_per_problem", "num_attempts"):
      if vars(self)[name] < 2:
        raise ValueError(
            f"{name} is {vars(self)[name]}, expected at least 2: there must be"
            " another sample to compare with, and a second attempt"
        )


@dataclasses.dataclass(frozen=True)
class OptimizerSettings:
  """Adam of one stage."""

  learning_rate: float
  warmup_steps: int
  max_grad_norm: float

  def __post_init__(self):
    _check_positive(self, "learning_rate", "max_grad_norm")
    _check_not_negative(self, "warmup_steps")


@dataclasses.dataclass(frozen=True)
class Stage1Settings:
  """Stage I."""

  steps: int
  kl_coef: float
  first_attempt_kl_coef: float
  optimizer: OptimizerSettings

  def __post_init__(self):
    _check_not_negative(self, "steps", "kl_coef", "first_attempt_kl_coef")

  @property
  def objective(self) -> objective.Stage1:
    return objective.Stage1(
        self.kl_coef, self.first_attempt_kl_coef, num_anchored=1
    )


@dataclasses.dataclass(frozen=True)
class Stage2Settings:
  """Stage II."""

  steps: int
  kl_coef: float
  bonus_coef: float
  optimizer: OptimizerSettings

  def __post_init__(self):
    _check_not_negative(self, "steps", "kl_coef", "bonus_coef")

  @property
  def objective(self) -> objective.Stage2:
    return objective.Stage2(self.kl_coef, self.bonus_coef)


@dataclasses.dataclass(frozen=True)
class TrainSettings:
  """What both stages share.

  Attributes:
    kl_estimator: key of objective.KL_ESTIMATORS.
    token_reduction: key of objective.TOKEN_REDUCTIONS.
    num_microbatches: pieces that the rows of a step are cut into.
    logprob_chunk_tokens: positions whose logits are alive at once.
    remat: key of transformer.REMAT_POLICIES: what is computed again.
    attention: one of transformer.ATTENTIONS.
    moment_dtype: of Adam's first moment, one of DTYPES.
    reference: where the reference policy waits, one of REFERENCE_PLACES.
  """

  kl_estimator: str
  token_reduction: str
  num_microbatches: int
  logprob_chunk_tokens: int
  remat: str
  attention: str
  moment_dtype: str
  reference: str

  def __post_init__(self):
    _check_positive(self, "num_microbatches", "logprob_chunk_tokens")
    _check_choice(self, "remat", transformer.REMAT_POLICIES)
    _check_choice(self, "attention", transformer.ATTENTIONS)
    _check_choice(self, "moment_dtype", DTYPES)
    _check_choice(self, "reference", REFERENCE_PLACES)
    _check_choice(self, "kl_estimator", objective.KL_ESTIMATORS)
    _check_choice(self, "token_reduction", objective.TOKEN_REDUCTIONS)


@dataclasses.dataclass(frozen=True)
class EvaluationSettings:
  """Greedy evaluations: of the validation split while training, then test."""

  batch_size: int
  every_steps: int
  validation_problems: int

  def __post_init__(self):
    _check_positive(self, "batch_size", "every_steps", "validation_problems")


@dataclasses.dataclass(frozen=True)
class OutputSettings:
  """What is written while training, and how often."""

  checkpoint_every_steps: int
  rollouts_every_steps: int
  rollouts_rows: int

  def __post_init__(self):
    _check_positive(self, *(f.name for f in dataclasses.fields(self)))


@dataclasses.dataclass(frozen=True)
class RunSettings:
  """A whole run.

  Attributes:
    seed: of model initialisation, data order and sampling.
    model: the base model, None to make one.
    tiny_model: how to make it, None where model is given.
    mesh: devices, None for the default device alone.
    task: name of the task and its arguments, see `tasks.make_task`.
    rollout: shape of a step's conversations.
    stage1: Stage I.
    stage2: Stage II.
    train: what both stages share.
    evaluation: evaluations.
    output: what is written.
  """

  seed: int
  model: ModelSettings | None
  tiny_model: TinyModelSettings | None
  mesh: MeshSettings | None
  task: Mapping[str, Any]
  rollout: RolloutSettings
  stage1: Stage1Settings
  stage2: Stage2Settings
  train: TrainSettings
  evaluation: EvaluationSettings
  output: OutputSettings

  def __post_init__(self):
    if not 0 <= self.seed < 2**32:
      raise ValueError(f"seed is {self.seed}, expected 0 to 2**32 - 1")
    if (self.model is None) == (self.tiny_model is None):
      found = "neither" if self.model is None else "both"
      raise ValueError(
          "give either model (a pretrained one) or tiny_model (one to make),"
          f" and None for the other; found {found}"
      )
    rows = self.rollout.problems_per_step * self.rollout.samples_per_problem
    if rows % self.train.num_microbatches:
      raise ValueError(
          f"rollout.problems_per_step x samples_per_problem is {rows} rows,"
          " which train.num_microbatches"
          f" {self.train.num_microbatches} does not divide"
      )


def from_mapping(cls: type[T], values: Mapping[str, Any], path: str = "") -> T:
  """Builds a settings class from a nested mapping, strictly.

  Args:
    cls: the dataclass.
    values: its fields, nested mappings for nested classes.
    path: of the mapping inside of the config, for messages.

  Raises:
    ValueError: unknown keys (with the nearest known one), missing keys, values
      of a wrong type, or values that a class refuses.
  """
  hints = typing.get_type_hints(cls)
  unknown = [
      f"unknown key {path}{key!s}{_nearest(str(key), hints)}"
      for key in values
      if key not in hints
  ]
  missing = [f"missing key {path}{key}" for key in hints if key not in values]
  if unknown or missing:
    raise ValueError("config: " + "; ".join(unknown + missing))
  fields = {
      key: _convert(hint, values[key], f"{path}{key}")
      for key, hint in hints.items()
  }
  try:
    return cls(**fields)
  except ValueError as error:
    raise ValueError(
        f"config{'.' + path[:-1] if path else ''}: {error}"
    ) from error


def _convert(hint: Any, value: Any, path: str) -> Any:
  """Checks a value against its annotation; nested classes are built."""
  options = (
      typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
  )
  if value is None and type(None) in options:
    return None
  kind = next(o for o in options if o is not type(None))
  if dataclasses.is_dataclass(kind):
    if not isinstance(value, Mapping):
      raise _wrong_type(path, value, "a group of settings")
    return from_mapping(kind, value, f"{path}.")
  if typing.get_origin(kind) is not None:  # Mapping[str, Any]
    if not isinstance(value, Mapping):
      raise _wrong_type(path, value, "a group of settings")
    return dict(value)
  if kind is float and type(value) is int:
    return float(value)
  if type(value) is not kind:
    raise _wrong_type(path, value, f"a value of type {kind.__name__}")
  return value


def _wrong_type(path: str, value: Any, expected: str) -> ValueError:
  return ValueError(
      f"config: {path} is {value!r} of type {type(value).__name__}, expected"
      f" {expected}"
  )


def _nearest(key: str, known: Mapping[str, Any]) -> str:
  close = difflib.get_close_matches(key, list(known), n=1, cutoff=0.0)
  return f" (did you mean {close[0]}?)" if close else ""


def _check_positive(settings: Any, *names: str) -> None:
  for name in names:
    if not vars(settings)[name] > 0:
      raise ValueError(f"{name} is {vars(settings)[name]}, expected above 0")


def _check_not_negative(settings: Any, *names: str) -> None:
  for name in names:
    if not vars(settings)[name] >= 0:
      raise ValueError(f"{name} is {vars(settings)[name]}, expected 0 or more")


def _check_fraction(settings: Any, *names: str) -> None:
  for name in names:
    if not 0 <= vars(settings)[name] <= 1:
      raise ValueError(f"{name} is {vars(settings)[name]}, expected 0 to 1")


def _check_choice(settings: Any, name: str, choices: Iterable[str]) -> None:
  if vars(settings)[name] not in choices:
    raise ValueError(
        f"{name} is {vars(settings)[name]!r}, expected one of"
        f" {', '.join(choices)}"
    )
