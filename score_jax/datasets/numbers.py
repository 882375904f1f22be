"""Numbers of tables as the text that a person would write."""

import decimal

import numpy as np

# Longer ones are easier to read with an exponent.
_MAX_CHARS = 30


def is_number(value: object) -> bool:
  """Tells whether a value is a number; True and False are none."""
  kinds = int | float | np.floating | np.integer | decimal.Decimal
  return isinstance(value, kinds) and not isinstance(value, bool)


def is_finite(value: int | float | np.number | decimal.Decimal) -> bool:
  """Tells whether a number is neither infinite nor NaN."""
  if isinstance(value, decimal.Decimal):
    return value.is_finite()
  return isinstance(value, int) or bool(np.isfinite(value))


def as_text(value: int | float | np.number | decimal.Decimal) -> str:
  """The shortest decimal number that is `value` again in the type of `value`.

  So 0.1 of float32 is '0.1', not '0.10000000149011612', and 5.0 is '5'. There
  is no exponent unless the number would have more than 30 characters.

  Args:
    value: a finite number.
  """
  if isinstance(value, int | np.integer):
    return str(value)
  if not value:
    return "0"  # 0.0 and -0.0
  if isinstance(value, decimal.Decimal):
    # normalize rounds to the digits of the context, of which there are 28.
    text = format(value, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return text if len(text) <= _MAX_CHARS else str(value)
  text = np.format_float_positional(value, trim="-")
  return text if len(text) <= _MAX_CHARS else str(value)
