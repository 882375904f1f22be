r"""One spelling for answers that differ only in how they are set.

This covers Unicode, spacing, styling, delimiters, thousands separators, words
around an answer and final periods. Differences that change a meaning, however
slightly, are left to `compare`.
"""

import functools
import re

from score_jax.grading.maths import latex
from score_jax.grading.maths import phrases
from score_jax.grading.maths import unicode_text

# Longer texts are refused before they are read.
MAX_RAW_CHARS = 2000

# Thousands, while the spacing still tells 1,\!234 from the list 1, 234.
_SET_THOUSANDS = re.compile(
    r"(?<=[0-9])(?:, ?\\! ?|\{(?:,|\\,)\} ?|\\text\{,\}|\\[,;: ]|~)"
    r"(?=[0-9]{3}(?![0-9]))"
)
_THOUSANDS = re.compile(r"(?<![0-9.,])[0-9]{1,3}(?:,[0-9]{3})+(?![0-9]|,[0-9])")
_SPACED_THOUSANDS = re.compile(
    r"(?<![0-9a-zA-Z.,/_^}])(?<![0-9.,/] )[0-9]{1,3}(?: [0-9]{3})+"
    r"(?![0-9/]| [0-9])"
)
# 'About 3.16' is what is stated.
_ABOUT = re.compile(r"^\s*\\approx(?![a-zA-Z])")
_PYTHON_POWER = re.compile(r"(?<=[0-9a-zA-Z)}])\*\*(?=[-0-9a-zA-Z{(])")
_TIMES_TEN = re.compile(r"(?<=[0-9]) ?x ?(?=10\^)")
_UNION_LETTER = re.compile(r"(?<=[)\]]) ?U ?(?=[(\[])")
_INFINITY = re.compile(r"\binfinity\b|\\text\{infinity\}")
# ]1, 2[ is (1, 2).
_INTERVAL = re.compile(r"([\[\]])([^\[\](),]+,[^\[\](),]+)([\[\]])")
# A space matters between two letters or digits only: 2 1/3, not even, 5 cm.
_IDLE_SPACE = re.compile(r"(?<![a-zA-Z0-9.]) | (?![a-zA-Z0-9.])")
_FINAL_PERIOD = re.compile(r"\.(\}+)$")
# Nothing in it to rewrite: most answers are plain numbers.
_AS_TYPED = re.compile(r"[^\\${}~^_]*")
_WORD = re.compile(r"(?<![\\a-zA-Z])[A-Za-z]{2,}|\\text")
_DELIMITERS = re.compile(r"^\\\[(.*)\\\]$")


@functools.lru_cache(maxsize=1 << 16)
def normalize(text: str) -> str:
  """The answer in its one spelling, '' when nothing is left of it.

  Args:
    text: at most MAX_RAW_CHARS characters.
  """
  if len(text) > MAX_RAW_CHARS:
    raise ValueError(f"Expected at most {MAX_RAW_CHARS}, got {len(text)}.")
  if not text.isascii():
    text = unicode_text.to_latex(text)
  text = " ".join(text.split()).strip("*` ")
  if text.isalnum():
    return text
  if not _AS_TYPED.fullmatch(text):
    text = _DELIMITERS.sub(r"\1", text)
    text = latex.one_spelling(_SET_THOUSANDS.sub("", text))
    text = " ".join(text.split())
  if _WORD.search(text):
    # First what leads: \text{Therefore, the answer is }5 has no comment.
    text = phrases.without_comment(phrases.without_lead(text))
    text = _INFINITY.sub(r"\\infty ", text)
  if r"\approx" in text:
    text = _ABOUT.sub("", text)
  text = _IDLE_SPACE.sub("", " ".join(_with_signs(text).split()))
  return _without_end(text)


def _without_end(text: str) -> str:
  """A text without its final marks and the quotes around it."""
  # An ellipsis leaves open which number it is.
  if ".." in text:
    text = text.rstrip("*` ,;")
  else:
    text = _FINAL_PERIOD.sub(r"\1", text.rstrip("*`. ,;"))
  is_quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
  text = text[1:-1].strip() if is_quoted else text
  # '= 5' goes on from a line above.
  return text.removeprefix("=").lstrip()


def _with_signs(text: str) -> str:
  """Signs that are typed in two ways, or that only separate digits."""
  if "=" in text:
    text = text.replace("<=", r"\le ").replace(">=", r"\ge ")
    # x!=5 is an equation of a factorial.
    text = text.replace(" !=", r"\ne ")
  if "x" in text and "^" in text:
    text = _TIMES_TEN.sub(r"\\times ", text)
  if "U" in text:
    text = _UNION_LETTER.sub(r"\\cup ", text)
  if "**" in text:
    text = _PYTHON_POWER.sub("^", text)
  if "," in text:
    text = _THOUSANDS.sub(_join_thousands, text)
  if " " in text:
    text = _SPACED_THOUSANDS.sub(lambda m: m[0].replace(" ", ""), text)
  text = text.replace(";", ",").replace("+/-", r"\pm ").replace(":=", "=")
  if "]" in text or "[" in text:
    text = _INTERVAL.sub(_round_brackets, text)
  return text


def _join_thousands(match: re.Match) -> str:
  """1,234 without its comma, except in a bracket, where it may be a tuple."""
  before = match.string[: match.start()]
  depth = sum(before.count(c) for c in "([") - sum(map(before.count, ")]"))
  depth += before.count(r"\{") - before.count(r"\}")
  return match.group() if depth > 0 else match.group().replace(",", "")


def _round_brackets(match: re.Match) -> str:
  opening, inner, closing = match.groups()
  return (
      ("(" if opening == "]" else "[")
      + inner
      + (")" if closing == "[" else "]")
  )
