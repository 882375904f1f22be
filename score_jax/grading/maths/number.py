"""Exact values of plain numbers, without computer algebra."""

import fractions
import functools
import math
import re

# Bounds the digits given to int(), which refuses more than 4300.
MAX_NUMBER_CHARS = 300
# 10^1000 has more digits than any answer that anyone writes out.
MAX_EXPONENT = 1000

_WHOLE = r"[0-9]+"
_DECIMAL = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
_PLAIN = re.compile(_DECIMAL)
_SLASH = re.compile(rf"([+-]?{_WHOLE})/([+-]?{_WHOLE})")
_FRAC = re.compile(rf"\\frac\{{([+-]?{_DECIMAL})\}}\{{([+-]?{_DECIMAL})\}}")
_MIXED = re.compile(
    rf"({_WHOLE})(?:\\frac\{{({_WHOLE})\}}\{{({_WHOLE})\}}"
    rf"| ({_WHOLE})/({_WHOLE}))"
)
# 0.\overline{3}, 0.(3), 0.\dot{3} and 0.\dot{1}4285\dot{7}.
_REPEATING = re.compile(
    r"([0-9]*)\.([0-9]*)(?:\\overline\{([0-9]+)\}|\(([0-9]+)\)"
    r"|\\dot\{([0-9])\}(?:([0-9]*)\\dot\{([0-9])\})?)"
)
_SCIENTIFIC = re.compile(
    rf"(?:({_DECIMAL})(?:\\times|\\cdot|\*))?10\^(?:\{{([+-]?[0-9]+)\}}|([0-9]))"
    rf"|({_DECIMAL})[eE]([+-]?[0-9]+)"
)
# Digits of a decimal behind its point.
_PLACES = re.compile(r"[-+]?[0-9]*(?:\.([0-9]*))?")
_TEN = fractions.Fraction(10)


@functools.lru_cache(maxsize=1 << 15)
def parse_number(text: str) -> fractions.Fraction | float | None:
  """The exact value of a normalised plain number, None for anything else.

  Plain numbers are integers, decimals, repeating decimals, fractions, proper
  mixed numbers, scientific notation and infinity, which is the only float.

  Args:
    text: as `normalize.normalize` returns it.
  """
  if len(text) > MAX_NUMBER_CHARS:
    return None
  sign, body = 1, text
  if body[:1] in ("+", "-"):
    sign = -1 if body[0] == "-" else 1
    body = body[1:]
  if body in (r"\infty", "infinity"):
    return sign * math.inf
  value = _unsigned(body)
  return None if value is None else sign * value


def rounds_to(number: fractions.Fraction | float, decimal: str) -> bool:
  """Whether a number is rounded, or cut off, to the digits of a decimal.

  Args:
    number: any number.
    decimal: a normalised plain number; others than decimals must be equal.
  """
  rounded = parse_number(decimal)
  places = _PLACES.fullmatch(decimal)
  if places is None or math.inf in (abs(number), abs(rounded)):
    return number == rounded
  if number * rounded < 0:
    return False
  last = 1 / _TEN ** len(places.group(1) or "")
  return -last / 2 <= abs(number) - abs(rounded) < last


def _unsigned(body: str) -> fractions.Fraction | None:
  if _PLAIN.fullmatch(body):
    return fractions.Fraction(body)
  for pattern in (_SLASH, _FRAC):
    if match := pattern.fullmatch(body):
      return _ratio(*match.groups())
  if match := _MIXED.fullmatch(body):
    whole, *parts = (part for part in match.groups() if part is not None)
    part = _ratio(*parts)
    # 2\frac{3}{2} is no mixed number; whether it is a product nobody knows.
    if part is None or part >= 1:
      return None
    return int(whole) + part
  if match := _REPEATING.fullmatch(body):
    whole, head, *period = (part or "" for part in match.groups())
    return _repeating(whole, head, "".join(period))
  return _scientific(body)


def _ratio(numerator: str, denominator: str) -> fractions.Fraction | None:
  divisor = fractions.Fraction(denominator)
  return fractions.Fraction(numerator) / divisor if divisor else None


def _repeating(whole: str, head: str, tail: str) -> fractions.Fraction:
  """whole.head tail tail tail..."""
  shift = 10 ** len(head)
  period = fractions.Fraction(int(tail), 10 ** len(tail) - 1)
  return (int((whole or "0") + head) + period) / shift


def _scientific(body: str) -> fractions.Fraction | None:
  match = _SCIENTIFIC.fullmatch(body)
  if match is None:
    return None
  times, braced, bare, before_e, after_e = match.groups()
  digits, exponent = times or before_e or "1", braced or bare or after_e
  if len(exponent) > 5 or abs(int(exponent)) > MAX_EXPONENT:
    return None
  return fractions.Fraction(digits) * _TEN ** int(exponent)
