"""Exports a run's checkpoint as a Hugging Face directory."""

import dataclasses
import functools
import os
import pathlib

import jax
import jax.numpy as jnp

from score_jax import settings as settings_lib
from score_jax.models import hf
from score_jax.models import hf_adapter
from score_jax.models import hf_files
from score_jax.models import placement
from score_jax.models.lora import Policy
from score_jax.models.transformer import Params
from score_jax.output import files
from score_jax.output import workdir as workdir_lib
from score_jax.output.workdir import Workdir
from score_jax.settings import RunSettings
from score_jax.text import export as text_export
from score_jax.training import adapt
from score_jax.training import checkpoint
from score_jax.training import context as context_lib
from score_jax.training import optim
from score_jax.training import phases
from score_jax.training.checkpoint import Checkpointer
from score_jax.training.context import BaseModel


def export_run(
    path: str | os.PathLike,
    output: str | os.PathLike,
    *,
    phase: str | None = None,
    dtype: str | None = None,
    is_adapter: bool = False,
) -> tuple[str, int]:
  """Writes the newest checkpoint of a run as a Hugging Face directory.

  Tokenizer files and generation config are those of the base model, with the
  chat template, the options and the stop ids that were trained with.

  Args:
    path: run directory; the run may still go on.
    output: directory to make; must not exist.
    phase: name of the phase whose checkpoint is written; None for the last
      phase that has one.
    dtype: type of the weights; None for float32, in which they are trained.
    is_adapter: whether the adapters that were trained are written alone, as a
      directory of peft, and not the model with the adapters in it.

  Returns:
    Name of the phase and step of the checkpoint.

  Raises:
    ValueError: path holds no run, the run has no checkpoint yet, output
      exists already, or adapters are asked for that cannot be written.
  """
  workdir, settings = _open_run(path)
  trained = [p.name for p in phases.score(settings)]
  names = trained if phase is None else [phase]
  found = checkpoint.newest({n: workdir.checkpoints(n) for n in names})
  if found is None:
    raise ValueError(
        f"{os.fspath(path)!r} holds no checkpoint of {' or '.join(names)} yet"
    )
  name, step = found
  base = context_lib.read_base(settings, _base(workdir, settings))
  has_adapters = settings.train.lora_rank is not None and name in trained
  if is_adapter and not has_adapters:
    raise ValueError(
        f"phase {name!r} trained all parameters (train.lora_rank is"
        f" {settings.train.lora_rank}): there are no adapters to write; export"
        " the model"
    )
  if settings.warmup is not None:  # what adapters are trained beside
    base = dataclasses.replace(base, directory=workdir.base)
  with Checkpointer(workdir.checkpoints(name)) as checkpointer:
    policy = _policy(checkpointer, settings, base, has_adapters)
  write_format = functools.partial(text_export.write_format, base.tokenizer)
  if is_adapter:
    commit = hf_files.commit(base.directory)
    hf_adapter.save(
        output,
        base.config,
        policy,
        like=base.source,
        base=settings.model.path if commit else os.path.abspath(base.directory),
        revision=commit,
        write_format=write_format,
    )
  else:
    hf.save(
        output,
        base.config,
        policy,
        dtype=jnp.dtype(dtype or optim.PARAM_DTYPE),
        like=base.source,
        write_format=write_format,
    )
  return name, step


def _policy(
    checkpointer: Checkpointer,
    settings: RunSettings,
    base: BaseModel,
    has_adapters: bool,
) -> Policy:
  """The policy of a phase's newest checkpoint, on this host's first device."""
  if not has_adapters:
    like = _abstract(hf.parameter_shapes(base.config))
    return checkpointer.restore_params(like)
  train = settings.train
  like = _abstract(adapt.factor_shapes(base.config, train.lora_rank))
  dtype = placement.compute_dtype(settings) or jnp.dtype(optim.PARAM_DTYPE)
  _, frozen = hf.load(base.directory, dtype)
  return adapt.policy(train, checkpointer.restore_params(like), frozen)


def _base(workdir: Workdir, settings: RunSettings) -> str | os.PathLike:
  """Directory of the model that a run started from, at the run's commit."""
  if settings.model is None:
    return workdir.base
  commit = files.read_json(workdir.manifest)["model"]["commit"]
  revision = commit or settings.model.revision
  return hf_files.resolve(settings.model.path, revision)


def _open_run(
    path: str | os.PathLike,
) -> tuple[Workdir, RunSettings]:
  file = pathlib.Path(path) / "config.json"
  if not file.is_file():
    raise ValueError(
        f"{os.fspath(path)!r} is no run directory: it has no config.json"
    )
  workdir_lib.check_version(pathlib.Path(path))
  content = files.read_json(file)
  settings = settings_lib.from_mapping(RunSettings, content)
  return Workdir(path, content), settings


def _abstract(shapes: Params) -> Params:
  """Shapes of what was trained, on this host's first device."""
  device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
  return jax.tree.map(
      lambda s: jax.ShapeDtypeStruct(
          s.shape, jnp.dtype(optim.PARAM_DTYPE), sharding=device
      ),
      shapes,
  )
