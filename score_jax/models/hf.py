"""Loads models from Hugging Face directories and saves them as such.

A directory holds config.json and model.safetensors, or several shards with
model.safetensors.index.json. Weights are read as they are, never unpickled.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import functools
import os
import shutil
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy

from score_jax.devices import distributed
from score_jax.models import hf_config
from score_jax.models import hf_files
from score_jax.models import hf_tensors as tensors_lib
from score_jax.models import lora
from score_jax.models import transformer
from score_jax.models.config import ModelConfig
from score_jax.models.hf_tensors import Parts
from score_jax.models.hf_tensors import Tensor
from score_jax.models.lora import Policy
from score_jax.models.transformer import Params
from score_jax.output import files

_MAX_SHARD_BYTES = 5 * 10**9
_COMPARED_ROWS = 4096
_FLOATS = ("BF16", "F16", "F32", "F64")
# Files of a checkpoint beside its weights and its config.json.
_COMPANIONS = (
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "generation_config.json",
    "merges.txt",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
)
# Folder of chat templates beside the default one, such as that for tools.
_TEMPLATES = "additional_chat_templates"
_TOKEN_IDS = ("bos_token_id", "eos_token_id", "pad_token_id")


def load(
    path: str | os.PathLike,
    dtype: jnp.dtype = jnp.float32,
    shardings: Params | None = None,
) -> tuple[ModelConfig, Params]:
  """Loads a model from a Hugging Face directory or from the hub.

  Every tensor goes straight to its place on the devices. The host holds one
  tensor at a time, as it is read and as it is handed over.

  Args:
    path: directory with config.json and safetensors files, or a hub id.
    dtype: dtype of the parameters, whatever the files hold.
    shardings: tree of jax.sharding.Sharding, one for each parameter; the
      leading axis of a stack of layers must not be divided. None for the
      default device.

  Returns:
    The model's configuration and its parameters.

  Raises:
    ValueError: there is no model, its configuration is not supported, or
      tensors are missing, unknown or of another shape (all of them are listed).
  """
  directory = hf_files.resolve(path)
  config = load_config(directory)
  table = tensors_lib.table(config)
  weight_files = hf_files.weight_files(directory)
  _check_tensors(config, table, weight_files, directory)
  params = _allocate_stacks(config, dtype, shardings)
  for file in weight_files:
    for name, array in _tensors_of(file):
      if name in table:
        for tensor, rows in tensors_lib.split(array, table[name]):
          _place(params, tensor, rows, dtype, shardings)
  return config, params


def load_config(path: str | os.PathLike) -> ModelConfig:
  """Reads config.json of a Hugging Face directory or hub id.

  Raises:
    ValueError: there is no model, its configuration is not supported, or there
      is an adapter.
  """
  directory = hf_files.resolve(path)
  hf_files.refuse_adapter(directory)
  file = os.path.join(directory, "config.json")
  return hf_config.from_hf(hf_files.read_object(file), file)


def parameter_shapes(config: ModelConfig) -> Params:
  """Shapes of all parameters, float32; nothing is allocated."""
  init = functools.partial(transformer.init_params, config=config)
  return jax.eval_shape(init, jax.random.key(0))


def save(
    path: str | os.PathLike,
    config: ModelConfig,
    policy: Policy,
    *,
    dtype: jnp.dtype | None = None,
    tokenizer: Any = None,
    like: str | os.PathLike | None = None,
    write_format: Callable[[str], None] | None = None,
    max_shard_bytes: int = _MAX_SHARD_BYTES,
) -> None:
  """Writes a model as a Hugging Face directory, all of it or nothing.

  Adapters are merged into their matrices. The host holds one shard at a time.
  If there are several processes, all of them call this, and process 0 writes.

  Args:
    path: directory to make; must not exist.
    config: the model's configuration.
    policy: the model's parameters, or those of an adapted one.
    dtype: dtype to write them in; None for the dtype that they have.
    tokenizer: a transformers tokenizer to save beside the weights. If it was
      loaded from a directory, give that directory as `like` instead.
    like: Hugging Face directory or hub id whose tokenizer files, generation
      config and special tokens are copied, byte for byte.
    write_format: called with the directory once these files are in it, to write
      the format that the model was trained in, see `text.export`.
    max_shard_bytes: largest size of a file, unless a single tensor is larger.

  Raises:
    ValueError: path exists already.
  """
  params = lora.params_of(policy)
  dtype = jnp.dtype(dtype or params["embedding"].dtype)
  if not distributed.is_main():
    for parts in tensors_lib.table(config).values():
      _fetch(params, parts, dtype)  # takes part in what process 0 fetches
    distributed.barrier("saved")
    return
  source = None if like is None else hf_files.resolve(like)
  ids = {} if source is None else _token_ids(source)
  with files.atomic_directory(path) as directory:
    _write_weights(directory, config, params, dtype, max_shard_bytes)
    content = hf_config.to_hf(config) | {"torch_dtype": dtype.name}
    if tokenizer is not None:
      tokenizer.save_pretrained(directory)
      ids = {name: getattr(tokenizer, name) for name in _TOKEN_IDS}
      files.write_json(os.path.join(directory, "generation_config.json"), ids)
    if source is not None:
      copy_companions(source, directory)
    if write_format is not None:
      write_format(directory)
    content |= ids
    files.write_json(os.path.join(directory, "config.json"), content)
  distributed.barrier("saved")


def _tensors_of(file: str) -> Iterator[tuple[str, np.ndarray]]:
  """The language model's tensors of a file, one in memory at a time."""
  with hf_files.opened(file) as opened:
    for raw_name in sorted(opened.keys()):
      name = tensors_lib.text_name(raw_name)
      if name is not None:
        yield name, opened.get_tensor(raw_name)


def _allocate_stacks(
    config: ModelConfig, dtype: jnp.dtype, shardings: Params | None
) -> Params:
  """Zeros on the devices for the stacks of layers, which `_place` fills."""
  shapes = parameter_shapes(config)["layers"]
  places = None if shardings is None else shardings["layers"]
  for sharding in jax.tree.leaves(places):
    _without_layer_axis(sharding)  # refuses now what could not be filled

  @functools.partial(jax.jit, out_shardings=places)
  def zeros():
    return jax.tree.map(lambda s: jnp.zeros(s.shape, dtype), shapes)

  return {"layers": zeros()}


def _place(
    params: Params,
    tensor: Tensor,
    array: np.ndarray,
    dtype: jnp.dtype,
    shardings: Params | None,
) -> None:
  """Puts a tensor into `params`; the layer of a stack is replaced in place."""
  sharding = shardings and tensors_lib.parameter_of(shardings, tensor)
  view = tensor.load(array)
  if tensor.layer is None:
    params[tensor.parameter] = _on_devices(view, dtype, sharding)
  else:
    layer = _on_devices(view, dtype, _without_layer_axis(sharding))
    stacks = params["layers"]
    stacks[tensor.parameter] = _layer_setter(sharding)(
        stacks[tensor.parameter], layer, tensor.layer
    )
  # Otherwise the host would run ahead and hold tensors that wait for a device.
  jax.block_until_ready(tensors_lib.parameter_of(params, tensor))


def _on_devices(
    view: np.ndarray, dtype: jnp.dtype, sharding: jax.sharding.Sharding | None
) -> jax.Array:
  """A host array on the devices; each of them receives its part alone."""
  if sharding is None:
    # Not committed to its device: a program that is first called with such
    # arrays and then with its own results is compiled once, not twice.
    return jax.device_put(np.ascontiguousarray(view, dtype))
  return jax.make_array_from_callback(
      view.shape,
      sharding,
      lambda index: np.ascontiguousarray(view[index], dtype),
  )


@functools.cache
def _layer_setter(
    sharding: jax.sharding.Sharding | None,
) -> Callable[..., jax.Array]:
  """(stack, layer, index) -> the stack with one layer replaced, in place."""

  def set_layer(stack, layer, index):
    return jax.lax.dynamic_update_index_in_dim(stack, layer, index, axis=0)

  return jax.jit(set_layer, donate_argnums=0, out_shardings=sharding)


def _without_layer_axis(
    sharding: jax.sharding.Sharding | None,
) -> jax.sharding.Sharding | None:
  """The sharding of one layer of a stack."""
  if not isinstance(sharding, jax.sharding.NamedSharding):
    return sharding
  spec = tuple(sharding.spec)
  if spec and spec[0] is not None:
    raise ValueError(
        f"a stack of layers is divided along its first axis ({sharding.spec});"
        " only the axes behind it can be"
    )
  return jax.sharding.NamedSharding(
      sharding.mesh, jax.sharding.PartitionSpec(*spec[1:])
  )


def _check_tensors(
    config: ModelConfig,
    table: Mapping[str, Parts],
    weight_files: list[str],
    directory: str,
) -> None:
  """Raises ValueError listing all tensors that do not fit the model."""
  problems, found, unknown = [], set(), []
  for file in weight_files:
    with hf_files.opened(file) as opened:
      for raw_name in opened.keys():
        name = tensors_lib.text_name(raw_name)
        if name is None:
          continue
        shape = tuple(opened.get_slice(raw_name).get_shape())
        if name in found:
          problems.append(f"{raw_name} is there twice")
        elif name in table:
          expected = tensors_lib.shape(table[name])
          kind = opened.get_slice(raw_name).get_dtype()
          if shape != expected:
            problems.append(f"{raw_name} is {shape}, expected {expected}")
          if kind not in _FLOATS:  # quantised: its scales would be ignored
            problems.append(f"{raw_name} is of type {kind}")
        elif not (config.is_tied and name == "lm_head.weight"):
          unknown.append(raw_name)
        found.add(name)
  problems += [f"unknown {name}" for name in unknown]
  missing = [name for name in table if name not in found]
  problems += [f"missing {name}" for name in missing]
  if problems:
    hint = tensors_lib.hint(unknown, missing)
    raise ValueError(
        f"{directory} does not hold the {config.model_type} model of its"
        f" config.json{hint and f' ({hint})'}: " + "; ".join(sorted(problems))
    )
  if config.is_tied and "lm_head.weight" in found:
    _check_second_head(weight_files, directory)


def _check_second_head(weight_files: list[str], directory: str) -> None:
  """Raises ValueError for a tied head in the files that is no embedding."""
  with contextlib.ExitStack() as stack:
    slices = {}
    for file in weight_files:
      opened = stack.enter_context(hf_files.opened(file))
      for raw_name in opened.keys():
        slices[tensors_lib.text_name(raw_name)] = opened.get_slice(raw_name)
    head = slices["lm_head.weight"]
    embedding = slices["model.embed_tokens.weight"]
    num_rows = embedding.get_shape()[0]
    starts = range(0, num_rows, _COMPARED_ROWS)
    # Not beyond the last row, which safetensors refuses.
    parts = [slice(i, min(i + _COMPARED_ROWS, num_rows)) for i in starts]
    if head.get_shape() == embedding.get_shape() and all(
        np.array_equal(head[part], embedding[part]) for part in parts
    ):
      return
  raise ValueError(
      f"{directory}: tie_word_embeddings is set, but lm_head.weight is not"
      " model.embed_tokens.weight; set tie_word_embeddings to false if the"
      " model has a head of its own"
  )


def _write_weights(
    directory: str,
    config: ModelConfig,
    params: Params,
    dtype: jnp.dtype,
    max_shard_bytes: int,
) -> None:
  """Writes one file, or several with their index."""
  table = tensors_lib.table(config)
  shards = _shards(table, dtype.itemsize, max_shard_bytes)
  weight_map = {}
  for number, names in enumerate(shards, start=1):
    file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
    file = hf_files.SINGLE if len(shards) == 1 else file
    content = {name: _fetch(params, table[name], dtype) for name in names}
    target = os.path.join(directory, file)
    safetensors.numpy.save_file(content, target, metadata={"format": "pt"})
    os.chmod(target, 0o644)  # safetensors makes it for the owner alone
    weight_map |= dict.fromkeys(names, file)
  if len(shards) > 1:
    total = sum(_bytes(parts, dtype.itemsize) for parts in table.values())
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    files.write_json(os.path.join(directory, hf_files.INDEX), index)


def _shards(
    table: Mapping[str, Parts], itemsize: int, max_shard_bytes: int
) -> list[list[str]]:
  """Names of tensors by file, in order, each file as full as it may be."""
  shards, size = [[]], 0
  for name, parts in table.items():
    tensor_bytes = _bytes(parts, itemsize)
    if shards[-1] and size + tensor_bytes > max_shard_bytes:
      shards.append([])
      size = 0
    shards[-1].append(name)
    size += tensor_bytes
  return shards


def _bytes(parts: Parts, itemsize: int) -> int:
  return int(np.prod(tensors_lib.shape(parts), dtype=np.int64)) * itemsize


def _fetch(params: Params, parts: Parts, dtype: jnp.dtype) -> np.ndarray:
  """A checkpoint's tensor, on the host."""
  rows = [_fetch_part(params, part, dtype) for part in parts]
  return rows[0] if len(rows) == 1 else np.concatenate(rows)


def _fetch_part(params: Params, tensor: Tensor, dtype: jnp.dtype) -> np.ndarray:
  """A parameter in the checkpoint's layout, on the host."""
  name = tensor.parameter
  if tensor.layer is None:
    array = params[name]
  else:
    stacks = lora.matrix_and_factors(params["layers"], name)
    array = _merged_layer(stacks, tensor.layer)[name]
  host = np.asarray(distributed.to_host(array)).astype(dtype, copy=False)
  return np.ascontiguousarray(tensor.save(host))


@jax.jit
def _merged_layer(stacks: Params, layer: jax.Array) -> Params:
  """Parameters of one layer of stacks, without factors."""
  one = functools.partial(
      jax.lax.dynamic_index_in_dim, index=layer, keepdims=False
  )
  return lora.merge(jax.tree.map(one, stacks))


def copy_companions(source: str, directory: str) -> None:
  """Copies tokenizer files and generation config, byte for byte."""
  for name in _COMPANIONS:
    file = os.path.join(source, name)
    if os.path.isfile(file):
      shutil.copyfile(file, os.path.join(directory, name))
  templates = os.path.join(source, _TEMPLATES)
  if os.path.isdir(templates):
    shutil.copytree(templates, os.path.join(directory, _TEMPLATES))


def _token_ids(source: str) -> dict[str, Any]:
  """Ids of special tokens that a checkpoint's config.json names."""
  content = hf_files.read_object(os.path.join(source, "config.json"))
  content = (content.get("text_config") or {}) | content
  return {name: content[name] for name in _TOKEN_IDS if name in content}
