"""The strict reader of configs: no key unknown, none missing, types that fit.

There are no defaults: a config file is complete.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import difflib
import inspect
import types
import typing
from typing import Any
from typing import TypeVar

T = TypeVar("T")


def from_mapping(
    target: Callable[..., T], values: Mapping[str, Any], path: str = ""
) -> T:
  """Calls a class or a function with values from a config, by name.

  Every parameter of `target` must be given, also one that has a default. A
  parameter whose type is a dataclass is built from a nested mapping.

  Args:
    target: the class or function; its parameters are annotated.
    values: its arguments.
    path: where `values` stands in the config, such as "task.grader", for
      messages; '' for the whole config.

  Raises:
    ValueError: unknown keys (with the nearest known one), missing keys, values
      of a wrong type, or values that `target` refuses.
  """
  hints = _parameters(target)
  prefix = f"{path}." if path else ""
  unknown = [
      f"unknown key {prefix}{key!s}{_nearest(str(key), hints)}"
      for key in values
      if key not in hints
  ]
  missing = [f"missing key {prefix}{key}" for key in hints if key not in values]
  if unknown or missing:
    raise ValueError("config: " + "; ".join(unknown + missing))
  arguments = {
      key: _convert(hint, values[key], f"{prefix}{key}")
      for key, hint in hints.items()
  }
  if not dataclasses.is_dataclass(target):
    return target(**arguments)
  try:
    return target(**arguments)
  except ValueError as error:  # names the field, not where in the config it is
    raise ValueError(f"config{'.' if path else ''}{path}: {error}") from error


def _parameters(target: Callable[..., Any]) -> dict[str, Any]:
  """The annotation of each parameter by name."""
  is_class = isinstance(target, type)
  hints = typing.get_type_hints(target.__init__ if is_class else target)
  return {name: hints[name] for name in inspect.signature(target).parameters}


def _nearest(key: str, known: Mapping[str, Any]) -> str:
  close = difflib.get_close_matches(key, list(known), n=1, cutoff=0.0)
  return f" (did you mean {close[0]}?)" if close else ""


_KINDS = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "a text",
    Mapping: "a group of settings",
}
_ITEMS = {int: "whole numbers", str: "texts"}


def _convert(hint: Any, value: Any, path: str) -> Any:
  """Checks a value against its annotation; dataclasses are built."""
  options = (
      typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
  )
  if value is None and type(None) in options:
    return None
  options = [option for option in options if option is not type(None)]
  if dataclasses.is_dataclass(options[0]):
    if not isinstance(value, Mapping):
      raise _wrong_type(path, value, [Mapping])
    return from_mapping(options[0], value, path)
  fitting = [option for option in options if _fits(option, value)]
  if not fitting:
    raise _wrong_type(path, value, options)
  return float(value) if fitting[0] is float else value


def _kind(hint: Any) -> type:
  """An annotation without its items' types; tuples are lists in a config."""
  origin = typing.get_origin(hint) or hint
  return Sequence if origin in (tuple, list) else origin


def _fits(hint: Any, value: Any) -> bool:
  kind = _kind(hint)
  if kind is Mapping:
    return isinstance(value, Mapping)
  if kind is Sequence:
    return isinstance(value, list | tuple) and all(
        _fits(typing.get_args(hint)[0], item) for item in value
    )
  # Types, not isinstance: True is no number.
  return type(value) is kind or kind is float and type(value) is int


def _wrong_type(path: str, value: Any, hints: Sequence[Any]) -> ValueError:
  return ValueError(
      f"config: {path} is {value!r} of type {type(value).__name__}, expected"
      f" {' or '.join(map(_described, hints))}"
  )


def _described(hint: Any) -> str:
  """What fits an annotation."""
  kind = _kind(hint)
  if kind is Sequence:
    return f"a list of {_ITEMS[typing.get_args(hint)[0]]}"
  return _KINDS[kind]


def check_positive(settings: Any, *names: str) -> None:
  """Refuses fields of 0 or below.

  Raises:
    ValueError: a field of `settings` that is among `names` is not above 0.
  """
  for name in names:
    if not vars(settings)[name] > 0:
      raise ValueError(f"{name} is {vars(settings)[name]}, expected above 0")


def check_not_negative(settings: Any, *names: str) -> None:
  """Refuses fields below 0.

  Raises:
    ValueError: a field of `settings` that is among `names` is below 0.
  """
  for name in names:
    if not vars(settings)[name] >= 0:
      raise ValueError(f"{name} is {vars(settings)[name]}, expected 0 or more")


def check_fraction(settings: Any, *names: str) -> None:
  """Refuses fields outside of 0 to 1.

  Raises:
    ValueError: a field of `settings` that is among `names` is outside of it.
  """
  for name in names:
    if not 0 <= vars(settings)[name] <= 1:
      raise ValueError(f"{name} is {vars(settings)[name]}, expected 0 to 1")


def check_choice(settings: Any, name: str, choices: Iterable[str]) -> None:
  """Refuses a field whose value is not among the choices.

  Raises:
    ValueError: the field `name` of `settings` has another value.
  """
  if vars(settings)[name] not in choices:
    raise ValueError(
        f"{name} is {vars(settings)[name]!r}, expected one of"
        f" {', '.join(choices)}"
    )
