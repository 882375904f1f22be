r"""The final answer of an attempt's text, and exact comparison with the gold.

For tasks whose answer is one number or one short string; `maths.extract` says
where an attempt states it.

Whatever a model writes gets a grade; only a bad gold answer raises.
"""

import fractions
import re

from score_jax.grading.maths import extract
from score_jax.types import Grade

# A longer text counts as no answer. This also bounds the digits given to int().
MAX_ANSWER_CHARS = 100

_WHOLE = r"(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)"
_NUMBER = re.compile(rf"([+-]?)({_WHOLE}(?:\.[0-9]*)?|\.[0-9]+)")
_RATIO = re.compile(rf"([+-]?{_WHOLE}) ?/ ?({_WHOLE})")


def extract_answer(text: str) -> str | None:
  r"""The normalised final answer that a text states, None when there is none.

  The last balanced \boxed{...} wins over any marker, also when what it holds
  is empty or too long to be an answer.

  Args:
    text: what the model wrote, of any length.

  Returns:
    1 to MAX_ANSWER_CHARS characters, or None.
  """
  stated = extract.stated_answer(text)
  if stated is None or len(stated) > MAX_ANSWER_CHARS:
    return None
  return normalize_answer(stated) or None


def normalize_answer(answer: str) -> str:
  """The answer without surplus spaces, $, emphasis and a last period."""
  answer = answer.replace("\\$", "").replace("$", "").replace("\u2212", "-")
  return " ".join(answer.split()).strip("*` ").rstrip("*`. ")


def is_same_answer(first: str | None, second: str | None) -> bool:
  """Whether two answers are equal: as exact numbers, otherwise as strings.

  None, the answer of an attempt that gave none, equals nothing.
  """
  if first is None or second is None:
    return False
  first, second = normalize_answer(first), normalize_answer(second)
  numbers = parse_number(first), parse_number(second)
  if None in numbers:
    return first == second
  return numbers[0] == numbers[1]


def parse_number(answer: str) -> fractions.Fraction | None:
  """The exact value of an integer, a decimal or a/b; None for anything else."""
  if len(answer) > MAX_ANSWER_CHARS:
    return None
  answer = answer.strip()
  if ratio := _RATIO.fullmatch(answer):
    numerator, denominator = (int(x.replace(",", "")) for x in ratio.groups())
    return fractions.Fraction(numerator, denominator) if denominator else None
  if number := _NUMBER.fullmatch(answer):
    sign, digits = number.groups()
    return fractions.Fraction(sign + digits.replace(",", ""))
  return None


def check_gold(gold: str) -> str:
  """Returns the normalised gold answer, or raises ValueError.

  A gold that no attempt could ever match would be a silent reward of 0, so an
  empty, over-long or undefined (x/0) one is an error of the data.
  """
  answer = normalize_answer(gold)
  if not answer or len(gold) > MAX_ANSWER_CHARS:
    raise ValueError(
        f"The gold answer {gold[:200]!r} ({len(gold)} characters) cannot be"
        f" graded, expected 1 to {MAX_ANSWER_CHARS} characters besides spaces,"
        " $ and periods. Correct or drop this problem."
    )
  if _RATIO.fullmatch(answer) and parse_number(answer) is None:
    raise ValueError(
        f"The gold answer {gold!r} divides by zero. Correct or drop this"
        " problem."
    )
  return answer


def grade_exact(completion: str, gold: str) -> Grade:
  """Grades the text of one attempt by its final answer.

  Args:
    completion: the text of the attempt, without its prompt.
    gold: the right answer; ValueError when it cannot be graded.

  Returns:
    'correct' or 'wrong', or 'no_answer' where the text states none.
  """
  gold = check_gold(gold)
  answer = extract_answer(completion)
  if answer is None:
    return Grade(is_correct=False, status="no_answer", answer=None)
  is_correct = is_same_answer(answer, gold)
  status = "correct" if is_correct else "wrong"
  return Grade(is_correct=is_correct, status=status, answer=answer)
