"""Tokenizers from Hugging Face directories, and conversations as token ids.

A completion is never decoded and encoded again: the second prompt is the first
prompt's ids, the first attempt's ids and the correction turn's ids.
"""

from collections.abc import Sequence
import dataclasses
import os
from typing import Any
from typing import NamedTuple

import numpy as np
import tokenizers
import transformers

# Stands for an attempt when the turn behind it is looked up in a template.
_STAND_IN = "attempt"


@dataclasses.dataclass(frozen=True)
class ConversationTokenizer:
  """Prompts and turns to ids, attempts to text.

  Attributes:
    tokenizer: the transformers tokenizer.
    eos_id: ends an attempt.
    pad_id: fills arrays; masks tell padding, so it may equal eos_id.
  """

  tokenizer: Any
  eos_id: int
  pad_id: int

  def prompt_ids(self, texts: Sequence[str]) -> list[list[int]]:
    """Ids of first prompts, up to where the first attempt starts.

    Raises:
      ValueError: a text that holds a special token, or characters that the
        tokenizer does not know.
    """
    self._refuse_special_tokens(texts)
    if self.tokenizer.chat_template is None:
      return self._encode(texts)
    return self._encode(
        [self._render([_user(t)], add_generation_prompt=True) for t in texts]
    )

  def turn_ids(self, text: str) -> tuple[int, ...]:
    """Ids between the EOS of an attempt and the start of the next.

    Raises:
      ValueError: the chat template does not end an answer with EOS.
    """
    self._refuse_special_tokens([text])
    if self.tokenizer.chat_template is None:
      return tuple(self._encode([text])[0])
    answer = {"role": "assistant", "content": _STAND_IN}
    before = self._render([_user(text)], add_generation_prompt=True)
    whole = self._render(
        [_user(text), answer, _user(text)], add_generation_prompt=True
    )
    opening = before + _STAND_IN + self.tokenizer.eos_token
    if not whole.startswith(opening):
      raise ValueError(
          "the chat template does not render an answer as the generation"
          f" prompt, the answer and {self.tokenizer.eos_token!r}: found"
          f" {whole[len(before):len(opening) + 20]!r} behind the prompt"
      )
    return tuple(self._encode([whole[len(opening) :]])[0])

  def decode_attempts(self, attempts: Sequence[np.ndarray]) -> list[str]:
    """Texts of attempts, without the EOS that ends them.

    Other special tokens that the model wrote stay in sight: an answer with a
    padding token in it is not that answer.
    """
    return self.tokenizer.batch_decode(
        [a[:-1] if a[-1] == self.eos_id else a for a in attempts],
        skip_special_tokens=False,
        clean_up_tokenization_spaces=False,
    )

  def _refuse_special_tokens(self, texts: Sequence[str]) -> None:
    """Written in a problem, they would end or open messages."""
    for text in texts:
      for token in self.tokenizer.all_special_tokens:
        if token in text:
          raise ValueError(f"{text!r} holds the special token {token!r}")

  def _render(self, messages: list[dict[str, str]], **options) -> str:
    return self.tokenizer.apply_chat_template(
        messages, tokenize=False, **options
    )

  def _encode(self, texts: Sequence[str]) -> list[list[int]]:
    encoded = self.tokenizer(list(texts), add_special_tokens=False)
    unknown = self.tokenizer.unk_token_id
    for text, ids in zip(texts, encoded["input_ids"], strict=True):
      if unknown is not None and unknown in ids:
        raise ValueError(f"the tokenizer has no tokens for all of {text!r}")
    return encoded["input_ids"]


def load(path: str | os.PathLike) -> ConversationTokenizer:
  """Loads the tokenizer of a Hugging Face directory, from files alone.

  Raises:
    ValueError: no directory, no tokenizer in it, or a tokenizer without EOS.
  """
  path = os.fspath(path)
  if not os.path.isfile(os.path.join(path, "tokenizer.json")):
    raise ValueError(f"{path!r} holds no tokenizer.json")
  tokenizer = transformers.AutoTokenizer.from_pretrained(
      path, local_files_only=True, trust_remote_code=False
  )
  return wrap(tokenizer)


def wrap(tokenizer: Any) -> ConversationTokenizer:
  """Wraps a transformers tokenizer; without a pad token, EOS fills arrays."""
  eos_id, pad_id = tokenizer.eos_token_id, tokenizer.pad_token_id
  if eos_id is None:
    raise ValueError("the tokenizer has no EOS token: no attempt could end")
  return ConversationTokenizer(
      tokenizer, eos_id, eos_id if pad_id is None else pad_id
  )


def make_character_tokenizer(characters: str) -> Any:
  """A transformers tokenizer with one token per character, for tiny models.

  Ids: <pad> 0, <eos> 1, <unk> 2, then the characters in order.
  """
  special = ["<pad>", "<eos>", "<unk>"]
  vocabulary = {t: i for i, t in enumerate([*special, *characters])}
  model = tokenizers.models.WordLevel(vocabulary, unk_token="<unk>")
  tokenizer = tokenizers.Tokenizer(model)
  tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Split(
      tokenizers.Regex(r"[\s\S]"), behavior="isolated"
  )
  tokenizer.decoder = tokenizers.decoders.Fuse()
  return transformers.PreTrainedTokenizerFast(
      tokenizer_object=tokenizer,
      pad_token="<pad>",
      eos_token="<eos>",
      unk_token="<unk>",
  )


class PackedRows(NamedTuple):
  """Rows of pieces written one behind the other, padded on the right.

  Attributes:
    tokens: int32[R, T].
    mask: bool[R, T], False on padding.
    labels: int32[R, T], the label of each token's piece; 0 on padding.
  """

  tokens: np.ndarray
  mask: np.ndarray
  labels: np.ndarray


def pack_rows(
    rows: Sequence[Sequence[tuple[Sequence[int], int]]],
    length: int,
    pad_id: int,
) -> PackedRows:
  """Packs rows of (ids, label) pieces into arrays of `length` columns.

  Raises:
    ValueError: a row longer than `length`.
  """
  tokens = np.full((len(rows), length), pad_id, np.int32)
  labels = np.zeros((len(rows), length), np.int32)
  lengths = np.zeros((len(rows), 1), np.int32)
  for r, pieces in enumerate(rows):
    ids = np.concatenate([np.asarray(i, np.int32) for i, _ in pieces])
    if len(ids) > length:
      raise ValueError(f"row {r} has {len(ids)} tokens, at most {length} fit")
    tokens[r, : len(ids)] = ids
    labels[r, : len(ids)] = np.repeat(
        [label for _, label in pieces], [len(i) for i, _ in pieces]
    )
    lengths[r] = len(ids)
  return PackedRows(tokens, np.arange(length)[None] < lengths, labels)


def left_pad(
    sequences: Sequence[Sequence[int]], length: int, pad_id: int
) -> tuple[np.ndarray, np.ndarray]:
  """Right-aligns sequences: int32[B, length] tokens and bool[B, length] mask.

  Raises:
    ValueError: an empty sequence, or one longer than `length`.
  """
  tokens = np.full((len(sequences), length), pad_id, np.int32)
  mask = np.zeros((len(sequences), length), bool)
  for i, ids in enumerate(sequences):
    if not 0 < len(ids) <= length:
      raise ValueError(
          f"prompt {i} has {len(ids)} tokens, expected 1 to {length}"
      )
    tokens[i, -len(ids) :] = ids
    mask[i, -len(ids) :] = True
  return tokens, mask


def _user(text: str) -> dict[str, str]:
  return {"role": "user", "content": text}
