r"""Answers in words: \text{Evelyn}, option (A), no solution, June 20."""

import functools
import re

from score_jax.grading.maths.nodes import Node
from score_jax.grading.maths.nodes import Scalar
from score_jax.grading.maths.nodes import UnreadableError
from score_jax.grading.maths.nodes import Words
from score_jax.grading.maths.phrases import is_changing
from score_jax.grading.maths.units import is_same_unit
from score_jax.grading.maths.units import split_unit

_IDLE = frozenset(" .,;:'\"-()`")
_PLAIN = re.compile(r"[A-Za-z]+(?: [A-Za-z0-9]+)*")
_CHOICE = re.compile(
    r"(?:(?:option|choice|answer|case) ?)?(?:\(([a-z])\)|([a-z])[).]?)",
    re.IGNORECASE,
)
_BARE_CHOICE = re.compile(
    r"\[?([A-Z])[).\]]|(?:[Oo]ption|[Cc]hoice|[Cc]ase) ?\(([A-Z])\)"
)
# \text{(B)}12, (B)12 and B:12.
_CHOICE_WITH_VALUE = re.compile(
    r"(?:\\text\{ ?\(?([A-H])(?:[).:]+ ?\}|\}:)"
    r"|\{?\(([A-H])\)\}?:? ?(?=[0-9$\\])"
    r"|([A-H])[):] ?(?=[-0-9$\\(]))(.+)"
)
_MORE_CHOICES = re.compile(r"\b[A-H][).:]|\\text\{ ?\(|[a-zA-Z]{4}")
# Fewer letters may be a product. The lookahead keeps x y out.
_BARE_WORDS = re.compile(
    r"(?:(?=.*[A-Za-z]{3})(?:[A-Za-z]{4,}|[A-Za-z]+(?: [A-Za-z]+)+)"
    r"|[Yy]es|[Nn]o|[Oo]dd)!?|[A-Za-z]{4,} [0-9]{1,2}"
)
# \text{June }20, \text{area of }\triangle ABC.
_MIXED = re.compile(
    r"\\text\{ ?[(A-Za-z][^{}]*\}(?:[A-Za-z0-9, ]|\\(?:triangle|angle)(?![a-z])"
    r"|\\text\{[^{}]*\})+"
)
_LATEX_MARKS = re.compile(r"\\text\{|[{}\\]")
_IDLE_START = re.compile(
    r"(?:there (?:is|are|exists?) |it(?: i|')s "
    r"|the (?:equation|system|inequality) has )?"
    r"(?:(?:an?|the) )?",
    re.IGNORECASE,
)
# No factorial of a name.
_EXCLAMATION = re.compile(r"(?:(?<=[a-z]{3})|(?<=^no))!+$")
_NONE_OF = re.compile(r"(no (?:[a-z]+ )*[a-z]{3,})s")
_MONTHS = {
    name[:3]: name
    for name in (
        "january february march april may june july august september october"
        " november december"
    ).split()
}
_DAY = r"([0-9]{1,2})(?:st|nd|rd|th)?"
_YEAR = r"(?:(?:, ?| )([0-9]{4}))?"
_MONTH_FIRST = re.compile(rf"([a-z]+)\.? {_DAY}{_YEAR}")
_DAY_FIRST = re.compile(rf"(?:the )?{_DAY} (?:of )?([a-z]+)\.?{_YEAR}")


def read_sentence(text: str) -> Words | None:
  """The words of a text that are one answer whatever marks they hold.

  A choice such as 'A)', a date, or words with numbers and names among them.
  """
  if match := _BARE_CHOICE.fullmatch(text):
    return Words(match.group(1) or match.group(2))
  if match := _CHOICE_WITH_VALUE.fullmatch(text):
    *letters, value = match.groups()
    if _is_value(value):
      return Words("".join(letter or "" for letter in letters))
  if r"\text" in text:
    text_alone = text.replace(r"\text{", r" \text{").replace("}", "} ")
    text_alone = " ".join(_LATEX_MARKS.sub("", text_alone).split())
  else:
    text_alone = text
  if _date(text_alone.casefold()) or _MIXED.fullmatch(text):
    return words_node(text_alone)
  return None


def _is_value(text: str) -> bool:
  """Whether a text behind a choice gives its value, and says no more."""
  body, unit = split_unit(text)
  plain = re.sub(r"\\(?!text)[a-zA-Z]+", " ", body)
  is_more = r"\text" in body or _MORE_CHOICES.search(plain)
  return not is_more and not is_changing(text) and is_same_unit("", unit)


def read_bare_words(text: str) -> Words | None:
  """The words that are typed without \\text, None where they may be others."""
  return Words(text) if _BARE_WORDS.fullmatch(text) else None


def words_node(text: str) -> Words:
  """The words of a text, which must hold some."""
  if not text.strip(". "):
    raise UnreadableError("Empty text.")
  return Words(" ".join(text.split()))


def is_same_words(gold: Node, answer: Node) -> bool:
  """Whether words are equal; case counts in single letters, which are names.

  Words are never compared with an expression: of -15 and the words '(15)', of
  x^2 and 'x2', letters and digits are the same.
  """
  for side in (gold, answer):
    if isinstance(side, Scalar):
      if side.unit or not _PLAIN.fullmatch(side.text):
        return False
    elif not isinstance(side, Words):
      return False
  first, second = _one_spelling(gold.text), _one_spelling(answer.text)
  return bool(first) and first == second


@functools.lru_cache(maxsize=1 << 12)
def _one_spelling(words: str) -> str:
  if match := _CHOICE.fullmatch(words):
    return match.group(1) or match.group(2)
  words = words.casefold()
  if date := _date(words):
    return date
  words = words[_IDLE_START.match(words).end() :]
  words = re.sub(r" exists?$", "", _EXCLAMATION.sub("", words))
  if match := _NONE_OF.fullmatch(words):
    words = match.group(1)
  # One letter is a name, whose case counts: that of a choice.
  spelling = "".join(c for c in words if c not in _IDLE)
  return spelling if any(map(str.isalnum, spelling)) else ""


def _date(words: str) -> str:
  """One spelling of June 20, 20 June, Jun. 20th and the like, or ''."""
  if match := _MONTH_FIRST.fullmatch(words):
    month, day, year = match.groups()
  elif match := _DAY_FIRST.fullmatch(words):
    day, month, year = match.groups()
  else:
    return ""
  name = _MONTHS.get(month[:3], "")
  if len(month) < 3 or not name.startswith(month.removesuffix("t")):
    return ""
  return f"{name} {int(day)} {year or ''}"
