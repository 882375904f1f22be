r"""Reads LaTeX expressions as a person does; runs in worker processes.

A recursive-descent parser for the notation of answers. Notation that people
read in two ways (1/2x, \sin x(y), x2) is refused: an answer that could mean two
things must not be right in one of them. General parsers guess, and the usual
one, latex2sympy, also reads 2(3) as 5, i^2 as i and A as a.
"""

import re

import sympy

from score_jax.grading.maths import vocabulary
from score_jax.grading.maths.limits import MAX_FACTORIAL
from score_jax.grading.maths.nodes import UnreadableError

_TOKEN = re.compile(r"\\[a-zA-Z]+|[0-9]+(?:\.[0-9]+)?|\.[0-9]+|[^ ]")
_NUMBER = re.compile(r"[0-9.]+")
_LETTER = re.compile(r"[a-zA-Z]")
_END = ""
# As typed without LaTeX.
_PLAIN = re.compile(
    r"(?<![a-zA-Z\\])(sqrt(?=\()|(?:sin|cos|tan|log|ln|pi)(?![a-zA-Z]))"
)
_PLAIN_RUN = re.compile(r"(?<![\\a-zA-Z])[a-zA-Z]{4,}")


def parse_expression(text: str) -> sympy.Expr:
  """The expression that a normalised scalar text stands for.

  Raises:
    UnreadableError: the text is no expression, or has two readings.
  """
  text = _PLAIN.sub(r"\\\1 ", text)
  if _PLAIN_RUN.search(text):
    raise UnreadableError(f"{text!r} holds a word.")
  parser = _Parser(_TOKEN.findall(text))
  expression = parser.parse_sum()
  parser.expect(_END)
  return expression


def _factorial(argument: sympy.Expr) -> sympy.Expr:
  """2004! has no value here: a number of its own, spelled in digits."""
  if argument.is_Integer and argument > MAX_FACTORIAL:
    return sympy.Symbol(f"{argument}!")
  return sympy.factorial(argument)


class _Parser:
  """One pass over the tokens; each method consumes what it returns."""

  def __init__(self, tokens: list[str]):
    self._tokens = [*tokens, _END]
    self._index = 0
    self._open_bars = 0

  def expect(self, token: str) -> None:
    if self._next != token:
      raise UnreadableError(
          f"Expected {token or 'the end'!r}, found {self._next or 'the end'!r}."
      )
    self._take()

  def parse_sum(self) -> sympy.Expr:
    total = self._parse_product()
    while self._next in ("+", "-"):
      is_minus = self._take() == "-"
      term = self._parse_product()
      total = total - term if is_minus else total + term
    return total

  @property
  def _next(self) -> str:
    return self._tokens[self._index]

  def _take(self) -> str:
    token = self._next
    if token != _END:
      self._index += 1
    return token

  def _parse_product(self) -> sympy.Expr:
    product = self._parse_signed()
    while True:
      if self._next in vocabulary.PRODUCTS:
        self._take()
        product *= self._parse_signed()
      elif self._next in vocabulary.QUOTIENTS:
        self._take()
        product /= self._parse_signed()
        if self._starts_factor():
          raise UnreadableError("What follows a quotient may belong below it.")
      elif (
          self._starts_factor()
          or self._starts_power_behind_bracket()
          or self._starts_factorial_behind_one()
      ):
        self._check_digits_are_apart()
        product *= self._parse_power()
      else:
        return product

  def _starts_factorial_behind_one(self) -> bool:
    """3!4!; what 3!4 means nobody knows."""
    around = self._tokens[self._index - 1 : self._index + 2 : 2]
    return self._next.isdigit() and around == ["!", "!"]

  def _parse_signed(self) -> sympy.Expr:
    if self._next in ("+", "-"):
      return (
          -self._parse_power() if self._take() == "-" else self._parse_power()
      )
    return self._parse_power()

  def _starts_factor(self) -> bool:
    """Whether the next token starts an implied factor, which no number does."""
    token = self._next
    if token == "|":
      return self._open_bars == 0
    return (
        token in vocabulary.BRACKETS
        or token in vocabulary.FUNCTIONS
        or token in vocabulary.GREEK
        or token in vocabulary.ACCENTS
        or token in vocabulary.CONSTANTS
        or token in (r"\frac", r"\sqrt", r"\log", r"\binom")
        or _LETTER.fullmatch(token) is not None
    )

  def _check_digits_are_apart(self) -> None:
    """1{2} is printed as 12."""
    if self._next == "{" and _NUMBER.fullmatch(self._tokens[self._index + 1]):
      raise UnreadableError("Braces that nobody sees, before digits.")

  def _starts_power_behind_bracket(self) -> bool:
    """(n - 2) 2^n; what (2)3 means nobody knows."""
    around = self._tokens[self._index - 1 : self._index + 2 : 2]
    return self._next.isdigit() and around == [")", "^"]

  def _parse_power(self) -> sympy.Expr:
    """A factor with its exponent or factorial."""
    is_integer = self._next.isdigit()
    base = self._parse_factor()
    if is_integer and self._next == r"\frac":
      return self._parse_mixed(base)
    if self._next == "!":
      self._take()
      base = _factorial(base)
      if self._next == "!":
        raise UnreadableError("A double factorial.")
    if self._next == "^":
      self._take()
      if self._next == r"\circ":
        self._take()
        return base * sympy.pi / 180
      base = base ** self._parse_exponent()
      if self._next in ("^", "!"):
        raise UnreadableError("A tower of powers without brackets.")
    return base

  def _parse_mixed(self, whole: sympy.Expr) -> sympy.Expr:
    r"""2\frac{1}{3} is 7/3, but 2\frac{x}{3} is a product."""
    start = self._index
    parts = self._tokens[start + 1 : start + 7]
    fraction = self._parse_factor()
    if "".join(parts[::3]) != "{{" or "".join(parts[2::3]) != "}}":
      return whole * fraction
    if not (parts[1].isdigit() and parts[4].isdigit()):
      return whole * fraction
    if fraction >= 1 or self._next in ("^", "!"):
      raise UnreadableError("Neither a mixed number nor surely a product.")
    return whole + fraction

  def _parse_exponent(self) -> sympy.Expr:
    if self._next in ("{", "("):
      return self._parse_brackets()
    sign = -1 if self._next == "-" else 1
    if sign < 0:
      self._take()
    token = self._next
    if token.isdigit():
      return sign * sympy.Integer(int(self._take()))
    if (
        token in vocabulary.CONSTANTS
        or token in vocabulary.GREEK
        or _LETTER.fullmatch(token)
    ):
      return sign * self._parse_factor()
    if token == r"\frac":
      return sign * self._parse_factor()
    raise UnreadableError(f"{token!r} is no exponent.")

  def _parse_factor(self) -> sympy.Expr:
    token = self._next
    if token in vocabulary.BRACKETS:
      return self._parse_brackets()
    if _NUMBER.fullmatch(token):
      return sympy.Rational(self._take())
    if token in vocabulary.FUNCTIONS or token == r"\log":
      return self._parse_function()
    if token in (r"\frac", r"\binom"):
      return self._parse_two_arguments()
    if token == r"\sqrt":
      return self._parse_root()
    return self._parse_name()

  def _parse_brackets(self) -> sympy.Expr:
    opening = self._take()
    is_bar = opening == "|"
    if is_bar and self._open_bars:
      raise UnreadableError("Bars in bars.")
    bars, self._open_bars = self._open_bars, int(is_bar)
    inner = self.parse_sum()
    self._open_bars = bars
    self.expect(vocabulary.BRACKETS[opening])
    return (
        vocabulary.WRAPPERS[opening](inner)
        if opening in vocabulary.WRAPPERS
        else inner
    )

  def _parse_argument(self) -> sympy.Expr:
    if self._next != "{":
      raise UnreadableError(f"Expected an argument, found {self._next!r}.")
    return self._parse_brackets()

  def _parse_two_arguments(self) -> sympy.Expr:
    command = self._take()
    first, second = self._parse_argument(), self._parse_argument()
    if command == r"\binom":
      return sympy.binomial(first, second)
    return first / second

  def _parse_root(self) -> sympy.Expr:
    self._take()
    index = sympy.Integer(2)
    if self._next == "[":
      index = self._parse_brackets()
    elif self._next == "(":
      return sympy.sqrt(self._parse_brackets())
    radicand = self._parse_argument()
    if index.is_odd and radicand.is_negative:
      return -((-radicand) ** (1 / index))
    return radicand ** (1 / index)

  def _parse_name(self) -> sympy.Expr:
    name = self._take()
    if name in vocabulary.ACCENTS:
      return sympy.Symbol(name + self._take_letters())
    if (
        name not in vocabulary.GREEK
        and name != r"\pi"
        and not _LETTER.fullmatch(name)
    ):
      raise UnreadableError(f"{name or 'The end'!r} is no operand.")
    if self._next == "_":
      self._take()
      return sympy.Symbol(f"{name}_{self._take_subscript()}")
    if name in vocabulary.CONSTANTS:
      return vocabulary.CONSTANTS[name]
    if name in vocabulary.FUNCTION_NAMES and self._next == "(":
      argument = sympy.expand(self._parse_brackets())
      return sympy.Symbol(f"{name}({argument})")
    return sympy.Symbol(name)

  def _take_letters(self) -> str:
    r"""AB of \overline{AB} or \angle AB."""
    is_braced = self._next == "{"
    if is_braced:
      self._take()
    letters = ""
    while _LETTER.fullmatch(self._next) and (is_braced or self._next.isupper()):
      letters += self._take()
    if not letters:
      raise UnreadableError(f"{self._next!r} is no name.")
    if is_braced:
      self.expect("}")
    return letters

  def _take_subscript(self) -> str:
    """1, or n+1 in braces."""
    if self._next != "{":
      subscript = self._take()
    else:
      self._take()
      subscript = ""
      while self._next.isalnum() or self._next in ("+", "-", ","):
        subscript += self._take()
      self.expect("}")
    if not any(map(str.isalnum, subscript)):
      raise UnreadableError(f"{subscript!r} is no subscript.")
    return subscript

  def _parse_function(self) -> sympy.Expr:
    r"""\sin^2 x, \tan^{-1}(x), \log_2 8; \log alone is the decimal one."""
    name = self._take()
    base = sympy.Integer(10)
    if name == r"\log" and self._next == "_":
      self._take()
      base = self._parse_exponent()
    power = sympy.Integer(1)
    if self._next == "^":
      self._take()
      power = self._parse_exponent()
    argument = self._parse_function_argument()
    if name == r"\log":
      return sympy.log(argument, base) ** power
    if power == -1:
      if name not in vocabulary.INVERSES:
        raise UnreadableError(f"The inverse of {name}.")
      return vocabulary.INVERSES[name](argument)
    return vocabulary.FUNCTIONS[name](argument) ** power

  def _parse_function_argument(self) -> sympy.Expr:
    r"""(x + 1), or as much of 2 \pi x as is written without an operator."""
    if self._next in ("(", "[", "{"):
      argument = self._parse_brackets()
      if self._next in ("^", "!"):
        raise UnreadableError("A power of a function or of its argument.")
      return argument
    argument = self._parse_power()
    while self._starts_factor():
      if self._next in vocabulary.FUNCTIONS or self._next == r"\log":
        break
      if self._next in ("(", "["):
        raise UnreadableError("What follows may belong to the function.")
      argument *= self._parse_power()
    if self._next in vocabulary.QUOTIENTS:
      below = self._tokens[self._index + 1]
      # \ln 3/\ln 2 is one of functions.
      if below not in vocabulary.FUNCTIONS and below != r"\log":
        raise UnreadableError("A quotient of a function or of its argument.")
    return argument
