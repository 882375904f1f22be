"""Splits a normalised text at marks outside of all brackets."""

from collections.abc import Iterator
import functools
import re

from score_jax.grading.maths.nodes import UnreadableError

# No person would type more parts.
MAX_PARTS = 64
OPENING = frozenset(("(", "[", "{", r"\{"))
_CLOSING = frozenset((")", "]", "}", r"\}"))
_DEPTH_CHANGES = dict.fromkeys(OPENING, 1) | dict.fromkeys(_CLOSING, -1)
_TOKEN = re.compile(
    r"\\(?:begin|end)\{[a-zA-Z]*\*?\}|\\text\{[^{}]*\}|\\[a-zA-Z]+|\\.|.",
    re.DOTALL,
)


def split(
    text: str, marks: set[str] | frozenset[str]
) -> tuple[list[str], list[str]]:
  """The parts of a text, and the marks between them.

  Raises:
    UnreadableError: brackets do not match, or there are too many parts.
  """
  parts, found, start = [], [], 0
  outer, kinds = _outer_tokens(text)
  for match in () if kinds.isdisjoint(marks) else outer:
    if match[0] in marks:
      parts.append(text[start : match.start()])
      found.append(match[0])
      start = match.end()
  if len(found) > MAX_PARTS:
    raise UnreadableError(f"More than {MAX_PARTS} parts.")
  return [*parts, text[start:]], found


# One text is split at list marks, then at those of unions, of relations, ...
@functools.lru_cache(maxsize=64)
def _outer_tokens(
    text: str,
) -> tuple[list[re.Match[str]], frozenset[str]]:
  """The tokens outside of all brackets, which must match, and their kinds."""
  outer, depth = [], 0
  for match, change in _tokens(text):
    depth += change
    if depth < 0:
      raise UnreadableError("A bracket closes that was never open.")
    if not change and depth == 0:
      outer.append(match)
  if depth:
    raise UnreadableError("A bracket never closes.")
  return outer, frozenset(match[0] for match in outer)


def is_one_group(text: str) -> bool:
  """Whether the bracket that opens the text is closed by its last token."""
  depth = 0
  for match, change in _tokens(text):
    depth += change
    if change < 0 and depth == 0:
      return match.end() == len(text)
  return False


def _tokens(text: str) -> Iterator[tuple[re.Match[str], int]]:
  """Tokens with what each adds to the depth: 1 opens, -1 closes, else 0."""
  for match in _TOKEN.finditer(text):
    token = match.group()
    change = _DEPTH_CHANGES.get(token, 0)
    if len(token) > 2:
      change = token.startswith(r"\begin{") - token.startswith(r"\end{")
    yield match, change
