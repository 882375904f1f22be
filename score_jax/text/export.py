"""The text side of an exported model: the format that it was trained in.

Loaded by transformers, an export writes a conversation of user and assistant as
the ids that were trained on.
"""

from collections.abc import Mapping
import json
import os
import pathlib
import re

from score_jax.output import files
from score_jax.text import chat_templates
from score_jax.text import fixed_templates
from score_jax.text.tokenization import ConversationTokenizer

# A conversation of user and assistant in turn as markers and contents; anything
# else, such as a system turn or tools, as the part behind `else` writes it.
_TEMPLATE = """\
{%- set turns = namespace(are_plain=not tools) %}
{%- for m in messages %}
{%- if m['role'] != ['user', 'assistant'][loop.index0 % 2] %}
{%- set turns.are_plain = false %}
{%- elif m['content'] is not string %}
{%- set turns.are_plain = false %}
{%- endif %}
{%- endfor %}
{%- if turns.are_plain %}
{%- for m in messages %}
{%- if m['role'] == 'user' %}
{{- OPENING if loop.first else BETWEEN }}
{{- m['content'] | trim }}
{{- REPLY if add_generation_prompt or not loop.last else '' }}
{%- else %}
{{- ANSWER }}
{{- END if loop.last else '' }}
{%- endif %}
{%- endfor %}
{%- else %}
OTHERWISE{{ '' }}{% endif %}"""
_REFUSE = (
    "{{- raise_exception('This model was trained on texts of user and assistant"
    " in turn alone: there is no format for a system turn or tools.') }}"
)


def write_format(
    tokenizer: ConversationTokenizer, directory: str | os.PathLike
) -> None:
  """Writes what a model was trained with into a Hugging Face directory.

  The chat template, the rule that splits words and all stop ids are those of
  training. Other chat templates stay as they are.

  Args:
    tokenizer: the tokenizer that the model was trained with.
    directory: holds the tokenizer's files already.
  """
  folder = pathlib.Path(directory)
  _write_templates(tokenizer, folder)
  _write_tokenizer(tokenizer, folder)
  file = folder / "generation_config.json"
  generation = files.read_json(file) if file.is_file() else {}
  ids = list(tokenizer.stop_ids)
  generation["eos_token_id"] = ids if len(ids) > 1 else ids[0]
  files.write_json(file, generation)


def trained_template(tokenizer: ConversationTokenizer) -> str:
  """A chat template that renders conversations as they were trained.

  Args:
    tokenizer: the tokenizer that the model was trained with.

  Returns:
    The tokenizer's own template, with options and date in it, where that does
    so. Templates that drop what an assistant thought, or write an earlier
    answer in another way than the one to come, do not: for those, and for base
    models, it is made of the markers.
  """
  raw, template = tokenizer.tokenizer, tokenizer.template
  markers, eos_id = tokenizer.markers, tokenizer.eos_id
  if template is not None and _is_trained_format(tokenizer, template):
    return template
  values = {
      "OPENING": fixed_templates.literal(markers.opening),
      "BETWEEN": fixed_templates.literal(markers.between),
      "REPLY": fixed_templates.literal(markers.reply),
      "END": fixed_templates.literal(raw.convert_ids_to_tokens(eos_id)),
      "ANSWER": "m['content']",
      "OTHERWISE": _REFUSE,
  }
  if template is not None:
    before = chat_templates.before_answers(raw, template, markers)
    if before:
      # Decoders may drop it.
      prefix = fixed_templates.literal(before)
      values["ANSWER"] = f"{prefix} + m['content'].lstrip()"
    # A line break at the end of a template is not rendered.
    values["OTHERWISE"] = re.sub(r"(\r\n|\r|\n)\Z", "", template)
  names = "|".join(values)
  return re.sub(rf"\b({names})\b", lambda name: values[name.group()], _TEMPLATE)


def _is_trained_format(tokenizer: ConversationTokenizer, template: str) -> bool:
  """Whether a template writes answers as they are, behind the markers alone."""
  added = tokenizer.tokenizer.added_tokens_decoder.values()
  plain = "".join(token.content for token in added if not token.special)
  answers = (" one\n", f"<think>\ntwo\n</think>\n\n{plain}three")
  questions = ("question", "again", "and again")
  opening, reply, between = tokenizer.markers
  expected = opening + questions[0]
  messages = [{"role": "user", "content": questions[0]}]
  for answer, question in zip(answers, questions[1:], strict=True):
    expected += reply + answer + between + question
    messages.append({"role": "assistant", "content": answer})
    messages.append({"role": "user", "content": question})
  rendered = chat_templates.render(tokenizer.tokenizer, template, messages)
  return rendered == expected + reply


def _write_templates(
    tokenizer: ConversationTokenizer, folder: pathlib.Path
) -> None:
  """Each template in a file of its own, and in no other."""
  template = trained_template(tokenizer)
  files.write_text(folder / "chat_template.jinja", template)
  (folder / "chat_template.json").unlink(missing_ok=True)
  templates = tokenizer.tokenizer.chat_template
  if isinstance(templates, Mapping):
    others = folder / "additional_chat_templates"
    others.mkdir(exist_ok=True)
    for name, text in templates.items():
      if name != "default":
        files.write_text(others / f"{name}.jinja", text)


def _write_tokenizer(
    tokenizer: ConversationTokenizer, folder: pathlib.Path
) -> None:
  """The tokenizer as it was loaded, whichever class the files name."""
  file = folder / "tokenizer_config.json"
  config = files.read_json(file) if file.is_file() else {}
  config.pop("chat_template", None)
  # The class of a family puts normalisation and splitting together anew.
  config["tokenizer_class"] = "PreTrainedTokenizerFast"
  files.write_json(file, config)
  file = folder / "tokenizer.json"
  content = files.read_json(file)
  backend = tokenizer.tokenizer.backend_tokenizer
  rule = json.loads(backend.to_str())["pre_tokenizer"]
  if content.get("pre_tokenizer") != rule:
    # Corrected when it was loaded, see `tokenization.load`.
    files.write_json(file, content | {"pre_tokenizer": rule})
