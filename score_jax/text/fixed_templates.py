"""Chat templates with their options and their date written into them.

A template may ask for today's date, with `strftime_now` or as `date_string`: a
run that goes on the next day, or on a host in another time zone, would train on
other prompts. Written into the template, options and date are the same wherever
it is rendered, also in an exported model.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import datetime
import json
import re
from typing import Any

# The option that sets the date, and the date that Llama 3.1's template falls
# back to.
DATE_OPTION, DATE = "date_string", "26 Jul 2024"
# What transformers calls the clock that it hands to templates.
_CLOCK = "strftime_now"

# Not from the locale, which differs between hosts.
_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_WEEKDAYS = (
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
)
# Stands for a percent sign while directives are replaced.
_PERCENT = "\ue000"


def fix(template: str, options: Mapping[str, Any]) -> str:
  """Writes options and the date into a chat template.

  Args:
    template: the chat template.
    options: values of its variables. `date_string` also sets the date that the
      template has `strftime_now` write.

  Returns:
    A template for environments with trim_blocks and lstrip_blocks, which are
    those of transformers. It is the given one if that asks for no date and
    there are no options.

  Raises:
    ValueError: the template knows no such option, or the date is none.
  """
  has_clock = _mentions(template, _CLOCK)
  for name in options:
    if not _mentions(template, name) and not (
        name == DATE_OPTION and has_clock
    ):
      raise ValueError(
          f"the chat template knows no option {name!r}: take it out of the"
          " template options"
      )
  values = dict(options)
  if _mentions(template, DATE_OPTION):
    values = {DATE_OPTION: DATE} | values
  lines = [
      f"{{%- set {name} = {literal(value)} %}}\n"
      for name, value in values.items()
  ]
  if has_clock:
    date = _parse(options.get(DATE_OPTION, DATE))
    lines.append(_stopped_clock(date, "".join(lines) + template))
  # The newline behind each is no part of what is rendered, and lets the
  # template start at the start of a line.
  return "".join(lines) + template


def literal(value: Any) -> str:
  """A value as an expression of Jinja.

  Raises:
    ValueError: it is no text, number, bool, None, list or mapping of such.
  """
  if value is None or isinstance(value, bool):
    return str(value).lower()
  if isinstance(value, str):
    return json.dumps(value, ensure_ascii=False)
  if isinstance(value, int | float):
    return repr(value)
  if isinstance(value, Mapping):
    items = (f"{literal(k)}: {literal(v)}" for k, v in value.items())
    return "{" + ", ".join(items) + "}"
  if isinstance(value, Sequence):
    return "[" + ", ".join(map(literal, value)) + "]"
  raise ValueError(
      f"a template option has a value of type {type(value).__name__}, expected"
      f" text, numbers, booleans, lists or mappings: {value!r}"
  )


def _mentions(template: str, name: str) -> bool:
  return bool(re.search(rf"\b{re.escape(name)}\b", template))


def _parse(date: Any) -> datetime.datetime:
  """The start of a day that is written like DATE."""
  months = {name[:3]: number for number, name in enumerate(_MONTHS, start=1)}
  try:
    day, month, year = date.split(" ")
    return datetime.datetime(int(year), months[month], int(day))
  except (AttributeError, KeyError, ValueError):
    raise ValueError(
        f"the template option {DATE_OPTION} is {date!r}, expected a date such"
        f" as {DATE!r}, which the chat template writes in formats of its own"
    ) from None


def _stopped_clock(date: datetime.datetime, text: str) -> str:
  """A macro in place of the clock; it knows the directives found in `text`."""
  directives = _directives(date)
  found = dict.fromkeys(re.findall("%-?[a-zA-Z]", text))
  pairs = [(d, directives[d]) for d in found if d in directives]
  if "%%" in text:
    pairs = [("%%", _PERCENT), *pairs, (_PERCENT, "%")]
  replaced = "".join(
      f" | replace({literal(old)}, {literal(new)})" for old, new in pairs
  )
  return (
      f"{{%- macro {_CLOCK}(format) %}}{{{{ format{replaced} }}}}"
      "{% endmacro %}\n"
  )


def _directives(date: datetime.datetime) -> dict[str, str]:
  """What each directive of strftime writes for a date, in English."""
  weekday, month = _WEEKDAYS[date.weekday()], _MONTHS[date.month - 1]
  texts = {
      "%a": weekday[:3],
      "%A": weekday,
      "%b": month[:3],
      "%B": month,
      "%h": month[:3],
      "%p": "AM",
      "%x": date.strftime("%m/%d/%y"),
      "%X": date.strftime("%H:%M:%S"),
      "%c": f"{weekday[:3]} {month[:3]} {date:%e %H:%M:%S %Y}",
      "%z": "",
      "%Z": "",
  }
  numbers = {f"%{c}": date.strftime(f"%{c}") for c in "dmyYHIMSfjeUWuwVGDFTR"}
  unpadded = {f"%-{c}": str(int(numbers[f"%{c}"])) for c in "dmyHIMSj"}
  return texts | numbers | unpadded
