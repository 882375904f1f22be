r"""The structure of a normalised answer: tuple, set, interval, number, ...

A text is split at its outermost marks into a tree. Its leaves are scalars such
as \frac{\sqrt{2}}{2} with their unit, words, symbols, or numerals of another
base.
"""

from collections.abc import Sequence
import functools
import re

from score_jax.grading.maths import intervals
from score_jax.grading.maths.brackets import OPENING
from score_jax.grading.maths.brackets import is_one_group
from score_jax.grading.maths.brackets import split
from score_jax.grading.maths.names import is_name
from score_jax.grading.maths.names import letters_named
from score_jax.grading.maths.nodes import Node
from score_jax.grading.maths.nodes import Ordered
from score_jax.grading.maths.nodes import Relation
from score_jax.grading.maths.nodes import Scalar
from score_jax.grading.maths.nodes import Symbol
from score_jax.grading.maths.nodes import Unordered
from score_jax.grading.maths.nodes import UnreadableError
from score_jax.grading.maths.nodes import Words
from score_jax.grading.maths.number import parse_number
from score_jax.grading.maths.numerals import read_numeral
from score_jax.grading.maths.units import in_digits
from score_jax.grading.maths.units import split_unit
from score_jax.grading.maths.words import read_bare_words
from score_jax.grading.maths.words import read_sentence
from score_jax.grading.maths.words import words_node

# No person would type an answer beyond this.
MAX_DEPTH = 8

_OPERATORS = {
    "=": "=",
    r"\ne": "!=",
    "<": "<",
    r"\le": "<=",
    ">": ">",
    r"\ge": ">=",
    r"\approx": "~",
}
_TURNED = {">": "<", ">=": "<="}
_BOTH = frozenset((r"\text{and}", r"\land"))
_EITHER = frozenset((r"\text{or}", r"\lor"))
_CONNECTIVES = _BOTH | _EITHER
_TEXT_CONNECTIVE = re.compile(r"\\text\{ ?,? ?(and|or) ?,?\}")
_BARE_CONNECTIVE = re.compile(r"(?:(?<=[},)\]])| )(?:or|and)(?:(?=[-\\(\[])| )")
_MATRIX = re.compile(
    r"\\begin\{([pbB]?(?:small)?matrix|array)\}"
    r"(?:(?<=array\})\{[clr|]*\})?(.*)\\end\{\1\}",
    re.DOTALL,
)
_TEXT = re.compile(r"\\text\{([^{}]*)\}")
# -5, 4:30, \$5, (1,2), x+1; 'x2' and 'A, B' are words.
_MATHS_IN_TEXT = re.compile(
    r"[-+(\[]*(?:[0-9.]|\\[\$\{])"
    r"|(?!.*[A-Za-z]{2})[^^*/=<>+-]*[0-9A-Za-z)] ?[\^*/=<>+-]"
)
_CLOCK = re.compile(
    r"([0-9]{1,2}(?::[0-9]{2}){1,2}) ?(?:\\text\{)? ?([ap])\.? ?m\.?\}?",
    re.IGNORECASE,
)
_RATIO_IN_WORDS = re.compile(r"(?<=[0-9}]) to (?=[0-9\\])|\\text\{to\}")
# Names of sets and figures, and what is not worked out: only their spelling.
_SYMBOL = re.compile(
    r"\\emptyset|\\mathbb\{[A-Z]\}"
    r"|\\(?:overline|angle|triangle|overrightarrow|overleftrightarrow|widehat)"
    r"(?: |\{)(?:[A-Z](?:_\{?[0-9]\}?)?'* ?)+\}?"
    r"|.*\\(?:sum|prod|int|lim|setminus)(?![a-z]).*"
)
_REALS = r"\mathbb{R}"
_SET_OF = re.compile(r"\\\{ ?([a-zA-Z])(?:\\in ?\\mathbb\{R\})?[|:](.+)\\\}")
_LETTER = re.compile(r"[A-Za-z]")
_LETTERS = re.compile(r"[A-Za-z]+")


@functools.lru_cache(maxsize=1 << 16)
def read(text: str) -> Node:
  """The structure of a normalised answer; UnreadableError when it has none."""
  if parse_number(text) is not None:
    return Scalar(text)
  return _read(text, 0)


def _read(text: str, depth: int) -> Node:
  text = text.strip()
  if not text or depth > MAX_DEPTH:
    raise UnreadableError("Empty, or nested too deeply.")
  if match := _TEXT.fullmatch(text):
    return _read_text(match.group(1).strip(), depth)
  if words := read_sentence(text):
    return _read_words(words.text)
  for reader in _READERS:
    node = reader(text, depth + 1)
    if node is not None:
      return node
  return _read_leaf(text)


def _read_text(words: str, depth: int) -> Node:
  if _MATHS_IN_TEXT.match(words):
    return _read(words, depth + 1)
  return _read_words(words)


def _read_words(words: str) -> Node:
  """Words, or a list of them."""
  if sentence := read_sentence(words):
    return sentence
  parts = [part for part in re.split(r",|\band\b", words) if part.strip()]
  if len(parts) > 1:
    return Ordered("", tuple(map(words_node, parts)))
  return words_node(words)


def _read_list(text: str, depth: int) -> Node | None:
  """1, 2 or 3."""
  text = _TEXT_CONNECTIVE.sub(r"\\text{\1}", text)
  if re.search(r"[ },)\]](?:or|and)[ \\(\[-]", text):
    text = _BARE_CONNECTIVE.sub(_marked_connective, text)
  parts, marks = split(text, _CONNECTIVES | {","})
  if not marks:
    return None
  if not _CONNECTIVES.isdisjoint(marks):
    parts = [part for part in parts if part.strip()]
  items = _items(parts, depth)
  if _are_words(items):
    # R, Q, P: such questions ask for an order.
    return Ordered("", items)
  if all(map(intervals.is_interval, items)) and set(marks) <= _EITHER:
    return Unordered("union", items)
  if _is_conjunction(items, marks):
    # Both at once: not what x < 1 or x > 2 says.
    return Unordered("conjunction", items)
  if not _EITHER.isdisjoint(marks) and len(letters_named(items)) > 1:
    # x = 2 or y = 3 gives neither.
    return Unordered("alternatives", items)
  return Unordered("set", items)


def _marked_connective(match: re.Match) -> str:
  return rf"\text{{{match.group().strip()}}}"


def _items(parts: Sequence[str], depth: int) -> tuple[Node, ...]:
  """Members of a list or a set; 1 and 2 \\pm \\sqrt{3} are three."""
  items = []
  for part in parts:
    item = _read(part, depth)
    is_several = r"\pm" in part and isinstance(item, Unordered)
    items.extend(item.items if is_several else [item])
  return tuple(items)


def _are_words(items: Sequence[Node]) -> bool:
  """Whether a list is one of names: A, B, or Alice, Bob."""
  name = _LETTER
  if any(isinstance(item, Words) for item in items):
    name = _LETTERS  # Bob is then no product
  return all(
      isinstance(item, Words | Symbol)
      or isinstance(item, Scalar)
      and name.fullmatch(item.text)
      for item in items
  )


def _is_conjunction(items: Sequence[Node], marks: Sequence[str]) -> bool:
  r"""Whether all conditions of a list hold at once.

  So they do between 'and', and where one only leaves out what another holds:
  x > 0, x \ne 1.
  """
  relations = [item for item in items if isinstance(item, Relation)]
  operators = {mark for relation in relations for mark in relation.operators}
  is_ordering = not operators.isdisjoint({"<", "<="}) and "=" not in operators
  if not _BOTH.isdisjoint(marks) or not _EITHER.isdisjoint(marks):
    return is_ordering and not _BOTH.isdisjoint(marks)
  leaves_out = "!=" in operators
  is_of_reals = Unordered("union", (intervals.REALS,)) in items
  return is_ordering + leaves_out + is_of_reals > 1


def _read_union(text: str, depth: int) -> Node | None:
  parts, marks = split(text, {r"\cup"})
  if not marks:
    return None
  if all(part.startswith(r"\{") for part in parts):
    members = [_members(_read(part, depth)) for part in parts]
    return Unordered("set", tuple(dict.fromkeys(sum(members, ()))))
  return Unordered("union", tuple(_read(part, depth) for part in parts))


def _members(node: Node) -> tuple[Node, ...]:
  return node.items if isinstance(node, Unordered) else (node,)


def _read_difference(text: str, depth: int) -> Node | None:
  r"""\mathbb{R}\setminus[1, 2], or of an interval; others are symbols."""
  if text.startswith(_REALS + "-"):
    text = text.replace("-", r"\setminus", 1)
  parts, marks = split(text, {r"\setminus"})
  if len(marks) != 1 or not parts[0].strip().startswith((_REALS, "(", "[")):
    return None
  whole, rest = _read(parts[0], depth), _read(parts[1], depth)
  remaining = intervals.complement(rest)
  if whole == intervals.REALS or remaining is None:
    return remaining
  if not intervals.is_interval(whole):
    return None
  return Unordered("conjunction", (whole, remaining))


def _read_relation(text: str, depth: int) -> Node | None:
  parts, marks = split(text, {*_OPERATORS, r"\in", r"\notin"})
  if not marks:
    return None
  if marks == [r"\notin"]:
    return intervals.complement(_read(parts[1], depth))
  if marks == [r"\in"]:
    # x \in [1, 2] says no more than [1, 2] does.
    node = _read(parts[1], depth)
    if not is_name(_read(parts[0], depth)):
      return None
    if node == Symbol(r"\emptyset"):
      return node
    if not isinstance(node, Ordered | Unordered):
      return None
    return Unordered("union", (node,)) if isinstance(node, Ordered) else node
  if not {r"\in", r"\notin"}.isdisjoint(marks):
    raise UnreadableError("A relation with an \\in.")
  sides = [_read(part, depth) for part in parts]
  operators = [_OPERATORS[mark] for mark in marks]
  if "~" in operators and set(operators[:-1]) | {"="} != {"="}:
    raise UnreadableError("Only the end of an equation is rounded.")
  if all(operator in _TURNED for operator in operators):
    sides.reverse()
    operators = [_TURNED[operator] for operator in reversed(operators)]
  return Relation(tuple(sides), tuple(operators))


def _read_ratio(text: str, depth: int) -> Node | None:
  """3:2, 3 to 2, and 5:30 p.m."""
  unit = ""
  if clock := _CLOCK.fullmatch(text):
    text, unit = clock.group(1), clock.group(2).lower() + ".m."
  parts, marks = split(_RATIO_IN_WORDS.sub(":", text), {":"})
  if not marks:
    return None
  *items, last = (_read(part, depth) for part in parts)
  return Ordered(":", (*items, Scalar(last.text, unit) if unit else last))


def _read_plus_minus(text: str, depth: int) -> Node | None:
  is_set = text.startswith((r"\{", "{")) and is_one_group(text)
  if r"\pm" not in text:
    text = text.replace(r"\mp", r"\pm")
  if text.count(r"\pm") != 1 or is_set:
    return None
  signs = (("+", "-"), ("-", "+"))
  items = [
      text.replace(r"\pm", upper).replace(r"\mp", lower)
      for upper, lower in signs
  ]
  return Unordered("set", tuple(_read(item, depth) for item in items))


def _read_set_of(text: str, depth: int) -> Node | None:
  r"""\{x | x > 2\}: a condition, or a symbol where it has another form."""
  match = _SET_OF.fullmatch(text)
  if match is None:
    return None
  try:
    condition = _read(match.group(2), depth)
  except UnreadableError:
    return Symbol(text)
  is_union = intervals.as_union(condition) is not None
  return condition if is_union else Symbol(text)


def _read_brackets(text: str, depth: int) -> Node | None:
  """(1, 2], \\{1, 2\\}, or {...} and (...) around a single answer."""
  opening = text[:2] if text.startswith(r"\{") else text[0]
  if opening not in OPENING or not is_one_group(text):
    return None
  closing = text[-2:] if text.endswith(r"\}") else text[-1]
  inner = text[len(opening) : -len(closing)]
  parts, _ = split(inner, {","})
  if len(parts) == 1 and (opening in "({" or inner.startswith(r"\begin")):
    return _read(inner, depth)
  if opening == "{":
    return _read(inner, depth)
  if opening == r"\{":
    items = _items(parts, depth)
    # \{5\} is 5, but \{\emptyset\} and \{\{5\}\} are sets of sets.
    is_nested = any(part.startswith(r"\{") for part in parts)
    if is_nested:
      items = tuple(Unordered("set", _members(item)) for item in items)
    is_alone = len(items) == 1 and not isinstance(items[0], Symbol)
    return items[0] if is_alone and not is_nested else Unordered("set", items)
  items = tuple(_read(part, depth) for part in parts)
  if all(isinstance(i, Ordered) and i.brackets == "[]" for i in items):
    # [[1, 2], [3, 4]], as in Python.
    return Ordered("matrix", tuple(Ordered("row", i.items) for i in items))
  return Ordered(opening + closing, items)


def _read_matrix(text: str, depth: int) -> Node | None:
  match = _MATRIX.fullmatch(text)
  if match is None:
    return None
  rows, _ = split(match.group(2), {r"\\"})
  if len(rows) > 1 and not rows[-1].strip():
    rows.pop()
  cells = [split(row, {"&"})[0] for row in rows]
  return Ordered(
      "matrix",
      tuple(
          Ordered("row", tuple(_read(cell, depth) for cell in row))
          for row in cells
      ),
  )


_READERS = (
    _read_set_of,
    _read_list,
    _read_union,
    _read_difference,
    _read_relation,
    _read_plus_minus,
    _read_ratio,
    _read_brackets,
    _read_matrix,
)


def _read_leaf(text: str) -> Node:
  if text == _REALS:
    return intervals.REALS
  if numeral := read_numeral(text):
    return numeral
  if _SYMBOL.fullmatch(text):
    return Symbol(text)
  if words := read_bare_words(text):
    return words
  body, unit = split_unit(in_digits(text))
  return Scalar(body.strip(), unit)
