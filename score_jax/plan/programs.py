"""The programs of a training step, with abstract arguments.

A run jits the same programs, from the same functions and settings. In place of
arrays they are given shapes, types and shardings.
"""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jax.sharding import NamedSharding

from score_jax.devices import sharding
from score_jax.models import decoding
from score_jax.models import hf
from score_jax.models import placement
from score_jax.models.config import ModelConfig
from score_jax.models.lora import Policy
from score_jax.models.placement import Placement
from score_jax.plan.compiled import Program
from score_jax.plan.compiled import compile_program
from score_jax.plan.memory import Residents
from score_jax.plan.memory import bytes_per_chip
from score_jax.rollouts import sampler
from score_jax.rollouts import spec as spec_lib
from score_jax.rollouts.sampler import Occasion
from score_jax.rollouts.sampler import Prompts
from score_jax.rollouts.spec import ConversationSpec
from score_jax.rollouts.spec import TokenIds
from score_jax.settings import RunSettings
from score_jax.training import adapt
from score_jax.training import context
from score_jax.training import optim
from score_jax.training import phases as phases_lib
from score_jax.training import reinforce
from score_jax.training import train
from score_jax.training.phases import RlPhase
from score_jax.training.scoring import KL_ESTIMATORS
from score_jax.training.scoring import KlEstimator
from score_jax.types import TrainBatch

# The correction turns of the prompts that are shipped have 60 to 90 tokens; a
# plan has no tokenizer. Rows are padded to a multiple of 128 tokens anyway.
TURN_TOKENS = 96


@dataclasses.dataclass(frozen=True)
class Job:
  """The run whose programs are compiled.

  Attributes:
    settings: the run's settings.
    model: its architecture.
    placement: the meshes, and where each parameter lies.
    ids: the tokenizer's ids; a plan has no tokenizer and makes them up.
  """

  settings: RunSettings
  model: ModelConfig
  placement: Placement
  ids: TokenIds

  @property
  def compute_dtype(self) -> jnp.dtype:
    """Type that models are computed in."""
    return placement.compute_dtype(self.settings)

  @property
  def spec(self) -> ConversationSpec:
    """Shape of training conversations, before a phase adapts it."""
    multiple = self.placement.column_multiple
    return spec_lib.conversation_spec(self.settings, self.ids, multiple)

  @property
  def last_phase(self) -> RlPhase:
    """The phase that a plan is made for: Stage II."""
    return phases_lib.score(self.settings)[-1]

  @property
  def conversations(self) -> ConversationSpec:
    """Shape of the conversations of the last phase."""
    return self.last_phase.conversations(self.spec)

  @property
  def rows_at_once(self) -> int:
    """Conversations that are sampled together."""
    rollout = self.settings.rollout
    return rollout.problems_per_batch * rollout.samples_per_problem

  @property
  def rows_per_microbatch(self) -> int:
    """Rows of a step that an update takes at once."""
    return self.settings.rollout.rows // self.settings.train.num_microbatches

  @property
  def estimator(self) -> KlEstimator:
    """The KL estimator of the run."""
    return KL_ESTIMATORS[self.settings.train.kl_estimator]

  @property
  def trained_shardings(self) -> Any:
    """NamedSharding of everything that an update changes."""
    train_settings = self.settings.train
    return adapt.trained_shardings(train_settings, self.model, self.placement)

  @property
  def reference_readers(self) -> tuple[str, ...]:
    """Names of the programs that read the reference policy."""
    if self.settings.train.lora_rank is not None:
      readers = ("reshard", "update")
    else:
      readers = () if self.estimator.needs_ref_logprobs else ("update",)
    scores = ("reference",) if self.estimator.needs_ref_logprobs else ()
    return readers + scores


def make_job(
    settings: RunSettings, model: ModelConfig, devices: Sequence[Any]
) -> Job:
  """Makes a job of settings, checked against a model and chips.

  Raises:
    ValueError: settings, model and chips do not go together; the message says
      what to change.
  """
  if settings.model is None or settings.mesh is None:
    raise ValueError(
        "a plan is for a pretrained model on a mesh: give config.model and"
        " config.mesh, which are None for runs on one device"
    )
  place = placement.make_placement(
      model, settings.mesh, placement.compute_dtype(settings), devices
  )
  placement.check_rows(settings, place)
  ids = TokenIds(eos_id=0, stop_ids=(0,), pad_id=0, turn_ids=(0,) * TURN_TOKENS)
  return Job(settings, model, place, ids)


# Advice looks at the same model many times.
_shapes = functools.lru_cache(maxsize=2)(hf.parameter_shapes)


@functools.lru_cache(maxsize=2)
def _copy_shapes(model: ModelConfig) -> Any:
  return jax.eval_shape(
      lambda params: decoding.layout(params, model), _shapes(model)
  )


def _placed(shapes: Any, shardings: Any, dtype: Any = None) -> Any:
  """Shapes with shardings, of another type where one is given."""
  return jax.tree.map(
      lambda s, place: jax.ShapeDtypeStruct(
          s.shape, dtype or s.dtype, sharding=place
      ),
      shapes,
      shardings,
  )


def _array(
    mesh: Mesh, shape: tuple[int, ...], dtype: Any, *logical: str | None
) -> jax.ShapeDtypeStruct:
  """An array of logical axes; those that are not given are whole."""
  logical += (None,) * (len(shape) - len(logical))
  place = NamedSharding(mesh, sharding.spec(shape, logical, mesh))
  return jax.ShapeDtypeStruct(shape, dtype, sharding=place)


def parameters(job: Job, dtype: str | jnp.dtype) -> Any:
  """Shapes of the parameters, in the layout of training."""
  return _placed(_shapes(job.model), job.placement.params, jnp.dtype(dtype))


def trained(job: Job) -> Any:
  """Shapes of what an update changes: all parameters, or adapters."""
  rank = job.settings.train.lora_rank
  if rank is None:
    return parameters(job, optim.PARAM_DTYPE)
  return _placed(adapt.factor_shapes(job.model, rank), job.trained_shardings)


def policy(job: Job) -> Policy:
  """Shapes of the policy, in the layout of training."""
  reference = parameters(job, job.compute_dtype)
  return adapt.policy(job.settings.train, trained(job), reference)


def train_state(job: Job, phase: RlPhase) -> train.TrainState:
  """Shapes of a phase's training state: what is trained, and its moments."""
  optimizer = context.optimizer(phase.optimizer, job.settings.train)
  shapes = jax.eval_shape(
      lambda params: train.init_train_state(params, optimizer), trained(job)
  )
  return _placed(
      shapes, train.state_shardings(optimizer, job.trained_shardings)
  )


def batch(job: Job, phase: RlPhase) -> TrainBatch:
  """Shapes of the batch that a phase's update reads."""
  spec, rows = phase.conversations(job.spec), job.settings.rollout.rows
  length = spec.row_tokens

  def array(dtype, *shape):
    return _array(job.placement.mesh, (rows, *shape), dtype, "rows")

  has_scores = job.estimator.needs_ref_logprobs
  return TrainBatch(
      tokens=array(jnp.int32, length),
      mask=array(bool, length),
      attempt_ids=array(jnp.int32, length),
      advantages=array(jnp.float32, spec.num_attempts),
      ref_logprobs=array(jnp.float32, length - 1) if has_scores else None,
      targets=array(jnp.int32, length),
  )


def sampler_copy(job: Job) -> Any:
  """Shapes of the sampler's copy of the parameters."""
  shapes = _copy_shapes(job.model)
  places = sharding.tree_shardings(
      job.placement.sampler_mesh,
      shapes,
      decoding.logical_axes(job.model),
  )
  return _placed(shapes, places, job.compute_dtype)


def residents(job: Job) -> Residents:
  """Bytes per chip of what lies there between programs; nothing is compiled."""
  state, model = train_state(job, job.last_phase), job.model
  shape = (
      # Evaluations sample one row of each of their problems.
      max(job.rows_at_once, job.settings.evaluation.batch_size),
      model.num_kv_heads,
      job.conversations.row_tokens,
      model.head_dim,
  )
  mesh = job.placement.sampler_mesh
  keys = _array(mesh, shape, job.compute_dtype, "rows", "kv_heads")
  params = bytes_per_chip(state.params)
  return Residents(
      bytes={
          "parameters": params,
          "moments": bytes_per_chip(state.opt_state),
          "reference": bytes_per_chip(parameters(job, job.compute_dtype)),
          "sampler copy": bytes_per_chip(sampler_copy(job)),
          "cache": 2 * model.num_layers * bytes_per_chip(keys),
          "gradients": params,
      },
      is_reference_on_host=job.settings.train.reference == "host",
      reference_readers=job.reference_readers,
  )


# Called with each program as soon as it is compiled.
OnProgram = Callable[[Program], None]


class RefusedError(Exception):
  """The compiler refused a program, which `on_program` was told of."""


def compile_programs(job: Job, on_program: OnProgram) -> None:
  """Compiles the programs of a step one by one, the sampler's first.

  It stops after a program that the compiler refuses.

  Args:
    job: the run.
    on_program: called with each program.
  """
  try:
    sampling_programs(job, on_program)
    if job.estimator.needs_ref_logprobs:
      on_program(reference_program(job, job.last_phase))
    on_program(update_program(job, job.last_phase))
  except RefusedError:
    pass


def sampling_programs(job: Job, on_program: OnProgram) -> None:
  """Compiles the sampler's programs of training, at the longest prompts.

  Raises:
    RefusedError: after a program that the compiler refuses.
  """
  rollout = job.settings.rollout
  prompts = (rollout.problems_per_batch, rollout.max_prompt_tokens)
  conversation_programs(job, job.conversations, prompts, on_program)


def conversation_programs(
    job: Job,
    spec: ConversationSpec,
    prompts: tuple[int, int],
    on_program: OnProgram,
    problems: int | None = None,
) -> None:
  """Compiles each program that `sampler.sample_messages` runs, once.

  Arguments that a run hands over from the host have no sharding here either.

  Args:
    job: the run, for its model and meshes.
    spec: shape of the conversations.
    prompts: rows and columns of the prompts.
    on_program: called with each program.
    problems: number of problems that the prompts belong to; None for one
      problem per prompt.

  Raises:
    RefusedError: after a program that the compiler refuses.
  """
  mesh, array = job.placement.sampler_mesh, jax.ShapeDtypeStruct
  outputs: dict[Any, Any] = {}

  def compiled(name, program, *args, ambient=mesh):
    key = (name, *jax.tree.leaves(args))
    if key not in outputs:
      result = compile_program(name, program, args, ambient)
      on_program(result)
      if result.refusal:
        raise RefusedError
      outputs[key] = result.outputs
    return outputs[key]

  def run(name, program, *args):
    if name == "keys":  # too small to be told of, but decoding takes its layout
      return compile_program(name, program, args, mesh).outputs
    return compiled(name, program, *args)

  copy = compiled("reshard", job.placement.copy, policy(job), ambient=None)
  sampler.sample_messages(
      copy,
      job.model,
      Prompts(
          tokens=array(prompts, jnp.int32),
          mask=array(prompts, bool),
          problem_ids=array((problems or prompts[0],), jnp.int32),
      ),
      [array(turn.shape, turn.dtype) for turn in spec.turns],
      Occasion(jax.eval_shape(lambda: jax.random.key(0)), 0),
      spec,
      run,
  )


def reference_program(job: Job, phase: RlPhase) -> Program:
  """Compiles the program that scores rows under a phase's reference policy."""
  rows = batch(job, phase)
  scoring = context.scoring(job.settings, job.model, phase.num_attempts)
  return compile_program(
      "reference",
      reinforce.make_ref_logprobs(scoring, job.settings.train.num_microbatches),
      (
          parameters(job, job.compute_dtype),
          rows.tokens,
          rows.mask,
          rows.targets,
      ),
      job.placement.mesh,
  )


def update_program(job: Job, phase: RlPhase) -> Program:
  """Compiles the update of a phase."""
  settings = job.settings
  scoring = context.scoring(settings, job.model, phase.num_attempts)
  update = train.make_train_step(
      reinforce.make_loss_fn(settings.train, phase.objective, scoring),
      context.optimizer(phase.optimizer, settings.train),
      num_microbatches=settings.train.num_microbatches,
      param_shardings=job.trained_shardings,
  )
  reference = None
  if "update" in job.reference_readers:
    reference = parameters(job, job.compute_dtype)
  args = (train_state(job, phase), reference, batch(job, phase))
  return compile_program("update", update, args, job.placement.mesh)
