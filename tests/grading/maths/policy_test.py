"""Every row of the grader's policy, score_jax/grading/math_policy.md."""

import pathlib
import re

from absl.testing import absltest
from absl.testing import parameterized

from score_jax.grading import math_answer
from score_jax.grading.math_answer import MathGrader
from score_jax.grading.maths import extract

POLICY = pathlib.Path(math_answer.__file__).with_name("math_policy.md")
_CELL = r"`((?:[^`\\]|\\.)+)`"
_STATEMENT = re.compile(rf"\| (?:{_CELL}|nothing) \| {_CELL} \|.*\|")
_ROW = re.compile(rf"\| {_CELL} \| {_CELL} \| (yes|no) \|.*\|")


def _tables():
  """(table of statements, tables of pairs), as lines of the policy."""
  text = POLICY.read_text(encoding="utf-8")
  _, _, text = text.partition("\n| stated |")
  statements, _, pairs = text.partition("\n## ")
  return statements.splitlines(), pairs.splitlines()


def _statements():
  """(what is stated or None, the text) of every row about statements."""
  for line in _tables()[0]:
    if line.startswith(("| `", "| nothing")):
      stated, text = _STATEMENT.fullmatch(line).groups()
      yield stated, text.replace(r"\n", "\n").replace(r"\|", "|")


def _rows():
  """(gold, answer, whether they are the same) of every row about pairs."""
  for line in _tables()[1]:
    if line.startswith("| `"):
      gold, answer, same = _ROW.fullmatch(line).groups()
      yield gold.replace(r"\|", "|"), answer.replace(r"\|", "|"), same == "yes"


class MathPolicyTest(parameterized.TestCase):

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.grader = MathGrader(timeout_s=20.0)
    cls.addClassCleanup(cls.grader.close)

  def test_the_table_is_complete(self):
    rows = list(_rows())
    self.assertGreater(len(rows), 400)
    self.assertGreater(sum(same for _, _, same in rows), 200)
    self.assertGreater(sum(not same for _, _, same in rows), 180)
    self.assertGreater(len(list(_statements())), 40)

  def test_every_statement(self):
    rows = list(_statements())
    found = [extract.stated_answer(text) or None for _, text in rows]
    wrong = [
        (text, stated, expected)
        for (expected, text), stated in zip(rows, found, strict=True)
        if (stated and stated.removesuffix(".")) != expected
    ]
    self.assertEmpty(wrong)

  def test_every_gold_can_be_graded(self):
    golds = [gold for gold, _, _ in _rows()]
    self.assertEmpty(self.grader.unreadable_golds(golds))

  @parameterized.parameters(r"\boxed{%s}", "The final answer is $%s$.")
  def test_every_row(self, form):
    golds, answers, expected = zip(*_rows(), strict=True)
    texts = [form % answer for answer in answers]
    grades = self.grader.grade(texts, golds)
    wrong = [
        (gold, answer, grade.status)
        for gold, answer, same, grade in zip(
            golds, answers, expected, grades, strict=True
        )
        if grade.is_correct != same
    ]
    self.assertEmpty(wrong)

  def test_every_gold_is_its_own_answer(self):
    golds = sorted({gold for gold, _, _ in _rows()})
    grades = self.grader.grade([rf"\boxed{{{g}}}" for g in golds], golds)
    self.assertEqual({grade.status for grade in grades}, {"correct"})
    self.assertEqual({grade.method for grade in grades}, {"exact"})


if __name__ == "__main__":
  absltest.main()
