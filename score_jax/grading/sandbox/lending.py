"""Functions of the tests that a solution may call.

They stay with the judge: a solution gets stand-ins that send their arguments to
it. It chooses these arguments, so none of Python's functions that reach beyond
plain data may be lent: `eval` would run the solution among the tests.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import functools
import math
import operator
import types
from typing import Any

# Where functions that the tests themselves define say that they are from.
TESTS_MODULE = "tests"

_KINDS = (types.BuiltinFunctionType, types.MethodDescriptorType)
_HARMLESS = {
    id(function)
    for function in (
        *(abs, all, any, bin, chr, divmod, hash, hex, len, max, min, oct, ord),
        *(pow, repr, round, sorted, sum),
        *vars(math).values(),
        *vars(operator).values(),
        *(x for name, x in vars(str).items() if "format" not in name),
    )
    # call() would make objects of any type.
    if isinstance(function, _KINDS) and function is not operator.call
}


def is_lendable(value: Any) -> bool:
  """Whether a value is a function of the tests, or a harmless one."""
  if type(value) is functools.partial:
    return is_lendable(value.func)
  if type(value) is types.FunctionType:
    return value.__module__ == TESTS_MODULE
  return id(value) in _HARMLESS


def take_out(
    args: Sequence[Any], kwargs: Mapping[str, Any], lent: list[Callable]
) -> tuple[list[Any], dict[str, Any], list[tuple[int | str, int]]]:
  """Arguments without the functions among them, and the places of these.

  Args:
    args: by position.
    kwargs: by name.
    lent: functions that were lent before; those found are added.

  Returns:
    The arguments, with None for a function; the place and number of each.
  """
  args, kwargs, places = list(args), dict(kwargs), []
  for values, named in ((args, enumerate(args)), (kwargs, kwargs.items())):
    for place, value in list(named):
      if is_lendable(value):
        places.append((place, len(lent)))
        lent.append(value)
        values[place] = None
  return args, kwargs, places


def put_back(
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    places: Sequence[tuple[int | str, int]],
    stand_in: Callable[[int], Callable],
) -> tuple[list[Any], dict[str, Any]]:
  """Arguments with stand-ins for the functions that `take_out` took."""
  args, kwargs = list(args), dict(kwargs)
  for place, number in places:
    values = args if isinstance(place, int) else kwargs
    values[place] = stand_in(number)
  return args, kwargs
