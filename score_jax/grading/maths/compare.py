"""Whether an answer equals the gold answer: the policy, without algebra.

Every decision is a row of math_policy.md. A verdict is True, False, or None
where it depends on two expressions that `leaves` cannot compare.
"""

from collections.abc import Iterable
import itertools
import re
from typing import Protocol

from score_jax.grading.maths.number import parse_number
from score_jax.grading.maths.structure import Node
from score_jax.grading.maths.structure import Numeral
from score_jax.grading.maths.structure import Ordered
from score_jax.grading.maths.structure import Relation
from score_jax.grading.maths.structure import Scalar
from score_jax.grading.maths.structure import Unordered
from score_jax.grading.maths.units import is_same_unit

_INFINITY = Scalar(r"\infty")
_MINUS_INFINITY = Scalar(r"-\infty")
_IDLE_IN_WORDS = frozenset(" .,;:'\"-()")
_PLAIN_WORDS = re.compile(r"[A-Za-z]+(?: [A-Za-z0-9]+)*")
_GREEK = (
    r"\\(?:alpha|beta|gamma|delta|epsilon|theta|lambda|mu|nu|xi|rho|sigma|tau"
    r"|phi|varphi|chi|psi|omega|Delta|Theta|Sigma|Phi|Omega|triangle|ell)"
)
# What may stand before '=' without being part of the answer.
_NAME = re.compile(
    rf"(?:m?\\angle ?)?(?:[a-zA-Z]+|{_GREEK})"
    r"(?:_\{?[0-9a-zA-Z]+\}?)?'*(?:\^\{-1\})?(?:\([a-zA-Z](?:,[a-zA-Z])*\))?"
)


# A name in words; not one that denies or leaves open what comes behind it.
_WORDS_OF_NAME = re.compile(
    r"(?!.*\b(?:not|no|never|or|and|if|unless|than)\b)[A-Za-z '.-]+",
    re.IGNORECASE,
)


class Leaves(Protocol):
  """Decides what the policy leaves to algebra; None means undecided."""

  def is_same_scalar(self, gold: str, answer: str) -> bool | None:
    """Whether two expressions are equal; not both are plain numbers."""

  def is_same_relation(self, gold: Relation, answer: Relation) -> bool | None:
    """Whether two relations of two sides and the same operator are equal."""


class ExactLeaves:
  """Decides nothing: for the process that has no computer algebra."""

  def is_same_scalar(self, gold: str, answer: str) -> None:
    return None

  def is_same_relation(self, gold: Relation, answer: Relation) -> None:
    return None


def compare(gold: Node, answer: Node, leaves: Leaves) -> bool | None:
  """Whether the answer is the gold; None when the leaves cannot tell."""
  if isinstance(answer, Relation) and not isinstance(gold, Relation):
    return _compare_with_relation(gold, answer, leaves)
  if isinstance(gold, Relation) and not isinstance(answer, Relation):
    return _compare_relation_with(gold, answer, leaves)
  if type(gold) is not type(answer):
    return False
  if isinstance(gold, Scalar):
    return _compare_scalars(gold, answer, leaves)
  if isinstance(gold, Numeral):
    return gold == answer
  if isinstance(gold, Relation):
    return _compare_relations(gold, answer, leaves)
  if isinstance(gold, Unordered):
    return _compare_collections(gold, answer, leaves)
  if gold.brackets != answer.brackets or len(gold.items) != len(answer.items):
    return False
  return _all(map(compare, gold.items, answer.items, itertools.repeat(leaves)))


def _all(verdicts: Iterable[bool | None]) -> bool | None:
  is_known = True
  for verdict in verdicts:
    if verdict is False:
      return False
    is_known = is_known and verdict is not None
  return True if is_known else None


def _compare_scalars(
    gold: Scalar, answer: Scalar, leaves: Leaves
) -> bool | None:
  if not is_same_unit(gold.unit, answer.unit):
    return False
  if gold.text == answer.text:
    return True
  if gold.is_words or answer.is_words:
    return _is_same_words(gold, answer)
  numbers = parse_number(gold.text), parse_number(answer.text)
  if None not in numbers:
    return numbers[0] == numbers[1]
  if all(map(_is_number_or_variable, (gold.text, answer.text))):
    return False
  return leaves.is_same_scalar(gold.text, answer.text)


def _is_number_or_variable(text: str) -> bool:
  """Whether a text is a plain number or one letter that is no constant.

  Two of these that are spelled differently are not equal.
  """
  is_variable = len(text) == 1 and text.isalpha() and text not in "ei"
  return is_variable or parse_number(text) is not None


def _is_same_words(gold: Scalar, answer: Scalar) -> bool:
  """Whether words are equal; case counts in single letters, which are names.

  Words are never compared with an expression: of -15 and the words '(15)', of
  x^2 and 'x2', letters and digits are the same.
  """
  if len(gold.text) == 1:
    return gold.text == answer.text
  for side in (gold, answer):
    if not side.is_words and not _PLAIN_WORDS.fullmatch(side.text):
      return False
  first, second = (
      "".join(c for c in side.text.casefold() if c not in _IDLE_IN_WORDS)
      for side in (gold, answer)
  )
  return any(map(str.isalnum, first)) and first == second


def _compare_collections(
    gold: Unordered, answer: Unordered, leaves: Leaves
) -> bool | None:
  """Pairs each item with one that is equal; being equal is transitive."""
  if len(gold.items) != len(answer.items):
    return False
  if gold.kind != answer.kind:
    return _compare_union_with_inequalities(gold, answer, leaves)
  if _num_names(gold) > 1 and any(not _named(item) for item in answer.items):
    return False  # of x = 2, y = 3 the list 3, 2 says neither
  remaining, is_known = list(answer.items), True
  for item in gold.items:
    verdicts = [compare(item, other, leaves) for other in remaining]
    if True in verdicts:
      remaining.pop(verdicts.index(True))
    elif None in verdicts:
      is_known = False
    else:
      return False
  return True if is_known else None


def _named(item: Node) -> Node | None:
  """What an equation gives a value to: x of x = 2; None for others."""
  is_equation = isinstance(item, Relation) and set(item.operators) == {"="}
  names = _names(item) if is_equation else ()
  return names[0] if names else None


def _num_names(collection: Unordered) -> int:
  return len({_named(item) for item in collection.items} - {None})


def _compare_union_with_inequalities(
    gold: Unordered, answer: Unordered, leaves: Leaves
) -> bool | None:
  """x < 1 or x > 2 against (-oo, 1) U (2, oo)."""
  relations = [
      item
      for side in (gold, answer)
      for item in side.items
      if isinstance(item, Relation)
  ]
  if len({_names(relation) for relation in relations}) > 1:
    return False
  sides = []
  for side in (gold, answer):
    if side.kind not in ("set", "union"):  # x < 1 and x > 2
      return False
    # As a list, intervals are not yet united: [1, 2], [3, 4].
    expected = Ordered if side.kind == "union" else Relation
    if not all(isinstance(item, expected) for item in side.items):
      return False
    items = (
        map(_as_interval, side.items) if expected is Relation else side.items
    )
    sides.append(Unordered("union", tuple(items)))
  if any(None in side.items for side in sides):
    return False
  return _compare_collections(*sides, leaves)


def _names(relation: Relation) -> tuple[Node, ...]:
  return tuple(side for side in relation.sides if _is_name(side))


def _compare_with_relation(
    gold: Node, answer: Relation, leaves: Leaves
) -> bool | None:
  """Compares a relation with a gold that is none."""
  if set(answer.operators) == {"="}:
    sides = answer.sides[1:] if _is_name(answer.sides[0]) else answer.sides
    # Of 10 / 2 = 5 both sides count: x^x = 7 is not 7.
    return _all(compare(gold, side, leaves) for side in sides)
  if _is_interval(gold):
    interval = _as_interval(answer)
    return interval is not None and compare(gold, interval, leaves)
  return False


def _compare_relation_with(
    gold: Relation, answer: Node, leaves: Leaves
) -> bool | None:
  """Compares an answer that is no relation with a gold that is one."""
  if gold.operators == ("=",) and _is_name(gold.sides[0]):
    return compare(gold.sides[1], answer, leaves)
  interval = _as_interval(gold)
  return interval is not None and compare(interval, answer, leaves)


def _compare_relations(
    gold: Relation, answer: Relation, leaves: Leaves
) -> bool | None:
  names = gold.sides[0], answer.sides[0]
  is_named = all(map(_is_name, names)) and names[0] == names[1]
  if is_named and gold.operators == ("=",) and set(answer.operators) == {"="}:
    value = gold.sides[1]
    return _all(compare(value, side, leaves) for side in answer.sides[1:])
  if gold.operators != answer.operators:
    return False
  verdict = _all(
      map(compare, gold.sides, answer.sides, itertools.repeat(leaves))
  )
  if verdict is True or len(gold.sides) != 2:
    return verdict
  if not all(isinstance(s, Scalar) for s in (*gold.sides, *answer.sides)):
    return verdict
  return leaves.is_same_relation(gold, answer)


def _is_name(node: Node) -> bool:
  if isinstance(node, Ordered):
    return all(map(_is_name, node.items))
  if not isinstance(node, Scalar) or node.unit:
    return False
  if node.is_words and not node.text.startswith("\\"):
    return _WORDS_OF_NAME.fullmatch(node.text) is not None
  return _NAME.fullmatch(node.text) is not None


def _is_interval(node: Node) -> bool:
  """Whether a node is surely an interval: (1, 2) may be a point."""
  if not isinstance(node, Ordered) or len(node.items) != 2:
    return False
  is_half_closed = node.brackets in ("[]", "[)", "(]")
  return is_half_closed or any(map(_is_infinite, node.items))


def _is_infinite(node: Node) -> bool:
  if not isinstance(node, Scalar):
    return False
  number = parse_number(node.text)
  # Exact numbers are fractions, infinity is the only float.
  return isinstance(number, float)


def _as_interval(relation: Relation) -> Ordered | None:
  """1 < x <= 2 as (1, 2], None when it is no interval of one variable."""
  if not set(relation.operators) <= {"<", "<="}:
    return None
  marks = relation.operators
  match [_is_name(side) for side in relation.sides]:
    case [True, False]:
      low, high = _MINUS_INFINITY, relation.sides[1]
      marks = ("<", *marks)
    case [False, True]:
      low, high = relation.sides[0], _INFINITY
      marks = (*marks, "<")
    case [False, True, False]:
      low, high = relation.sides[0], relation.sides[2]
    case _:
      return None
  brackets = ("(" if marks[0] == "<" else "[") + (
      ")" if marks[1] == "<" else "]"
  )
  return Ordered(brackets, (low, high))
