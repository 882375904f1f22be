"""What is read of a tokenizer's directory beside the tokenizer itself."""

from collections.abc import Mapping
import os
from typing import Any

from score_jax.output import files

_TOKENIZER = "tokenizer.json"
_CONFIG = "tokenizer_config.json"

# Vocabularies in other formats, from which transformers makes tokenizer.json.
_OTHER_FORMATS = (
    "tokenizer.model",
    "tekken.json",
    "vocab.json",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tiktoken.model",
)


def read(path: str, name: str) -> dict[str, Any]:
  """Content of a JSON file of a directory, empty where there is no such file.

  Raises:
    ValueError: the file holds no JSON object.
  """
  file = os.path.join(path, name)
  return files.read_object(file) if os.path.isfile(file) else {}


def read_config(path: str) -> dict[str, Any]:
  """Content of tokenizer_config.json, once the directory can be loaded.

  Raises:
    ValueError: there is no tokenizer.json, the tokenizer needs code of its own,
      or the list of chat templates is none.
  """
  content = read(path, _CONFIG)
  if "auto_map" in content:
    raise ValueError(
        f"{_CONFIG} of {path!r} has an auto_map: the tokenizer needs code from"
        " the checkpoint, which is never run; take a checkpoint whose"
        f" {_TOKENIZER} is all that it needs, and remove the auto_map"
    )
  if not os.path.isfile(os.path.join(path, _TOKENIZER)):
    raise ValueError(f"{path!r} holds no {_TOKENIZER}{_what_instead(path)}")
  _check_templates(path, content.get("chat_template"))
  return content


def stop_ids(path: str) -> tuple[int, ...]:
  """EOS of generation_config.json or, where that has none, of config.json.

  Raises:
    ValueError: what is named there is no token id.
  """
  config = read(path, "config.json")
  text_config = config.get("text_config")
  contents = {
      "generation_config.json": read(path, "generation_config.json"),
      "config.json": config,
      "text_config of config.json": (
          text_config if isinstance(text_config, Mapping) else {}
      ),
  }
  for name, content in contents.items():
    found = content.get("eos_token_id")
    ids = found if isinstance(found, list) else [found]
    if found is None or not ids:
      continue
    if not all(type(i) is int and i >= 0 for i in ids):
      raise ValueError(
          f"eos_token_id in {name} of {path!r} is {found!r}, expected a token"
          " id or a list of them"
      )
    return tuple(ids)
  return ()


def broken(path: str, error: Exception) -> ValueError:
  """The error to raise where transformers cannot load a tokenizer.

  Args:
    path: the tokenizer's directory.
    error: what transformers raised, mostly without the name of a file.
  """
  for name in (_TOKENIZER, "special_tokens_map.json", "added_tokens.json"):
    try:
      read(path, name)
    except ValueError as found:
      return found
  return ValueError(
      f"the tokenizer of {path!r} cannot be loaded"
      f" ({type(error).__name__}: {error}): copy its files again, from a"
      " checkpoint whose tokenizer transformers loads"
  )


def _what_instead(path: str) -> str:
  """What a directory without tokenizer.json holds, and what to do."""
  if not os.path.isdir(path):
    return ": there is no such directory"
  if os.path.islink(os.path.join(path, _TOKENIZER)):
    return (
        " but a link to a file that is not there: copy what the links point to"
        " as well, as `cp -rL` does"
    )
  found = [n for n in _OTHER_FORMATS if os.path.isfile(os.path.join(path, n))]
  if found:
    return (
        f" but {', '.join(found)}: load it with AutoTokenizer of transformers"
        " and save it with save_pretrained, which writes the file"
    )
  return ": copy the model's tokenizer files into it"


def _check_templates(path: str, templates: Any) -> None:
  """Refuses a chat_template that is no text and names no texts."""
  if isinstance(templates, list):
    texts = [_field(t, key) for t in templates for key in ("name", "template")]
  elif isinstance(templates, Mapping):
    texts = list(templates.values())
  else:
    texts = [] if templates is None else [templates]
  if not all(isinstance(text, str) for text in texts):
    raise ValueError(
        f"chat_template in {_CONFIG} of {path!r} is {templates!r}, expected a"
        " text, or a list of objects with the texts name and template"
    )


def _field(template: Any, key: str) -> Any:
  return template.get(key) if isinstance(template, Mapping) else None
