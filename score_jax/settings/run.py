"""Everything a run can be told, as frozen dataclasses that check themselves.

Each field is a key of a config file, which `strict.from_mapping` reads. The
names of choices are listed here as text, so that reading a config imports no
model: a test holds them to the functions that they name.
"""

from collections.abc import Mapping
import dataclasses
from typing import Any

from score_jax.devices.mesh_shape import MeshShape
from score_jax.settings.strict import check_choice
from score_jax.settings.strict import check_fraction
from score_jax.settings.strict import check_not_negative
from score_jax.settings.strict import check_positive

# Types that models are computed in, and of Adam's first moment. Parameters that
# are trained are float32 always: at the paper's learning rates an update is a
# ten-thousandth of a weight, which bfloat16 rounds away.
DTYPES = ("float32", "bfloat16")

# Where the reference policy waits until a step needs it.
REFERENCE_PLACES = ("device", "host")

# Keys of `training.scoring.KL_ESTIMATORS`, where each is explained.
KL_ESTIMATORS = ("k1_in_reward", "exact", "k2", "per_position")

# Keys of `training.scoring.TOKEN_REDUCTIONS`.
TOKEN_REDUCTIONS = ("sum", "mean")

# Keys of `models.transformer.REMAT_POLICIES`.
REMAT_POLICIES = ("none", "dots", "full")

# Kernels of attention, see `models.transformer.Execution`.
ATTENTIONS = ("xla", "splash")

# What is done with problems whose prompt is too long, except in the test split:
# results on part of it would not be results on it.
LONG_PROMPTS = ("error", "drop")


@dataclasses.dataclass(frozen=True)
class ModelSettings:
  """A pretrained base model.

  Attributes:
    path: Hugging Face directory, or the id of a model on the hub.
    revision: commit, tag or branch of a model on the hub; None for a directory,
      or for the newest commit, whose name goes to the manifest.
    compute_dtype: type of weights and activations in use, in training and
      sampling, and of the reference policy; one of DTYPES.
    chat_template_options: variables of the chat template, such as
      enable_thinking of Qwen 3. date_string is the date of templates that ask
      for today's; without it they get '26 Jul 2024', on every host and day.
  """

  path: str
  revision: str | None
  compute_dtype: str
  chat_template_options: Mapping[str, Any]

  def __post_init__(self):
    check_choice(self, "compute_dtype", DTYPES)


@dataclasses.dataclass(frozen=True)
class MeshSettings:
  """Devices along each axis of the mesh, see `devices.mesh_shape.MeshShape`.

  Attributes:
    slice: number of TPU slices.
    data: copies of the training state in a slice.
    fsdp: parts of a copy.
    tensor: parts of a layer.
    sampler_tensor: parts of a layer while sampling; the other devices then hold
      copies of the model.
  """

  slice: int
  data: int
  fsdp: int
  tensor: int
  sampler_tensor: int

  def __post_init__(self):
    _ = self.shape  # refuses what is no shape
    check_positive(self, "sampler_tensor")

  @property
  def shape(self) -> MeshShape:
    """Shape of the mesh for training."""
    return MeshShape(self.slice, self.data, self.fsdp, self.tensor)


@dataclasses.dataclass(frozen=True)
class TinyModelSettings:
  """Architecture of a model made from nothing, and how it is taught.

  configs/tiny.py says what each setting means, run/tiny_base.py how a model is
  taught.
  """

  d_model: int
  num_layers: int
  num_heads: int
  head_dim: int
  d_ff: int
  rope_theta: float
  max_positions: int
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
    check_positive(
        self,
        "d_model",
        "num_layers",
        "num_heads",
        "head_dim",
        "d_ff",
        "max_positions",
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
    check_not_negative(self, "habit_steps")
    check_fraction(
        self,
        "answer_accuracy",
        "skill_accuracy",
        "correction_fraction",
        "slip_rate",
    )
    fractions = ("copy_fraction", "retry_fraction", "slip_fraction")
    check_fraction(self, *fractions)
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
    problems_per_batch: problems that are sampled at once; it divides B. The
      cache of keys and values has that many times K rows.
    samples_per_problem: K.
    num_attempts: A.
    corrections_per_attempt: K2, second attempts behind the same first one, out
      of the K samples; 1 as in the paper. See
      `shaping.conditional_leave_one_out`.
    offline_first_attempt_fraction: share of a step's problems whose first
      attempts the base model writes; those are not trained (paper, section
      5.3). 0 for none.
    max_prompt_tokens: P.
    num_prompt_buckets: number of lengths that prompts are padded to: P, its
      half, its quarter, ...
    long_prompts: what is done with longer prompts, one of LONG_PROMPTS.
    max_new_tokens: limit of one attempt, in tokens; or a limit for each of the
      attempts. See `attempt_limits`.
    temperature: temperature that training samples are drawn at.
    done_check_steps: decode steps between two checks whether all rows are done.
  """

  problems_per_step: int
  problems_per_batch: int
  samples_per_problem: int
  num_attempts: int
  corrections_per_attempt: int
  offline_first_attempt_fraction: float
  max_prompt_tokens: int
  num_prompt_buckets: int
  long_prompts: str
  max_new_tokens: int | tuple[int, ...]
  temperature: float
  done_check_steps: int

  def __post_init__(self):
    check_positive(
        self,
        "problems_per_step",
        "problems_per_batch",
        "samples_per_problem",
        "num_attempts",
        "corrections_per_attempt",
        "max_prompt_tokens",
        "num_prompt_buckets",
        "temperature",
        "done_check_steps",
    )
    check_fraction(self, "offline_first_attempt_fraction")
    check_choice(self, "long_prompts", LONG_PROMPTS)
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
    self._check_corrections()
    self._check_limits()

  @property
  def attempt_limits(self) -> tuple[int, ...]:
    """Most tokens of each attempt, the one that ends it included."""
    if isinstance(self.max_new_tokens, tuple | list):
      return tuple(self.max_new_tokens)
    return (self.max_new_tokens,) * self.num_attempts

  @property
  def rows(self) -> int:
    """B * K, the number of conversations of a step."""
    return self.problems_per_step * self.samples_per_problem

  def _check_corrections(self) -> None:
    corrections = self.corrections_per_attempt
    if corrections == 1:
      return
    if self.num_attempts != 2:
      raise ValueError(
          f"corrections_per_attempt is {corrections} with num_attempts"
          f" {self.num_attempts}, expected 1 unless there are two attempts"
      )
    firsts, rest = divmod(self.samples_per_problem, corrections)
    if rest or firsts < 2:
      raise ValueError(
          f"corrections_per_attempt {corrections} does not divide"
          f" samples_per_problem {self.samples_per_problem} into two first"
          " attempts or more: there must be another one to compare with"
      )

  def _check_limits(self) -> None:
    limits = self.attempt_limits
    # Types, not isinstance: True is no number.
    if not all(type(limit) is int and limit > 0 for limit in limits):
      raise ValueError(
          f"max_new_tokens is {self.max_new_tokens}, expected whole numbers"
          " above 0: one for all attempts, or one for each"
      )
    if len(limits) != self.num_attempts:
      raise ValueError(
          f"max_new_tokens is {self.max_new_tokens}, expected"
          f" {self.num_attempts} limits, one for each of num_attempts, or a"
          " single number for all attempts"
      )


@dataclasses.dataclass(frozen=True)
class OptimizerSettings:
  """Adam of one phase, see `training.optim.make_optimizer`.

  Attributes:
    learning_rate: the learning rate after the warm-up.
    warmup_steps: updates of the warm-up; 0 for none.
    max_grad_norm: global norm that gradients are clipped to.
  """

  learning_rate: float
  warmup_steps: int
  max_grad_norm: float

  def __post_init__(self):
    check_positive(self, "learning_rate", "max_grad_norm")
    check_not_negative(self, "warmup_steps")


@dataclasses.dataclass(frozen=True)
class LessonSettings:
  """One lesson of a warm-up.

  Attributes:
    steps: number of updates; 0 leaves the lesson out.
    batch_size: problems, and conversations, of an update.
    optimizer: Adam, which starts afresh in every lesson.
  """

  steps: int
  batch_size: int
  optimizer: OptimizerSettings

  def __post_init__(self):
    check_not_negative(self, "steps")
    check_positive(self, "batch_size")


@dataclasses.dataclass(frozen=True)
class WarmupSettings:
  """Imitation that makes the base model out of a pretrained one.

  training/lessons.py says what the lessons teach.

  Attributes:
    seed: seed of the order of problems and of all draws. It is not the run's:
      runs of several seeds start from one base model.
    answers: lesson 1, right first attempts.
    corrections: lesson 2, right second attempts behind wrong first ones.
    habit: lesson 3, second attempts of which most repeat the first.
    copy_fraction: of the second attempts of lesson 3: the first again. The
      others are right.
    check_every_steps: updates between two looks at validation problems.
    checkpoint_every_steps: updates between two checkpoints.
  """

  seed: int
  answers: LessonSettings
  corrections: LessonSettings
  habit: LessonSettings
  copy_fraction: float
  check_every_steps: int
  checkpoint_every_steps: int

  def __post_init__(self):
    check_fraction(self, "copy_fraction")
    check_positive(self, "check_every_steps", "checkpoint_every_steps")


@dataclasses.dataclass(frozen=True)
class PhaseSettings:
  """One phase of reinforcement learning.

  Attributes:
    steps: number of updates; 0 leaves the phase out.
    objective: name and coefficients, see `objectives.make_objective`.
    optimizer: Adam, which starts afresh in every phase.
  """

  steps: int
  objective: Mapping[str, Any]
  optimizer: OptimizerSettings

  def __post_init__(self):
    check_not_negative(self, "steps")


@dataclasses.dataclass(frozen=True)
class TrainSettings:
  """What both phases share.

  Attributes:
    kl_estimator: one of KL_ESTIMATORS.
    token_reduction: one of TOKEN_REDUCTIONS.
    num_microbatches: pieces that the rows of a step are cut into.
    logprob_chunk_tokens: positions whose logits are alive at once.
    remat: what the backward pass computes again, one of REMAT_POLICIES.
    moment_dtype: type of Adam's first moment, one of DTYPES.
    reference: where the reference policy waits, one of REFERENCE_PLACES.
    lora_rank: rank of adapters that phases of reinforcement learning train
      beside the reference policy, see `models.lora`; None to train all
      parameters. Supervised phases train all of them always.
    lora_alpha: adapters are scaled by lora_alpha / lora_rank; without a
      meaning where lora_rank is None.
    shared_prefix: whether an update computes the prompt of a problem once, and
      not in each of its K rows. The numbers are the same; it is for one device
      and attention "xla".
  """

  kl_estimator: str
  token_reduction: str
  num_microbatches: int
  logprob_chunk_tokens: int
  remat: str
  moment_dtype: str
  reference: str
  lora_rank: int | None
  lora_alpha: float
  shared_prefix: bool

  def __post_init__(self):
    check_positive(
        self, "num_microbatches", "logprob_chunk_tokens", "lora_alpha"
    )
    if self.lora_rank is not None:
      check_positive(self, "lora_rank")
    check_choice(self, "remat", REMAT_POLICIES)
    check_choice(self, "moment_dtype", DTYPES)
    check_choice(self, "reference", REFERENCE_PLACES)
    check_choice(self, "kl_estimator", KL_ESTIMATORS)
    check_choice(self, "token_reduction", TOKEN_REDUCTIONS)
    if self.lora_rank is not None and self.reference == "host":
      raise ValueError(
          "reference is 'host' with lora_rank"
          f" {self.lora_rank}: adapters are trained beside the reference"
          " policy, which every update reads; give reference 'device'"
      )

  @property
  def lora_scale(self) -> float | None:
    """Factor of the adapters' products; None where there are none."""
    return self.lora_rank and self.lora_alpha / self.lora_rank


@dataclasses.dataclass(frozen=True)
class EvaluationSettings:
  """Greedy evaluations: on validation problems while training, then on test.

  Attributes:
    batch_size: problems that are sampled at once.
    every_steps: updates between two evaluations on validation problems.
    validation_problems: number of validation problems.
  """

  batch_size: int
  every_steps: int
  validation_problems: int

  def __post_init__(self):
    check_positive(self, "batch_size", "every_steps", "validation_problems")


@dataclasses.dataclass(frozen=True)
class OutputSettings:
  """What is written while training, and how often.

  Attributes:
    checkpoint_every_steps: updates between two checkpoints.
    rollouts_every_steps: updates between two files of conversations.
    rollouts_rows: conversations of such a file.
  """

  checkpoint_every_steps: int
  rollouts_every_steps: int
  rollouts_rows: int

  def __post_init__(self):
    check_positive(self, *(f.name for f in dataclasses.fields(self)))


@dataclasses.dataclass(frozen=True)
class RunSettings:
  """A whole run.

  Attributes:
    seed: seeds model initialisation, data order and sampling.
    model: the pretrained base model; None to make a tiny one.
    tiny_model: how to make it; None where model is given.
    warmup: how a pretrained model is prepared for the task before it is the
      base model; None to take it as it is.
    mesh: devices along each axis; None for the default device alone.
    attention: kernels for prompts and for whole rows, one of ATTENTIONS.
    task: name of the task and its arguments, see `tasks.make.make_task`.
    rollout: shape of a step's conversations.
    stage1: Stage I, the first phase.
    stage2: Stage II, the second phase.
    train: what both phases share.
    evaluation: size and frequency of evaluations.
    output: what is written while training, and how often.
  """

  seed: int
  model: ModelSettings | None
  tiny_model: TinyModelSettings | None
  warmup: WarmupSettings | None
  mesh: MeshSettings | None
  attention: str
  task: Mapping[str, Any]
  rollout: RolloutSettings
  stage1: PhaseSettings
  stage2: PhaseSettings
  train: TrainSettings
  evaluation: EvaluationSettings
  output: OutputSettings

  def __post_init__(self):
    if not 0 <= self.seed < 2**32:
      raise ValueError(f"seed is {self.seed}, expected 0 to 2**32 - 1")
    check_choice(self, "attention", ATTENTIONS)
    if (self.model is None) == (self.tiny_model is None):
      found = "neither" if self.model is None else "both"
      raise ValueError(
          "give either model (a pretrained one) or tiny_model (one to make),"
          f" and None for the other; found {found}"
      )
    if self.warmup is not None and self.model is None:
      raise ValueError(
          "warmup prepares a pretrained model and tiny_model makes its own"
          " lessons: set warmup to None, or give a model"
      )
    if self.warmup is not None:
      self._check_lessons(self.warmup)
    rows = self.rollout.rows
    if rows % self.train.num_microbatches:
      raise ValueError(
          f"rollout.problems_per_step x samples_per_problem is {rows} rows,"
          " which train.num_microbatches"
          f" {self.train.num_microbatches} does not divide"
      )
    if self.train.shared_prefix:
      self._check_shared_prefix()

  def _check_shared_prefix(self) -> None:
    advice = "set train.shared_prefix to False"
    if self.mesh is not None:
      raise ValueError(
          "train.shared_prefix is True and mesh is given, whose devices divide"
          f" the rows and not their prompts: {advice}, or mesh to None"
      )
    if self.attention != "xla":
      raise ValueError(
          f"train.shared_prefix is True and attention is {self.attention!r},"
          f' whose kernels see one row alone: {advice}, or attention to "xla"'
      )
    problems = self.rollout.problems_per_step
    pieces = self.train.num_microbatches
    if problems % pieces:
      raise ValueError(
          "train.shared_prefix is True and rollout.problems_per_step"
          f" {problems} is not divisible by train.num_microbatches {pieces},"
          f" pieces of whole problems: {advice}, or change one of the two"
      )

  def _check_lessons(self, warmup: WarmupSettings) -> None:
    for name in ("answers", "corrections", "habit"):
      size = vars(warmup)[name].batch_size
      if size % self.train.num_microbatches:
        raise ValueError(
            f"warmup.{name}.batch_size is {size}, which train.num_microbatches"
            f" {self.train.num_microbatches} does not divide"
        )
