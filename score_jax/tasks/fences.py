"""Finds the fenced blocks of a Markdown text."""

from collections.abc import Callable
from collections.abc import Iterator
import dataclasses
import itertools
import re

_MAX_CLOSINGS = 8

# A tilde is an operator of Python, so those count at the start of a line only.
_OPENING = re.compile(
    r"(?P<ticks>`{3,})|^[ \t>]*(?:(?:[-*+]|\d+[.)])[ \t]+)?(?P<tildes>~{3,})",
    re.MULTILINE,
)
_ONE_LINE = re.compile(r"(`{3,})(?:(?:python|py)3?[ \t]+)?([^`\n]+)\1(?!`)")
# A fence with a language opens a block, also where none was closed.
_LANGUAGE = re.compile(r"[\w{.]")


@dataclasses.dataclass(frozen=True)
class Block:
  """What stands between two fences.

  Attributes:
    text: the lines in between.
    end: position in the text where the search for the next block goes on.
    is_closed: whether a fence closes it; else prose may follow the code.
  """

  text: str
  end: int
  is_closed: bool


def has_fence(text: str) -> bool:
  """Whether a text has anything that could open or close a block."""
  return _OPENING.search(text) is not None


def blocks(text: str, is_whole: Callable[[str], bool]) -> Iterator[Block]:
  """The fenced blocks of a text, in order.

  Fences may also stand in a docstring. So the first end that makes a block
  whole is taken; else the first fence on a line of its own, or any.

  Args:
    text: Markdown.
    is_whole: whether a block is certain to end where it does.
  """
  position = 0
  while opening := _OPENING.search(text, position):
    if one_line := _ONE_LINE.match(text, opening.start()):
      block = Block(one_line[2], one_line.end(), is_closed=True)
    else:
      block = _block(text, opening, is_whole)
    yield block
    position = block.end


def _block(
    text: str, opening: re.Match[str], is_whole: Callable[[str], bool]
) -> Block:
  """The block behind an opening fence."""
  start = text.find("\n", opening.end())
  if start < 0:
    return Block("", len(text), is_closed=False)
  closings = list(
      itertools.islice(_closing(opening).finditer(text, start), _MAX_CLOSINGS)
  )
  closing = next(
      (c for c in closings if is_whole(text[start : c.start()])), None
  )
  if closing is None:
    alone = [c for c in closings if _is_first_in_line(text, c)]
    closing = next(iter(alone or closings), None)
  if closing is None:
    return Block(text[start:], len(text), is_closed=False)
  is_opening = _is_first_in_line(text, closing) and bool(
      _LANGUAGE.match(text, closing.end())
  )
  end = closing.start() if is_opening else closing.end()
  return Block(text[start : closing.start()], end, is_closed=not is_opening)


def _closing(opening: re.Match[str]) -> re.Pattern[str]:
  if opening["ticks"]:
    return re.compile(rf"`{{{len(opening['ticks'])},}}")
  return re.compile(rf"^[ \t>]*~{{{len(opening['tildes'])},}}", re.MULTILINE)


def _is_first_in_line(text: str, fence: re.Match[str]) -> bool:
  line_start = text.rfind("\n", 0, fence.start()) + 1
  return not text[line_start : fence.start()].strip(" \t>")
