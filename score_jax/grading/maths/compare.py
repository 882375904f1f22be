"""Whether an answer equals the gold answer: the policy, without algebra.

Every decision is a row of math_policy.md. A verdict is True, False, or None
where it depends on two expressions that `leaves` cannot compare.
"""

from collections.abc import Iterable
import itertools
import re
from typing import Protocol

from score_jax.grading.maths.intervals import as_union
from score_jax.grading.maths.intervals import is_interval
from score_jax.grading.maths.intervals import merged
from score_jax.grading.maths.intervals import variables
from score_jax.grading.maths.names import are_in_order
from score_jax.grading.maths.names import is_name
from score_jax.grading.maths.names import letters_named
from score_jax.grading.maths.names import named
from score_jax.grading.maths.nodes import Node
from score_jax.grading.maths.nodes import Numeral
from score_jax.grading.maths.nodes import Ordered
from score_jax.grading.maths.nodes import Relation
from score_jax.grading.maths.nodes import Scalar
from score_jax.grading.maths.nodes import Symbol
from score_jax.grading.maths.nodes import Unordered
from score_jax.grading.maths.nodes import Words
from score_jax.grading.maths.number import parse_number
from score_jax.grading.maths.number import rounds_to
from score_jax.grading.maths.units import is_same_unit
from score_jax.grading.maths.words import is_same_words

# \overline{AB} may be written AB.
_FIGURE = re.compile(r"\\[a-z]+(?: |\{)([A-Z]+)\}?")
_EMPTY_SET = Symbol(r"\emptyset")
_NOTHING = (Words("no solution"), Words("empty set"))
_TEX_TOKEN = re.compile(r"\\[a-zA-Z]+|[^\s{}]|[{}]")


class Leaves(Protocol):
  """Decides what the policy leaves to algebra; None means undecided."""

  def is_same_scalar(self, gold: str, answer: str) -> bool | None:
    """Whether two expressions are equal; not both are plain numbers."""

  def is_same_relation(self, gold: Relation, answer: Relation) -> bool | None:
    """Whether two relations of two sides and the same operator are equal."""

  def is_rounded(self, text: str, rounded: str) -> bool | None:
    """Whether an expression is rounded, or cut off, to a decimal."""


class ExactLeaves:
  """Decides nothing: for the process that has no computer algebra."""

  def is_same_scalar(self, gold: str, answer: str) -> None:
    return None

  def is_same_relation(self, gold: Relation, answer: Relation) -> None:
    return None

  def is_rounded(self, text: str, rounded: str) -> bool | None:
    number = parse_number(text)
    return None if number is None else rounds_to(number, rounded)


def compare(gold: Node, answer: Node, leaves: Leaves) -> bool | None:
  """Whether the answer is the gold; None when the leaves cannot tell."""
  if _is_rounding(answer):
    return _all(
        (
            compare(gold, _exact(answer), leaves),
            _compare_rounding(answer, leaves),
        )
    )
  gold = _exact(gold) if _is_rounding(gold) else gold
  if isinstance(gold, Ordered):
    answer = _alone(answer)
  elif isinstance(answer, Ordered):
    gold = _alone(gold)
  verdict = _compare_forms(gold, answer, leaves)
  if verdict is True or not _is_condition(gold) and not _is_condition(answer):
    return verdict
  return _any((verdict, _compare_sets_of_numbers(gold, answer, leaves)))


def _alone(node: Node) -> Node:
  r"""The interval I of x \in I, which is a union of one; others as they are."""
  is_union = isinstance(node, Unordered) and node.kind == "union"
  return node.items[0] if is_union and len(node.items) == 1 else node


def _expanded(node: Node) -> Node:
  """x = 3, y = -1 of (x, y) = (3, -1); others as they are."""
  match node:
    case Relation((Ordered() as names, Ordered() as values), ("=",)):
      if len(names.items) != len(values.items):
        return node
      pairs = zip(names.items, values.items, strict=True)
      return Unordered("set", tuple(Relation(p, ("=",)) for p in pairs))
  return node


def _compare_forms(gold: Node, answer: Node, leaves: Leaves) -> bool | None:
  if isinstance(gold, Unordered):
    answer = _expanded(answer)
  elif isinstance(answer, Unordered):
    gold = _expanded(gold)
  if isinstance(answer, Relation) and not isinstance(gold, Relation):
    return _compare_with_equation(gold, answer, leaves)
  if isinstance(gold, Relation) and not isinstance(answer, Relation):
    return _compare_equation_with(gold, answer, leaves)
  if isinstance(gold, Words) or isinstance(answer, Words):
    return is_same_words(gold, answer) or _say_none(gold, answer)
  if isinstance(gold, Symbol):
    return _is_same_symbol(gold, answer)
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
  if _adds_other_units(gold, answer) or not _has_names_in_order(gold, answer):
    return False
  return _all(map(compare, gold.items, answer.items, itertools.repeat(leaves)))


def _all(verdicts: Iterable[bool | None]) -> bool | None:
  is_known = True
  for verdict in verdicts:
    if verdict is False:
      return False
    is_known = is_known and verdict is not None
  return True if is_known else None


def _any(verdicts: Iterable[bool | None]) -> bool | None:
  verdicts = list(verdicts)
  if True in verdicts:
    return True
  return None if None in verdicts else False


def _compare_scalars(
    gold: Scalar, answer: Scalar, leaves: Leaves
) -> bool | None:
  if not is_same_unit(gold.unit, answer.unit):
    return False
  if gold.text == answer.text:
    return True
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


def _is_same_symbol(gold: Symbol, answer: Node) -> bool:
  if isinstance(answer, Scalar):
    figure = _FIGURE.fullmatch(gold.text)
    return bool(figure) and figure.group(1) == answer.text and not answer.unit
  if not isinstance(answer, Symbol):
    return False
  return _tex_tokens(gold.text) == _tex_tokens(answer.text)


def _say_none(gold: Node, answer: Node) -> bool:
  """Whether one is the empty set, and the other says so in words."""
  for symbol, words in ((gold, answer), (answer, gold)):
    if symbol == _EMPTY_SET:
      return any(is_same_words(nothing, words) for nothing in _NOTHING)
  return False


def _tex_tokens(text: str) -> list[str]:
  """What TeX reads: of x^{2} and x^2 the same."""
  tokens = _TEX_TOKEN.findall(text)
  while True:
    for index in range(len(tokens) - 2):
      opening, inner, closing = tokens[index : index + 3]
      if opening == "{" and closing == "}" and inner not in "{}":
        tokens[index : index + 3] = [inner]
        break
    else:
      return tokens


def _compare_collections(
    gold: Unordered, answer: Unordered, leaves: Leaves
) -> bool | None:
  """Pairs each item with one that is equal; being equal is transitive."""
  if len(gold.items) != len(answer.items) or gold.kind != answer.kind:
    return False
  if _num_named(gold) > 1 and any(not named(item) for item in answer.items):
    return False  # of x = 2, y = 3 the list 3, 2 says neither
  if _num_named(gold) < 2 and len(letters_named(answer.items)) > 1:
    return False  # of 2, 3 the list x = 3, y = 2 says more
  if _adds_other_units(gold, answer):
    return False
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


def _num_named(collection: Unordered) -> int:
  return len({named(item) for item in collection.items} - {None})


def _has_names_in_order(gold: Ordered, answer: Ordered) -> bool:
  """Whether names within a tuple, if there are some, fit its order."""
  names = [name for name in map(named, answer.items) if name is not None]
  return are_in_order(names) or any(map(named, gold.items))


def _adds_other_units(
    gold: Ordered | Unordered, answer: Ordered | Unordered
) -> bool:
  """Whether an answer has several units where the gold has not: cm and kg."""
  units = [set(map(_unit, node.items)) - {""} for node in (gold, answer)]
  return len(units[1]) > max(1, len(units[0]))


def _unit(item: Node) -> str:
  """The unit of a number, or of the value that an equation gives to a name."""
  value = item.sides[-1] if named(item) is not None else item
  return value.unit if isinstance(value, Scalar) else ""


def _is_rounding(node: Node) -> bool:
  return isinstance(node, Relation) and node.operators[-1] == "~"


def _exact(rounding: Relation) -> Node:
  r"""\sqrt{10} of \sqrt{10} \approx 3.16; what is rounded has its unit."""
  *sides, rounded = rounding.sides
  if is_name(sides[-1]):
    sides = [*sides, rounded]
  elif isinstance(sides[-1], Scalar) and isinstance(rounded, Scalar):
    sides[-1] = Scalar(sides[-1].text, sides[-1].unit or rounded.unit)
  if len(sides) == 1:
    return sides[0]
  return Relation(tuple(sides), ("=",) * (len(sides) - 1))


def _compare_rounding(rounding: Relation, leaves: Leaves) -> bool | None:
  """Whether what stands right of \\approx is the left side, rounded."""
  value, rounded = rounding.sides[-2:]
  if not _is_plain_number(rounded) or is_name(value):
    return _is_plain_number(rounded)
  if not isinstance(value, Scalar) or not is_same_unit(
      value.unit, rounded.unit
  ):
    return False
  return leaves.is_rounded(value.text, rounded.text)


def _is_condition(node: Node) -> bool:
  """Whether a node says by <, <=, != or several parts what a set holds."""
  if isinstance(node, Unordered):
    is_of_parts = node.kind in ("union", "conjunction")
    return is_of_parts or any(map(_is_condition, node.items))
  return isinstance(node, Relation) and "=" not in node.operators


def _compare_sets_of_numbers(
    gold: Node, answer: Node, leaves: Leaves
) -> bool | None:
  """x < 1 or x > 2 against (-oo, 1) U (2, oo)."""
  if isinstance(gold, Ordered) and not is_interval(gold):
    return False
  # As a list, intervals are not yet united: [1, 2], [3, 4].
  if len(variables(gold) | variables(answer)) > 1:
    return False
  sides = as_union(gold), as_union(answer)
  if None in sides:
    return False
  return _compare_collections(
      *(Unordered("union", merged(side)) for side in sides), leaves
  )


def _compare_with_equation(
    gold: Node, answer: Relation, leaves: Leaves
) -> bool | None:
  """Compares a relation with a gold that is none."""
  if set(answer.operators) != {"="}:
    return False
  # Of 10 / 2 = 5 both sides count: x^x = 7 is not 7.
  return _all(compare(gold, side, leaves) for side in _values(answer))


def _values(equation: Relation) -> tuple[Node, ...]:
  """The sides of an equation without names in front of or behind it."""
  sides = equation.sides
  if not is_name(sides[0]):
    return sides[: -1 if _is_name_of(sides[-1], sides[0]) else None]
  while len(sides) > 1 and _is_name_of(sides[0], sides[-1]):
    sides = sides[1:]
  return sides


def _is_name_of(name: Node, value: Node) -> bool:
  """Whether a node names a value: (x, y) pairs alone, |A| numbers."""
  if isinstance(name, Scalar) and name.text.startswith("|"):
    return isinstance(value, Scalar) and is_name(name)
  # [ABC] is an area.
  if isinstance(name, Ordered) and len(name.items) > 1:
    is_tuple = isinstance(value, Ordered) and is_name(name)
    return is_tuple and len(name.items) == len(value.items)
  return is_name(name)


def _compare_equation_with(
    gold: Relation, answer: Node, leaves: Leaves
) -> bool | None:
  """Compares an answer that is no relation with a gold that is one."""
  if _is_number_chain(gold):
    return any(_is_same_number(side, answer) for side in gold.sides)
  if gold.operators == ("=",) and is_name(gold.sides[0]):
    return compare(gold.sides[1], answer, leaves)
  return False


def _is_number_chain(relation: Relation) -> bool:
  r"""Whether a relation says one number several times: 0.56 = 56\%."""
  is_equation = set(relation.operators) == {"="}
  return is_equation and all(map(_is_plain_number, relation.sides))


def _is_plain_number(node: Node) -> bool:
  return isinstance(node, Scalar) and parse_number(node.text) is not None


def _is_same_number(gold: Scalar, answer: Node) -> bool:
  """Whether a plain number has the value and the unit of another."""
  if not _is_plain_number(answer) or gold.unit != answer.unit:
    return False
  return parse_number(gold.text) == parse_number(answer.text)


def _compare_relations(
    gold: Relation, answer: Relation, leaves: Leaves
) -> bool | None:
  if _is_number_chain(gold) and set(answer.operators) == {"="}:
    return _all(
        any(_is_same_number(side, other) for side in gold.sides)
        for other in answer.sides
    )
  names = gold.sides[0], answer.sides[0]
  is_named = all(map(is_name, names)) and names[0] == names[1]
  if is_named and gold.operators == ("=",) and set(answer.operators) == {"="}:
    value = gold.sides[1]
    return _all(compare(value, side, leaves) for side in answer.sides[1:])
  if gold.operators != answer.operators or any(
      isinstance(side, Scalar) and side.unit and is_name(Scalar(side.text))
      for side in answer.sides
  ):
    return False  # of x = 10 the name is no x\%
  orders = [answer.sides]
  if set(answer.operators) <= {"=", "!="}:
    orders.append(answer.sides[::-1])
  verdict = _any(
      _all(map(compare, gold.sides, sides, itertools.repeat(leaves)))
      for sides in orders
  )
  if verdict is True or len(gold.sides) != 2:
    return verdict
  sides = *gold.sides, *answer.sides
  # Algebra sees no units, nor other words: y doubled = 2x + 1.
  if not all(isinstance(s, Scalar) and not s.unit for s in sides):
    return verdict
  return leaves.is_same_relation(gold, answer)
