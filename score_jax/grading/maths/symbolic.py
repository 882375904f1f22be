"""Equality of expressions by computer algebra; runs in worker processes.

Two expressions are equal when their values agree to 150 digits; where they have
variables, at several points. That is as safe as simplifying their difference,
many times faster, and cannot loop.
"""

from collections.abc import Iterator
import fractions
import functools
import random

import sympy

from score_jax.grading.maths.compare import compare
from score_jax.grading.maths.limits import RefusedError
from score_jax.grading.maths.limits import check_expression
from score_jax.grading.maths.nodes import Relation
from score_jax.grading.maths.nodes import UnreadableError
from score_jax.grading.maths.nodes import scalars
from score_jax.grading.maths.number import parse_number
from score_jax.grading.maths.number import rounds_to
from score_jax.grading.maths.parser import parse_expression
from score_jax.grading.maths.structure import read

# Digits that must agree, and those computed to be sure of them.
_AGREEING = 150
_DIGITS = 200
# Larger values cannot be compared digit by digit.
_MAX_MAGNITUDE = 10_000
_ZERO_MAGNITUDE = -100
_ENOUGH_POINTS = 3
_EXTREMES = tuple(
    sympy.Rational(*ratio)
    for ratio in ((1, 3), (-1, 5), (2, 7), (-3, 11), (1009, 7), (-1013, 9))
) + (sympy.Integer(10_007), sympy.Integer(-10_009), sympy.Integer(10**6 + 3))

_Point = dict[sympy.Symbol, sympy.Rational]


class SymbolicLeaves:
  """The `Leaves` of compare.py that decides by algebra."""

  def is_same_scalar(self, gold: str, answer: str) -> bool:
    return is_same_expression(_parse(gold), _parse(answer))

  def is_same_relation(self, gold: Relation, answer: Relation) -> bool:
    """Whether one is a multiple of the other, a positive one for < and <=."""
    first, second = (
        _parse(side.sides[0].text) - _parse(side.sides[1].text)
        for side in (gold, answer)
    )
    is_ordered = gold.operators[0] in ("<", "<=")
    return _is_multiple(first, second, must_be_positive=is_ordered)

  def is_rounded(self, text: str, rounded: str) -> bool:
    value = sympy.N(_parse(text), _DIGITS)
    if not value.is_Float or _magnitude(value) > _DIGITS:
      return False
    return rounds_to(fractions.Fraction(str(value)), rounded)


def handle(request: dict[str, str]) -> dict[str, str]:
  """Answers one request of the pool.

  Args:
    request: 'gold' and 'answer' as normalised texts, or 'gold' alone.

  Returns:
    'verdict': of a pair 'correct', 'wrong', 'unparseable' (the answer cannot be
    read) or 'bad_gold' (the gold cannot); of a gold alone 'readable' or
    'bad_gold'.
  """
  if "answer" not in request:
    return {"verdict": "readable" if _is_gold(request["gold"]) else "bad_gold"}
  try:
    gold, answer = read(request["gold"]), read(request["answer"])
    is_same = compare(gold, answer, SymbolicLeaves())
    return {"verdict": "correct" if is_same else "wrong"}
  except MemoryError:
    raise
  # What algebra raises on what it cannot work out is as varied as what models
  # write. That it works at all is known since the worker has warmed up.
  except Exception:
    is_gold = _is_gold(request["gold"])
    return {"verdict": "unparseable" if is_gold else "bad_gold"}


def _is_gold(text: str) -> bool:
  """Whether every part of a gold can be compared with other spellings of it."""
  try:
    for leaf in scalars(read(text)):
      if parse_number(leaf.text) is None:
        _parse(leaf.text)
  except MemoryError:
    raise
  except Exception:
    return False
  return True


@functools.lru_cache(maxsize=1 << 12)
def _parse(text: str) -> sympy.Expr:
  check_expression(text)
  expression = parse_expression(text)
  if expression.has(sympy.nan, sympy.zoo, sympy.oo, -sympy.oo):
    raise UnreadableError(f"{text!r} has no value.")
  return expression


def is_same_expression(gold: sympy.Expr, answer: sympy.Expr) -> bool:
  """Whether two expressions have the same value wherever the gold has one.

  Args:
    gold: the gold answer. Points where it has no real value are not compared,
      unless it holds i.
    answer: the answer of an attempt.
  """
  if gold == answer:
    return True
  if gold.is_Rational and answer.is_Rational:
    return False
  symbols = gold.free_symbols | answer.free_symbols
  if symbols and (gold - answer).has(sympy.floor, sympy.ceiling):
    # Steps agree at many points without being equal.
    return False
  is_counting = gold.has(sympy.binomial, sympy.factorial)
  agreeing = 0
  for point in _points(symbols, _has_kinks(gold, answer)):
    if _has_power_of_zero(answer, point):
      return False
    value = _value(gold, point)
    if value is None or not (value.is_real or gold.has(sympy.I)):
      continue
    other = _value(answer, point)
    if other is None and is_counting and min(point.values()) < 0:
      continue  # (n - 2)! has no value there
    if other is None or not _is_same_value(value, other):
      return False
    agreeing += 1
  return agreeing >= (_ENOUGH_POINTS if symbols else 1)


def _is_multiple(
    first: sympy.Expr, second: sympy.Expr, *, must_be_positive: bool
) -> bool:
  """Whether first / second is one number other than 0."""
  symbols = first.free_symbols | second.free_symbols
  if not symbols or symbols != first.free_symbols:
    return False
  ratios = []
  for point in _points(symbols, _has_kinks(first, second)):
    if _has_power_of_zero(second, point):
      return False
    values = _value(first, point), _value(second, point)
    if None in values or 0 in values:
      continue
    ratios.append(values[0] / values[1])
  if len(ratios) < _ENOUGH_POINTS:
    return False
  if must_be_positive and not (ratios[0].is_real and ratios[0] > 0):
    return False
  return all(_is_same_value(ratios[0], ratio) for ratio in ratios[1:])


def _has_power_of_zero(expression: sympy.Expr, point: _Point) -> bool:
  """Whether something that is 0 has a power with a variable, as 0^{x^2} has.

  That is 1 where the exponent is 0, which no other point shows.
  """
  bases = {p.base for p in expression.atoms(sympy.Pow) if p.exp.free_symbols}
  values = [_value(base, point) for base in bases]
  return any(v is not None and _is_same_value(v, sympy.S.Zero) for v in values)


def _has_kinks(*expressions: sympy.Expr) -> bool:
  """Whether expressions should be compared at extreme points, too.

  |x - 100| equals 100 - x at every point below 100. Expressions that grow too
  fast for extreme points are compared at the usual ones alone.
  """
  powers = [p for e in expressions for p in e.atoms(sympy.Pow)]
  is_growing = any(p.exp.free_symbols for p in powers) or any(
      e.has(sympy.exp, sympy.factorial, sympy.gamma, sympy.binomial)
      for e in expressions
  )
  is_root = any(p.base.free_symbols and not p.exp.is_Integer for p in powers)
  has_kink = any(e.has(sympy.Abs, sympy.log) for e in expressions)
  return (is_root or has_kink) and not is_growing


def _points(
    symbols: set[sympy.Symbol], with_extremes: bool
) -> Iterator[_Point]:
  """The same points every time: positive, of either sign, and integers."""
  names = sorted(symbols, key=lambda symbol: symbol.name)
  if not names:
    yield {}
    return
  generator = random.Random(20_240_919)
  for index in range(9):
    point = {}
    for name in names:
      value = sympy.Rational(
          generator.randrange(1, 40), generator.choice((7, 11, 13, 17, 19))
      )
      if index % 3 == 1:
        value *= generator.choice((1, -1))
      elif index % 3 == 2:
        value = sympy.Integer(generator.randrange(2, 30))
      point[name] = value
    yield point
  for number in _EXTREMES if with_extremes else ():
    if number < 0 and len(names) > 1:
      # \sqrt{x}\sqrt{y} is real there, and is not what people mean by it.
      continue
    yield {
        name: number * sympy.Rational(10 + i, 10)
        for i, name in enumerate(names)
    }


def _value(expression: sympy.Expr, point: _Point) -> sympy.Expr | None:
  """The exact value at a point, irrational ones unevaluated, or None."""
  value = expression.xreplace(point)
  if not value.is_number or value.has(sympy.nan, sympy.zoo, sympy.oo):
    return None
  return value


def _is_same_value(first: sympy.Expr, second: sympy.Expr) -> bool:
  if first == second:
    return True
  if first.is_Rational and second.is_Rational:
    return False
  rough = [sympy.N(value, 20) for value in (first, second)]
  scale = max(map(_magnitude, rough))
  # Of a zero only noise is left: no digits of it can agree.
  is_zero = scale < _ZERO_MAGNITUDE
  if not is_zero and _magnitude(rough[0] - rough[1]) > scale - 10:
    return False
  digits = _DIGITS + max(0, scale)
  difference = sympy.N(first, digits) - sympy.N(second, digits)
  first_digit = 0 if is_zero else min(0, scale)
  if _magnitude(difference) >= first_digit - _AGREEING:
    return False
  return not _is_surely_other_than_zero(first - second)


def _is_surely_other_than_zero(difference: sympy.Expr) -> bool:
  r"""Whether what is left of a difference has a digit of its own.

  Of \sqrt{2}+e^{-1000} less \sqrt{2} only e^{-1000} is left, far below all
  digits that are compared; of what differs in form alone, noise.
  """
  if difference.is_Rational:
    return difference != 0
  # A number of which no digit is known has a precision of one bit.
  parts = sympy.N(difference, 20).as_real_imag()
  return any(part.is_Float and part._prec > 1 and part != 0 for part in parts)


def _magnitude(value: sympy.Expr) -> int:
  """The decimal exponent of a complex number's absolute value; -10^9 for 0."""
  size = sympy.Abs(value)
  if not size.is_Number:
    raise UnreadableError("A value that cannot be computed.")
  if size == 0:
    return -(10**9)
  exponent = int(sympy.floor(sympy.log(size, 10).evalf(10)))
  if exponent > _MAX_MAGNITUDE:
    raise RefusedError("Beyond the limit of magnitude.")
  return exponent
