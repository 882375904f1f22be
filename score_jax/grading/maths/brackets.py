"""Splits a normalised text at marks outside of all brackets."""

from collections.abc import Iterator
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
  parts, found, depth, start = [], [], 0, 0
  for match, change in _tokens(text):
    depth += change
    if depth < 0:
      raise UnreadableError("A bracket closes that was never open.")
    if not change and depth == 0 and match.group() in marks:
      parts.append(text[start : match.start()])
      found.append(match.group())
      start = match.end()
  if depth:
    raise UnreadableError("A bracket never closes.")
  if len(found) > MAX_PARTS:
    raise UnreadableError(f"More than {MAX_PARTS} parts.")
  return [*parts, text[start:]], found


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
