"""The context of a run: what it opens once and does not change.

Scoring, optimizer, specs and collectors are assembled here and nowhere else.
Training, planning, compilation ahead of the run, evaluation and measuring all
call these functions.
"""

from collections.abc import Sequence
import dataclasses
import functools
import os
import pathlib

import jax
import jax.numpy as jnp
import optax

from score_jax.models import hf
from score_jax.models import placement as placement_lib
from score_jax.models.config import ModelConfig
from score_jax.models.placement import Placement
from score_jax.models.transformer import Execution
from score_jax.models.transformer import Params
from score_jax.rollouts import problems as problems_lib
from score_jax.rollouts import spec as spec_lib
from score_jax.rollouts.problems import RunProblems
from score_jax.rollouts.rollout import Collector
from score_jax.rollouts.spec import ConversationSpec
from score_jax.settings import OptimizerSettings
from score_jax.settings import RunSettings
from score_jax.settings import TrainSettings
from score_jax.tasks.task import Task
from score_jax.text import tokenization
from score_jax.text.tokenization import ConversationTokenizer
from score_jax.training import adapt
from score_jax.training import optim
from score_jax.training.phases import Phase
from score_jax.training.scoring import TOKEN_REDUCTIONS
from score_jax.training.scoring import Scoring

# Streams of random numbers of a run, folded into its seed.
_TRAINING, _EVALUATION, TINY_BASE, _WARMUP, _ADAPTERS = range(5)


def run_key(settings: RunSettings, stream: int) -> jax.Array:
  """The key of one of a run's streams of random numbers."""
  return jax.random.fold_in(jax.random.key(settings.seed), stream)


def execution(settings: RunSettings) -> Execution:
  """How a run computes its models on whole rows."""
  train = settings.train
  return Execution(
      dtype=placement_lib.compute_dtype(settings),
      remat=train.remat,
      attention=settings.attention,
      logprob_chunk=train.logprob_chunk_tokens,
  )


def scoring(
    settings: RunSettings, model: ModelConfig, num_attempts: int
) -> Scoring:
  """How a run scores conversations of `num_attempts` attempts."""
  return Scoring(
      model=model,
      num_attempts=num_attempts,
      temperature=settings.rollout.temperature,
      reduce=TOKEN_REDUCTIONS[settings.train.token_reduction],
      execution=execution(settings),
  )


def optimizer(
    settings: OptimizerSettings, train: TrainSettings
) -> optax.GradientTransformation:
  """The optimizer of a phase."""
  return optim.make_optimizer(
      **dataclasses.asdict(settings),
      moment_dtype=jnp.dtype(train.moment_dtype),
  )


@dataclasses.dataclass(frozen=True)
class BaseModel:
  """The model that a run starts from.

  Attributes:
    directory: the model's Hugging Face directory. It need not exist yet where
      the run makes the model.
    source: the directory that configuration and tokenizer are read from: where
      there is a warm-up, the pretrained model's.
    config: the model's configuration.
    tokenizer: the model's tokenizer.
  """

  directory: pathlib.Path
  source: pathlib.Path
  config: ModelConfig
  tokenizer: ConversationTokenizer


def read_base(settings: RunSettings, path: str | os.PathLike) -> BaseModel:
  """Reads the configuration and the tokenizer of a Hugging Face directory.

  Raises:
    ValueError: the directory holds no model that can be read, or a tokenizer
      with ids that the model's embedding does not have.
  """
  config = hf.load_config(path)
  options = (
      {} if settings.model is None else settings.model.chat_template_options
  )
  tokenizer = tokenization.load(path, options)
  tokenizer = tokenization.check_vocabulary(tokenizer, config.vocab_size, path)
  directory = pathlib.Path(path)
  return BaseModel(directory, directory, config, tokenizer)


@dataclasses.dataclass(frozen=True)
class RunContext:
  """What does not change over a run.

  Attributes:
    settings: the run's settings.
    base: the model that the run starts from.
    placement: where parameters and batches lie.
    task: gives prompts and grades.
    problems: the task's problems by split.
  """

  settings: RunSettings
  base: BaseModel
  placement: Placement
  task: Task
  problems: RunProblems

  @classmethod
  def open(
      cls,
      settings: RunSettings,
      task: Task,
      base: BaseModel,
      splits: Sequence[str],
  ) -> "RunContext":
    """Opens everything of a run but the parameters.

    Args:
      settings: the run's settings.
      task: problems, prompts and grades.
      base: the model that the run starts from.
      splits: the splits of the task that the run reads.

    Raises:
      ValueError: model, task, settings and devices do not go together.
    """
    placement_lib.check_processes(settings.mesh)
    placement = placement_lib.make_placement(
        base.config, settings.mesh, placement_lib.compute_dtype(settings)
    )
    placement_lib.check_evaluation(settings, placement)
    problems = problems_lib.select_problems(
        task,
        splits,
        base.tokenizer,
        max_prompt_tokens=settings.rollout.max_prompt_tokens,
        long_prompts=settings.rollout.long_prompts,
    )
    context = cls(settings, base, placement, task, problems)
    context.check_positions(context.spec)
    return context

  @functools.cached_property
  def spec(self) -> ConversationSpec:
    """Shape of training conversations, before a phase adapts it."""
    ids = spec_lib.token_ids(self.base.tokenizer, self.task.correction_prompt)
    return spec_lib.conversation_spec(
        self.settings, ids, self.placement.column_multiple
    )

  def check_positions(self, spec: ConversationSpec) -> None:
    """Refuses conversations that may be longer than the model was made for.

    Raises:
      ValueError: the longest conversation has more tokens than the model has
        positions.
    """
    limit = self.base.config.position_limit
    if spec.max_tokens > limit:
      raise ValueError(
          f"a conversation may have {spec.max_tokens} tokens, the model was"
          f" made for {limit}: lower rollout.max_prompt_tokens, max_new_tokens"
          " or num_attempts"
      )

  def training_collector(self, phase: Phase) -> Collector:
    """The collector of the conversations that a phase trains on."""
    return self._collector(
        phase.conversations(self.spec),
        self.settings.rollout.problems_per_batch,
        _TRAINING,
    )

  def greedy_collector(self, num_attempts: int) -> Collector:
    """The collector of the greedy conversations that a run evaluates."""
    return self._collector(
        self.spec.greedy(num_attempts),
        self.settings.evaluation.batch_size,
        _EVALUATION,
    )

  def lesson_collector(self, num_problems: int, samples: int) -> Collector:
    """The collector of first attempts that a warm-up reads.

    Its key is a function of the warm-up's seed, not of the run's.
    """
    settings = self.settings
    key = jax.random.key(settings.warmup.seed)
    collector = self._collector(
        self.spec.sampled(samples, 1, settings.rollout.temperature),
        num_problems,
        _WARMUP,
    )
    return dataclasses.replace(collector, key=jax.random.fold_in(key, _WARMUP))

  def _collector(
      self, spec: ConversationSpec, problems_per_batch: int, stream: int
  ) -> Collector:
    return Collector(
        config=self.base.config,
        tokenizer=self.base.tokenizer,
        task=self.task,
        spec=spec,
        problems_per_batch=problems_per_batch,
        key=run_key(self.settings, stream),
        placement=self.placement,
    )

  def scoring(self, num_attempts: int) -> Scoring:
    """How conversations of `num_attempts` attempts are scored."""
    return scoring(self.settings, self.base.config, num_attempts)

  @functools.cached_property
  def trained_shardings(self) -> Params | None:
    """Where what reinforcement learning trains lies; None without a mesh."""
    train, model = self.settings.train, self.base.config
    return adapt.trained_shardings(train, model, self.placement)

  def init_factors(self) -> Params:
    """Factors of adapters that change nothing yet."""
    key = run_key(self.settings, _ADAPTERS)
    train, model = self.settings.train, self.base.config
    return adapt.init_factors(key, train, model, self.placement)

  def load_start(self) -> Params:
    """The base model's parameters, as the first phase takes them."""
    if self.settings.train.lora_rank is None:
      return self.load_base()
    return self.load_frozen()

  def load_base(self) -> Params:
    """The base model's parameters, in the type that is trained."""
    return self._load(self.base.directory, jnp.dtype(optim.PARAM_DTYPE))

  def load_frozen(self) -> Params:
    """The base model's parameters, in the type that they are computed in.

    For what is not trained: half the memory where that is bfloat16.
    """
    dtype = placement_lib.compute_dtype(self.settings)
    return self._load(
        self.base.directory, dtype or jnp.dtype(optim.PARAM_DTYPE)
    )

  def load_pretrained(self) -> Params:
    """The parameters before the warm-up, in the type that is trained."""
    return self._load(self.base.source, jnp.dtype(optim.PARAM_DTYPE))

  def _load(self, directory: pathlib.Path, dtype: jnp.dtype) -> Params:
    _, params = hf.load(directory, dtype, self.placement.params)
    return params

  def frozen(self, params: Params) -> Params:
    """A copy of a policy that is not trained, for the base or the reference.

    It has the type that models are computed in, and lies where the settings
    let the reference policy wait. It never shares arrays with `params`, which
    training donates.
    """
    dtype = placement_lib.compute_dtype(self.settings)
    result = jax.tree.map(
        lambda a: a.astype(dtype) if dtype not in (None, a.dtype) else a.copy(),
        params,
    )
    if self.settings.train.reference == "host":
      result = placement_lib.to_memory(result, "pinned_host")
    return result

  def frozen_base(self, params: Params) -> Params:
    """The base model, frozen: what `load_start` gives, or a copy of it.

    Adapters leave it as it is; training all parameters donates it.
    """
    if self.settings.train.lora_rank is None:
      return self.frozen(params)
    return params

  def on_device(self, params: Params) -> Params:
    """A frozen policy, moved to the devices where it waits on the host."""
    if self.settings.train.reference == "host":
      return placement_lib.to_memory(params, "device")
    return params
