"""Every row of the grader's policy, score_jax/grading/math_policy.md."""

import pathlib
import re

from absl.testing import absltest
from absl.testing import parameterized

from score_jax.grading import math_answer
from score_jax.grading.math_answer import MathGrader

POLICY = pathlib.Path(math_answer.__file__).with_name("math_policy.md")
_CELL = r"`((?:[^`\\]|\\.)*)`"
_ROW = re.compile(rf"\| {_CELL} \| {_CELL} \| (yes|no) \|.*\|")


def _rows():
  """(gold, answer, whether they are the same) of every row."""
  for line in POLICY.read_text(encoding="utf-8").splitlines():
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
    self.assertGreater(len(rows), 150)
    self.assertGreater(sum(same for _, _, same in rows), 60)
    self.assertGreater(sum(not same for _, _, same in rows), 60)

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
