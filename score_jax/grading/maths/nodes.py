"""The tree that an answer is read into, and the words for what has no reading.

Its leaves are expressions, words, symbols and numerals of another base.
"""

import dataclasses


class UnreadableError(ValueError):
  """The text has no reading as an answer."""


@dataclasses.dataclass(frozen=True)
class Scalar:
  """One expression without its unit ('' when it has none)."""

  text: str
  unit: str = ""


@dataclasses.dataclass(frozen=True)
class Words:
  """A name, a choice, a date, a sentence."""

  text: str


@dataclasses.dataclass(frozen=True)
class Symbol:
  r"""What only its spelling stands for: \emptyset, \overline{AB}, \sum..."""

  text: str


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


Node = Scalar | Words | Symbol | Numeral | Unordered | Ordered | Relation


def scalars(node: Node) -> list[Scalar]:
  """All expressions at the leaves of a tree."""
  match node:
    case Scalar():
      return [node]
    case Relation():
      parts = node.sides
    case Ordered() | Unordered():
      parts = node.items
    case _:
      return []
  return [leaf for part in parts for leaf in scalars(part)]
