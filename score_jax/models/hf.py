"""Models from and to Hugging Face directories: one table of tensor names.

A directory holds config.json and model.safetensors, or several shards with
model.safetensors.index.json. Weights are read as they are, never unpickled.
"""

from collections.abc import Callable
import json
import os
from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from score_jax import files
from score_jax.models import config as model_config
from score_jax.models.config import ModelConfig
from score_jax.models.transformer import Params

_INDEX = "model.safetensors.index.json"
_SINGLE = "model.safetensors"


class _Tensor(NamedTuple):
  """How a tensor of the checkpoint becomes a parameter, and back."""

  name: str  # our parameter
  hf_shape: tuple[int, ...]
  load: Callable[[np.ndarray], np.ndarray]
  save: Callable[[np.ndarray], np.ndarray]


def _same(array: np.ndarray) -> np.ndarray:
  return array


def _transposed(array: np.ndarray) -> np.ndarray:
  return array.T


def _top_tensors(c: ModelConfig) -> dict[str, _Tensor]:
  table = (c.vocab_size, c.d_model)
  tensors = {
      "model.embed_tokens.weight": _Tensor("embedding", table, _same, _same),
      "model.norm.weight": _Tensor("final_norm", (c.d_model,), _same, _same),
  }
  if not c.is_tied:
    tensors["lm_head.weight"] = _Tensor("head", table, _transposed, _transposed)
  return tensors


def _layer_tensors(c: ModelConfig) -> dict[str, _Tensor]:
  """Tensors of one layer, by their name behind `model.layers.<i>.`."""
  d, f = c.d_model, c.d_ff

  def heads(name: str, num_heads: int) -> _Tensor:
    width = num_heads * c.head_dim
    return _Tensor(
        name,
        (width, d),
        lambda a: a.T.reshape(d, num_heads, c.head_dim),
        lambda a: a.reshape(d, width).T,
    )

  width = c.num_heads * c.head_dim
  return {
      "input_layernorm.weight": _Tensor("attention_norm", (d,), _same, _same),
      "self_attn.q_proj.weight": heads("query", c.num_heads),
      "self_attn.k_proj.weight": heads("key", c.num_kv_heads),
      "self_attn.v_proj.weight": heads("value", c.num_kv_heads),
      "self_attn.o_proj.weight": _Tensor(
          "output",
          (d, width),
          lambda a: a.T.reshape(c.num_heads, c.head_dim, d),
          lambda a: a.reshape(width, d).T,
      ),
      "post_attention_layernorm.weight": _Tensor(
          "mlp_norm", (d,), _same, _same
      ),
      "mlp.gate_proj.weight": _Tensor("gate", (f, d), _transposed, _transposed),
      "mlp.up_proj.weight": _Tensor("up", (f, d), _transposed, _transposed),
      "mlp.down_proj.weight": _Tensor("down", (d, f), _transposed, _transposed),
  }


def load(
    path: str | os.PathLike, dtype: jnp.dtype = jnp.float32
) -> tuple[ModelConfig, Params]:
  """Loads a model from a Hugging Face directory.

  Args:
    path: directory with config.json and safetensors files.
    dtype: of the parameters, whatever the files hold.

  Raises:
    ValueError: no directory, an unsupported configuration, or tensors that are
      missing, unknown or of another shape (all of them are listed).
  """
  config = load_config(path)
  found = _open_tensors(os.fspath(path))
  _check_tensors(config, found, os.fspath(path))
  _check_second_head(config, found, os.fspath(path))

  def read(name: str, tensor: _Tensor) -> np.ndarray:
    return tensor.load(found[name].get_tensor(name)).astype(dtype)

  params: dict[str, Any] = {
      t.name: jnp.asarray(read(name, t))
      for name, t in _top_tensors(config).items()
  }
  params["layers"] = {
      t.name: jnp.asarray(
          np.stack(
              [
                  read(f"model.layers.{i}.{name}", t)
                  for i in range(config.num_layers)
              ]
          )
      )
      for name, t in _layer_tensors(config).items()
  }
  return config, params


def load_config(path: str | os.PathLike) -> ModelConfig:
  """Reads config.json of a Hugging Face directory."""
  file = os.path.join(path, "config.json")
  if not os.path.isdir(path):
    raise ValueError(
        f"checkpoint directory {os.fspath(path)!r} does not exist; expected a"
        " directory with config.json, *.safetensors and tokenizer files"
    )
  if not os.path.isfile(file):
    raise ValueError(f"{file} does not exist: not a Hugging Face directory")
  return model_config.from_hf(_read_object(file), file)


def _read_object(file: str) -> dict[str, Any]:
  """Reads a file that holds a JSON object."""
  try:
    content = files.read_json(file)
  except (json.JSONDecodeError, UnicodeDecodeError) as error:
    raise ValueError(f"{file} is not valid JSON: {error}") from error
  if not isinstance(content, dict):
    raise ValueError(f"{file} holds a {type(content).__name__}, no JSON object")
  return content


def save(
    path: str | os.PathLike,
    config: ModelConfig,
    params: Params,
    tokenizer: Any = None,
) -> None:
  """Writes a model as a Hugging Face directory, all of it or nothing.

  Args:
    path: directory to make; must not exist.
    config: the model's configuration.
    params: its parameters; their dtype is kept.
    tokenizer: a transformers tokenizer to save beside the weights.

  Raises:
    ValueError: path exists already.
  """
  with files.atomic_directory(path) as temporary:
    tensors = _hf_tensors(config, jax.device_get(params))
    weights = os.path.join(temporary, _SINGLE)
    safetensors.numpy.save_file(tensors, weights, metadata={"format": "pt"})
    os.chmod(weights, 0o644)  # safetensors makes it for the owner alone
    content = model_config.to_hf(config)
    content["dtype"] = str(next(iter(tensors.values())).dtype)
    if tokenizer is not None:
      tokenizer.save_pretrained(temporary)
      content |= {
          "bos_token_id": tokenizer.bos_token_id,
          "eos_token_id": tokenizer.eos_token_id,
          "pad_token_id": tokenizer.pad_token_id,
      }
    files.write_json(os.path.join(temporary, "config.json"), content)


def _hf_tensors(config: ModelConfig, params: Params) -> dict[str, np.ndarray]:
  tensors = {
      name: np.ascontiguousarray(t.save(params[t.name]))
      for name, t in _top_tensors(config).items()
  }
  for name, t in _layer_tensors(config).items():
    stacked = params["layers"][t.name]
    for i in range(config.num_layers):
      tensors[f"model.layers.{i}.{name}"] = np.ascontiguousarray(
          t.save(stacked[i])
      )
  return tensors


def _open_tensors(path: str) -> dict[str, Any]:
  """Tensor name -> the open safetensors file that holds it."""
  index = os.path.join(path, _INDEX)
  if os.path.isfile(index):
    weight_map = _read_object(index).get("weight_map")
    if not isinstance(weight_map, dict):
      raise ValueError(f"{index} has no weight_map of tensors to files")
    shards = sorted(set(weight_map.values()))
  else:
    shards = [_SINGLE]
  found = {}
  for shard in shards:
    file = os.path.join(path, shard)
    if not os.path.isfile(file):
      raise ValueError(f"{file} does not exist; only safetensors are loaded")
    try:
      opened = safetensors.safe_open(file, framework="np")
    except safetensors.SafetensorError as error:
      raise ValueError(f"{file} is not a safetensors file: {error}") from error
    found |= dict.fromkeys(opened.keys(), opened)
  return found


def _check_second_head(
    config: ModelConfig, found: dict[str, Any], path: str
) -> None:
  """A tied head that is written a second time must be the embedding."""
  if not config.is_tied or "lm_head.weight" not in found:
    return
  head, embedding = (
      found[name].get_tensor(name)
      for name in ("lm_head.weight", "model.embed_tokens.weight")
  )
  if not np.array_equal(head, embedding):
    raise ValueError(
        f"{path}: tie_word_embeddings is set, but lm_head.weight is not"
        " model.embed_tokens.weight"
    )


def _check_tensors(
    config: ModelConfig, found: dict[str, Any], path: str
) -> None:
  expected = {name: t.hf_shape for name, t in _top_tensors(config).items()}
  for name, t in _layer_tensors(config).items():
    for i in range(config.num_layers):
      expected[f"model.layers.{i}.{name}"] = t.hf_shape
  # Some exporters write the tied head a second time.
  ignored = {"lm_head.weight"} if config.is_tied else set()
  problems = [f"missing {name}" for name in expected.keys() - found.keys()]
  problems += [
      f"unknown {name}" for name in found.keys() - expected.keys() - ignored
  ]
  for name in expected.keys() & found.keys():
    shape = tuple(found[name].get_slice(name).get_shape())
    if shape != expected[name]:
      problems.append(f"{name} is {shape}, expected {expected[name]}")
  if problems:
    raise ValueError(
        f"{path} does not hold the model of its config.json: "
        + "; ".join(sorted(problems))
    )
