"""Tests of score_jax.text.round_trip."""

import functools

from absl.testing import absltest
from absl.testing import parameterized
import numpy as np
import tokenizers
from tokenizers import decoders
from tokenizers import models
from tokenizers import normalizers
from tokenizers import pre_tokenizers
import transformers

from score_jax.text import round_trip
from score_jax.text import tokenization

_BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())
_TEXTS = (
    "What is 6 * 7?",
    "  two  spaces, and\n\n\ttabs\r\n",
    "Z\u00fcrich \u03c0 \u2264 \u221a2 \u4e2d \U0001f600",
    "e\u0301 and \ufb01",
    "\x00\x04\x7f",
)


def _wrapped(backend, **roles):
  return transformers.PreTrainedTokenizerFast(
      tokenizer_object=backend, eos_token="</s>", **roles
  )


def _byte_level(missing="", prefix=False):
  """A token per byte, without those of some characters."""
  alphabet = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
  lost = {c for piece, _ in alphabet.pre_tokenize_str(missing) for c in piece}
  vocabulary = [c for c in _BYTES if c not in lost]
  backend = tokenizers.Tokenizer(
      models.BPE({c: i for i, c in enumerate(vocabulary)}, [])
  )
  backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
  backend.decoder = decoders.ByteLevel()
  return backend


def _sentencepiece(characters, byte_fallback=False):
  """A token per character, as Llama 2 and Gemma have them."""
  vocabulary = ["\u2581", *characters]
  if byte_fallback:
    vocabulary += [f"<0x{i:02X}>" for i in range(256)]
  backend = tokenizers.Tokenizer(
      models.BPE(
          {t: i for i, t in enumerate(vocabulary)},
          [],
          byte_fallback=byte_fallback,
      )
  )
  backend.normalizer = normalizers.Sequence(
      [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
  )
  backend.decoder = decoders.Sequence(
      [
          decoders.Replace("\u2581", " "),
          decoders.ByteFallback(),
          decoders.Fuse(),
          decoders.Strip(" ", 1, 0),
      ]
  )
  return backend


def _metaspace(characters, scheme):
  vocabulary = {t: i for i, t in enumerate(["\u2581", *characters])}
  backend = tokenizers.Tokenizer(models.BPE(vocabulary, []))
  backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
  backend.decoder = decoders.Metaspace(prepend_scheme=scheme)
  return backend


def _words(with_decoder=True):
  vocabulary = {w: i for i, w in enumerate(["[UNK]", "what", "is", "6", "?"])}
  backend = tokenizers.Tokenizer(models.WordPiece(vocabulary))
  backend.normalizer = normalizers.BertNormalizer()
  backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
  if with_decoder:
    backend.decoder = decoders.WordPiece()
  return backend


def _lost(backend, text, **roles):
  return round_trip.lost_character(_wrapped(backend, **roles), text)


class KeptTest(parameterized.TestCase):

  @parameterized.product(text=_TEXTS, prefix=[False, True])
  def test_a_token_for_each_byte_keeps_all(self, text, prefix):
    self.assertIsNone(_lost(_byte_level(prefix=prefix), text))

  @parameterized.parameters(*_TEXTS)
  def test_bytes_to_fall_back_to_keep_all(self, text):
    self.assertIsNone(_lost(_sentencepiece("abc", byte_fallback=True), text))

  @parameterized.product(
      scheme=["always", "first", "never"],
      text=["ab", " ab", "a b", "a  b ", "a\nb", "\n"],
  )
  def test_a_space_before_a_text_is_no_difference(self, scheme, text):
    self.assertIsNone(_lost(_metaspace("ab\n", scheme), text))
    self.assertIsNone(_lost(_sentencepiece("ab\n"), text))

  @parameterized.parameters(
      (normalizers.Lowercase(), "WHAT"),
      (normalizers.NFC(), "e\u0301"),
      (normalizers.NFD(), "\u00e9"),
      (normalizers.NFKC(), "\ufb01 \u00b2 \uff11"),
      (normalizers.StripAccents(), "Z\u00fcrich"),
      (normalizers.Replace("\r\n", "\n"), "a\r\nb"),
      (normalizers.Strip(), " a b "),
      (
          normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()]),
          "\uff21",
      ),
  )
  def test_what_a_normalizer_changes_is_no_loss(self, normalizer, text):
    backend = _byte_level()
    backend.normalizer = normalizer
    self.assertIsNone(_lost(backend, text))
    # And hides none.
    backend = _byte_level(missing="x")
    backend.normalizer = normalizer
    self.assertEqual(_lost(backend, text + "x"), "x")

  @parameterized.parameters(True, False)
  def test_tokenizers_of_words_take_white_space_away(self, with_decoder):
    backend = _words(with_decoder)
    self.assertIsNone(_lost(backend, "What is 6?\n", unk_token="[UNK]"))
    self.assertEqual(_lost(backend, "is 7", unk_token="[UNK]"), "7")


class LostTest(parameterized.TestCase):

  @parameterized.parameters(
      "\n", "\x04", " ", "\t", "\u00fc", "\u03c0", "\u4e2d", "\U0001f600"
  )
  def test_a_character_without_bytes_is_named(self, character):
    backend = _byte_level(missing=character)
    for text in (f"a{character}b", f"a{character}", f"{character}b"):
      self.assertEqual(_lost(backend, text), character)
    self.assertIsNone(_lost(backend, "ab"))

  def test_half_a_character_is_a_loss(self):
    backend = _byte_level()
    vocabulary = dict(backend.get_vocab())
    by_byte = pre_tokenizers.ByteLevel(add_prefix_space=False)
    ((letters, _),) = by_byte.pre_tokenize_str("\u03c0")
    self.assertLen(letters, 2)
    for letter in letters:
      rest = {t: i for t, i in vocabulary.items() if t != letter}
      backend.model = models.BPE(rest, [])
      self.assertEqual(_lost(backend, "2\u03c0r"), "\u03c0")

  @parameterized.parameters("always", "first", "never")
  def test_a_line_break_is_no_white_space_to_take_away(self, scheme):
    self.assertEqual(_lost(_metaspace("ab", scheme), "a\nb"), "\n")

  def test_sentencepiece_without_bytes_loses_what_it_lacks(self):
    self.assertEqual(_lost(_sentencepiece("ab"), "a cb"), "c")
    backend = _sentencepiece("ab")
    vocabulary = {t: i for t, i in backend.get_vocab().items() if len(t) == 1}
    del vocabulary["\u2581"]
    backend.model = models.BPE(vocabulary, [])
    self.assertEqual(_lost(backend, "a b"), " ")

  def test_the_first_of_several_is_named(self):
    backend = _byte_level(missing="xy")
    self.assertEqual(_lost(backend, "ab" * 50 + "yx" + "ab" * 50), "y")

  def test_an_unknown_token_that_no_role_names_is_a_loss(self):
    """Its text would be in the prompt, and nothing else says so."""
    vocabulary = {"<unk>": 0, "a": 1}
    backend = tokenizers.Tokenizer(models.WordLevel(vocabulary, "<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    backend.decoder = decoders.Fuse()
    self.assertEqual(_lost(backend, "aba"), "b")

  @parameterized.parameters(
      models.WordLevel({"a": 0, "</s>": 1}, "[none]"),
      models.Unigram([("a", -1.0)]),
  )
  def test_tokenizers_that_raise_lose_what_they_lack(self, model):
    template = "{% for m in messages %}{{ m['content'] }}</s>{% endfor %}"
    backend = tokenizers.Tokenizer(model)
    backend.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    backend.decoder = decoders.Fuse()
    self.assertIsNone(_lost(backend, "aa"))
    self.assertEqual(_lost(backend, "aab"), "b")
    with self.assertRaisesRegex(ValueError, "'b' is lost"):
      tokenization.wrap(_wrapped(backend, chat_template=template)).encode(
          ["ab"]
      )


class ConversationTest(absltest.TestCase):
  """Nothing that is trained on is lost."""

  @functools.cached_property
  def _tokenizer(self):
    raw = _wrapped(_byte_level(missing="\x04\u03c0"))
    return tokenization.wrap(raw)

  def test_prompts_turns_and_attempts(self):
    tokenizer = self._tokenizer
    self.assertLen(tokenizer.prompt_ids(["2 * 3"]), 1)
    for use in (
        lambda text: tokenizer.prompt_ids(["2 * 3", text]),
        tokenizer.turn_ids,
        tokenizer.attempt_ids,
        lambda text: tokenizer.encode([text]),
    ):
      for text in ("2 \u03c0 r", "2\x04"):
        with self.assertRaisesRegex(ValueError, "is lost when"):
          use(text)

  def test_markers(self):
    tokenizer = tokenization.wrap(_wrapped(_byte_level(missing="Q")))
    with self.assertRaisesRegex(ValueError, "'Q' is lost"):
      tokenization.check_vocabulary(tokenizer, 1000, "model")

  def test_what_was_sampled_is_decoded_as_it_is(self):
    ids = self._tokenizer.encode(["42"])[0]
    self.assertEqual(self._tokenizer.decode_attempts([np.array(ids)]), ["42"])


if __name__ == "__main__":
  absltest.main()
