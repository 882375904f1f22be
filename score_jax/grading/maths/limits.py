r"""Limits of size: what is refused before computer algebra sees it.

9^{9^9}, 100000!! or a sum of 20,000 terms would keep a worker busy until it is
killed. No answer that a person would write is near these limits.
"""

import math
import re

MAX_ANSWER_CHARS = 300
MAX_DEPTH = 8
MAX_DIGITS = 60
# Of a power of a power, the product of the exponents.
MAX_EXPONENT = 20_000
MAX_FACTORIAL = 999
# Beyond the limit factorials are not worked out; nobody writes larger ones.
MAX_NAMED_FACTORIAL = 9999
MAX_BINOMIAL = 9999
MAX_ROOTS = 8
MAX_GROWING = 2

_CHARSET = re.compile(r"[A-Za-z0-9+\-*/^_(){}\[\]|!., \\]*")
_DIGITS = re.compile(r"[0-9]+")
_GROUP = r"\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\}"
_POWER = re.compile(
    rf"(.?)\^(?:({_GROUP})|\(([^()]*)\)|(-?[0-9]+|-?[a-zA-Z]|\\[a-z]+))"
)
_GROUP_ENDS = frozenset(")}]|")
_NUMBER_POWER = re.compile(r"[0-9)}\]!|]\^")
# 2^3^4, which LaTeX itself refuses.
_CHAIN = re.compile(rf"\^(?:{_GROUP}|[0-9a-zA-Z])\^")
_GROWING = re.compile(r"\\(?:exp|sinh|cosh)(?![a-zA-Z])")
_FACTORIAL = re.compile(r"(?:([0-9]+|[a-zA-Z])|\(([^()]*)\))!")
_BINOMIAL = re.compile(r"\\[dt]?binom\{([^{}]*)\}\{([^{}]*)\}")


class RefusedError(ValueError):
  """The expression is beyond a limit."""


def check_expression(text: str) -> None:
  """Raises RefusedError where an expression is beyond any limit.

  Args:
    text: a normalised expression.
  """
  _require(len(text) <= MAX_ANSWER_CHARS, "length")
  _require(_CHARSET.fullmatch(text) is not None, "characters")
  _require(_depth(text) <= MAX_DEPTH, "depth")
  runs = _DIGITS.findall(text)
  _require(all(len(run) <= MAX_DIGITS for run in runs), "digits")
  _require(text.count(r"\sqrt") <= MAX_ROOTS, "roots")
  _require(len(_GROWING.findall(text)) <= MAX_GROWING, "exponents")
  _check_exponents(text)
  _check_factorials(text)
  _check_binomials(text)


def _require(is_within: bool, what: str) -> None:
  if not is_within:
    raise RefusedError(f"Beyond the limit of {what}.")


def _depth(text: str) -> int:
  depth = deepest = 0
  for character in text:
    if character in "({[":
      depth += 1
      deepest = max(deepest, depth)
    elif character in ")}]":
      depth -= 1
  return deepest


def _integers(text: str) -> list[int]:
  return [int(run) for run in _DIGITS.findall(text)]


def _check_exponents(text: str) -> None:
  """Bounds the exponent that could come out of all powers of powers."""
  num_powers, largest, of_groups = 0, 1, 1
  for base, *exponents in _POWER.findall(text):
    exponent = "".join(exponents)
    num_powers += 1 + exponent.count("^")
    bound = _bound_of_exponent(exponent)
    if base in _GROUP_ENDS:
      of_groups *= bound
    else:
      largest = max(largest, bound)
  # What the pattern cannot follow, such as x^{{{{2}}}}, is refused too.
  _require(num_powers == text.count("^"), "exponents")
  _require(_CHAIN.search(text) is None, "exponents")
  _require(largest * of_groups <= MAX_EXPONENT, "exponents")


def _bound_of_exponent(exponent: str) -> int:
  # Inside an exponent only a variable has a power: e^{-x^2}, not 9^{9^9}.
  _require(_NUMBER_POWER.search(exponent) is None, "exponents")
  _require("!" not in exponent and r"\binom" not in exponent, "exponents")
  integers = _integers(exponent)
  if "/" in exponent or r"\frac" in exponent:
    return max([1, *integers])
  return math.prod(max(1, integer) for integer in integers)


def _check_factorials(text: str) -> None:
  for before, inner in _FACTORIAL.findall(text):
    argument = before or inner
    _require(bool(argument) and "^" not in argument, "factorials")
    _require("!" not in argument, "factorials")
    integers = _integers(argument)
    limit = MAX_NAMED_FACTORIAL if argument.isdigit() else MAX_FACTORIAL
    _require(max(integers, default=0) <= limit, "factorials")
    is_product = "*" in argument or "\\" in argument or ")(" in argument
    _require(not (integers and is_product), "factorials")
  _require(len(_FACTORIAL.findall(text)) == text.count("!"), "factorials")


def _check_binomials(text: str) -> None:
  found = _BINOMIAL.findall(text)
  _require(len(found) == text.count("binom"), "binomials")
  for argument in (argument for pair in found for argument in pair):
    _require("!" not in argument and "^" not in argument, "binomials")
    _require(max(_integers(argument), default=0) <= MAX_BINOMIAL, "binomials")
