"""Calls with arguments from a config: none unknown, none missing."""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import inspect
import typing
from typing import Any
from typing import TypeVar

T = TypeVar("T")


def call_exactly(
    function: Callable[..., T], arguments: Mapping[str, Any], path: str
) -> T:
  """Calls `function` with `arguments` by name; all of them must be given.

  Also those that have a default: a config is complete.

  Args:
    function: a function or a class.
    arguments: by name.
    path: of the arguments in the config, for messages.

  Raises:
    ValueError: unknown or missing arguments, values of another type than is
      annotated, or what the function raises.
  """
  known = inspect.signature(function).parameters.keys()
  if known != arguments.keys():
    raise ValueError(
        f"config: {path}: unknown {sorted(arguments.keys() - known)}, missing"
        f" {sorted(known - arguments.keys())}"
    )
  is_class = isinstance(function, type)
  hints = typing.get_type_hints(function.__init__ if is_class else function)
  for name, value in arguments.items():
    if not _fits(hints[name], value):
      raise ValueError(
          f"config: {path}: {name} is {value!r}, expected"
          f" {_KINDS[_kind(hints[name])]}"
      )
  return function(**arguments)


_KINDS = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "a text",
    Mapping: "a group of settings",
    Sequence: "a list of texts",
}


def _kind(hint: Any) -> type:
  """The key of _KINDS for an annotation; tuples are lists in a config."""
  origin = typing.get_origin(hint) or hint
  return Sequence if origin is tuple else origin


def _fits(hint: Any, value: Any) -> bool:
  kind = _kind(hint)
  if kind is Mapping:
    return isinstance(value, Mapping)
  if kind is Sequence:
    return isinstance(value, list | tuple) and all(
        isinstance(item, str) for item in value
    )
  # Types, not isinstance: True is no number.
  return type(value) is kind or kind is float and type(value) is int
