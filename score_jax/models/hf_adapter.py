"""Writes adapters as peft does: beside the model that they belong to.

A directory holds adapter_config.json and adapter_model.safetensors, and what a
model's directory has beside its weights.
"""

from collections.abc import Callable
from collections.abc import Iterator
import os

import numpy as np
import safetensors.numpy

from score_jax.models import hf
from score_jax.models import hf_files
from score_jax.models import hf_tensors
from score_jax.models import lora
from score_jax.models.config import ModelConfig
from score_jax.models.lora import Adapted
from score_jax.output import files

_WEIGHTS = "adapter_model.safetensors"
# peft's model, and the one with a head in it, around the decoder.
_PREFIX = "base_model.model."


def save(
    path: str | os.PathLike,
    config: ModelConfig,
    adapted: Adapted,
    *,
    like: str | os.PathLike,
    base: str,
    revision: str | None = None,
    write_format: Callable[[str], None] | None = None,
) -> None:
  """Writes adapters as a directory that peft loads, all of it or nothing.

  Args:
    path: directory to make; must not exist.
    config: the model's configuration.
    adapted: the policy whose factors are written, in float32.
    like: Hugging Face directory whose tokenizer files are copied.
    base: directory or hub id of the frozen model, for peft to find it.
    revision: its commit, tag or branch on the hub.
    write_format: called with the directory at the end, see `hf.save`.

  Raises:
    ValueError: path exists already, or files of the model's family have
      several matrices in one tensor.
  """
  modules = dict(_modules(config))
  rank = lora.rank_of(adapted.factors)
  content = {
      "peft_type": "LORA",
      "task_type": "CAUSAL_LM",
      "base_model_name_or_path": base,
      "revision": revision,
      "r": rank,
      "lora_alpha": adapted.scale * rank,
      "lora_dropout": 0.0,
      "target_modules": sorted({m.split(".")[-1] for m in modules}),
      "bias": "none",
      "fan_in_fan_out": False,
      "inference_mode": True,
  }
  with files.atomic_directory(path) as directory:
    target = os.path.join(directory, _WEIGHTS)
    tensors = dict(_tensors(modules, adapted))
    safetensors.numpy.save_file(tensors, target, metadata={"format": "pt"})
    os.chmod(target, 0o644)  # safetensors makes it for the owner alone
    hf.copy_companions(hf_files.resolve(like), directory)
    if write_format is not None:
      write_format(directory)
    file = os.path.join(directory, hf_files.ADAPTER_CONFIG)
    files.write_json(file, content)


def _modules(config: ModelConfig) -> Iterator[tuple[str, hf_tensors.Tensor]]:
  """Names of the modules that have factors, and the matrix of each."""
  for name, parts in hf_tensors.table(config).items():
    if parts[0].layer is None or parts[0].parameter not in lora.MATRICES:
      continue
    if len(parts) > 1:
      raise ValueError(
          f"files of {config.model_type} have"
          f" {' and '.join(p.parameter for p in parts)} in one tensor, whose"
          " adapters cannot be written apart: export the merged model"
      )
    yield name.removesuffix(".weight"), parts[0]


def _tensors(
    modules: dict[str, hf_tensors.Tensor], adapted: Adapted
) -> Iterator[tuple[str, np.ndarray]]:
  """Tensors [rank, inputs] and [outputs, rank] by peft's names."""
  rank = lora.rank_of(adapted.factors)
  for module, tensor in modules.items():
    a, b = (
        np.asarray(factor[tensor.layer], np.float32)
        for factor in lora.factors_of(adapted.factors, tensor.parameter)
    )
    name = f"{_PREFIX}{module}"
    yield f"{name}.lora_A.weight", np.ascontiguousarray(a.reshape(-1, rank).T)
    yield f"{name}.lora_B.weight", np.ascontiguousarray(b.reshape(rank, -1).T)
