r"""The structure of a normalised answer: tuple, set, interval, number, ...

A text is split at its outermost marks into a tree. Its leaves are scalars such
as \frac{\sqrt{2}}{2}, words, or numerals of another base, with their unit.
"""

from collections.abc import Iterator
from collections.abc import Sequence
import dataclasses
import functools
import re

from score_jax.grading.maths.number import parse_number
from score_jax.grading.maths.units import split_unit

# No person would type an answer beyond these limits.
MAX_PARTS = 64
MAX_DEPTH = 8


class UnreadableError(ValueError):
  """The text has no reading as an answer."""


@dataclasses.dataclass(frozen=True)
class Scalar:
  """One expression, or words, without its unit ('' when it has none)."""

  text: str
  unit: str = ""
  is_words: bool = False


@dataclasses.dataclass(frozen=True)
class Numeral:
  """Digits in a base other than ten."""

  digits: str
  base: int


@dataclasses.dataclass(frozen=True)
class Unordered:
  """The members of a list, a set or a union, whose order does not count."""

  kind: str
  items: tuple["Node", ...]


@dataclasses.dataclass(frozen=True)
class Ordered:
  """Tuple, interval, matrix, list of words: order and brackets count."""

  brackets: str
  items: tuple["Node", ...]


@dataclasses.dataclass(frozen=True)
class Relation:
  """sides[0] operators[0] sides[1] ...; x > 1 is turned into 1 < x."""

  sides: tuple["Node", ...]
  operators: tuple[str, ...]


Node = Scalar | Numeral | Unordered | Ordered | Relation

_TOKEN = re.compile(
    r"\\(?:begin|end)\{[a-zA-Z]*\*?\}|\\text\{[^{}]*\}|\\[a-zA-Z]+|\\.|.",
    re.DOTALL,
)
_OPENING = frozenset(("(", "[", "{", r"\{"))
_CLOSING = frozenset((")", "]", "}", r"\}"))
_DEPTH_CHANGES = dict.fromkeys(_OPENING, 1) | dict.fromkeys(_CLOSING, -1)
_OPERATORS = {
    "=": "=",
    r"\ne": "!=",
    "<": "<",
    r"\le": "<=",
    ">": ">",
    r"\ge": ">=",
}
_TURNED = {">": "<", ">=": "<="}
_CONNECTIVES = frozenset((r"\text{or}", r"\text{and}", r"\lor", r"\land"))
_BARE_CONNECTIVE = re.compile(r"(?:(?<=[})\]])| )(?:or|and)(?:(?=[-\\(\[])| )")
_MATRIX = re.compile(
    r"\\begin\{([pbB]?matrix|array)\}(?:(?<=array\})\{[clr|]*\})?(.*)"
    r"\\end\{\1\}",
    re.DOTALL,
)
_NUMERAL = re.compile(
    r"(-?)(\(?)([0-9A-Z]*[0-9][0-9A-Z]*)(\)?)_\{?([0-9]{1,2})\}?"
)
_TEXT = re.compile(r"\\text\{([^{}]*)\}")
_CHOICE = re.compile(r"\(([A-Za-z])\)")
# Fewer letters may be a product. The lookahead keeps x y out.
_BARE_WORDS = re.compile(
    r"(?=.*[A-Za-z]{3})[A-Za-z]{4,}|(?=.*[A-Za-z]{3})[A-Za-z]+(?: [A-Za-z]+)+"
    r"|[Yy]es|[Nn]o|[Oo]dd|[A-Za-z]{4,} [0-9]{1,2}"
)
_MULTIPLE = re.compile(
    r"(.*[0-9}]) ?(?:\\text\{)?(hundred|thousand|million|billion|trillion)"
    r"(?: ([a-z ]+))?\}?"
)
_ZEROS = {
    "hundred": 2,
    "thousand": 3,
    "million": 6,
    "billion": 9,
    "trillion": 12,
}
# Names of sets and figures: no algebra, only this spelling of them.
_SYMBOL = re.compile(
    r"\\emptyset|\\mathbb\{[A-Z]\}"
    r"|\\(?:overline|angle|triangle|overrightarrow)(?: |\{)[A-Z]+'*\}?"
)
_REALS = r"\mathbb{R}"
_LETTER = re.compile(r"[A-Za-z]")


@functools.lru_cache(maxsize=1 << 16)
def read(text: str) -> Node:
  """The structure of a normalised answer; UnreadableError when it has none."""
  if parse_number(text) is not None:
    return Scalar(text)
  return _read(text, 0)


def scalars(node: Node) -> list[Scalar]:
  """All scalars at the leaves of a tree."""
  if isinstance(node, Scalar):
    return [node]
  if isinstance(node, Numeral):
    return []
  parts = node.sides if isinstance(node, Relation) else node.items
  return [leaf for part in parts for leaf in scalars(part)]


def _read(text: str, depth: int) -> Node:
  text = text.strip()
  if not text or depth > MAX_DEPTH:
    raise UnreadableError("Empty, or nested too deeply.")
  if match := _TEXT.fullmatch(text):
    return _read_words(match.group(1).strip(), depth)
  for reader in _READERS:
    node = reader(text, depth + 1)
    if node is not None:
      return node
  return _read_leaf(text)


def _read_words(words: str, depth: int) -> Node:
  if re.match("[-0-9]", words):
    return _read(words, depth + 1)
  parts = [
      part for part in re.split(r",|\band\b|\bor\b", words) if part.strip()
  ]
  if len(parts) > 1:
    return Ordered("", tuple(_words(part) for part in parts))
  return _words(words)


def _words(words: str) -> Scalar:
  words = _CHOICE.sub(r"\1", words.strip())
  if not words:
    raise UnreadableError("Empty text.")
  return Scalar(words, is_words=True)


def _read_list(text: str, depth: int) -> Node | None:
  """1, 2 or 3."""
  if re.search(r"[ })\]](?:or|and)[ \\(\[-]", text):
    text = _BARE_CONNECTIVE.sub(r"\\text{or}", text)
  parts, marks = _split(text, _CONNECTIVES | {","})
  if not marks:
    return None
  if not _CONNECTIVES.isdisjoint(marks):
    parts = [part for part in parts if part.strip()]
  items = _items(parts, depth)
  if all(_is_word(item) for item in items):
    # R, Q, P: such questions ask for an order.
    return Ordered("", items)
  is_ordering = any(
      isinstance(item, Relation) and set(item.operators) <= {"<", "<="}
      for item in items
  )
  if is_ordering and not {r"\text{and}", r"\land"}.isdisjoint(marks):
    # Both at once: not what x < 1 or x > 2 says.
    return Unordered("conjunction", items)
  return Unordered("set", items)


def _items(parts: Sequence[str], depth: int) -> tuple[Node, ...]:
  """Members of a list or a set; 1 and 2 \\pm \\sqrt{3} are three."""
  items = []
  for part in parts:
    item = _read(part, depth)
    is_several = r"\pm" in part and isinstance(item, Unordered)
    items.extend(item.items if is_several else [item])
  return tuple(items)


def _is_word(node: Node) -> bool:
  return isinstance(node, Scalar) and (
      node.is_words or _LETTER.fullmatch(node.text) is not None
  )


def _read_union(text: str, depth: int) -> Node | None:
  parts, marks = _split(text, {r"\cup"})
  if not marks:
    return None
  return Unordered("union", tuple(_read(part, depth) for part in parts))


def _read_relation(text: str, depth: int) -> Node | None:
  parts, marks = _split(text, {*_OPERATORS, r"\in"})
  if not marks:
    return None
  if marks == [r"\in"]:
    # x \in [1, 2] says no more than [1, 2] does.
    node = _read(parts[1], depth)
    is_set = isinstance(node, Ordered | Unordered)
    return node if is_set and _LETTER.fullmatch(parts[0].strip()) else None
  if r"\in" in marks:
    raise UnreadableError("A relation with an \\in.")
  sides = [_read(part, depth) for part in parts]
  operators = [_OPERATORS[mark] for mark in marks]
  if all(operator in _TURNED for operator in operators):
    sides.reverse()
    operators = [_TURNED[operator] for operator in reversed(operators)]
  return Relation(tuple(sides), tuple(operators))


def _read_ratio(text: str, depth: int) -> Node | None:
  """3:2, and 5:30 p.m."""
  parts, marks = _split(text, {":"})
  if not marks:
    return None
  return Ordered(":", tuple(_read(part, depth) for part in parts))


def _read_plus_minus(text: str, depth: int) -> Node | None:
  is_set = text.startswith(r"\{") and _is_one_group(text)
  if text.count(r"\pm") != 1 or is_set:
    return None
  signs = (("+", "-"), ("-", "+"))
  items = [
      text.replace(r"\pm", upper).replace(r"\mp", lower)
      for upper, lower in signs
  ]
  return Unordered("set", tuple(_read(item, depth) for item in items))


def _read_brackets(text: str, depth: int) -> Node | None:
  """(1, 2], \\{1, 2\\}, or {...} and (...) around a single answer."""
  opening = text[:2] if text.startswith(r"\{") else text[0]
  if opening not in _OPENING or not _is_one_group(text):
    return None
  closing = text[-2:] if text.endswith(r"\}") else text[-1]
  inner = text[len(opening) : -len(closing)]
  parts, _ = _split(inner, {","})
  if len(parts) == 1 and (opening in "({" or inner.startswith(r"\begin")):
    return _read(inner, depth)
  if opening == "{":
    return _read(inner, depth)
  if opening == r"\{":
    items = _items(parts, depth)
    return items[0] if len(items) == 1 else Unordered("set", items)
  return Ordered(opening + closing, tuple(_read(part, depth) for part in parts))


def _read_matrix(text: str, depth: int) -> Node | None:
  match = _MATRIX.fullmatch(text)
  if match is None:
    return None
  rows, _ = _split(match.group(2), {r"\\"})
  if len(rows) > 1 and not rows[-1].strip():
    rows.pop()
  cells = [_split(row, {"&"})[0] for row in rows]
  return Ordered(
      "matrix",
      tuple(
          Ordered("row", tuple(_read(cell, depth) for cell in row))
          for row in cells
      ),
  )


_READERS = (
    _read_list,
    _read_union,
    _read_relation,
    _read_plus_minus,
    _read_ratio,
    _read_brackets,
    _read_matrix,
)


def _read_leaf(text: str) -> Node:
  if text == _REALS:
    return Ordered("()", (Scalar(r"-\infty"), Scalar(r"\infty")))
  if match := _NUMERAL.fullmatch(text):
    sign, opening, digits, closing, base = match.groups()
    if bool(opening) == bool(closing) and _is_in_base(digits, int(base)):
      digits = sign + (digits.lstrip("0") or "0")
      return Scalar(digits) if base == "10" else Numeral(digits, int(base))
  if _BARE_WORDS.fullmatch(text) or _SYMBOL.fullmatch(text):
    return Scalar(text, is_words=True)
  if match := _MULTIPLE.fullmatch(text):
    body, multiple, words = match.groups()
    text = rf"{body}\cdot10^{{{_ZEROS[multiple]}}}"
    text += rf"\text{{{words}}}" if words else ""
  body, unit = split_unit(text)
  return Scalar(body.strip(), unit)


def _is_in_base(digits: str, base: int) -> bool:
  return 2 <= base <= 36 and all(int(digit, 36) < base for digit in digits)


def _split(text: str, marks: set[str] | frozenset[str]):
  """Splits at marks outside of all brackets: (parts, marks between them)."""
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


def _is_one_group(text: str) -> bool:
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
