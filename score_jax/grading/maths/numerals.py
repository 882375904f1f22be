r"""Numerals of other bases: 2516_8, \text{A5}_{11}, 101\text{ base }2."""

import re

from score_jax.grading.maths.nodes import Numeral
from score_jax.grading.maths.nodes import Scalar

_NAMES = {
    name: base
    for base, name in enumerate(
        (
            "two three four five six seven eight nine ten eleven twelve"
            " thirteen fourteen fifteen sixteen"
        ).split(),
        start=2,
    )
} | {"binary": 2, "octal": 8, "decimal": 10, "hexadecimal": 16, "hex": 16}
_BASE = r"(?P<base>[0-9]{1,2}|[a-z]+)"
_DIGITS = (
    r"(?P<sign>-?)(?P<open>\(|\\text\{)?(?P<digits>[0-9A-Za-z]*"
    r"(?:\.[0-9A-Za-z]+)?)(?P<close>[)}])?"
)
_SUBSCRIPT = (
    rf"_(?:{_BASE.replace('base', 'bare')}|\{{\(?(?:base ?)?"
    rf"{_BASE.replace('base', 'braced')}\)?\}})"
)
_IN_WORDS = (
    rf" ?(?:\\text\{{)?\(?(?:in )?base[- ]?\}}?{_BASE.replace('base', 'word')}"
    r"\)?\}?"
)
_NUMERAL = re.compile(rf"{_DIGITS}(?:{_SUBSCRIPT}|{_IN_WORDS})")
_CLOSING = {None: None, "(": ")", r"\text{": "}"}


def read_numeral(text: str) -> Scalar | Numeral | None:
  """The numeral that a normalised text is; base ten gives a number."""
  match = _NUMERAL.fullmatch(text) if "_" in text or "base" in text else None
  if match is None or _CLOSING[match["open"]] != match["close"]:
    return None
  base = _base(match["bare"] or match["braced"] or match["word"])
  digits = match["digits"]
  has_digit = any(map(str.isdigit, digits))
  # ab_{12} is a product, AB_{12} hardly, and nothing but 16 has ab_{16}.
  is_number = digits.isupper() or match["open"] == r"\text{" or base == 16
  if not (has_digit or len(digits) > 1 and is_number):
    return None
  if base is None or not _are_digits(digits, base):
    return None
  whole, _, part = digits.upper().partition(".")
  part = part.rstrip("0")
  digits = (
      match["sign"] + (whole.lstrip("0") or "0") + ("." + part) * bool(part)
  )
  return Scalar(digits) if base == 10 else Numeral(digits, base)


def _base(name: str) -> int | None:
  base = int(name) if name.isdigit() else _NAMES.get(name)
  return base if base and 2 <= base <= 36 else None


def _are_digits(digits: str, base: int) -> bool:
  return all(int(digit, 36) < base for digit in digits if digit != ".")
