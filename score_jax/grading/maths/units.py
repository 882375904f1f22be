r"""Units at the end of an answer: \text{ cm}^2, %, degrees, dollars, p.m."""

import functools
import re

_SPELLINGS = {
    "cm": "centimeter centimeters centimetre centimetres",
    "mm": "millimeter millimeters millimetre millimetres",
    "km": "kilometer kilometers kilometre kilometres",
    "m": "meter meters metre metres",
    "in": "inch inches",
    "ft": "foot feet",
    "yd": "yard yards",
    "mi": "mile miles",
    "kg": "kilogram kilograms",
    "g": "gram grams",
    "lb": "lbs pound pounds",
    "oz": "ounce ounces",
    "l": "liter liters litre litres",
    "ml": "milliliter milliliters",
    "gal": "gallon gallons",
    "s": "sec secs second seconds",
    "min": "mins minute minutes",
    "h": "hr hrs hour hours",
    "day": "days",
    "week": "weeks",
    "month": "months",
    "year": "years yr yrs",
    "dollar": "dollars",
    "cent": "cents",
    "%": "percent",
    "degree": "degrees deg",
    "radian": "radians rad",
    "degree c": "celsius",
    "degree f": "fahrenheit",
    "unit": "units",
    "mi/h": "mph",
    "km/h": "kph kmh",
    "am": "",
    "pm": "",
    "point": "points",
    "mol": "moles",
}
_CANONICAL = {
    spelling: unit
    for unit, spellings in _SPELLINGS.items()
    for spelling in (unit, *spellings.split())
}
# Words that change the number they follow, or that join two answers.
_NO_UNITS = re.compile(
    r"\b(?:hundred|thousand|million|billion|trillion|or|and|base|mod|if"
    r"|for|when|where|is|not|to|factorial|squared|cubed|pi|times|plus|minus"
    r"|over|divided|by|half|halves|thirds?|quarters?|fourths?|fifths?|than"
    r"|less|more|remainder)\b"
)
_POWER = r"(?:\^\{?([23])\}?)?"
_TEXT_UNIT = re.compile(rf"(.+?)(?:\^\\circ)?\\text\{{([^{{}}]*)\}}{_POWER}")
# Without \text, several letters only: 5 m may be a product.
_BARE_UNIT = re.compile(rf"(.*[0-9}}]) ?([a-z]{{2,}}){_POWER}")
_ANGLE = re.compile(r"\\(?:sin|cos|tan|sec|csc|cot)(?![a-z])")


@functools.lru_cache(maxsize=1 << 12)
def split_unit(text: str) -> tuple[str, str]:
  """(the answer without its unit, the unit in its one spelling or '')."""
  if text.endswith(r"\%"):
    return text[:-2], "%"
  if text.endswith("%"):
    return text[:-1], "%"
  if text.endswith(r"^\circ") and not _ANGLE.search(text):
    return text.removesuffix(r"^\circ"), "degree"
  if match := re.fullmatch(r"(-?)\\\$(.+)", text):
    body, unit = split_unit(match.group(2))
    # \$5 million is not \$5; \$5 a pound is a unit of its own.
    return match.group(1) + body, f"dollar/{unit}" if unit else "dollar"
  if match := _TEXT_UNIT.fullmatch(text):
    return _split_words(text, *match.groups(), is_marked=True)
  if match := _BARE_UNIT.fullmatch(text):
    return _split_words(text, *match.groups(), is_marked=False)
  return text, ""


def is_same_unit(gold: str, answer: str) -> bool:
  """Whether an answer's unit is the gold's, or one of the two has no unit.

  An answer may leave away any unit of the gold, such as 'apples'. A unit that
  the answer has and the gold has not must be a known one: other words might
  change the meaning.
  """
  if answer in ("", gold):
    return True
  return not gold and _is_known(answer)


def _split_words(
    text: str, body: str, words: str, power: str | None, *, is_marked: bool
) -> tuple[str, str]:
  lowered = words.lower().replace(".", "")
  if not re.search("[a-z%]", lowered) or _NO_UNITS.search(lowered):
    return text, ""
  unit = _one_spelling(lowered) + (f"^{power}" if power else "")
  if not is_marked and not _is_known(unit):
    return text, ""
  return body, unit


def _one_spelling(words: str) -> str:
  return "/".join(
      map(_one_factor, re.split(r" per |/", " ".join(words.split())))
  )


def _one_factor(words: str) -> str:
  match = re.fullmatch(r"(?:(square|sq|cubic|cu) )?(.+?)(?:\^?([23]))?", words)
  if match is None:
    return words
  prefix, base, power = match.groups()
  base = _CANONICAL.get(base) or base.removesuffix("s")
  exponent = power or {"s": "2", "c": "3"}.get((prefix or " ")[0])
  return f"{base}^{exponent}" if exponent else base


def _is_known(unit: str) -> bool:
  return (
      all(factor.partition("^")[0] in _SPELLINGS for factor in unit.split("/"))
      or unit in _SPELLINGS
  )
