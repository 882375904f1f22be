"""Plain data as JSON, and back.

The judge decodes what a solution's process sent, so decoding builds values of
Python's own types and nothing else: no pickle, no class of the sender. A value
of a subclass arrives as the type that it extends, without an `__eq__` of its
own; a named tuple keeps its fields. Iterators are run to their end and arrive
as iterators.
"""

import builtins
import collections
import collections.abc
from collections.abc import Callable
from collections.abc import Iterable
import datetime
import decimal
import fractions
import functools
import itertools
from typing import Any

MAX_DEPTH = 100
MAX_ITERATOR_ITEMS = 100_000

# Python's own limit of decimal digits does not hold for hexadecimal ones.
_MAX_NATIVE_INT = 2**63

# What a defaultdict may make in the tests.
_FACTORIES = {
    kind.__name__: kind
    for kind in (bool, dict, float, int, list, set, str, tuple)
}

# Known by what they are: they say nothing that a solution could have made up.
_CONSTANTS = {
    name: value
    for name, value in vars(builtins).items()
    if isinstance(value, type) and not name.startswith("_")
} | {"NoneType": type(None), "Ellipsis": ...}
_NAMES_OF_CONSTANTS = {id(value): name for name, value in _CONSTANTS.items()}

# Tag -> (type, the text of a value, the value of a text). A datetime is a date.
_TEXTS: dict[str, tuple[type, Callable, Callable]] = {
    kind.__name__: (kind, kind.isoformat, kind.fromisoformat)
    for kind in (datetime.datetime, datetime.date, datetime.time)
} | {"decimal": (decimal.Decimal, decimal.Decimal.__str__, decimal.Decimal)}

# Tag -> (type, how its items are read, how it is built from them). The first
# type that fits a value is taken.
_CONTAINERS: dict[str, tuple[type, Callable, Callable]] = {
    "tuple": (tuple, tuple.__iter__, tuple),
    "set": (set, set.__iter__, set),
    "frozenset": (frozenset, frozenset.__iter__, frozenset),
    "counter": (
        collections.Counter,
        dict.items,
        lambda items: collections.Counter(dict(items)),
    ),
    "ordered": (
        collections.OrderedDict,
        collections.OrderedDict.items,
        collections.OrderedDict,
    ),
    "default": (
        collections.defaultdict,
        lambda value: [_name_of_factory(value), *dict.items(value)],
        lambda items: _default_dict(*items),
    ),
    "dict": (dict, dict.items, dict),
    "deque": (
        collections.deque,
        collections.deque.__iter__,
        collections.deque,
    ),
    "keys": (type({}.keys()), iter, lambda items: dict.fromkeys(items).keys()),
    "values": (
        type({}.values()),
        iter,
        lambda items: dict(enumerate(items)).values(),
    ),
    "items": (type({}.items()), iter, lambda items: dict(items).items()),
    "iterator": (
        collections.abc.Iterator,
        lambda items: _bounded(items),
        iter,
    ),
}


class NotPlainError(TypeError):
  """A value of a type that cannot cross."""


def encode(value: Any, depth: int = 0) -> Any:
  """JSON for a value.

  Args:
    value: None, bool, int, float, complex, Decimal, Fraction, str, bytes,
      range, a value of datetime, a type of Python's own, or a container or
      iterator of such.
    depth: of containers around this value.

  Returns:
    What `json.dumps` takes.

  Raises:
    NotPlainError: a value of another type.
    ValueError: data that is too deep, or an iterator that is too long.
  """
  if depth > MAX_DEPTH:
    raise ValueError(f"data nested deeper than {MAX_DEPTH}")
  if value is None or isinstance(value, bool):
    return value
  if id(value) in _NAMES_OF_CONSTANTS:
    return {"constant": _NAMES_OF_CONSTANTS[id(value)]}
  if isinstance(value, int):
    value = int.__int__(value)
    small = -_MAX_NATIVE_INT < value < _MAX_NATIVE_INT
    return value if small else {"int": hex(value)}
  if isinstance(value, float):
    return float.__float__(value)
  if isinstance(value, str):
    return str.__str__(value)
  if isinstance(value, list):
    return [encode(item, depth + 1) for item in list.__iter__(value)]
  if isinstance(value, complex):
    return {"complex": [value.real, value.imag]}
  for tag, (kind, text, _) in _TEXTS.items():
    if isinstance(value, kind):
      return {tag: text(value)}
  if isinstance(value, fractions.Fraction):
    return {"fraction": [encode(value.numerator), encode(value.denominator)]}
  if isinstance(value, (bytes, bytearray)):
    tag = "bytes" if isinstance(value, bytes) else "bytearray"
    return {tag: value.hex()}
  if isinstance(value, range):
    parts = (value.start, value.stop, value.step)
    return {"range": [encode(part, depth + 1) for part in parts]}
  if isinstance(value, datetime.timedelta):
    parts = (value.days, value.seconds, value.microseconds)
    return {"timedelta": list(parts)}
  if isinstance(value, tuple) and isinstance(
      fields := getattr(type(value), "_fields", None), tuple
  ):
    items = [fields, *tuple.__iter__(value)]
    return {"named": [encode(item, depth + 1) for item in items]}
  for tag, (kind, items, _) in _CONTAINERS.items():
    if isinstance(value, kind):
      return {tag: [encode(item, depth + 1) for item in items(value)]}
  raise NotPlainError(f"{type(value).__name__!r} is no type of plain data")


def decode(data: Any, depth: int = 0) -> Any:
  """The value that `encode` made this JSON of.

  Raises:
    ValueError, TypeError, KeyError, AttributeError, ArithmeticError: `encode`
      did not make it.
  """
  # A container that crosses adds one level for the dictionary of its tag.
  if depth > MAX_DEPTH + 1:
    raise ValueError(f"data nested deeper than {MAX_DEPTH}")
  if data is None or isinstance(data, (bool, int, float, str)):
    return data
  if isinstance(data, list):
    return [decode(item, depth + 1) for item in data]
  ((tag, payload),) = data.items()
  if tag == "int":
    return int(payload, 16)
  if tag == "complex":
    return complex(*map(float, payload))
  if tag == "bytes":
    return bytes.fromhex(payload)
  if tag == "bytearray":
    return bytearray.fromhex(payload)
  if tag == "constant":
    return _CONSTANTS[payload]
  if tag in _TEXTS:
    return _TEXTS[tag][2](payload)
  items = [decode(item, depth + 1) for item in payload]
  if tag == "range":
    return range(*items)
  if tag == "fraction":
    return fractions.Fraction(*items)
  if tag == "timedelta":
    return datetime.timedelta(*items)
  if tag == "named":
    fields, *items = items
    return _named_tuple(fields)(*items)
  if tag not in _CONTAINERS:
    raise ValueError(f"unknown tag {tag!r}")
  return _CONTAINERS[tag][2](items)


@functools.lru_cache(maxsize=64)  # it takes longer to make than its values
def _named_tuple(fields: tuple[str, ...]) -> type:
  return collections.namedtuple("NamedTuple", fields)


def _default_dict(factory: str | None, *items: Any) -> dict:
  return collections.defaultdict(_FACTORIES.get(factory), items)


def _name_of_factory(value: collections.defaultdict) -> str | None:
  factory = value.default_factory
  names = [name for name, kind in _FACTORIES.items() if kind is factory]
  return names[0] if names else None


def _bounded(items: Iterable[Any]) -> Iterable[Any]:
  """All items of an iterator; ValueError when there are too many."""
  head = list(itertools.islice(items, MAX_ITERATOR_ITEMS + 1))
  if len(head) > MAX_ITERATOR_ITEMS:
    raise ValueError(f"an iterator of more than {MAX_ITERATOR_ITEMS} items")
  return head
