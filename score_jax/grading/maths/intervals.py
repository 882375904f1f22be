"""Sets of real numbers, said by intervals or by conditions on a variable."""

from collections.abc import Iterable
import fractions
import math
import re

from score_jax.grading.maths.names import is_name
from score_jax.grading.maths.nodes import Node
from score_jax.grading.maths.nodes import Ordered
from score_jax.grading.maths.nodes import Relation
from score_jax.grading.maths.nodes import Scalar
from score_jax.grading.maths.nodes import Unordered
from score_jax.grading.maths.number import parse_number

INFINITY = Scalar(r"\infty")
MINUS_INFINITY = Scalar(r"-\infty")
REALS = Ordered("()", (MINUS_INFINITY, INFINITY))
# A number, and 1 or -1 where only what is above or below it is meant.
_End = tuple[fractions.Fraction | float, int]
# The interval that is left on either side of a bracket that is taken out.
_LEFT_OF = {"(": "]", "[": ")"}
_RIGHT_OF = {")": "[", "]": "("}
# |x|, |x - 3|.
_DISTANCE = re.compile(r"\|([a-zA-Z])(?:([-+])([^-+|]+))?\|")


def is_interval(node: Node) -> bool:
  """Whether a node is surely an interval: (1, 2) may be a point."""
  if not isinstance(node, Ordered) or len(node.items) != 2:
    return False
  is_half_closed = node.brackets in ("[]", "[)", "(]")
  return is_half_closed or any(map(_is_infinite, node.items))


def variables(node: Node) -> set[Node]:
  """The names of all variables that conditions in a node are about."""
  match node:
    case Unordered():
      return set().union(*map(variables, node.items))
    case Relation():
      names = {side for side in node.sides if is_name(side)}
      distances = (_distance(side) for side in node.sides)
      return names | {found[0] for found in distances if found}
  return set()


def as_union(node: Node) -> tuple[Ordered, ...] | None:
  """The intervals of a set of numbers, None where it is no such set.

  Args:
    node: an interval, a union of intervals, a condition, or several of them
      that are joined by 'or' or by 'and'.
  """
  match node:
    case Ordered():
      is_pair = node.brackets in ("()", "[)", "(]", "[]")
      return (node,) if is_pair and len(node.items) == 2 else None
    case Relation():
      return _of_relation(node)
    case Unordered(kind="conjunction"):
      return _intersection(list(map(as_union, node.items)))
    case Unordered(kind="union"):
      return _joined(map(as_union, node.items))
    case Unordered() if all(isinstance(i, Relation) for i in node.items):
      if all(item.operators == ("!=",) for item in node.items):
        return _all_but([_excluded(item) for item in node.items])
      return _joined(map(as_union, node.items))
  return None


def complement(node: Node) -> Node | None:
  """All real numbers but those of an interval or of a few points."""
  if is_interval(node) or isinstance(node, Ordered) and node.brackets == "()":
    if len(node.items) != 2:
      return None
    pieces = _outside(node)
  else:
    is_set = isinstance(node, Unordered) and node.kind == "set"
    pieces = _all_but(list(node.items if is_set else (node,)))
  return Unordered("union", pieces) if pieces else None


def _joined(
    unions: Iterable[tuple[Ordered, ...] | None],
) -> tuple[Ordered, ...] | None:
  unions = list(unions)
  if None in unions:
    return None
  return tuple(interval for union in unions for interval in union)


def merged(union: tuple[Ordered, ...]) -> tuple[Ordered, ...]:
  """Intervals that no longer overlap or touch, where all ends are numbers."""
  spans = [_span(interval) for interval in union]
  if None in spans:
    return union
  kept = []
  for low, high in sorted(span for span in spans if span[0] <= span[1]):
    if kept and low <= (kept[-1][1][0], kept[-1][1][1] + 1):
      kept[-1] = kept[-1][0], max(high, kept[-1][1])
    else:
      kept.append((low, high))
  return tuple(_interval(low, high) for low, high in kept)


def _span(interval: Ordered) -> tuple[_End, _End] | None:
  """The ends of an interval, None where one of them is no plain number."""
  if not all(isinstance(i, Scalar) and not i.unit for i in interval.items):
    return None
  low, high = (parse_number(item.text) for item in interval.items)
  if low is None or high is None:
    return None
  opening, closing = interval.brackets
  return (low, int(opening == "(")), (high, -int(closing == ")"))


def _interval(low: _End, high: _End) -> Ordered:
  texts = {math.inf: INFINITY, -math.inf: MINUS_INFINITY}
  ends = (texts.get(end, Scalar(str(end))) for end, _ in (low, high))
  return _between(*ends, *("<=" if end[1] == 0 else "<" for end in (low, high)))


def _intersection(
    unions: list[tuple[Ordered, ...] | None],
) -> tuple[Ordered, ...] | None:
  """x > 0 and x <= 5: of numbers, or two rays in opposite directions."""
  if None in unions:
    return None
  spans = [[_span(interval) for interval in union] for union in unions]
  if all(None not in pieces for pieces in spans):
    common = spans[0]
    for pieces in spans[1:]:
      both = [
          (max(a[0], b[0]), min(a[1], b[1])) for a in common for b in pieces
      ]
      # Without those that hold nothing, whose number would double each time.
      common = [(low, high) for low, high in both if low <= high]
    return merged(tuple(_interval(*span) for span in common))
  if len(unions) != 2 or any(len(u) != 1 for u in unions):
    return None
  first, second = (union[0] for union in unions)
  for low, high in ((first, second), (second, first)):
    if low.items[1] == INFINITY and high.items[0] == MINUS_INFINITY:
      brackets = low.brackets[0] + high.brackets[1]
      return (Ordered(brackets, (low.items[0], high.items[1])),)
  return None


def _of_relation(relation: Relation) -> tuple[Ordered, ...] | None:
  if relation.operators == ("!=",):
    return _all_but([_excluded(relation)])
  if not set(relation.operators) <= {"<", "<="}:
    return None
  sides, marks = relation.sides, relation.operators
  if len(sides) == 2 and (found := _distance(sides[0])):
    return _within(found[1], sides[1], marks[0])
  if len(sides) == 2 and (found := _distance(sides[1])):
    inside = _within(found[1], sides[0], "<=" if marks[0] == "<" else "<")
    return _outside(inside[0]) if inside else None
  if len(sides) == 3 and (found := _distance(sides[1])):
    inside = _within(found[1], sides[0], "<=" if marks[0] == "<" else "<")
    around = _within(found[1], sides[2], marks[1])
    return _intersection([around, inside and _outside(inside[0])])
  match [is_name(side) for side in sides]:
    case [True, False]:
      low, high = MINUS_INFINITY, sides[1]
      marks = ("<", *marks)
    case [False, True]:
      low, high = sides[0], INFINITY
      marks = (*marks, "<")
    case [False, True, False]:
      low, high = sides[0], sides[2]
    case _:
      return None
  return (_between(low, high, marks[0], marks[1]),)


def _between(low: Node, high: Node, left: str, right: str) -> Ordered:
  brackets = ("(" if left == "<" else "[") + (")" if right == "<" else "]")
  return Ordered(brackets, (low, high))


def _distance(node: Node) -> tuple[Scalar, str] | None:
  """(x, '3') of |x - 3|, None of anything else."""
  match = _DISTANCE.fullmatch(node.text) if isinstance(node, Scalar) else None
  if match is None:
    return None
  name, sign, center = match.groups()
  return Scalar(name), ("-" if sign == "+" else "") + (center or "0")


def _within(center: str, radius: Node, mark: str) -> tuple[Ordered, ...] | None:
  """|x - center| < radius, of plain numbers or of a center 0."""
  if not isinstance(radius, Scalar) or radius.unit:
    return None
  numbers = parse_number(center), parse_number(radius.text)
  if None not in numbers and math.inf not in numbers:
    ends = [str(numbers[0] - numbers[1]), str(numbers[0] + numbers[1])]
    if not numbers[1] > 0:
      return None
  elif center == "0":
    ends = [f"-({radius.text})", radius.text]
  else:
    return None
  return (_between(Scalar(ends[0]), Scalar(ends[1]), mark, mark),)


def _outside(interval: Ordered) -> tuple[Ordered, ...]:
  low, high = interval.items
  pieces = (
      Ordered("(" + _LEFT_OF[interval.brackets[0]], (MINUS_INFINITY, low)),
      Ordered(_RIGHT_OF[interval.brackets[1]] + ")", (high, INFINITY)),
  )
  return tuple(piece for piece in pieces if piece.items[0] != piece.items[1])


def _excluded(relation: Relation) -> Node | None:
  """The value that a variable must not have."""
  match [is_name(side) for side in relation.sides]:
    case [True, False]:
      return relation.sides[1]
    case [False, True]:
      return relation.sides[0]
  return None


def _all_but(points: list[Node | None]) -> tuple[Ordered, ...] | None:
  if not all(isinstance(p, Scalar) and not p.unit for p in points):
    return None
  if len(points) > 1:
    numbers = {parse_number(point.text): point for point in points}
    if None in numbers:
      return None
    points = [numbers[number] for number in sorted(numbers)]
  ends = [MINUS_INFINITY, *points, INFINITY]
  return tuple(
      Ordered("()", pair) for pair in zip(ends[:-1], ends[1:], strict=True)
  )


def _is_infinite(node: Node) -> bool:
  # Exact numbers are fractions, infinity is the only float.
  return isinstance(node, Scalar) and isinstance(parse_number(node.text), float)
