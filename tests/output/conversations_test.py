"""Tests of score_jax.output.conversations."""

import json

from absl.testing import absltest
import numpy as np

from score_jax.output import conversations
from score_jax.types import Grade
from score_jax.types import Problem
from score_jax.types import Rollouts
from tests.helpers.made_up_rollouts import made_up_rollouts


def _rollouts() -> Rollouts:
  """Two problems x two samples; row 3 has no answer and is cut at the end."""
  texts, grades = [], []
  for row in range(4):
    texts.append((f"row {row} first", f"row {row} second\n"))
    second = Grade(True, "correct", "9")
    if row == 3:
      second = Grade(False, "no_answer", None)
    grades.append((Grade(False, "wrong", "8"), second))
  is_truncated = np.zeros((2, 2, 2), bool)
  is_truncated[1, 1, 1] = True
  problems = [
      Problem(10, "4 + 5?", "9"),
      Problem(11, "3 * 3?", "9", difficulty="level 2"),
  ]
  return made_up_rollouts(
      problems, grades, texts=tuple(texts), is_truncated=is_truncated
  )


class ConversationTest(absltest.TestCase):

  def test_record_takes_the_row_of_its_problem(self):
    record = conversations.conversation_record(_rollouts(), 3, "Try again.")
    expected = {
        "problem_id": 11,
        "source_id": "",
        "question": "3 * 3?",
        "gold": "9",
        "difficulty": "level 2",
        "correction_prompt": "Try again.",
        "attempts": [
            {
                "text": "row 3 first",
                "answer": "8",
                "status": "wrong",
                "is_correct": False,
                "is_truncated": False,
            },
            {
                "text": "row 3 second\n",
                "answer": None,
                "status": "no_answer",
                "is_correct": False,
                "is_truncated": True,
            },
        ],
    }
    self.assertEqual(json.loads(json.dumps(record)), expected)
    record = conversations.conversation_record(_rollouts(), 1, "Try again.")
    self.assertEqual(record["problem_id"], 10)
    self.assertTrue(record["attempts"][1]["is_correct"])

  def test_row_outside_is_named(self):
    for row in (-1, 4):
      with self.assertRaisesRegex(ValueError, f"row {row} .* 4 conversations"):
        conversations.conversation_record(_rollouts(), row, "")


if __name__ == "__main__":
  absltest.main()
