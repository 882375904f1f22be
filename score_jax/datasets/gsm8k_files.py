"""GSM8K as it is published: train and test, as .jsonl or .parquet."""

import re

from etils import epath

from score_jax.datasets import published_files
from score_jax.datasets import tables

COLUMNS = ("id", "question", "answer", "rationale")
COUNTS = {"train": 7_473, "test": 1_319}
INSTRUCTIONS = (
    "GSM8K: take train.jsonl and test.jsonl from"
    " github.com/openai/grade-school-math (grade_school_math/data) and put them"
    " in <manual_dir>/gsm8k/. The parquet files of the Hugging Face hub"
    " (openai/gsm8k, main) will do as well"
)
# Published beside the data: the same problems with questions in between.
_OTHERS = (
    "socratic",
    "train_socratic.jsonl",
    "test_socratic.jsonl",
    "example_model_solutions.jsonl",
)

_NUMBER = re.compile(r"-?(?:[0-9]+|[0-9]{1,3}(?:,[0-9]{3})+)(?:\.[0-9]+)?")


def read(manual_dir: epath.Path) -> dict[str, list[dict[str, str]]]:
  """Rows of train and test, with ids that count from 0: gsm8k-test-0013.

  Raises:
    ValueError: files that are missing or unknown, or a row without '####
      number'.
  """
  splits = published_files.read_splits(
      manual_dir / "gsm8k", COUNTS, INSTRUCTIONS, _OTHERS
  )
  return {
      split: [
          _row(record, f"gsm8k-{split}-{i:04d}")
          for i, record in enumerate(records)
      ]
      for split, records in splits.items()
  }


def split_answer(record: tables.Record, column: str) -> tuple[str, str]:
  """The number behind '####' without commas, and the text before '####'."""
  text = tables.text_of(record, column)
  rationale, mark, number = text.rpartition("####")
  number = number.strip()
  if not mark or not _NUMBER.fullmatch(number):
    raise ValueError(
        f"{record.place}: {column} does not end in '#### number': {text!r}"
    )
  return number.replace(",", ""), rationale.strip()


def _row(record: tables.Record, name: str) -> dict[str, str]:
  answer, rationale = split_answer(record, "answer")
  return {
      "id": name,
      "question": tables.text_of(record, "question"),
      "answer": answer,
      "rationale": rationale,
  }
