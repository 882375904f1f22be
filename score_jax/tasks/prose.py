"""Tells sentences from code, where no fence does."""

from collections.abc import Iterator
import itertools
import keyword
import re

# One that was cut off goes on to the end.
_STRING = re.compile(r"\"[^\"]*(?:\"|$)|'[^']*(?:'|$)")
_APOSTROPHE = re.compile(r"(?<=[^\W\d])['’](?=(?:s|t|d|m|ll|re|ve)\b)")
_WORD = re.compile(r"[^\W\d]\w*")
_TWO_WORDS = re.compile(r"(?=(?:\b([^\W\d]\w*)|\))[ \t]+([^\W\d]\w*))")
_WORDS = re.compile(r"[\w, ]+[.:]?")
# A long string begins, unless a comment or a short one does.
_QUOTED = re.compile(r"(\"{3}|'{3})|#.*|\"[^\"]*\"|'[^']*'")
# Signs of Markdown and HTML at the start of a line.
_MARKUP = re.compile(
    r"[<>|=]|[-*+•] |\d+[.)]\s|\*\*|---|~~~|```|\[/?[A-Za-z]+\]\W*$"
)
# Signs that Python has no use for.
_FOREIGN = re.compile(r"[$?`“”„«»…。，：；、！？（）—–→]|!(?!=)")
# Statements of older and newer Pythons begin with these.
_STATEMENTS = {*keyword.kwlist, "match", "case", "type", "print", "exec"}


def code_between(text: str) -> Iterator[str]:
  """The pieces of a text between lines of prose, in order.

  Args:
    text: code and prose. Lines that are indented, and those of a long string,
      are taken to be code: docstrings hold prose as well.
  """
  for is_between, lines in itertools.groupby(_lines(text), lambda x: x[1]):
    piece = "\n".join(line for line, _ in lines)
    if not is_between and piece.strip():
      yield piece


def _lines(text: str) -> Iterator[tuple[str, bool]]:
  """Lines, and whether they are prose."""
  quote = None  # the one that ends the string that a line is in
  for line in text.split("\n"):
    is_between = quote is None and is_prose(line)
    if not is_between:
      quote = _open_quote(line, quote)
    yield line, is_between


def _open_quote(line: str, quote: str | None) -> str | None:
  """The quotes that a long string is in at the end of a line, None outside."""
  position = 0
  while True:
    if quote:
      position = line.find(quote, position)
      if position < 0:
        return quote
      position, quote = position + len(quote), None
    found = _QUOTED.search(line, position)
    if not found:
      return None
    position, quote = found.end(), found[1]


def is_prose(line: str) -> bool:
  """Whether a line is no Python in any form, be it wrong or cut off.

  Code that is broken must stay broken: if its lines were taken for prose, what
  is left of it could pass.
  """
  if not line or line[0] in " \t#@":
    return False
  code = _STRING.sub('""', _APOSTROPHE.sub("", line)).partition("#")[0].rstrip()
  if _MARKUP.match(line) or _FOREIGN.search(code):
    return True
  # Two names in a row, or one behind a call.
  pairs = _TWO_WORDS.findall(code)
  return any(not {*p} & _STATEMENTS for p in pairs) or _is_sentence(code)


def _is_sentence(code: str) -> bool:
  """Whether a line is one like `Done.`, `That is it` or `Note (again):`."""
  word = _WORD.match(code)
  if not word or word[0] in _STATEMENTS or "=" in code:
    return False
  # Names of variables are small, as a rule.
  is_words = _WORDS.fullmatch(code) and not word[0][0].islower()
  return bool(is_words) or code == f"{word[0]}." or code.endswith(":")
