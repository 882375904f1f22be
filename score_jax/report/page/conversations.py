"""Which conversations a report shows: a bounded sample of every kind."""

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

# Names of the transitions by the verdicts on the first two attempts.
KINDS = {
    (False, True): "i_to_c",
    (True, False): "c_to_i",
    (True, True): "c_to_c",
    (False, False): "i_to_i",
}
# The report cuts longer attempts and answers, and says so.
MAX_CHARACTERS, _MAX_ANSWER = 6_000, 200


def kind(record: Mapping) -> str:
  """Names what became of a problem between the first two attempts.

  Args:
    record: a conversation, see `conversations.conversation_record`.

  Returns:
    One of KINDS.

  Raises:
    ValueError: the conversation has fewer than two attempts.
  """
  attempts = record["attempts"]
  if len(attempts) < 2:
    raise ValueError(
        f"conversation of problem {record['problem_id']} has {len(attempts)}"
        " attempts, expected two or more: make its rollouts again"
    )
  return KINDS[attempts[0]["is_correct"], attempts[1]["is_correct"]]


def choose(
    records: Sequence[Mapping], max_count: int, max_characters: int
) -> list[dict[str, Any]]:
  """Picks conversations of every kind.

  Kinds take turns, the rarest first, until there are enough conversations. A
  turn takes the next conversation of the kind in file order. Conversations with
  an attempt that was cut by the length limit are kinds of their own.

  Args:
    records: conversations, see `conversations.conversation_record`.
    max_count: the most conversations to pick.
    max_characters: the most characters of all picked questions and attempts
      together. The first conversation is picked however long it is.

  Returns:
    The picked conversations in the order of the turns, as the report stores
    them.
  """
  queues: dict[Any, list[int]] = {}
  for index, record in enumerate(records):
    is_cut = any(a["is_truncated"] for a in record["attempts"])
    queues.setdefault((kind(record), is_cut), []).append(index)
  chosen, characters = [], 0
  for index in _in_turns(queues.values()):
    characters += _length(records[index])
    if len(chosen) == max_count or (chosen and characters > max_characters):
      break
    chosen.append(index)
  return [_stored(records[index]) for index in chosen]


def _in_turns(queues: Iterable[Sequence[int]]) -> Iterable[int]:
  """One of each queue, shortest queue first, until all are empty."""
  queues = sorted(queues, key=len)
  for position in range(max(map(len, queues), default=0)):
    for queue in queues:
      if position < len(queue):
        yield queue[position]


def _length(record: Mapping) -> int:
  texts = [a["text"][:MAX_CHARACTERS] for a in record["attempts"]]
  return len(record["question"]) + sum(map(len, texts))


def _stored(record: Mapping) -> dict[str, Any]:
  answers = [attempt["answer"] for attempt in record["attempts"]]
  attempts = [
      {
          **attempt,
          "answer": answer if answer is None else answer[:_MAX_ANSWER],
          "text": attempt["text"][:MAX_CHARACTERS],
          "left_out": max(len(attempt["text"]) - MAX_CHARACTERS, 0),
      }
      for attempt, answer in zip(record["attempts"], answers, strict=True)
  ]
  return {
      "id": record["problem_id"],
      "source": record["source_id"],
      "difficulty": record["difficulty"],
      "kind": kind(record),
      "is_unchanged": answers[0] is not None and answers[0] == answers[1],
      "question": record["question"],
      "gold": record["gold"],
      "correction_prompt": record["correction_prompt"],
      "attempts": attempts,
  }
