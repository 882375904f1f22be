"""Finds the program in what a model wrote.

Nothing is run, only parsed. The text may be hostile: how often it is parsed is
limited.
"""

from collections.abc import Iterator
import functools
import itertools
import re
import textwrap

from score_jax.tasks import fences
from score_jax.tasks import prose
from score_jax.tasks import python_source

_MAX_PARTS = 100

# What is left of a fence without its ticks.
_LANGUAGE = re.compile(r"\A\s*(?:python|py)3?[ \t]*\n", re.IGNORECASE)
# It shows how a function is called; what it does stands elsewhere.
_SIGNATURE = re.compile(
    r"\s*(?:async[ \t]+)?def[ \t]+\w+[ \t]*\([^()]*\)[ \t]*(?:->[^:]*)?:?\s*"
)
_TAG = re.compile(r"</?(?:answer|code|pre|program|solution)\b[^>\n]*>")
_THOUGHT = re.compile(r"</(?:think|thinking|thought|reasoning)>", re.IGNORECASE)


def _mark(inline: str, alone: str) -> re.Pattern[str]:
  """A mark as it is asked for, or in any case on a line of its own.

  In a line of code, s[end] is an index.
  """
  return re.compile(
      rf"^[ \t>#*_`\"'-]*\\?\[(?i:{alone})\\?\][ \t*_`\"':.]*$"
      rf"|(\*{{1,3}}|_{{1,3}}|[`\"'])?\[(?:{inline})\](?(1)\1)",
      re.MULTILINE,
  )


_BEGIN = _mark("BEGIN|PYTHON", "BEGIN|PYTHON|CODE")
_DONE = _mark("DONE|/PYTHON", "DONE|END|/BEGIN|/PYTHON|/CODE")


def extract_program(text: str, entry_point: str) -> str | None:
  """The program that an attempt states, None when there is none.

  The first of these that the text has:

  1. The last part between [BEGIN] and [DONE] (or the end of the text) that
     defines the function. In a part it stands alone, in the last fenced block
     that defines it, or between prose. Fenced blocks that give it names that
     it lacks, and are no other attempts at it, go before it.
  2. What defines it, in the same order, in the whole text.
  3. The last part between [BEGIN] and [DONE], whatever it is.

  What follows a model's thoughts, if it states a program, goes before them.

  Args:
    text: what the model wrote.
    entry_point: name of the function that it was asked for.
  """
  text = text.removeprefix("\ufeff").replace("\r\n", "\n")
  thoughts = list(_THOUGHT.finditer(text))
  answer = (
      _stated(text[thoughts[-1].end() :], entry_point) if thoughts else None
  )
  return answer or _stated(text, entry_point)


def _stated(text: str, name: str) -> str | None:
  parts = [_split(_DONE, part)[0] for part in _split(_BEGIN, text)[1:]]
  # A base model goes on with another problem, or speaks of the two marks.
  for part in reversed(parts[-_MAX_PARTS:]):
    if program := _defining(part, name):
      return program
  stated = [program for part in parts if (program := _trimmed(part))]
  return _defining(text, name) or (stated[-1] if stated else None)


def _split(mark: re.Pattern[str], text: str) -> list[str]:
  """The text between marks."""
  marks = list(mark.finditer(text))
  starts = [0, *(m.end() for m in marks)]
  ends = [*(m.start() for m in marks), len(text)]
  return [text[i:j] for i, j in zip(starts, ends, strict=True)]


def _defining(text: str, name: str) -> str | None:
  """The program in a text that defines the function, None without one."""
  before = _split(_DONE, text)[0]
  bare = _between_prose(before, name) or _between_prose(text, name)
  # Fences in a program that parses stand in its strings.
  if bare and fences.has_fence(bare) and python_source.binds(bare, name):
    return bare
  return _fenced(text, name) or bare


def _fenced(text: str, name: str) -> str | None:
  """The last fenced block that defines the function, with what it lacks."""
  found, others = None, []
  for block in itertools.islice(_blocks(text, name), _MAX_PARTS):
    if block.is_closed and _SIGNATURE.fullmatch(block.text):
      continue
    read = _program if block.is_closed else _between_prose
    program = read(block.text, name)
    found = program or found
    if not program and block.is_closed:
      others.append(block.text)
  return found and _completed(found, others)


def _blocks(text: str, name: str) -> Iterator[fences.Block]:
  """The fenced blocks of a text; of one that holds whole ones, those."""
  is_whole = functools.partial(_is_whole, name=name)
  for block in fences.blocks(text, is_whole):
    inner = []
    if fences.has_fence(block.text) and not is_whole(block.text):
      blocks = fences.blocks(block.text, is_whole)
      inner = list(itertools.islice(blocks, _MAX_PARTS))
    yield from inner if any(is_whole(x.text) for x in inner) else [block]


def _completed(program: str, others: list[str]) -> str:
  """A program behind those of the other blocks that give names it lacks."""
  lacking = python_source.free_names(program)
  if not lacking:
    return program
  others = [_readable(x) for x in others]
  bound = [python_source.bound_names(x) for x in others]
  used = set()
  while found := {
      i for i, x in enumerate(bound) if i not in used and x & lacking
  }:
    used |= found
    for i in found:
      lacking |= python_source.free_names(others[i])
  if not used:
    return program
  helpers = [others[i].strip("\n") for i in sorted(used)]
  return python_source.join(*helpers, program).strip("\n")


def _readable(block: str) -> str:
  """A block in the first form that gives names a value, or as it is."""
  variants = _variants(block)
  return next((v for v in variants if python_source.bound_names(v)), block)


def _between_prose(text: str, name: str) -> str | None:
  """The last piece of code between prose that defines the function."""
  if whole := _whole(text, name):
    return whole
  found = None
  # Programs that write HTML have such tags as well.
  for variant in dict.fromkeys((text, _TAG.sub("\n", text))):
    pieces = list(prose.code_between(textwrap.dedent(variant)))[-_MAX_PARTS:]
    programs = (_program(piece, name) for piece in reversed(pieces))
    program = next((program for program in programs if program), None)
    if program and python_source.binds(program, name):
      return program
    found = found or program
  return found


def _program(block: str, name: str) -> str | None:
  """A block as a program, None if it does not define the function.

  A block that does not parse, because it is wrong or was cut off, defines what
  it seems to define.
  """
  if whole := _whole(block, name):
    return whole
  is_open = python_source.binds(block, name) is None
  is_open = is_open and _seems_to_define(block, name)
  return _trimmed(block) if is_open else None


def _whole(block: str, name: str) -> str | None:
  """A block as a program that parses and defines the function, else None."""
  if name not in block:
    return None
  variants = _variants(block)
  return next(
      (_trimmed(v) for v in variants if python_source.binds(v, name)), None
  )


def _is_whole(block: str, name: str) -> bool:
  return _whole(block, name) is not None


def _variants(block: str) -> Iterator[str]:
  """A block as it is, and without the indentation or quotes of its lines."""
  block = _LANGUAGE.sub("", block.removeprefix("\n").removeprefix("\ufeff"))
  yield block
  yield textwrap.dedent(block)
  lines = block.strip("\n").split("\n")
  # Strings may stand to the left of the code.
  width = len(lines[0]) - len(lines[0].lstrip())
  yield "\n".join(re.sub(rf"^[ \t]{{0,{width}}}", "", x) for x in lines)
  if all(x.lstrip().startswith(">") for x in lines if x.strip()):
    yield textwrap.dedent("\n".join(re.sub("^[ \t]*> ?", "", x) for x in lines))


def _seems_to_define(text: str, name: str) -> bool:
  name = re.escape(name)
  start = rf"(?:async[ \t]+)?def[ \t]+{name}\b|{name}[ \t]*(?::[^=\n]+)?=(?!=)"
  return re.search(rf"^[ \t]*(?:{start})", text, re.MULTILINE) is not None


def _trimmed(text: str) -> str | None:
  # Leading blanks of the first line are indentation, not to be stripped.
  return text.strip("\n").rstrip() or None
