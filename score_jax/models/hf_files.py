"""Finds and opens the files of a Hugging Face directory.

Only JSON and safetensors are read: nothing is unpickled and no code is run.
"""

from collections.abc import Iterator
import contextlib
import os
import re
from typing import Any

import huggingface_hub
import safetensors

from score_jax.output import files

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
# Files that are downloaded from the hub: neither pickles nor the weights of
# other frameworks.
_WANTED = ("*.json", "model*.safetensors", "*.jinja", "*.model", "*.txt")
# What PEFT writes: weights that stand for nothing without a base model.
ADAPTER_CONFIG = "adapter_config.json"
_ADAPTER = re.compile(r"adapter_(config\.json|model.*\.(safetensors|bin))")
# Where the hub's library puts a model: .../snapshots/<commit>.
_COMMIT = re.compile(r"[0-9a-f]{40}")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")

_SHARD = re.compile(r"model-\d+-of-\d+\.safetensors")
_VARIANT = re.compile(r"model\.\w+\.safetensors")
_BROKEN_LINKS = (
    "It is a link to a file that is not there, as in a snapshot of the hub's"
    " cache that was copied without its blobs: copy what the links point to as"
    " well, as `cp -rL` does"
)


def resolve(path: str | os.PathLike, revision: str | None = None) -> str:
  """A local directory, downloaded first if `path` is a hub id.

  Args:
    path: directory, or "organisation/name" of a model on the Hugging Face hub.
    revision: commit, tag or branch of a model on the hub; None for its newest
      commit.

  Raises:
    ValueError: `path` is neither a directory nor a hub id, a directory is given
      with a revision, or the model cannot be downloaded (no network, no such
      model or revision, no access).
  """
  path = os.fspath(path)
  if os.path.isdir(path):
    if revision is not None:
      raise ValueError(
          f"{path!r} is a directory, which has no revision {revision!r}: leave"
          " the revision out (None), or give the id of a model on the hub"
      )
    return path
  if os.path.exists(path):
    raise ValueError(f"{path!r} is a file, expected a Hugging Face directory")
  if not _HUB_ID.fullmatch(path):
    raise ValueError(
        f"checkpoint directory {path!r} does not exist; expected a directory"
        " with config.json, *.safetensors and tokenizer files, or the id of a"
        " model on the Hugging Face hub such as google/gemma-2-2b-it"
    )
  try:
    return huggingface_hub.snapshot_download(
        path, revision=revision, allow_patterns=_WANTED
    )
  # Any failure counts: no network, no access, no such model, a connection that
  # breaks. Their classes change with the hub's HTTP library.
  except Exception as error:
    raise ValueError(
        f"{path!r}{_at(revision)} is no directory here and cannot be had from"
        f" the Hugging Face hub ({type(error).__name__}:"
        f" {_first_line(error)}). Without a"
        " network, copy the model's files into a directory and give its path;"
        " for a gated model, accept its licence on the hub and run `hf auth"
        " login`."
    ) from error


def commit(directory: str | os.PathLike) -> str | None:
  """The commit of a download from the hub; None for other directories."""
  directory = os.path.abspath(directory)
  parent, name = os.path.split(directory)
  is_snapshot = os.path.basename(parent) == "snapshots"
  return name if is_snapshot and _COMMIT.fullmatch(name) else None


def _at(revision: str | None) -> str:
  return "" if revision is None else f" at revision {revision!r}"


def read_object(file: str) -> dict[str, Any]:
  """Reads a file that holds a JSON object.

  Raises:
    ValueError: there is no such file, or it holds no JSON object; the message
      says what was found instead.
  """
  if not os.path.isfile(file):
    raise ValueError(
        f"{file} does not exist: not a Hugging Face directory"
        f"{_instead_of(file)}"
    )
  return files.read_object(file)


def _instead_of(file: str) -> str:
  """Where a file that does not exist may be, as the end of a sentence."""
  if os.path.islink(file):
    return f". {_BROKEN_LINKS}"
  directory, name = os.path.split(file)
  if not os.path.isdir(directory):
    return ""
  inside = [n for n in os.listdir(directory) if _has(directory, f"{n}/{name}")]
  return f"; give one of the folders in it: {sorted(inside)}" if inside else ""


def refuse_adapter(directory: str) -> None:
  """Refuses a directory with a PEFT adapter, alone or beside full weights.

  transformers loads an adapter that lies beside a model; without it the model
  would be another one.

  Raises:
    ValueError: there is an adapter; the message says how to merge it.
  """
  found = sorted(n for n in os.listdir(directory) if _ADAPTER.fullmatch(n))
  if not found:
    return
  beside = [n for n in (SINGLE, INDEX, "config.json") if _has(directory, n)]
  where = "is a PEFT adapter and no model"
  if beside:
    where = f"has a PEFT adapter beside {', '.join(beside)}"
  raise ValueError(
      f"{directory} {where} ({', '.join(found)}{_base_model(directory)}), and"
      " adapters are not loaded. Merge it, in Python:\n"
      f"  adapter = {directory!r}\n"
      "  model = peft.AutoPeftModelForCausalLM.from_pretrained(adapter)\n"
      '  model.merge_and_unload().save_pretrained("merged")\n'
      "and copy the tokenizer's files to merged. If full weights beside it"
      f" hold the adapter already, remove {' and '.join(found)}."
  )


def _base_model(directory: str) -> str:
  """The model that an adapter was trained on, to follow its file names."""
  if not _has(directory, ADAPTER_CONFIG):
    return ""
  content = read_object(os.path.join(directory, ADAPTER_CONFIG))
  return f", of {content.get('base_model_name_or_path')!r}"


def _has(directory: str, name: str) -> bool:
  return os.path.isfile(os.path.join(directory, name))


def weight_files(directory: str) -> list[str]:
  """Paths of the safetensors files of a directory.

  If model.safetensors is there, it alone counts, as in transformers; otherwise
  the files that the index lists.

  Raises:
    ValueError: there are no safetensors, the index is broken, or files that it
      lists are missing.
  """
  index = os.path.join(directory, INDEX)
  single = os.path.join(directory, SINGLE)
  if os.path.isfile(single):
    return [single]
  if not os.path.isfile(index):
    raise ValueError(_no_weights(directory))
  weight_map = read_object(index).get("weight_map")
  if not isinstance(weight_map, dict) or not weight_map:
    raise ValueError(f"{index} has no weight_map of tensors to files")
  paths = {_inside(directory, name, index) for name in weight_map.values()}
  absent = [os.path.basename(p) for p in paths if not os.path.isfile(p)]
  if absent:
    raise ValueError(
        f"{index} names files that do not exist: {', '.join(sorted(absent))};"
        " copy the directory again"
    )
  return sorted(paths)


@contextlib.contextmanager
def opened(file: str) -> Iterator[Any]:
  """A safetensors file, memory-mapped until the end of the block.

  Raises:
    ValueError: it is not a whole safetensors file; the message says what it
      looks like.
  """
  try:
    handle = safetensors.safe_open(file, framework="np")
  except (safetensors.SafetensorError, OSError) as error:
    raise ValueError(
        f"{file} ({os.path.getsize(file)} bytes) is not a safetensors"
        f" file{files.diagnosis(file)}: {error}"
    ) from error
  with handle as tensors:
    yield tensors


def _inside(directory: str, name: str, index: str) -> str:
  """Path of a shard, which must lie in the directory itself."""
  if not isinstance(name, str) or os.path.basename(name) != name:
    raise ValueError(f"{index} names the file {name!r}, expected a plain name")
  return os.path.join(directory, name)


def _no_weights(directory: str) -> str:
  found = sorted(os.listdir(directory))
  pickles = [n for n in found if n.endswith((".bin", ".pt", ".pth"))]
  if pickles:
    return (
        f"{directory} holds pickled weights only ({', '.join(pickles)}), which"
        " are never loaded: a pickle can run any code. Convert them to"
        " safetensors where you trust them (`save_pretrained` of transformers"
        " writes it)."
    )
  if any(os.path.islink(os.path.join(directory, n)) for n in (SINGLE, INDEX)):
    return f"{os.path.join(directory, SINGLE)} cannot be read. {_BROKEN_LINKS}"
  return (
      f"{os.path.join(directory, SINGLE)} does not exist, nor does {INDEX};"
      f" found {found[:20]}; only safetensors are loaded{_other_weights(found)}"
  )


def _other_weights(names: list[str]) -> str:
  """What to do with weights in a layout that is not Hugging Face's."""
  if any(name.startswith("consolidated") for name in names):
    return (
        ". consolidated files are in their makers' own layout: take those that"
        " are named model*.safetensors, or convert them with transformers"
    )
  if any(_SHARD.fullmatch(name) for name in names):
    return f". The shards' index {INDEX} is missing: copy it as well"
  if any(_VARIANT.fullmatch(name) for name in names):
    return (
        ". model.VARIANT.safetensors is not taken for the model: rename it to"
        f" {SINGLE} in a copy of the directory"
    )
  if any(name.endswith(".gguf") for name in names):
    return (
        ". A .gguf file is for llama.cpp, mostly quantised: take the checkpoint"
        " that it was made from"
    )
  return ""


def _first_line(error: Exception) -> str:
  return str(error).strip().split("\n")[0]
