"""What the conversion has to know of one family of models in GGUF files.

`llama.py` and `gemma.py` each hold one `FAMILY`. This module reads and writes
no file.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
import dataclasses
from typing import Any

import numpy as np
import tokenizers

# The key-value fields of a GGUF file, decoded.
Metadata = Mapping[str, Any]
Config = Mapping[str, Any]

# Values of GGUF's tokenizer.ggml.token_type.
NORMAL = 1  # merged from smaller pieces
CONTROL = 3  # special tokens, never written in text
USER_DEFINED = 4  # found in text before anything is merged


@dataclasses.dataclass(frozen=True)
class Family:
  """How models of one architecture are converted.

  Attributes:
    model_config: makes config.json of the metadata, in the layout of
      transformers 4, which transformers 5 reads too.
    top_tensors: Hugging Face names of tensors outside of layers, by GGUF name.
    layer_tensors: Hugging Face names of tensors within a layer, by GGUF name,
      both without their prefixes `model.layers.N.` and `blk.N.`.
    hf_weight: makes the weight that Hugging Face keeps of a GGUF name (without
      `blk.N.`), the dequantised weight and config.json.
    tokenizer: makes tokenizer.json of the metadata.
    tokenizer_config: makes tokenizer_config.json of the metadata.
    special_tokens: content of special_tokens_map.json.
  """

  model_config: Callable[[Metadata], dict[str, Any]]
  top_tensors: Mapping[str, str]
  layer_tensors: Mapping[str, str]
  hf_weight: Callable[[str, np.ndarray, Config], np.ndarray]
  tokenizer: Callable[[Metadata], tokenizers.Tokenizer]
  tokenizer_config: Callable[[Metadata], dict[str, Any]]
  special_tokens: Mapping[str, str]

  def hf_name(self, gguf_name: str) -> str:
    """The Hugging Face name of a tensor, given its GGUF name."""
    if gguf_name in self.top_tensors:
      return self.top_tensors[gguf_name]
    block, _, rest = gguf_name.partition(".")
    layer, _, tail = rest.partition(".")
    known = block == "blk" and layer.isdecimal() and tail in self.layer_tensors
    if not known:
      raise ValueError(
          f"The GGUF file has a tensor {gguf_name!r}, expected one of"
          f" {sorted(self.top_tensors)} or blk.N.x with x in"
          f" {sorted(self.layer_tensors)}. Only files with tied embeddings can"
          " be converted."
      )
    return f"model.layers.{layer}.{self.layer_tensors[tail]}"

  def hf_names(self, num_layers: int) -> Iterator[str]:
    """Hugging Face names of all tensors of a model."""
    yield from self.top_tensors.values()
    for layer in range(num_layers):
      for name in self.layer_tensors.values():
        yield f"model.layers.{layer}.{name}"


def check_architecture(metadata: Metadata, expected: str) -> None:
  """Raises ValueError for the file of another family."""
  found = metadata["general.architecture"]
  if found != expected:
    raise ValueError(
        f"The GGUF file holds a {found!r} model, expected {expected!r}. Convert"
        " it with the family of its architecture."
    )


def shortest_float(value: float) -> float:
  """1e-5 for the float32 that a GGUF file can only hold as 9.99999974e-06."""
  return float(str(np.float32(value)))
