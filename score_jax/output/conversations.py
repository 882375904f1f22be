"""Sampled conversations as JSON records, one for each line of a file."""

from collections.abc import Iterable
from collections.abc import Sequence
import json

from score_jax.types import Rollouts


def conversation_record(
    rollouts: Rollouts, row: int, correction_prompt: str
) -> dict:
  """Picks one graded conversation, ready for a line of JSON.

  Args:
    rollouts: the conversations.
    row: which of the R = B * K rows.
    correction_prompt: the text between two attempts.

  Returns:
    `problem_id`, `source_id`, `question`, `gold`, `difficulty`,
    `correction_prompt`, and `attempts`: a list of `text`, `answer`, `status`,
    `is_correct`, `is_truncated`.
  """
  conversations = rollouts.conversations
  if not 0 <= row < len(conversations.texts):
    raise ValueError(
        f"row {row} is not one of the {len(conversations.texts)} conversations;"
        " pass a row from 0"
    )
  samples, num_attempts = rollouts.rewards.shape[1:]
  is_truncated = conversations.is_truncated.reshape(-1, num_attempts)[row]
  problem = conversations.problems[row // samples]
  attempts = [
      {
          "text": text,
          "answer": grade.answer,
          "status": grade.status,
          "is_correct": bool(grade.is_correct),
          "is_truncated": bool(is_cut),
      }
      for text, grade, is_cut in zip(
          conversations.texts[row],
          rollouts.grades[row],
          is_truncated,
          strict=True,
      )
  ]
  return {
      "problem_id": int(problem.id),
      "source_id": problem.source_id,
      "question": problem.question,
      "gold": problem.answer,
      "difficulty": problem.difficulty,
      "correction_prompt": correction_prompt,
      "attempts": attempts,
  }


def jsonl(
    rollouts: Iterable[Rollouts],
    correction_prompt: str,
    rows: Sequence[int] | None = None,
) -> str:
  """Lines of JSON: the conversations of all rows, or of some of each batch."""
  records = [
      conversation_record(r, row, correction_prompt)
      for r in rollouts
      for row in (range(len(r.grades)) if rows is None else rows)
  ]
  return "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records)
