"""Tests of score_jax.text.tokenization."""

import json
import os
import tempfile

from absl.testing import absltest
from absl.testing import parameterized
import numpy as np
import tokenizers
import transformers

from score_jax.text import tokenization

CHARACTERS = "0123456789+=?\n ausernit"
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}"
    "<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def _chat_tokenizer(template=CHATML, characters=CHARACTERS):
  """One token per character, with the two marks of ChatML."""
  tokenizer = tokenization.make_character_tokenizer(characters)
  marks = [
      tokenizers.AddedToken(text, special=True)
      for text in ("<|im_start|>", "<|im_end|>")
  ]
  tokenizer.add_tokens(marks, special_tokens=True)
  tokenizer.eos_token = "<|im_end|>"
  tokenizer.chat_template = template
  return tokenization.wrap(tokenizer)


def save_large_tokenizer(path, rule):
  """A tokenizer of more than 100,000 tokens, which splits words by a rule."""
  letters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
  merges = [("1", "2"), ("12", "3")]
  vocabulary = [*letters, "12", "123"]
  vocabulary += [f"<spare{i}>" for i in range(100_001)]
  backend = tokenizers.Tokenizer(
      tokenizers.models.BPE({t: i for i, t in enumerate(vocabulary)}, merges)
  )
  backend.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
      [
          tokenizers.pre_tokenizers.Split(tokenizers.Regex(rule), "isolated"),
          tokenizers.pre_tokenizers.ByteLevel(
              add_prefix_space=False, use_regex=False
          ),
      ]
  )
  backend.decoder = tokenizers.decoders.ByteLevel()
  transformers.PreTrainedTokenizerFast(
      tokenizer_object=backend, eos_token="</s>"
  ).save_pretrained(path)


class CharacterTokenizerTest(absltest.TestCase):

  def _saved(self, tokenizer):
    path = self.enterContext(tempfile.TemporaryDirectory())
    tokenizer.save_pretrained(path)
    return tokenization.load(path)

  def test_one_id_per_character_through_save_and_load(self):
    made = tokenization.make_character_tokenizer(CHARACTERS)
    for tokenizer in (tokenization.wrap(made), self._saved(made)):
      (ids,) = tokenizer.prompt_ids([CHARACTERS])
      self.assertEqual(ids, list(range(3, 3 + len(CHARACTERS))))
      self.assertEqual(tokenizer.encode([CHARACTERS]), [ids])
      self.assertEqual(tokenizer.stop_ids, (1,))
      self.assertEqual(tokenizer.decode_attempts([np.array(ids)]), [CHARACTERS])
      self.assertEqual((tokenizer.pad_id, tokenizer.eos_id), (0, 1))
      self.assertEqual(tokenizer.turn_ids("?="), (15, 14))

  def test_decoding_drops_eos_and_keeps_every_space(self):
    tokenizer = tokenization.wrap(
        tokenization.make_character_tokenizer(CHARACTERS)
    )
    text = "  1 +  2 =\n"
    (ids,) = tokenizer.encode([text])
    self.assertEqual(
        tokenizer.decode_attempts([np.array(ids + [tokenizer.eos_id])]), [text]
    )

  def test_contents_are_stripped_in_prompts_and_turns(self):
    tokenizer = tokenization.wrap(
        tokenization.make_character_tokenizer(CHARACTERS)
    )
    self.assertEqual(
        tokenizer.prompt_ids([" 1 2\n"]), tokenizer.encode(["1 2"])
    )
    self.assertEqual(tokenizer.turn_ids("\n? "), tokenizer.turn_ids("?"))

  def test_special_tokens_in_a_text_are_refused(self):
    tokenizer = tokenization.wrap(
        tokenization.make_character_tokenizer(CHARACTERS)
    )
    with self.assertRaisesRegex(ValueError, "holds the special token '<eos>'"):
      tokenizer.prompt_ids(["12", "1<eos>2"])
    with self.assertRaisesRegex(ValueError, "holds the special token '<pad>'"):
      tokenizer.turn_ids("<pad>")

  def test_tokens_flagged_special_are_refused_without_a_role(self):
    tokenizer = _chat_tokenizer()
    self.assertNotIn("<|im_start|>", tokenizer.tokenizer.all_special_tokens)
    with self.assertRaisesRegex(ValueError, r"special token '<\|im_start\|>'"):
      tokenizer.prompt_ids(["12", "1<|im_start|>2"])

  def test_unknown_characters_are_refused(self):
    tokenizer = tokenization.wrap(
        tokenization.make_character_tokenizer(CHARACTERS)
    )
    with self.assertRaisesRegex(ValueError, "all of '1x2': 'x' is lost"):
      tokenizer.prompt_ids(["12", "1x2"])
    with self.assertRaisesRegex(ValueError, "no tokens for all of '<eos>!'"):
      tokenizer.turn_ids("!")

  def test_a_marker_may_be_the_token_for_unknown_characters(self):
    tokenizer = tokenization.make_character_tokenizer(CHARACTERS)
    tokenizer.chat_template = "<unk>" + tokenizer.chat_template
    tokenizer = tokenization.wrap(tokenizer)
    self.assertEqual(tokenizer.prompt_ids(["1"]), [[2, 4]])
    with self.assertRaisesRegex(ValueError, "no tokens for all of '<unk>1x'"):
      tokenizer.prompt_ids(["1x"])

  def test_chat_template_survives_save_and_load(self):
    loaded = self._saved(_chat_tokenizer().tokenizer)
    self.assertEqual(
        loaded.prompt_ids(["1+2="]), _chat_tokenizer().prompt_ids(["1+2="])
    )
    self.assertEqual(loaded.eos_id, _chat_tokenizer().eos_id)

  def test_a_directory_without_tokenizer_is_refused(self):
    path = self.enterContext(tempfile.TemporaryDirectory())
    for missing in (path, os.path.join(path, "nowhere")):
      with self.assertRaisesRegex(ValueError, "holds no tokenizer.json"):
        tokenization.load(missing)

  def test_it_is_told_what_to_do_without_tokenizer_json(self):
    path = self.enterContext(tempfile.TemporaryDirectory())
    with self.assertRaisesRegex(ValueError, "there is no such directory"):
      tokenization.load(os.path.join(path, "nowhere"))
    with self.assertRaisesRegex(ValueError, "copy the model's tokenizer files"):
      tokenization.load(path)
    with open(os.path.join(path, "tokenizer.model"), "wb"):
      pass
    with self.assertRaisesRegex(ValueError, "tokenizer.model: .*AutoTokenizer"):
      tokenization.load(path)
    os.symlink("../blobs/gone", os.path.join(path, "tokenizer.json"))
    with self.assertRaisesRegex(ValueError, "a link to a file that is not"):
      tokenization.load(path)


class DescriptionTest(parameterized.TestCase):
  """Two tokenizers with one description give the same ids and texts."""

  def test_it_is_json_and_names_markers_and_ids(self):
    found = _chat_tokenizer().description()
    self.assertEqual(json.loads(json.dumps(found)), found)
    self.assertEqual(
        found["markers"],
        {
            "opening": "<|im_start|>user\n",
            "reply": "<|im_end|>\n<|im_start|>assistant\n",
            "between": "<|im_end|>\n<|im_start|>user\n",
        },
    )
    end = 4 + len(CHARACTERS)
    self.assertEqual(
        (found["eos_id"], found["stop_ids"], found["pad_id"]), (end, [end], 0)
    )

  def test_it_survives_save_load_and_use(self):
    tokenizer = _chat_tokenizer()
    expected = tokenizer.description()
    path = self.enterContext(tempfile.TemporaryDirectory())
    tokenizer.tokenizer.save_pretrained(path)
    loaded = tokenization.load(path)
    self.assertEqual(loaded.description(), expected)
    loaded.tokenizer(["1", "12"], padding=True, truncation=True, max_length=9)
    self.assertEqual(loaded.description(), expected)
    self.assertEqual(_chat_tokenizer().description(), expected)

  @parameterized.named_parameters(
      ("template", lambda t: setattr(t, "chat_template", "<eos>" + CHATML)),
      ("eos", lambda t: setattr(t, "eos_token", "<eos>")),
      ("pad", lambda t: setattr(t, "pad_token", "<eos>")),
      ("vocabulary", lambda t: t.add_tokens(["+="])),
      ("special", lambda t: t.add_tokens(["+"], special_tokens=True)),
      (
          "normalizer",
          lambda t: setattr(
              t.backend_tokenizer,
              "normalizer",
              tokenizers.normalizers.Lowercase(),
          ),
      ),
  )
  def test_it_tells_tokenizers_apart(self, change):
    raw = _chat_tokenizer().tokenizer
    change(raw)
    self.assertNotEqual(
        tokenization.wrap(raw).description(), _chat_tokenizer().description()
    )


class PaddingIdTest(absltest.TestCase):
  """The padding token may be EOS, as in SmolLM2."""

  def test_without_a_pad_token_eos_fills_arrays(self):
    tokenizer = tokenization.make_character_tokenizer("01")
    tokenizer.pad_token = None
    wrapped = tokenization.wrap(tokenizer)
    self.assertEqual((wrapped.pad_id, wrapped.eos_id), (1, 1))

  def test_a_pad_token_is_kept(self):
    wrapped = tokenization.wrap(tokenization.make_character_tokenizer("01"))
    self.assertEqual((wrapped.pad_id, wrapped.eos_id), (0, 1))

  def test_a_tokenizer_without_eos_is_refused(self):
    tokenizer = tokenization.make_character_tokenizer("01")
    tokenizer.eos_token = tokenizer.chat_template = None
    with self.assertRaisesRegex(ValueError, "no EOS"):
      tokenization.wrap(tokenizer)


def _words_tokenizer(template, *merges):
  """Sentencepiece-like: a space is put before each piece of a text."""
  vocabulary = ["<unk>", "<s>", "</s>", "\u2581", *"[INST]/USER:\n0123456789 ."]
  vocabulary = dict.fromkeys(vocabulary + ["".join(pair) for pair in merges])
  backend = tokenizers.Tokenizer(
      tokenizers.models.BPE(
          {t: i for i, t in enumerate(vocabulary)},
          list(merges),
          unk_token="<unk>",
      )
  )
  backend.normalizer = tokenizers.normalizers.Sequence(
      [
          tokenizers.normalizers.Prepend("\u2581"),
          tokenizers.normalizers.Replace(" ", "\u2581"),
      ]
  )
  backend.decoder = tokenizers.decoders.Sequence(
      [
          tokenizers.decoders.Replace("\u2581", " "),
          tokenizers.decoders.Fuse(),
          tokenizers.decoders.Strip(" ", 1, 0),
      ]
  )
  return transformers.PreTrainedTokenizerFast(
      tokenizer_object=backend,
      bos_token="<s>",
      eos_token="</s>",
      unk_token="<unk>",
      chat_template=template,
  )


def _turns(reply, answer):
  """A template with texts behind a question and around an answer."""
  return (
      "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}"
      f"{{{{ '[INST] ' + m['content'] + {reply!r} }}}}{{% else %}}"
      f"{{{{ {answer} + eos_token }}}}{{% endif %}}{{% endfor %}}"
  )


class GivenAttemptTest(parameterized.TestCase):
  """Attempts given as text are read as transformers reads earlier answers."""

  @parameterized.parameters(
      ("no_space", " [/INST]", "m['content']", "1."),
      ("line_break_in_reply", " [/INST]\n", "m['content']", "1."),
      ("space_before_answers", " [/INST]", "' ' + m['content']", "1."),
      ("break_before_answers", "</s>USER:", "'\\n' + m['content']", "1."),
      ("a_special_token_ends_it", " [/INST]</s>", "m['content']", "1."),
      ("spaces_inside", " [/INST]", "m['content']", "1 2\n 3."),
  )
  def test_ids_are_those_of_the_template(self, _, reply, answer, text):
    raw = _words_tokenizer(_turns(reply, answer))
    messages = [
        {"role": role, "content": content}
        for role, content in zip(
            ("user", "assistant", "user"), ("1", text, "2"), strict=True
        )
    ]
    expected = raw.apply_chat_template(messages, return_dict=False)
    tokenizer = tokenization.wrap(raw)
    (prompt,) = tokenizer.prompt_ids(["1"])
    self.assertEqual(
        [*prompt, *tokenizer.attempt_ids(text), *tokenizer.turn_ids("2")],
        expected,
    )

  def test_white_space_of_template_and_answer_is_there_once(self):
    raw = _words_tokenizer(_turns(" [/INST]", "'\\n' + m['content']"))
    tokenizer = tokenization.wrap(raw)
    self.assertEqual(tokenizer.attempt_ids("\n1"), tokenizer.attempt_ids("1"))

  def test_white_space_of_an_answer_stays_where_the_template_has_none(self):
    tokenizer = tokenization.wrap(
        _words_tokenizer(_turns(" [/INST]", "m['content']"))
    )
    ids = tokenizer.attempt_ids("\n1")
    self.assertEqual(
        tokenizer.tokenizer.convert_ids_to_tokens(ids), ["\n", "1", "</s>"]
    )

  def test_the_description_tells_white_space_before_answers(self):
    described = [
        tokenization.wrap(
            _words_tokenizer(_turns(" [/INST]", answer))
        ).description()
        for answer in ("m['content']", "' ' + m['content']")
    ]
    self.assertNotEqual(*described)
    self.assertEqual(described[0]["markers"], described[1]["markers"])

  def test_a_token_over_the_end_of_the_prompt_does_not_take_of_it(self):
    raw = _words_tokenizer(_turns(" USER:", "m['content']"), (":", "1"))
    tokenizer = tokenization.wrap(raw)
    ids = tokenizer.attempt_ids("12")
    self.assertEqual(
        raw.convert_ids_to_tokens(ids), ["\u2581", "1", "2", "</s>"]
    )


class LoadTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.path = self.enterContext(tempfile.TemporaryDirectory())
    _chat_tokenizer().tokenizer.save_pretrained(self.path)

  def _write(self, name, content):
    with open(os.path.join(self.path, name), "w", encoding="utf-8") as f:
      f.write(content if isinstance(content, str) else json.dumps(content))

  def _set_config(self, **fields):
    with open(os.path.join(self.path, "tokenizer_config.json")) as f:
      config = json.load(f)
    self._write("tokenizer_config.json", config | fields)

  @parameterized.parameters("generation_config.json", "config.json")
  def test_a_base_model_may_name_its_eos_outside_the_tokenizer(self, name):
    tokenizer = tokenization.make_character_tokenizer("Question:Answer \n01")
    tokenizer.chat_template = None
    expected = tokenization.wrap(tokenizer)
    tokenizer.eos_token = None
    with tempfile.TemporaryDirectory() as self.path:
      tokenizer.save_pretrained(self.path)
      with self.assertRaisesRegex(ValueError, "no EOS"):
        tokenization.load(self.path)
      self._write(name, {"eos_token_id": 1})
      found = tokenization.load(self.path)
      self.assertEqual((found.eos_id, found.stop_ids), (1, (1,)))
      self.assertEqual(found.markers, expected.markers)
      self._write(name, {"eos_token_id": 99})
      with self.assertRaisesRegex(ValueError, "no EOS"):
        tokenization.load(self.path)

  @parameterized.parameters((None, []), (1, [1]), ([0, 5, 1], [0, 5, 1]))
  def test_the_end_of_turn_eos_and_generation_config_end_attempts(
      self, eos_token_id, expected
  ):
    end = tokenization.load(self.path).eos_id
    self._write("generation_config.json", {"eos_token_id": eos_token_id})
    self.assertEqual(tokenization.load(self.path).stop_ids, (end, *expected))

  @parameterized.parameters(
      ({"eos_token_id": 1}, [1]),
      ({"eos_token_id": [0, 5]}, [0, 5]),
      ({"text_config": {"eos_token_id": [0, 1]}}, [0, 1]),
      ({"eos_token_id": 5, "text_config": {"eos_token_id": 1}}, [5]),
      ({"eos_token_id": None, "text_config": None}, []),
      ({"eos_token_id": []}, []),
  )
  def test_without_a_generation_config_the_models_eos_ends_attempts(
      self, config, expected
  ):
    end = tokenization.load(self.path).eos_id
    self._write("config.json", config)
    self.assertEqual(tokenization.load(self.path).stop_ids, (end, *expected))
    # It counts for nothing where generation_config.json names others.
    self._write("generation_config.json", {"eos_token_id": 3})
    self.assertEqual(tokenization.load(self.path).stop_ids, (end, 3))
    self._write("generation_config.json", {"temperature": 0.6})
    self.assertEqual(tokenization.load(self.path).stop_ids, (end, *expected))

  @parameterized.product(
      eos=["</s>", -1, 1.0, True, [1, "2"], {"id": 1}],
      name=["generation_config.json", "config.json"],
  )
  def test_an_eos_that_is_no_id_is_refused(self, eos, name):
    self._write(name, {"eos_token_id": eos})
    with self.assertRaisesRegex(ValueError, f"eos_token_id in {name} of .* is"):
      tokenization.load(self.path)

  @parameterized.product(
      name=[
          "tokenizer.json",
          "tokenizer_config.json",
          "special_tokens_map.json",
          "chat_template.json",
          "generation_config.json",
          "config.json",
      ],
      found=[
          ('{"a": 1,', "is not valid JSON; correct it, or copy it again: "),
          ("", "but empty"),
          ("version https://git-lfs.github.com/spec/v1", "a Git LFS pointer"),
          ("<html>", "an HTML or XML page"),
          ('\ufeff{"a": 1}', "a byte order mark"),
          ("[1]", "holds a list, no JSON object"),
      ],
  )
  def test_a_broken_file_is_refused_by_its_name(self, name, found):
    content, message = found
    if name == "chat_template.json":
      os.remove(os.path.join(self.path, "chat_template.jinja"))
    self._write(name, content)
    with self.assertRaisesRegex(ValueError, f"{name} .*{message}"):
      tokenization.load(self.path)

  def test_a_tokenizer_json_of_another_format_is_refused(self):
    self._write("tokenizer.json", {"model": {"type": "none such"}})
    with self.assertRaisesRegex(
        ValueError, "cannot be loaded .*copy its files"
    ):
      tokenization.load(self.path)

  def test_a_chat_template_that_is_no_utf8_is_refused(self):
    with open(os.path.join(self.path, "chat_template.jinja"), "ab") as file:
      file.write("é".encode("latin-1"))
    with self.assertRaisesRegex(ValueError, "tokenizer of .* cannot be loaded"):
      tokenization.load(self.path)

  @parameterized.parameters(
      (5,),
      ({"default": 5},),
      ([CHATML],),
      ([{"template": CHATML}],),
      ([{"name": "default", "template": None}],),
  )
  def test_a_chat_template_that_is_no_text_is_refused(self, template):
    self._set_config(chat_template=template)
    with self.assertRaisesRegex(ValueError, "chat_template in .* expected a"):
      tokenization.load(self.path)

  @parameterized.parameters(5, [[CHATML]])
  def test_a_chat_template_json_without_text_is_refused(self, template):
    os.remove(os.path.join(self.path, "chat_template.jinja"))
    self._write("chat_template.json", {"chat_template": template})
    with self.assertRaisesRegex(ValueError, "template of .* expected a text"):
      tokenization.load(self.path)

  @parameterized.parameters((0.5, True), (0.0, False), (None, False))
  def test_random_ids_are_refused(self, dropout, is_refused):
    os.remove(os.path.join(self.path, "chat_template.jinja"))
    save_large_tokenizer(self.path, r"\p{N}{1,3}|[^\p{N}]+")
    file = os.path.join(self.path, "tokenizer.json")
    with open(file, encoding="utf-8") as stream:
      content = json.load(stream)
    content["model"]["dropout"] = dropout
    self._write("tokenizer.json", content)
    if is_refused:
      with self.assertRaisesRegex(ValueError, "dropout 0.5, .*set it to null"):
        tokenization.load(self.path)
    else:
      self.assertLen(tokenization.load(self.path).encode(["123"])[0], 1)

  @parameterized.parameters(
      ("mistral", {}, {}, True),
      ("mistral", {"transformers_version": "4.57.1"}, {}, True),
      ("mistral", {"transformers_version": "5.0.0"}, {}, False),
      ("mistral", {}, {"fix_mistral_regex": False}, False),
      ("llama", {}, {}, False),
  )
  def test_words_are_split_as_models_of_mistral_were_trained(
      self, family, config, tokenizer_config, is_corrected
  ):
    """The rule as published keeps digits together, the right one does not."""
    os.remove(os.path.join(self.path, "chat_template.jinja"))
    save_large_tokenizer(self.path, r"\p{N}{1,3}|[^\p{N}]+")
    self._write("config.json", {"model_type": family, **config})
    self._set_config(**tokenizer_config)
    with self.assertNoLogs("transformers", level="WARNING"):
      tokenizer = tokenization.load(self.path)
    (ids,) = tokenizer.encode(["a123"])
    self.assertLen(ids, 4 if is_corrected else 2)
    self.assertEqual(tokenizer.decode_attempts([np.array(ids)]), ["a123"])

  @parameterized.parameters(
      ("tokenizer_config.json", lambda t: {"chat_template": t}),
      (
          "tokenizer_config.json",
          lambda t: {
              "chat_template": [
                  {"name": "rag", "template": ""},
                  {"name": "default", "template": t},
              ]
          },
      ),
      ("chat_template.jinja", lambda t: t),
      ("chat_template.json", lambda t: {"chat_template": t}),
  )
  def test_the_template_may_lie_in_any_of_the_usual_files(self, name, content):
    expected = tokenization.load(self.path).prompt_ids(["1+2="])
    os.remove(os.path.join(self.path, "chat_template.jinja"))
    plain = tokenization.load(self.path)
    self.assertEqual(plain.markers.reply, "\nAnswer:")
    if name == "tokenizer_config.json":
      self._set_config(**content(CHATML))
    else:
      self._write(name, content(CHATML))
    self.assertEqual(
        tokenization.load(self.path).prompt_ids(["1+2="]), expected
    )

  def test_a_tokenizer_that_needs_code_is_refused(self):
    self._set_config(auto_map={"AutoTokenizer": [None, "code.Tokenizer"]})
    with self.assertRaisesRegex(ValueError, "auto_map: .* never run"):
      tokenization.load(self.path)
    os.remove(os.path.join(self.path, "tokenizer.json"))
    with self.assertRaisesRegex(ValueError, "auto_map: .* never run"):
      tokenization.load(self.path)

  def test_tokenizer_json_is_taken_as_it_is_whatever_class_is_named(self):
    self._write("config.json", {"model_type": "gemma2"})
    self._set_config(tokenizer_class="GemmaTokenizer")
    self.assertEqual(
        tokenization.load(self.path).prompt_ids(["1 + 2"]),
        _chat_tokenizer().prompt_ids(["1 + 2"]),
    )


class VocabularyTest(absltest.TestCase):
  """Rows of the embedding: 3 + 23 characters, two marks, perhaps more."""

  def _tokenizer(self, *added, **roles):
    tokenizer = _chat_tokenizer().tokenizer
    tokenizer.add_tokens(list(added))
    tokenizer.add_special_tokens(roles)
    return tokenization.wrap(tokenizer)

  def setUp(self):
    super().setUp()
    self.rows = 3 + len(CHARACTERS) + 2

  def test_a_head_with_more_rows_than_tokens_is_fine(self):
    tokenizer = self._tokenizer()
    for rows in (self.rows, self.rows + 100):
      checked = tokenization.check_vocabulary(tokenizer, rows, "model")
      self.assertEqual(
          checked.prompt_ids(["1+2="]), tokenizer.prompt_ids(["1+2="])
      )

  def test_a_base_vocabulary_beyond_the_embedding_is_refused(self):
    with self.assertRaisesRegex(ValueError, "'model' has ids up to 25, .* 20 "):
      tokenization.check_vocabulary(self._tokenizer(), 20, "model")

  def test_markers_beyond_the_embedding_are_refused(self):
    with self.assertRaisesRegex(ValueError, r"<\|im_end\|>'\] with ids \[27\]"):
      tokenization.check_vocabulary(self._tokenizer(), 27, "model")

  def test_any_marker_beyond_the_embedding_is_refused(self):
    marker = tokenizers.AddedToken("<|start|>", special=True)
    tokenizer = self._tokenizer(marker).tokenizer
    for template in ("<|start|>" + CHATML, CHATML + "<|start|>"):
      tokenizer.chat_template = template
      wrapped = tokenization.wrap(tokenizer)
      with self.assertRaisesRegex(ValueError, r"start\|>'\] with ids \[28\]"):
        tokenization.check_vocabulary(wrapped, self.rows, "model")

  def test_a_pad_token_beyond_the_embedding_is_refused(self):
    tokenizer = self._tokenizer(pad_token="[PAD]")
    self.assertEqual(tokenizer.pad_id, self.rows)
    with self.assertRaisesRegex(ValueError, r"\['\[PAD\]'\] with ids \[28\]"):
      tokenization.check_vocabulary(tokenizer, self.rows, "model")

  def test_a_stop_id_beyond_the_embedding_is_refused(self):
    tokenizer = tokenization.wrap(_chat_tokenizer().tokenizer, {}, [99])
    with self.assertRaisesRegex(ValueError, r"with ids \[99\]"):
      tokenization.check_vocabulary(tokenizer, self.rows, "model")

  def test_added_tokens_beyond_the_embedding_are_refused_in_prompts_alone(self):
    image = tokenizers.AddedToken("<image_soft_token>", special=True)
    tokenizer = tokenization.check_vocabulary(
        self._tokenizer("<nute>", image), self.rows, "model"
    )
    self.assertLen(tokenizer.prompt_ids(["1", "nute"]), 2)
    for ids in (tokenizer.prompt_ids, lambda texts: tokenizer.turn_ids(*texts)):
      with self.assertRaisesRegex(ValueError, "token id 28, .* 28 embedding"):
        ids(["1<nute>2"])
      with self.assertRaisesRegex(ValueError, "special token '<image_soft"):
        ids(["1<image_soft_token>2"])


class DecodeTest(absltest.TestCase):

  def test_ids_without_a_token_stay_in_sight(self):
    """7, an id of a head's spare rows and 1 are not 71."""
    tokenizer = _chat_tokenizer()
    seven, one = tokenizer.encode(["71"])[0]
    attempts = [
        [seven, 500, one, tokenizer.eos_id],
        [500, 501],
        [seven, one],
        [500, seven, 500],
        [tokenizer.eos_id],
    ]
    self.assertEqual(
        tokenizer.decode_attempts([np.array(a) for a in attempts]),
        ["7\ufffd1", "\ufffd\ufffd", "71", "\ufffd7\ufffd", ""],
    )

  def test_one_stop_id_at_the_end_is_left_out(self):
    raw = _chat_tokenizer().tokenizer
    raw.eos_token = "<eos>"
    tokenizer = tokenization.wrap(raw)
    end = raw.convert_tokens_to_ids("<|im_end|>")
    self.assertEqual(tokenizer.stop_ids, (end, 1))
    one = tokenizer.encode(["1"])[0][0]
    texts = tokenizer.decode_attempts(
        [np.array(a) for a in ([one, 1], [one, end], [1, one], [one, 0], [one])]
    )
    self.assertEqual(texts, ["1", "1", "<eos>1", "1<pad>", "1"])


class ArraysTest(absltest.TestCase):

  def test_left_pad_by_hand(self):
    tokens, mask = tokenization.left_pad([[5], [6, 7, 8], [9, 9]], 3, 4)
    np.testing.assert_array_equal(tokens, [[4, 4, 5], [6, 7, 8], [4, 9, 9]])
    np.testing.assert_array_equal(mask, [[0, 0, 1], [1, 1, 1], [0, 1, 1]])
    self.assertEqual((tokens.dtype, mask.dtype), (np.int32, bool))

  def test_left_pad_refuses_empty_and_long_prompts(self):
    with self.assertRaisesRegex(ValueError, "prompt 1 has 0 tokens.* 1 to 3"):
      tokenization.left_pad([[5], []], 3, 0)
    with self.assertRaisesRegex(ValueError, "prompt 0 has 4 tokens.* 1 to 3"):
      tokenization.left_pad([[5, 6, 7, 8]], 3, 0)

  def test_pack_rows_by_hand(self):
    packed = tokenization.pack_rows(
        [
            [([5, 6], 0), ([7], 1), ([], 2), ([8], 0)],
            [([9], 2)],
            [([1, 1, 1], 3), (np.array([4, 0]), 1)],
        ],
        5,
        0,
    )
    np.testing.assert_array_equal(
        packed.tokens, [[5, 6, 7, 8, 0], [9, 0, 0, 0, 0], [1, 1, 1, 4, 0]]
    )
    np.testing.assert_array_equal(
        packed.mask, [[1, 1, 1, 1, 0], [1, 0, 0, 0, 0], [1, 1, 1, 1, 1]]
    )
    np.testing.assert_array_equal(
        packed.labels, [[0, 0, 1, 0, 0], [2, 0, 0, 0, 0], [3, 3, 3, 1, 1]]
    )

  def test_pack_rows_refuses_rows_that_do_not_fit(self):
    with self.assertRaisesRegex(ValueError, "row 1 has 3 tokens, at most 2"):
      tokenization.pack_rows([[([1], 0)], [([1, 2], 0), ([3], 1)]], 2, 0)


if __name__ == "__main__":
  absltest.main()
