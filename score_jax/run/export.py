"""Exports a run's checkpoint as a Hugging Face directory."""

import functools
import os
import pathlib

import jax
import jax.numpy as jnp

from score_jax import settings as settings_lib
from score_jax.models import hf
from score_jax.models import hf_files
from score_jax.models.config import ModelConfig
from score_jax.models.transformer import Params
from score_jax.output import files
from score_jax.output import workdir as workdir_lib
from score_jax.output.workdir import Workdir
from score_jax.settings import RunSettings
from score_jax.text import export as text_export
from score_jax.training import checkpoint
from score_jax.training import context as context_lib
from score_jax.training import optim
from score_jax.training import phases
from score_jax.training.checkpoint import Checkpointer


def export_run(
    path: str | os.PathLike,
    output: str | os.PathLike,
    *,
    phase: str | None = None,
    dtype: str | None = None,
) -> tuple[str, int]:
  """Writes the newest checkpoint of a run as a Hugging Face directory.

  Tokenizer files and generation config are those of the base model, with the
  chat template, the options and the stop ids that were trained with.

  Args:
    path: run directory; the run may still go on.
    output: directory to make; must not exist.
    phase: name of the phase whose checkpoint is written; None for the last
      phase that has one.
    dtype: type of the weights; None for the type of the run's parameters.

  Returns:
    Name of the phase and step of the checkpoint.

  Raises:
    ValueError: path holds no run, the run has no checkpoint yet, or output
      exists already.
  """
  workdir, settings = _open_run(path)
  names = [p.name for p in phases.score(settings)] if phase is None else [phase]
  found = checkpoint.newest({n: workdir.checkpoints(n) for n in names})
  if found is None:
    raise ValueError(
        f"{os.fspath(path)!r} holds no checkpoint of {' or '.join(names)} yet"
    )
  base = context_lib.read_base(settings, _base(workdir, settings))
  like = _abstract(base.config, jnp.dtype(optim.PARAM_DTYPE))
  with Checkpointer(workdir.checkpoints(found[0])) as checkpointer:
    params = checkpointer.restore_params(like)
  hf.save(
      output,
      base.config,
      params,
      dtype=dtype and jnp.dtype(dtype),
      like=base.directory,
      write_format=functools.partial(text_export.write_format, base.tokenizer),
  )
  return found


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


def _abstract(config: ModelConfig, dtype: jnp.dtype) -> Params:
  """Shapes of the parameters on this host's first device."""
  device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
  return jax.tree.map(
      lambda s: jax.ShapeDtypeStruct(s.shape, dtype, sharding=device),
      hf.parameter_shapes(config),
  )
