"""Tokenizers from Hugging Face directories, and conversations as token ids.

A completion is never decoded and encoded again: the second prompt is the first
prompt's ids, the first attempt's ids and the correction turn's ids.
chat_templates.py finds the texts around the contents.
"""

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import functools
import hashlib
import json
import os
import re
import types
from typing import Any
from typing import NamedTuple

import numpy as np
import tokenizers
import transformers

from score_jax.text import chat_templates
from score_jax.text import round_trip
from score_jax.text import tokenizer_files
from score_jax.text.chat_templates import TurnMarkers

_NO_OPTIONS: Mapping[str, Any] = types.MappingProxyType({})

# Stands in a text for an id that is no token.
_UNKNOWN = "\N{REPLACEMENT CHARACTER}"

_CHARACTER_TEMPLATE = (
    "{% for m in messages %}{{ m['content'] }}"
    "{% if m['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
)


@dataclasses.dataclass(frozen=True)
class ConversationTokenizer:
  """Turns prompts and correction turns into ids, and attempts into text.

  Contents are stripped before they are put between markers: some chat templates
  do so and others do not.

  Attributes:
    tokenizer: the transformers tokenizer.
    template: its chat template, with options and date written into it; None for
      a base model.
    markers: texts around the contents of a conversation.
    eos_id: the token that ends a turn: that of the chat template, or EOS where
      there is none. Later turns read it behind every attempt, also one that
      another stop id ended or that was cut off.
    stop_ids: the tokens that end an attempt; eos_id is the first of them.
    pad_id: fills arrays; masks tell padding, so it may equal eos_id.
    vocab_size: only smaller ids may be used. `check_vocabulary` sets it to the
      number of rows of the model's embedding.
  """

  tokenizer: Any
  template: str | None
  markers: TurnMarkers
  eos_id: int
  stop_ids: tuple[int, ...]
  pad_id: int
  vocab_size: int

  def description(self) -> dict[str, Any]:
    """What ids and texts depend on, as JSON: the same for the same tokenizer.

    The tokenizer is there as the hash of its tokenizer.json, as it was loaded.
    """
    content = json.loads(self.tokenizer.backend_tokenizer.to_str())
    # A call may set these, and the ids of texts do not depend on them.
    content |= {"truncation": None, "padding": None}
    encoded = json.dumps(content, sort_keys=True).encode()
    return {
        "tokenizer_sha256": hashlib.sha256(encoded).hexdigest(),
        "markers": self.markers._asdict(),
        "before_answers": self._before_answers,
        "eos_id": self.eos_id,
        "stop_ids": list(self.stop_ids),
        "pad_id": self.pad_id,
    }

  def prompt_ids(self, texts: Sequence[str]) -> list[list[int]]:
    """Ids of first prompts, up to where the first attempt starts.

    Raises:
      ValueError: a text holds a special token, or characters that the tokenizer
        or the model does not know.
    """
    self._refuse_special_tokens(texts)
    opening, reply, _ = self.markers
    return self.encode([opening + text.strip() + reply for text in texts])

  def turn_ids(self, text: str) -> tuple[int, ...]:
    """Ids between the end of an attempt and the start of the next.

    Raises:
      ValueError: the text holds a special token, or characters that the
        tokenizer or the model does not know.
    """
    self._refuse_special_tokens([text])
    _, reply, between = self.markers
    # Encoded with the end of turn in front, as the template would have it: some
    # tokenizers treat the start of a text in their own way.
    (ids,) = self.encode([between + text.strip() + reply])
    return tuple(ids[1:])

  def attempt_ids(self, text: str) -> list[int]:
    """Ids of an attempt that is given as text, end of turn included.

    This is only for attempts from outside: a completion of the model is never
    encoded again. White space that the chat template writes before an earlier
    answer is part of it.

    Raises:
      ValueError: the text holds a special token, or characters that the
        tokenizer or the model does not know.
    """
    self._refuse_special_tokens([text])
    if before := self._before_answers:
      text = before + text.lstrip()
    end = self.tokenizer.convert_ids_to_tokens(self.eos_id)
    # Encoded behind what the prompt ends with, as the template would have it:
    # some tokenizers put a space in front of a text, though not within one.
    start = end + self.markers.reply
    prompt, whole = self.encode([start, start + text])
    if whole[: len(prompt)] == prompt:
      return [*whole[len(prompt) :], self.eos_id]
    # A token would reach over the end of the prompt, which has its ids already.
    (ids,) = self.encode([end + text])
    return [*ids[1:], self.eos_id]

  def encode(self, texts: Sequence[str]) -> list[list[int]]:
    """Ids of texts as they are: no markers are added, nothing is stripped.

    Raises:
      ValueError: a text holds characters that the tokenizer or the model does
        not know.
    """
    for text in texts:
      self._refuse_lost_characters(text)
    encoded = self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    for text, ids in zip(texts, encoded, strict=True):
      self._refuse_ids_beyond(text, ids)
    return encoded

  def decode_attempts(self, attempts: Sequence[np.ndarray]) -> list[str]:
    """Texts of attempts, without the token that ends them.

    Other special tokens that the model wrote stay in the text: an answer with a
    padding token in it is another answer. An id without a token becomes U+FFFD
    (a model's head may have more rows than the tokenizer has tokens).
    """
    return [
        self._decode(a[:-1] if a[-1] in self.stop_ids else a) for a in attempts
    ]

  @functools.cached_property
  def _before_answers(self) -> str:
    return chat_templates.before_answers(
        self.tokenizer, self.template, self.markers
    )

  def _decode(self, ids: np.ndarray) -> str:
    # transformers leaves unknown ids out: 7?1 would read as 71.
    unknown = [i for i, t in enumerate(ids) if int(t) not in self._known_ids]
    return _UNKNOWN.join(
        self.tokenizer.decode(
            piece.tolist(),
            skip_special_tokens=False,
            clean_up_tokenization_spaces=False,
        )
        for piece in np.split(np.asarray(ids, np.int32), unknown)
    )

  @functools.cached_property
  def _known_ids(self) -> frozenset[int]:
    return frozenset(self.tokenizer.get_vocab().values())

  @functools.cached_property
  def _special_tokens(self) -> re.Pattern[str]:
    tokens = _special_tokens(self.tokenizer).values()
    longest_first = sorted(tokens, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)))

  def _refuse_special_tokens(self, texts: Sequence[str]) -> None:
    """Raises for special tokens in a text: they would open or end messages."""
    for text in texts:
      if found := self._special_tokens.search(text):
        raise ValueError(
            f"{text!r} holds the special token {found.group()!r}, which would"
            " open or end a message: take it out of the text"
        )

  @functools.cached_property
  def _kept_texts(self) -> set[str]:
    """Texts that are known to be kept, so that each is looked at once."""
    return set()

  def _refuse_lost_characters(self, text: str) -> None:
    for piece in self._special_tokens.split(text):
      if piece in self._kept_texts:
        continue
      lost = round_trip.lost_character(self.tokenizer, piece)
      if lost is not None:
        raise ValueError(
            f"the tokenizer has no tokens for all of {text!r}: {lost!r} is lost"
            " when its ids are decoded; take it out of the text, or take a"
            " tokenizer with tokens for all bytes"
        )
      self._kept_texts.add(piece)

  def _refuse_ids_beyond(self, text: str, ids: Sequence[int]) -> None:
    if ids and max(ids) >= self.vocab_size:
      raise ValueError(
          f"{text!r} has the token id {max(ids)}, the model has"
          f" {self.vocab_size} embedding rows: take"
          f" {self.tokenizer.convert_ids_to_tokens(max(ids))!r} out of the text"
      )


def load(
    path: str | os.PathLike, template_options: Mapping[str, Any] = _NO_OPTIONS
) -> ConversationTokenizer:
  """Loads the tokenizer of a Hugging Face directory, from files alone.

  Args:
    path: the directory.
    template_options: values for the chat template, such as `enable_thinking` of
      Qwen 3. `date_string` is the date that a template writes, such as
      '26 Jul 2024', which it is where none is given.

  Raises:
    ValueError: there is no tokenizer in the directory, a file of it is broken,
      it needs code of its own, its ids are random, or its conversations cannot
      be put together from token ids.
  """
  path = os.fspath(path)
  content = tokenizer_files.read_config(path)
  tokenizer = _from_pretrained(path, content.get("fix_mistral_regex", True))
  if tokenizer.chat_template is None:
    # Processors of text and images had the chat template in this file.
    legacy = tokenizer_files.read(path, "chat_template.json")
    tokenizer.chat_template = legacy.get("chat_template")
  stop_ids = tokenizer_files.stop_ids(path)
  if tokenizer.eos_token is None and stop_ids:
    # Some base models name it in the model's configuration alone.
    tokenizer.eos_token = tokenizer.convert_ids_to_tokens(stop_ids[0])
  return wrap(tokenizer, template_options, stop_ids)


def _from_pretrained(path: str, fix_mistral_regex: bool) -> Any:
  # Not AutoTokenizer: its class for a family puts normalisation and splitting
  # together anew, this one takes tokenizer.json as it is.
  try:
    return transformers.PreTrainedTokenizerFast.from_pretrained(
        path,
        local_files_only=True,
        trust_remote_code=False,
        # Checkpoints of Mistral were published with a rule that splits words in
        # another way than their models were trained with. transformers knows
        # which ones, but warns only, unless it is told to correct it.
        fix_mistral_regex=fix_mistral_regex,
    )
  # Any failure counts: tokenizers raises Exception itself, and what
  # transformers raises depends on the file that is broken.
  except Exception as error:
    raise tokenizer_files.broken(path, error) from error


def wrap(
    tokenizer: Any,
    template_options: Mapping[str, Any] = _NO_OPTIONS,
    stop_ids: Iterable[int] = (),
) -> ConversationTokenizer:
  """Wraps a transformers tokenizer.

  Args:
    tokenizer: a transformers tokenizer. If it has no pad token, the token that
      ends a turn fills arrays.
    template_options: values for the chat template, see `load`.
    stop_ids: ids that end an attempt, beside the end of turn and EOS.

  Raises:
    ValueError: its ids are random, or its conversations cannot be put together
      from token ids.
  """
  _refuse_dropout(tokenizer)
  markers = chat_templates.find_markers(tokenizer, template_options)
  eos_id = _end_of_turn(tokenizer, markers.between)
  pad_id = tokenizer.pad_token_id
  stops = dict.fromkeys([eos_id, *stop_ids, tokenizer.eos_token_id])
  return ConversationTokenizer(
      tokenizer=tokenizer,
      template=chat_templates.fixed_template(tokenizer, template_options),
      markers=markers,
      eos_id=eos_id,
      stop_ids=tuple(i for i in stops if i is not None),
      pad_id=eos_id if pad_id is None else pad_id,
      vocab_size=1 + max(tokenizer.get_vocab().values()),
  )


def check_vocabulary(
    tokenizer: ConversationTokenizer, vocab_size: int, source: str | os.PathLike
) -> ConversationTokenizer:
  """Checks that a tokenizer and a model fit together.

  Added tokens may lie beyond the embedding where no conversation needs them:
  Gemma 3's text models have no row for the image token of its tokenizer.

  Args:
    tokenizer: the tokenizer to check.
    vocab_size: rows of the model's embedding.
    source: directory of tokenizer and model, for error messages.

  Returns:
    The tokenizer, changed to refuse texts with ids beyond the embedding.

  Raises:
    ValueError: the base vocabulary, or a token that every conversation needs,
      lies beyond the embedding.
  """
  base = tokenizer.tokenizer.backend_tokenizer.get_vocab(
      with_added_tokens=False
  )
  if base and max(base.values()) >= vocab_size:
    raise ValueError(
        f"the tokenizer of {os.fspath(source)!r} has ids up to"
        f" {max(base.values())}, its model has {vocab_size} embedding rows:"
        " take the tokenizer that the model was made with"
    )
  opening, reply, between = tokenizer.markers
  needed = sum(tokenizer.encode([opening + reply, between]), [])
  needed += [*tokenizer.stop_ids, tokenizer.pad_id]
  beyond = sorted({i for i in needed if i >= vocab_size})
  if beyond:
    tokens = tokenizer.tokenizer.convert_ids_to_tokens(beyond)
    raise ValueError(
        f"conversations of {os.fspath(source)!r} need the tokens {tokens} with"
        f" ids {beyond}, its model has {vocab_size} embedding rows: add rows to"
        " the model, or take the tokens out of the tokenizer's configuration"
    )
  return dataclasses.replace(tokenizer, vocab_size=vocab_size)


def _refuse_dropout(tokenizer: Any) -> None:
  """Raises where the same text gets other ids each time it is encoded."""
  model = tokenizer.backend_tokenizer.model
  if isinstance(model, tokenizers.models.BPE) and model.dropout:
    raise ValueError(
        f"the model in tokenizer.json has the dropout {model.dropout:g}, which"
        " gives a text other ids each time: set it to null"
    )


def _end_of_turn(tokenizer: Any, between: str) -> int:
  """Id of the special token that starts the text between two contents."""
  ids = tokenizer(between, add_special_tokens=False)["input_ids"]
  if not ids or ids[0] not in _special_tokens(tokenizer):
    raise ValueError(
        f"the chat template does not render an end of turn: found {between!r}"
        " behind an answer, expected a special token first; correct the"
        " template, or flag the token as special in tokenizer.json"
    )
  return ids[0]


def _special_tokens(tokenizer: Any) -> dict[int, str]:
  """Special tokens by id: tokens flagged as special, and EOS, BOS and such."""
  added = tokenizer.added_tokens_decoder
  flagged = {i: token.content for i, token in added.items() if token.special}
  ids, tokens = tokenizer.all_special_ids, tokenizer.all_special_tokens
  return flagged | dict(zip(ids, tokens, strict=True))


def make_character_tokenizer(characters: str) -> Any:
  """A transformers tokenizer with one token per character, for tiny models.

  The ids are 0 for <pad>, 1 for <eos>, 2 for <unk>, then the characters in
  order. The chat template writes contents one after the other, and <eos> behind
  answers.
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
      chat_template=_CHARACTER_TEMPLATE,
  )


class PackedRows(NamedTuple):
  """Rows of pieces written one behind the other, padded on the right.

  Attributes:
    tokens: int32[R, T], ids; pad_id on padding.
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
