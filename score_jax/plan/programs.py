"""The programs of a training step, with abstract arguments.

They are those that a run jits, from the same functions and settings; in place
of arrays there are shapes, types and where they would lie.
"""

from collections.abc import Iterator
from collections.abc import Sequence
import dataclasses
import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jax.sharding import NamedSharding

from score_jax.devices import sharding
from score_jax.models import decoding
from score_jax.models import hf
from score_jax.models import placement
from score_jax.models import transformer
from score_jax.models.config import ModelConfig
from score_jax.models.placement import Placement
from score_jax.models.transformer import Execution
from score_jax.plan.compiled import Program
from score_jax.plan.compiled import compile_program
from score_jax.plan.memory import Residents
from score_jax.plan.memory import bytes_per_chip
from score_jax.rollouts import sampler
from score_jax.rollouts.rollout import ConversationSpec
from score_jax.settings import RunSettings
from score_jax.training import objective
from score_jax.training import optim
from score_jax.training import phases
from score_jax.training import reinforce
from score_jax.training import train
from score_jax.types import TrainBatch

# The correction turns of the prompts that are shipped have 60 to 90 tokens; a
# plan has no tokenizer. Rows are padded to a multiple of 128 tokens anyway.
TURN_TOKENS = 96


@dataclasses.dataclass(frozen=True)
class Job:
  """What is planned.

  Attributes:
    settings: of the run.
    model: its architecture.
    placement: the meshes, and where each parameter lies.
    conversations: of training.
  """

  settings: RunSettings
  model: ModelConfig
  placement: Placement
  conversations: ConversationSpec

  @property
  def compute_dtype(self) -> jnp.dtype:
    return placement.compute_dtype(self.settings)

  @property
  def rows(self) -> int:
    """Conversations of a step."""
    rollout = self.settings.rollout
    return rollout.problems_per_step * rollout.samples_per_problem

  @property
  def rows_at_once(self) -> int:
    """Conversations that are sampled together."""
    rollout = self.settings.rollout
    return rollout.problems_per_batch * rollout.samples_per_problem

  @property
  def rows_per_microbatch(self) -> int:
    return self.rows // self.settings.train.num_microbatches

  @property
  def estimator(self) -> objective.KlEstimator:
    return objective.KL_ESTIMATORS[self.settings.train.kl_estimator]

  @property
  def scoring(self) -> objective.Scoring:
    """As `stage.Stage` scores rows."""
    settings = self.settings
    return objective.Scoring(
        model=self.model,
        num_attempts=settings.rollout.num_attempts,
        temperature=settings.rollout.temperature,
        chunk=settings.train.logprob_chunk_tokens,
        reduce=objective.TOKEN_REDUCTIONS[settings.train.token_reduction],
        execution=Execution(
            self.compute_dtype, settings.train.remat, settings.train.attention
        ),
    )


def make_job(
    settings: RunSettings, model: ModelConfig, devices: Sequence[Any]
) -> Job:
  """Checks settings against a model and chips.

  Raises:
    ValueError: they do not go together, with what to change.
  """
  if settings.model is None or settings.mesh is None:
    raise ValueError(
        "a plan is for a pretrained model on a mesh: give config.model and"
        " config.mesh, which are None for runs on one device"
    )
  mesh = sharding.make_mesh(settings.mesh.shape, devices)
  sampler_mesh = sharding.sampler_mesh(mesh, settings.mesh.sampler_tensor)
  for each in (mesh, sampler_mesh):
    placement.check_mesh(model, each.shape["tensor"])
  params = sharding.tree_shardings(
      mesh, _shapes(model), transformer.logical_axes(model)
  )
  dtype = placement.compute_dtype(settings)
  copy = decoding.make_copy(model, dtype, sampler_mesh)
  place = Placement(mesh, sampler_mesh, params, copy)
  placement.check_rows(settings, place)
  return Job(settings, model, place, _conversations(settings, place))


def _conversations(settings: RunSettings, place: Placement) -> ConversationSpec:
  """The shape of the run's conversations; no token id is a real one."""
  rollout = settings.rollout
  return ConversationSpec(
      num_attempts=rollout.num_attempts,
      samples_per_problem=rollout.samples_per_problem,
      max_prompt_tokens=rollout.max_prompt_tokens,
      num_prompt_buckets=rollout.num_prompt_buckets,
      sampling=sampler.SamplingSpec(
          max_new_tokens=rollout.max_new_tokens,
          temperature=rollout.temperature,
          eos_id=0,
          stop_ids=(0,),
          pad_id=0,
          check_every=rollout.done_check_steps,
          attention=settings.train.attention,
          column_multiple=place.column_multiple,
      ),
      turn_ids=(0,) * TURN_TOKENS,
  )


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
  """Parameters in the layout of training."""
  return _placed(_shapes(job.model), job.placement.params, jnp.dtype(dtype))


def _optimizer(job: Job) -> Any:
  return optim.make_optimizer(
      **dataclasses.asdict(job.settings.stage2.optimizer),
      moment_dtype=jnp.dtype(job.settings.train.moment_dtype),
  )


def train_state(job: Job) -> train.TrainState:
  """Parameters and moments."""
  optimizer = _optimizer(job)

  def init(params):
    step = jnp.zeros((), jnp.int32)
    return train.TrainState(params, optimizer.init(params), step)

  params = parameters(job, placement.param_dtype(job.settings))
  places = train.state_shardings(optimizer, job.placement.params)
  return _placed(jax.eval_shape(init, params), places)


def batch(job: Job) -> TrainBatch:
  """What an update reads."""
  spec = job.conversations
  length = spec.row_tokens

  def array(dtype, *shape):
    return _array(job.placement.mesh, (job.rows, *shape), dtype, "rows")

  has_scores = job.estimator.needs_ref_logprobs
  return TrainBatch(
      tokens=array(jnp.int32, length),
      mask=array(bool, length),
      attempt_ids=array(jnp.int32, length),
      advantages=array(jnp.float32, spec.num_attempts),
      ref_logprobs=array(jnp.float32, length - 1) if has_scores else None,
  )


def sampler_copy(job: Job) -> Any:
  """The sampler's copy of the parameters."""
  shapes = _copy_shapes(job.model)
  places = sharding.tree_shardings(
      job.placement.sampler_mesh,
      shapes,
      decoding.logical_axes(job.model),
  )
  return _placed(shapes, places, job.compute_dtype)


def residents(job: Job) -> Residents:
  """What lies on the chips between programs; nothing is compiled."""
  state, model = train_state(job), job.model
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
      reads_reference=(
          "reference" if job.estimator.needs_ref_logprobs else "update"
      ),
  )


def compile_programs(job: Job) -> Iterator[Program]:
  """Compiles the programs of a step, one by one; those of sampling first.

  Ends after a program that the compiler refuses.
  """

  def updating():
    if job.estimator.needs_ref_logprobs:
      yield reference_program(job)
    yield update_program(job, phases.stage2(job.settings).objective)

  for program in itertools.chain(sampling_programs(job), updating()):
    yield program
    if program.refusal:
      return


def sampling_programs(job: Job) -> Iterator[Program]:
  """Those of training, at the longest prompts."""
  rollout = job.settings.rollout
  return conversation_programs(
      job,
      job.conversations,
      rollout.problems_per_batch,
      rollout.max_prompt_tokens,
  )


def conversation_programs(
    job: Job,
    spec: ConversationSpec,
    problems: int,
    prompt_tokens: int,
) -> Iterator[Program]:
  """Programs of sampler.py; each takes what an earlier one has made.

  What a run hands over from the host has no layout of its own here either.

  Args:
    job: whose model and meshes.
    spec: of the conversations.
    problems: sampled at once.
    prompt_tokens: that their prompts are padded to.
  """
  mesh, samples = job.placement.sampler_mesh, spec.samples_per_problem
  array = jax.ShapeDtypeStruct
  reshard = compile_program(
      "reshard",
      job.placement.copy,
      (parameters(job, placement.param_dtype(job.settings)),),
      None,
  )
  yield reshard
  prompts = (problems, prompt_tokens)
  prefill = compile_program(
      "prefill",
      sampler._start,
      (
          reshard.outputs,
          job.model,
          array(prompts, jnp.int32),
          array(prompts, bool),
          samples,
          sampler.cache_columns(
              prompt_tokens,
              len(spec.turn_ids),
              spec.num_attempts,
              spec.sampling,
          ),
          spec.sampling.attention,
      ),
      mesh,
  )
  yield prefill
  keys = jax.eval_shape(
      lambda ids: sampler.row_keys(jax.random.key(0), 0, ids, samples, 1),
      array((problems,), jnp.int32),
  )
  decode = compile_program(
      "decode",
      sampler._decode,
      (reshard.outputs, job.model, prefill.outputs, keys, spec.sampling),
      mesh,
  )
  yield decode
  state, attempt = decode.outputs
  yield compile_program(
      "turn",
      sampler._turn,
      (
          reshard.outputs,
          job.model,
          state,
          array((len(spec.turn_ids),), jnp.int32),
          attempt,
          spec.sampling.eos_id,
      ),
      mesh,
  )


def reference_program(job: Job) -> Program:
  """Scores of the reference policy."""
  return compile_program(
      "reference",
      jax.jit(
          functools.partial(
              reinforce._logprobs,
              job.scoring,
              job.settings.train.num_microbatches,
          )
      ),
      (
          parameters(job, job.compute_dtype),
          batch(job).replace(ref_logprobs=None),
      ),
      job.placement.mesh,
  )


def update_program(
    job: Job, stage: objective.Stage1 | objective.Stage2
) -> Program:
  """The update of a stage."""
  settings = job.settings
  update = train.make_train_step(
      objective.make_loss_fn(stage, job.estimator, job.scoring),
      _optimizer(job),
      num_microbatches=settings.train.num_microbatches,
      param_shardings=job.placement.params,
  )
  reference = None
  if not job.estimator.needs_ref_logprobs:
    reference = parameters(job, job.compute_dtype)
  args = (train_state(job), reference, batch(job))
  return compile_program("update", update, args, job.placement.mesh)
