"""Turn markers: the texts around the contents of a conversation.

The markers are found once, by rendering a chat template with stand-in contents.
Conversations are then put together from markers and contents, so that an
earlier turn is never rendered again, and prompts need no template engine. Base
models, which have no chat template, get a plain text format.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import re
from typing import Any
from typing import NamedTuple

import jinja2

from score_jax.text import fixed_templates

# Three questions and two answers; no template has these words of its own.
_STAND_INS = ("questionone", "answerone", "questiontwo", "answertwo", "lastone")


class TurnMarkers(NamedTuple):
  """Texts around the contents of a conversation.

  Attributes:
    opening: before the first question.
    reply: between a question and where its answer starts.
    between: between an answer and the next question; the first token of it
      ends the answer.
  """

  opening: str
  reply: str
  between: str


def fixed_template(tokenizer: Any, options: Mapping[str, Any]) -> str | None:
  """The chat template of a tokenizer, with options and date written into it.

  Args:
    tokenizer: a transformers tokenizer.
    options: values for the chat template, by the names that it uses.

  Returns:
    The template, see `fixed_templates.fix`; None for a base model.

  Raises:
    ValueError: the template has no such option.
  """
  template = _template(tokenizer)
  if template is None:
    if options:
      raise ValueError(
          f"{_name(tokenizer)} has no chat template, found options for one:"
          f" {dict(options)}; leave them out"
      )
    return None
  try:
    return fixed_templates.fix(template, options)
  except ValueError as error:
    raise ValueError(f"{_name(tokenizer)}: {error}") from error


def find_markers(tokenizer: Any, options: Mapping[str, Any]) -> TurnMarkers:
  """Finds the turn markers of a tokenizer.

  Without a chat template the format is `Question: ...\\nAnswer:`. Each later
  question is a paragraph of its own behind the EOS token. The BOS token comes
  first where the tokenizer itself puts it first: the base models of Gemma and
  Llama need it.

  Args:
    tokenizer: a transformers tokenizer.
    options: values for the chat template, by the names that it uses.

  Raises:
    ValueError: the template has no such option, raises an error, or does not
      render contents one after the other with the same markers every time.
  """
  template = fixed_template(tokenizer, options)
  if template is None:
    return _plain_markers(tokenizer)
  first = pieces(tokenizer, template, _STAND_INS[:1])
  found = pieces(tokenizer, template)
  # An earlier answer may be introduced in another way than the one to come:
  # Qwen 3 without thinking puts an empty think block before the latter alone.
  opening, _, between, _, between_again, reply = found
  if [opening, reply] != first or between != between_again:
    raise ValueError(
        f"the chat template of {_name(tokenizer)} changes with the length of"
        f" the conversation: found {first} around one question and {found}"
        " around three, expected the same opening, turns and generation prompt"
    )
  return TurnMarkers(opening, reply, between)


def before_answers(
    tokenizer: Any, template: str | None, markers: TurnMarkers
) -> str:
  """White space that a template writes before earlier answers alone.

  In an answer to come it is left to the model: `<|assistant|>` may end the
  prompt, and a line break follow where an answer is there.

  Args:
    tokenizer: a transformers tokenizer.
    template: its chat template, None for a base model.
    markers: the markers of the template.
  """
  if template is None:
    return ""
  _, reply, *_ = pieces(tokenizer, template)
  before = reply.removeprefix(markers.reply)
  return before if before != reply and before.isspace() else ""


def _plain_markers(tokenizer: Any) -> TurnMarkers:
  if tokenizer.eos_token is None:
    raise ValueError(
        f"{_name(tokenizer)} has no chat template and no EOS token: no attempt"
        " could end; name an eos_token in tokenizer_config.json"
    )
  bos_id = tokenizer.bos_token_id
  is_bos_first = bos_id is not None and tokenizer("1")["input_ids"][0] == bos_id
  return TurnMarkers(
      opening=(tokenizer.bos_token if is_bos_first else "") + "Question: ",
      reply="\nAnswer:",
      between=tokenizer.eos_token + "\n\nQuestion: ",
  )


def _template(tokenizer: Any) -> str | None:
  """The chat template, or the one called 'default' if there are several."""
  template = tokenizer.chat_template
  if isinstance(template, Mapping):
    if "default" not in template:
      raise ValueError(
          f"{_name(tokenizer)} has chat templates named {sorted(template)},"
          " expected one named 'default': give the one to train with that name,"
          " or write it into chat_template.jinja"
      )
    template = template["default"]
  if not isinstance(template, str | None):
    raise ValueError(
        f"the chat template of {_name(tokenizer)} is {template!r}, expected a"
        " text"
    )
  return template


def pieces(
    tokenizer: Any, template: str, contents: Sequence[str] = _STAND_INS
) -> list[str]:
  """The texts that a template writes around contents, in order.

  Args:
    tokenizer: a transformers tokenizer.
    template: a chat template.
    contents: questions and answers in turn, distinct words.

  Raises:
    ValueError: the template raises an error, or does not render the contents
      one after the other.
  """
  messages = [
      {"role": ("user", "assistant")[i % 2], "content": content}
      for i, content in enumerate(contents)
  ]
  text = render(tokenizer, template, messages)
  pattern = "|".join(map(re.escape, contents))
  if re.findall(pattern, text) != list(contents):
    raise ValueError(
        f"the chat template of {_name(tokenizer)} does not render contents one"
        f" after the other: found {text!r} for {list(contents)}, expected each"
        " as it is and in order; write a template for text messages into"
        " chat_template.jinja"
    )
  return re.split(pattern, text)


def render(
    tokenizer: Any, template: str, messages: Sequence[Mapping[str, str]]
) -> str:
  """A conversation as a template writes it, up to where an answer starts.

  Raises:
    ValueError: the template raises an error.
  """
  try:
    return tokenizer.apply_chat_template(
        messages,
        chat_template=template,
        tokenize=False,
        add_generation_prompt=True,
    )
  except (jinja2.TemplateError, TypeError) as error:
    raise ValueError(
        f"the chat template of {_name(tokenizer)} does not take a conversation"
        f" of user and assistant in turn: {error}{_remedy(error)}"
    ) from error


def _remedy(error: Exception) -> str:
  """What to do where a template fails, as the end of a sentence."""
  token = re.fullmatch(r"'(\w+_token)' is undefined", str(error))
  if token:
    return f"; name its {token.group(1)} in tokenizer_config.json"
  return "; correct it, or write another one into chat_template.jinja"


def _name(tokenizer: Any) -> str:
  return repr(tokenizer.name_or_path) if tokenizer.name_or_path else "tokenizer"
