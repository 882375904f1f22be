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
    "g": "gram grams gramme grammes gm gms",
    "lb": "lbs",
    # Of weight, or of money.
    "pound": "pounds",
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
    "dollar": "dollars usd",
    "cent": "cents",
    "euro": "euros eur",
    "gbp": "sterling",
    "yen": "jpy",
    "%": "percent pct",
    "degree": "degrees deg",
    "radian": "radians rad rads",
    "degree c": "celsius",
    "degree f": "fahrenheit",
    "unit": "units",
    "mi/h": "mph",
    "km/h": "kph kmh",
    # Of clock times alone: 5 a.m. is not 5.
    "a.m.": "",
    "p.m.": "",
    "point": "points",
    "mol": "mole moles",
    "acre": "acres",
    "ton": "tons",
    "qt": "quart quarts",
    "pt": "pint pints",
    "cup": "cups",
    "tsp": "teaspoon teaspoons",
    "tbsp": "tablespoon tablespoons",
    "rpm": "",
}
_CANONICAL = {
    spelling: unit
    for unit, spellings in _SPELLINGS.items()
    for spelling in (unit, *spellings.split())
}
# Words that change the number they follow, or that join two answers.
_NO_UNITS = re.compile(
    r"\b(?:hundred|thousand|million|billion|trillion|or|and|base|mod|if"
    r"|for|when|where|is|not|to|of|factorial|squared|cubed|pi|times|plus|minus"
    r"|over|divided|by|half|halves|thirds?|quarters?"
    r"|(?:four|fif|six|seven|eigh|nin|ten|hundred|thousand|million)ths?"
    r"|than|less|more|remainder)\b"
)
_POWER = r"(?:\^\{?([23])\}?)?"
_TEXT_UNIT = re.compile(rf"(.+?)(?:\^\\circ)?\\text\{{([^{{}}]*)\}}{_POWER}")
# Without \text, several letters only: 5 m may be a product, 5 m/s hardly.
_BARE_UNIT = re.compile(
    r"(.*[0-9}])(?: ((?=.*[a-zA-Z]{4}|sq|cu|per )[a-zA-Z]{2,}\.?"
    r"(?: [a-zA-Z]+){0,4}|[a-zA-Z]+/[a-zA-Z]+(?:\^[23])?)"
    rf"| ?([a-zA-Z]{{2,}}){_POWER})"
)
_A_TIME = re.compile(
    r"(?:^| )an? (?=(?:second|minute|hour|day|week|month|year)$)"
)
_SQUARED = re.compile(r"(.* per )?([a-z]+) (square|cube)d")
_AGE = re.compile(r"^(years?|months?|weeks?|days?) old$")
# What has no degrees behind it: sin 60^\circ is a number, and so is \pi.
_ANGLE = re.compile(r"\\(?:sin|cos|tan|sec|csc|cot|pi)(?![a-z])")
# 5 M are five million, no metres.
_LARGE = frozenset("MGKB")
_SIGNS = {
    "%": "%",
    r"\%": "%",
    r"^\circ": "degree",
    r"\$": "dollar",
    "USD": "dollar",
    r"\euro": "euro",
    r"\pounds": "gbp",
    r"\yen": "yen",
    r"\cent": "cent",
}
_SIGN_BEHIND = re.compile(r"(.+?)(\\?%|\^\\circ|\\(?:\$|euro|pounds|yen|cent))")
_SIGN_BEFORE = re.compile(r"(-?)(?:US)?(\\(?:\$|euro|pounds|yen)|USD) ?(.+)")
# \frac{1}{7}\triangle ABC counts in triangles.
_FIGURE = re.compile(r"(.*[0-9}])\\triangle ?([A-Z]+)")
# \text{km}/\text{h}, \frac{\text{km}}{\text{h}}.
_QUOTIENT = re.compile(
    r"\\text\{([^{}]*)\}/\\text\{([^{}]*)\}"
    r"|\\frac\{\\text\{([^{}]*)\}\}\{\\text\{([^{}]*)\}(\^[23])?\}"
)
# \$18/\text{hour}, \$18/hour.
_RATE = re.compile(
    r"(?<=[0-9])/(?:\\text\{ ?([a-z ]+)\}"
    r"|((?:second|minute|hour|day|week|month|year|person)))$"
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
_EITHER = {"pound": ("lb", "gbp")}


def in_digits(text: str) -> str:
  r"""5\text{ million} as 5\cdot10^{6}; other texts as they are."""
  match = _MULTIPLE.fullmatch(text)
  if match is None:
    return text
  body, multiple, words = match.groups()
  unit = rf"\text{{{words}}}" if words else ""
  return rf"{body}\cdot10^{{{_ZEROS[multiple]}}}{unit}"


@functools.lru_cache(maxsize=1 << 12)
def split_unit(text: str) -> tuple[str, str]:
  """(the answer without its unit, the unit in its one spelling or '')."""
  match = _SIGN_BEHIND.fullmatch(text)
  if match and not (match.group(2) == r"^\circ" and _ANGLE.search(text)):
    return match.group(1), _SIGNS[match.group(2)]
  if match := _SIGN_BEFORE.fullmatch(text):
    sign, currency, rest = match.groups()
    body, unit = split_unit(rest)
    # \$5 million is not \$5; \$5 a pound is a unit of its own.
    money = _SIGNS[currency]
    if unit in ("", money):
      return sign + body, money
    return sign + body, f"{money}/{unit.removeprefix('/')}"
  if match := _FIGURE.fullmatch(text):
    return match.group(1), "triangle " + match.group(2)
  text = _RATE.sub(r"\\text{per \1\2}", _QUOTIENT.sub(_one_text, text))
  if match := _TEXT_UNIT.fullmatch(text):
    return _split_words(text, *match.groups(), is_marked=True)
  if match := _BARE_UNIT.fullmatch(text):
    body, words, word, power = match.groups()
    is_marked = words is not None
    return _split_words(text, body, words or word, power, is_marked=is_marked)
  return text, ""


def is_same_unit(gold: str, answer: str) -> bool:
  """Whether an answer's unit is the gold's, or one of the two has no unit.

  An answer may leave away any unit of the gold, such as 'apples'. A unit that
  the answer has and the gold has not must be a known one: other words might
  change the meaning.
  """
  if answer in ("", gold):
    return True
  if answer in _EITHER.get(gold, ()) or gold in _EITHER.get(answer, ()):
    return True
  return not gold and _is_known(answer)


def _one_text(match: re.Match) -> str:
  *parts, power = match.groups()
  factors = [part.strip() for part in parts if part is not None]
  return rf"\text{{{'/'.join(factors)}{power or ''}}}"


def _split_words(
    text: str, body: str, words: str, power: str | None, *, is_marked: bool
) -> tuple[str, str]:
  lowered = " ".join(words.lower().replace(".", "").split())
  if words.strip() in _LARGE:
    return text, ""
  lowered = lowered.replace("per cent", "percent")
  lowered = _A_TIME.sub(" per ", lowered).lstrip()
  lowered = _AGE.sub(r"\1", lowered)
  if (match := _SQUARED.fullmatch(lowered)) and match[2] in _CANONICAL:
    power_name = match[3].replace("cube", "cubic")
    lowered = f"{match[1] or ''}{power_name} {match[2]}"
  if not re.search("[a-z%]", lowered) or _NO_UNITS.search(lowered):
    return text, ""
  unit = _one_spelling(lowered) + (f"^{power}" if power else "")
  if unit == "degree" and r"\pi" in body:
    return text, ""
  if not is_marked and not _is_known(unit):
    return text, ""
  return body, unit


def _one_spelling(words: str) -> str:
  # \$18\text{ per hour} has a rate without a unit of its own: /h.
  words = re.sub(r"^per ", "/", words)
  return "/".join(map(_one_factor, re.split(r" per |/", words)))


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
      all(
          factor.partition("^")[0] in _SPELLINGS
          for factor in unit.removeprefix("/").split("/")
      )
      or unit in _SPELLINGS
  )
