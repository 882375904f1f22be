"""Tests of score_jax.text.export: what is loaded is what was trained."""

import datetime
import json
import pathlib
import shutil
import tempfile
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import tokenizers
import transformers
from transformers.utils import chat_template_utils as _template_utils

from score_jax.text import export
from score_jax.text import tokenization

QUESTION, TURN = "What is 6 * 7?", "Look again.\nIs it right?"
ANSWERS = ("42", " 42\n", "<think>\n6 * 7 = 40 + 2\n</think>\n\nIt is 42.")

_CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}"
    "<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_TRIMMED = _CHATML.replace("m['content']", "m['content'] | trim")
# As Qwen 3 has it: thoughts of earlier turns are dropped, and without thinking
# the answer to come alone has an empty block before it.
_THINKING = (
    _CHATML.replace(
        "m['content']", "m['content'].split('</think>')[-1].lstrip('\n')"
    )
    + "{% if add_generation_prompt and enable_thinking is defined"
    " and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}"
)
_DATED = (
    '{%- set today = strftime_now("%d %B %Y") %}\n'
    "<|im_start|>system\nToday is {{ today }}.<|im_end|>\n" + _CHATML
)
_DATE_STRING = (
    "{% if not date_string is defined %}"
    '{% set date_string = strftime_now("%d %b %Y") %}{% endif %}'
    "<|im_start|>system\nToday: {{ date_string }}<|im_end|>\n" + _CHATML
)
_MISTRAL = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}"
    "<|im_start|> {{ m['content'] }} <|im_end|>"
    "{% else %} {{ m['content'] | trim }}{{ eos_token }}{% endif %}"
    "{% endfor %}"
)
# name -> template, template options
FORMATS = {
    "base": (None, {}),
    "chatml": (_CHATML, {}),
    "trimmed": (_TRIMMED, {}),
    "thinking": (_THINKING, {}),
    "without_thinking": (_THINKING, {"enable_thinking": False}),
    "dated": (_DATED, {}),
    "date_string": (_DATE_STRING, {}),
    "other_date": (_DATED, {"date_string": "01 Jan 2030"}),
    "named": ({"default": _TRIMMED, "tool_use": "tools"}, {}),
}
LOADERS = (
    transformers.AutoTokenizer,
    transformers.PreTrainedTokenizerFast,
)


def _raw_tokenizer(template, bos="<s>", more=()):
  """A token per byte, and "42"."""
  letters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
  vocabulary = {t: i for i, t in enumerate([*letters, "42", *more])}
  backend = tokenizers.Tokenizer(
      tokenizers.models.BPE(vocabulary, [("4", "2")])
  )
  backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(
      add_prefix_space=False
  )
  backend.decoder = tokenizers.decoders.ByteLevel()
  backend.add_special_tokens(
      ["<s>", "<|endoftext|>", "<|im_start|>", "<|im_end|>"]
  )
  backend.add_tokens(["<think>", "</think>"])
  if bos:
    backend.post_processor = tokenizers.processors.TemplateProcessing(
        single=f"{bos} $A",
        special_tokens=[(bos, backend.token_to_id(bos))],
    )
  return transformers.PreTrainedTokenizerFast(
      tokenizer_object=backend,
      bos_token=bos,
      eos_token="<|endoftext|>",
      chat_template=template,
  )


def _messages(*contents):
  return [
      {"role": ("user", "assistant")[i % 2], "content": content}
      for i, content in enumerate(contents)
  ]


def _trained(tokenizer, answer_ids):
  """Ids of a second prompt, as a run puts them together."""
  (ids,) = tokenizer.prompt_ids([QUESTION])
  return [*ids, *answer_ids, tokenizer.eos_id, *tokenizer.turn_ids(TURN)]


def _rendered(loaded, answer):
  return loaded.apply_chat_template(
      _messages(QUESTION, answer, TURN),
      add_generation_prompt=True,
      return_dict=False,
  )


class ExportTestCase(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    root = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
    self.source, self.path = root / "source", root / "export"

  def _export(self, raw, options=None, model_type="llama", **generation):
    """The tokenizer that was trained with; its export lies in self.path."""
    raw.save_pretrained(self.source)
    (self.source / "config.json").write_text(
        json.dumps({"model_type": model_type})
    )
    if generation:
      file = self.source / "generation_config.json"
      file.write_text(json.dumps(generation))
    return self._export_again(options or {})

  def _export_again(self, options):
    tokenizer = tokenization.load(self.source, options)
    shutil.copytree(self.source, self.path)
    export.write_format(tokenizer, self.path)
    return tokenizer


class FormatTest(ExportTestCase):

  @parameterized.product(name=list(FORMATS), loader=LOADERS)
  def test_two_turns_have_the_ids_that_are_trained_on(self, name, loader):
    template, options = FORMATS[name]
    tokenizer = self._export(_raw_tokenizer(template), options)
    loaded = loader.from_pretrained(self.path)
    for answer in ANSWERS:
      (ids,) = tokenizer.encode([answer])
      expected = _trained(tokenizer, ids)
      self.assertEqual(_rendered(loaded, answer), expected, answer)
    (prompt,) = tokenizer.prompt_ids([QUESTION])
    found = loaded.apply_chat_template(
        _messages(QUESTION),
        add_generation_prompt=True,
        return_dict=False,
    )
    self.assertEqual(found, prompt)

  @parameterized.parameters(*FORMATS)
  def test_a_run_on_the_export_has_the_same_format(self, name):
    template, options = FORMATS[name]
    tokenizer = self._export(_raw_tokenizer(template), options)
    loaded = tokenization.load(self.path)
    self.assertEqual(loaded.description(), tokenizer.description())
    if template is not None:
      # Whoever gives the options again gets no other format.
      again = tokenization.load(self.path, options)
      self.assertEqual(again.description(), tokenizer.description())

  @parameterized.parameters("dated", "date_string", "other_date")
  def test_the_date_of_an_export_stands_still(self, name):
    template, options = FORMATS[name]
    self._export(_raw_tokenizer(template), options)
    loaded = transformers.AutoTokenizer.from_pretrained(self.path)
    found = []
    for year in (2026, 2031):
      clock = mock.Mock()
      clock.now.return_value = datetime.datetime(year, 5, 17)
      with mock.patch.object(_template_utils, "datetime", clock):
        found.append(_rendered(loaded, "42"))
    self.assertEqual(found[0], found[1])
    year = "2030" if name == "other_date" else "2024"
    self.assertIn(year, loaded.decode(found[0]))

  @parameterized.parameters(
      "llama", "mistral", "gemma2", "gemma3_text", "qwen3"
  )
  def test_the_class_of_a_family_changes_nothing(self, model_type):
    for template in (None, _TRIMMED):
      tokenizer = self._export(_raw_tokenizer(template), model_type=model_type)
      loaded = transformers.AutoTokenizer.from_pretrained(self.path)
      for answer in ANSWERS:
        (ids,) = tokenizer.encode([answer])
        self.assertEqual(_rendered(loaded, answer), _trained(tokenizer, ids))
      shutil.rmtree(self.path)

  def test_a_class_that_splits_in_another_way_is_not_named(self):
    raw = _raw_tokenizer(_CHATML, more=["<unk>", "<pad>", "<eos>", "<bos>"])
    raw.save_pretrained(self.source)
    file = self.source / "tokenizer_config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps(config | {"tokenizer_class": "GemmaTokenizer"}))
    (self.source / "config.json").write_text('{"model_type": "gemma2"}')
    before = transformers.AutoTokenizer.from_pretrained(self.source)
    tokenizer = self._export_again({})
    after = transformers.AutoTokenizer.from_pretrained(self.path)
    (ids,) = tokenizer.encode(["42"])
    self.assertEqual(_rendered(after, "42"), _trained(tokenizer, ids))
    self.assertNotEqual(_rendered(before, "42"), _rendered(after, "42"))

  @parameterized.parameters(*LOADERS)
  def test_characters_of_a_tiny_model(self, loader):
    characters = "0123456789+=?\n "
    tokenizer = self._export(tokenization.make_character_tokenizer(characters))
    loaded = loader.from_pretrained(self.path)
    found = loaded.apply_chat_template(
        _messages("1+2=", "3 ", "?\n?"),
        add_generation_prompt=True,
        return_dict=False,
    )
    (ids,) = tokenizer.prompt_ids(["1+2="])
    ids += [*tokenizer.encode(["3 "])[0], tokenizer.eos_id]
    self.assertEqual(found, [*ids, *tokenizer.turn_ids("?\n?")])

  @parameterized.parameters(" 42", "42", " 42\n")
  def test_a_space_that_a_template_leaves_to_the_model(self, text):
    """Decoders of sentencepiece drop it: either text has the ids."""
    tokenizer = self._export(_raw_tokenizer(_MISTRAL))
    loaded = transformers.AutoTokenizer.from_pretrained(self.path)
    (ids,) = tokenizer.encode([" " + text.lstrip()])
    self.assertEqual(_rendered(loaded, text), _trained(tokenizer, ids))


class OtherConversationsTest(ExportTestCase):
  """What was not trained is rendered as before."""

  SYSTEM = [{"role": "system", "content": "Be brief."}]

  @parameterized.parameters(
      ("trimmed", "\n\n  "),
      ("trimmed", "\n"),
      ("trimmed", "\r\n"),
      ("without_thinking", ""),
      ("thinking", "  {% if true %}\n{% endif %}"),
  )
  def test_system_turns_and_tools(self, name, end):
    template, options = FORMATS[name]
    template = (
        "\n {{ tools | default([], true) | length }}"
        "{% macro f(x) %}{{ x }}{% endmacro %}{{ f(1) }}" + template + end
    )
    raw = _raw_tokenizer(template)
    self._export(raw, options)
    loaded = transformers.AutoTokenizer.from_pretrained(self.path)
    self.assertNotEqual(loaded.chat_template, template)
    tool = {"type": "function", "function": {"name": "f"}}
    for messages, more in (
        (self.SYSTEM + _messages(QUESTION), {}),
        (self.SYSTEM + _messages(QUESTION, "42", TURN), {}),
        (_messages(QUESTION), {"tools": [tool]}),
    ):
      expected, found = (
          t.apply_chat_template(
              messages, tokenize=False, add_generation_prompt=True, **more
          )
          for t in (raw, loaded)
      )
      if options:
        expected += "<think>\n\n</think>\n\n"
      self.assertEqual(found, expected)

  def test_a_base_model_has_a_format_for_no_others(self):
    self._export(_raw_tokenizer(None))
    loaded = transformers.AutoTokenizer.from_pretrained(self.path)
    for messages in (
        self.SYSTEM + _messages(QUESTION),
        _messages(QUESTION, "42")[1:],
        _messages(QUESTION)[:1] * 2,
    ):
      with self.assertRaisesRegex(Exception, "user and assistant in turn"):
        loaded.apply_chat_template(messages, tokenize=False)

  def test_a_conversation_that_has_ended(self):
    tokenizer = self._export(_raw_tokenizer(None))
    loaded = transformers.AutoTokenizer.from_pretrained(self.path)
    found = loaded.apply_chat_template(
        _messages(QUESTION, " 42"), tokenize=False
    )
    self.assertEqual(found, f"<s>Question: {QUESTION}\nAnswer: 42<|endoftext|>")
    going_on = loaded.apply_chat_template(
        _messages(QUESTION, " 4"), tokenize=False, continue_final_message=True
    )
    self.assertEqual(going_on, f"<s>Question: {QUESTION}\nAnswer: 4")
    self.assertEqual(tokenizer.markers.opening, "<s>Question: ")

  def test_words_of_the_template_are_no_places(self):
    """A system turn may hold any of them."""
    text = "REPLY to OTHERWISE, BETWEEN ANSWER and END: OPENING"
    template = f"<|im_start|>{text}<|im_end|>" + _TRIMMED
    tokenizer = self._export(_raw_tokenizer(template))
    loaded = transformers.AutoTokenizer.from_pretrained(self.path)
    (ids,) = tokenizer.encode(["42 "])
    self.assertEqual(_rendered(loaded, "42 "), _trained(tokenizer, ids))


class FilesTest(ExportTestCase):

  def test_a_template_that_renders_the_format_stays_as_it_is(self):
    self._export(_raw_tokenizer(_CHATML))
    template = (self.path / "chat_template.jinja").read_text()
    self.assertEqual(template, _CHATML)

  def test_templates_of_all_files_become_one(self):
    raw = _raw_tokenizer(None)
    raw.save_pretrained(self.source)
    (self.source / "chat_template.json").write_text(
        json.dumps({"chat_template": _TRIMMED})
    )
    file = self.source / "tokenizer_config.json"
    for is_legacy in (True, False):
      config = json.loads(file.read_text())
      if not is_legacy:
        (self.source / "chat_template.json").unlink()
        config["chat_template"] = _TRIMMED
        file.write_text(json.dumps(config))
      self._export_again({})
      found = sorted(p.name for p in self.path.iterdir())
      self.assertIn("chat_template.jinja", found)
      self.assertNotIn("chat_template.json", found)
      written = json.loads((self.path / "tokenizer_config.json").read_text())
      self.assertNotIn("chat_template", written)
      self.assertEqual(written["tokenizer_class"], "PreTrainedTokenizerFast")
      self.assertEqual(written["eos_token"], config["eos_token"])
      shutil.rmtree(self.path)

  def test_other_templates_are_kept_by_name(self):
    self._export(_raw_tokenizer(FORMATS["named"][0]))
    loaded = transformers.AutoTokenizer.from_pretrained(self.path)
    self.assertEqual(loaded.chat_template["tool_use"], "tools")
    self.assertEqual(
        loaded.apply_chat_template(
            _messages(QUESTION), chat_template="tool_use", tokenize=False
        ),
        "tools",
    )

  def test_generation_ends_with_every_stop_id(self):
    raw = _raw_tokenizer(_CHATML)
    eos, end = raw.convert_tokens_to_ids(["<|endoftext|>", "<|im_end|>"])
    self._export(raw, eos_token_id=eos, temperature=0.6)
    generation = transformers.GenerationConfig.from_pretrained(self.path)
    self.assertEqual(generation.eos_token_id, [end, eos])
    self.assertEqual(generation.temperature, 0.6)

  def test_one_stop_id_is_a_number(self):
    raw = _raw_tokenizer(None)
    self._export(raw)
    generation = transformers.GenerationConfig.from_pretrained(self.path)
    self.assertEqual(generation.eos_token_id, raw.eos_token_id)

  def test_a_rule_that_was_corrected_is_in_the_tokenizer(self):
    raw = _raw_tokenizer(_CHATML)
    raw.save_pretrained(self.source)
    tokenizer = tokenization.load(self.source)
    (expected,) = tokenizer.encode(["4 2"])
    tokenizer.tokenizer.backend_tokenizer.pre_tokenizer = (
        tokenizers.pre_tokenizers.Sequence(
            [
                tokenizers.pre_tokenizers.Split("4", "isolated"),
                tokenizers.pre_tokenizers.ByteLevel(
                    add_prefix_space=False, use_regex=False
                ),
            ]
        )
    )
    shutil.copytree(self.source, self.path)
    export.write_format(tokenizer, self.path)
    loaded = transformers.PreTrainedTokenizerFast.from_pretrained(self.path)
    for text in ("4 2", "42"):
      self.assertEqual(
          loaded(text, add_special_tokens=False)["input_ids"],
          tokenizer.encode([text])[0],
      )
    self.assertLen(tokenizer.encode(["42"])[0], 2)
    self.assertLen(expected, 3)


if __name__ == "__main__":
  absltest.main()
