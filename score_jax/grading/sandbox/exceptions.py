"""Exceptions that cross between the tests and a solution.

A solution must not raise exceptions in the tests that end a loop or a program
quietly. They become RuntimeErrors. An AssertionError is no way out: tests that
catch it let wrong answers pass as well.
"""

import builtins
from typing import Any

from score_jax.grading.sandbox import codec
from score_jax.grading.sandbox import frames

_KEPT = (StopIteration, StopAsyncIteration, BaseExceptionGroup)
_PASSED_ON = {
    name: kind
    for name, kind in vars(builtins).items()
    if isinstance(kind, type)
    and issubclass(kind, Exception)
    and not issubclass(kind, _KEPT)
}


def describe(error: BaseException) -> bytes:
  """A message: an exception's builtin classes, nearest first, and arguments."""
  classes = type(error).__mro__
  names = [c.__name__ for c in classes if c.__module__ == "builtins"]
  try:
    return frames.pack({"raised": names, "args": codec.encode(error.args)})
  except (TypeError, ValueError):  # arguments that cannot cross
    return frames.pack({"raised": names, "args": []})


def rebuild(names: list[str], args: Any) -> Exception:
  """The exception that the other side sees for one that was described.

  Args:
    names: builtin classes of the exception, the nearest first.
    args: its arguments.

  Returns:
    An exception of the nearest class that may be raised there.
  """
  kinds = [_PASSED_ON[name] for name in names if name in _PASSED_ON]
  # Below Exception itself there is nothing to tell apart.
  if not kinds or kinds[0] is Exception and names[0] != "Exception":
    return RuntimeError(f"the solution raised {names[:1]}")
  try:
    return kinds[0](*args)
  except (TypeError, ValueError):  # a subclass with other arguments
    return RuntimeError(f"the solution raised {names[:1]}")
