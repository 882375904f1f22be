"""Whether a tokenizer keeps a text: decoded, its ids are the text again.

A vocabulary may lack bytes or characters. Where it has no token for unknown
ones either, they are dropped without a word.
"""

from typing import Any

# The space of tokenizers of sentencepiece.
_SPACE = "\N{LOWER ONE EIGHTH BLOCK}"


def lost_character(tokenizer: Any, text: str) -> str | None:
  """The first character of a text that a tokenizer does not keep.

  What its normalizer changes on purpose, such as upper case, is no loss, nor is
  white space where the tokenizer is one of words.

  Args:
    tokenizer: a transformers tokenizer.
    text: a text without special tokens.

  Returns:
    The character; None if the whole text is kept.
  """
  if _keeps(tokenizer, text):
    return None
  kept, lost = 0, len(text)
  while lost - kept > 1:
    middle = (kept + lost) // 2
    if _keeps(tokenizer, text[:middle]):
      kept = middle
    else:
      lost = middle
  return text[lost - 1]


def _keeps(tokenizer: Any, text: str) -> bool:
  if _decoded(tokenizer, text) == text:
    return True
  # Tokenizers of sentencepiece put one space before a text, or take one away.
  # Twice the text has its start in the middle too.
  twice = text + text
  decoded, expected = (
      _normalized(tokenizer, t) for t in (_decoded(tokenizer, twice), twice)
  )
  return decoded in (expected, " " + expected) or " " + decoded == expected


def _decoded(tokenizer: Any, text: str) -> str:
  try:
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
  except Exception:  # some raise, a plain Exception, where they lack a token
    return ""
  if tokenizer.backend_tokenizer.decoder is None:
    # It would put spaces between tokens.
    return "".join(tokenizer.convert_ids_to_tokens(ids))
  return tokenizer.decode(
      ids, skip_special_tokens=False, clean_up_tokenization_spaces=False
  )


def _normalized(tokenizer: Any, text: str) -> str:
  """A text without the differences that a tokenizer makes on purpose."""
  backend = tokenizer.backend_tokenizer
  if backend.normalizer is not None:
    text = backend.normalizer.normalize_str(text)
  text = text.replace(_SPACE, " ")
  if backend.pre_tokenizer is not None:
    pieces = backend.pre_tokenizer.pre_tokenize_str("a b")
    if "".join(piece for piece, _ in pieces) == "ab":  # it is one of words
      text = "".join(text.split())
  return text
