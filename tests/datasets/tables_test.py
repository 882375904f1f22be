"""Files of rows are read exactly, and every flaw of theirs is named."""

import json
import pathlib
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
from etils.epath import backend as epath_backend
import fsspec
import pyarrow
from pyarrow import parquet

from score_jax.datasets import tables
from tests.helpers.fake_bucket import FakeBucket
from tests.helpers.fake_bucket import fake_bucket

ROWS = [
    {"id": "a", "question": "1 + 1 = ?\nSay it.", "answer": "2"},
    {"id": "b", "question": "caf\u00e9 \u2028 \U0001f40d \u00a0", "answer": ""},
]
COLUMNS = ("id", "question", "answer")


class TablesTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir().full_path)

  def _write(self, name, content):
    path = self.folder / name
    if isinstance(content, str):
      content = content.encode("utf-8")
    path.write_bytes(content)
    return path

  def _parquet(self, columns):
    parquet.write_table(pyarrow.table(columns), self.folder / "t.parquet")
    return self.folder / "t.parquet"

  @parameterized.parameters(True, False)
  def test_jsonl(self, ensure_ascii):
    lines = [json.dumps(r, ensure_ascii=ensure_ascii) for r in ROWS]
    path = self._write("t.jsonl", "\r\n".join(lines) + "\n\n")
    self.assertEqual(tables.read_table(path, COLUMNS), ROWS)

  def test_json(self):
    path = self._write("t.json", "\ufeff" + json.dumps(ROWS, indent=2))
    self.assertEqual(tables.read_table(path, COLUMNS), ROWS)

  def test_parquet(self):
    path = self._parquet({c: [r[c] for r in ROWS] for c in COLUMNS})
    self.assertEqual(tables.read_table(path, COLUMNS), ROWS)

  def test_only_the_columns_that_are_asked_for(self):
    path = self._write("t.json", json.dumps(ROWS))
    self.assertEqual(
        tables.read_table(path, ["answer", "id"]),
        [{"answer": "2", "id": "a"}, {"answer": "", "id": "b"}],
    )

  def test_remote_files(self):
    with fake_bucket():
      FakeBucket().pipe("gs://b/d/t.json", json.dumps(ROWS).encode())
      self.assertEqual(tables.read_table("gs://b/d/t.json", COLUMNS), ROWS)
      with self.assertRaisesRegex(ValueError, "no file gs://b/d/u.json"):
        tables.read_table("gs://b/d/u.json", COLUMNS)

  def test_without_gcsfs_it_is_asked_for(self):
    missing = mock.patch.object(
        fsspec, "filesystem", side_effect=ImportError("Please install gcsfs")
    )
    epath_backend.fsspec_backend._get_filesystem.cache_clear()
    with missing, self.assertRaisesRegex(ValueError, "pip install gcsfs"):
      tables.read_table("gs://b/t.json", COLUMNS)

  @parameterized.parameters(
      ("7", "7"),
      ("-0.50", "-0.50"),
      ("1e3", "1e3"),
      ("1" + "0" * 5000, "1" + "0" * 5000),
      ('"1.0"', "1.0"),
  )
  def test_json_numbers_stay_as_they_are_written(self, written, expected):
    path = self._write("t.jsonl", f'{{"id": 1, "answer": {written}}}')
    self.assertEqual(
        tables.read_table(path, ["id", "answer"]),
        [{"id": "1", "answer": expected}],
    )

  def test_parquet_numbers(self):
    path = self._parquet({"id": [2**60 + 1, 3], "answer": [0.1, -2.0]})
    self.assertEqual(
        tables.read_table(path, ["id", "answer"]),
        [
            {"id": "1152921504606846977", "answer": "0.1"},
            {"id": "3", "answer": "-2.0"},
        ],
    )

  @parameterized.parameters(
      "null", "true", "[1]", '{"a": 1}', "NaN", "Infinity", r'"\ud800"'
  )
  def test_other_values_are_refused(self, written):
    path = self._write("t.jsonl", f'\n{{"id": 1, "answer": {written}}}')
    with self.assertRaisesRegex(ValueError, "t.jsonl, line 2: answer is"):
      tables.read_table(path, ["id", "answer"])

  def test_values_that_parquet_lacks_are_refused(self):
    path = self._parquet({"id": [1, 2], "answer": ["x", None]})
    with self.assertRaisesRegex(ValueError, "row 2: answer is None"):
      tables.read_table(path, ["id", "answer"])

  @parameterized.parameters("t.jsonl", "t.json", "t.parquet")
  def test_wrong_columns_are_refused_with_those_found(self, name):
    if name == "t.parquet":
      path = self._parquet({"id": ["a"], "prompt": ["b"]})
    else:
      row = '{"id": "a", "prompt": "b"}'
      path = self._write(name, row if name == "t.jsonl" else f"[{row}]")
    with self.assertRaisesRegex(ValueError, "'question', only id, prompt"):
      tables.read_table(path, ["id", "question"])

  @parameterized.named_parameters(
      ("line", "t.jsonl", '{"id": 1}\n{"id": ', "t.jsonl, line 2: no JSON"),
      ("deep", "t.jsonl", "[" * 10**5, "line 1: no JSON"),
      ("no_object", "t.jsonl", '{"id": 1}\n\n[1]', "line 3: expected an obj"),
      ("no_list", "t.json", '{"id": 1}', "expected a list of objects"),
      ("item", "t.json", '[{"id": 1}, 2]', "item 2: expected an object"),
      ("parquet", "t.parquet", "PAR1", "t.parquet is no parquet file"),
      ("encoding", "t.jsonl", b'{"id": "\xff"}', "is not UTF-8"),
      ("ending", "t.csv", "id\n1\n", "ends in .jsonl, .json, .parquet"),
      ("empty", "t.jsonl", "\n", "t.jsonl has no rows"),
      ("empty_list", "t.json", "[]", "t.json has no rows"),
      ("pointer", "t.jsonl", "version https://git-lfs.github.com/spec/v1\n",
       "git lfs pull"),
  )  # fmt: skip
  def test_broken_files_are_refused(self, name, content, message):
    with self.assertRaisesRegex(ValueError, message):
      tables.read_table(self._write(name, content), ["id"])

  def test_missing_files_are_named(self):
    with self.assertRaisesRegex(ValueError, "there is no file .*/t.jsonl"):
      tables.read_table(self.folder / "t.jsonl", ["id"])

  def test_parquet_without_rows_is_refused(self):
    with self.assertRaisesRegex(ValueError, "has no rows"):
      tables.read_table(
          self._parquet({"id": pyarrow.array([], "int64")}), ["id"]
      )

  def test_without_pyarrow_it_is_asked_for(self):
    path = self._parquet({"id": [1]})
    missing = mock.patch.dict("sys.modules", {"pyarrow": None})
    with missing, self.assertRaisesRegex(ValueError, "pip install pyarrow"):
      tables.read_table(path, ["id"])

  def test_an_id_that_is_used_twice_is_refused_with_both_lines(self):
    path = self._write("t.jsonl", '{"k": 1}\n{"k": 2}\n{"k": "1"}\n')
    with self.assertRaisesRegex(
        ValueError, "line 3: k '1' is used twice, first in .*t.jsonl, line 1"
    ):
      tables.read_table(path, ["k"], id_column="k")

  def test_the_id_is_one_of_the_columns(self):
    with self.assertRaisesRegex(ValueError, "id column 'id' is none of"):
      tables.read_table(self.folder / "t.jsonl", ["k"])


if __name__ == "__main__":
  absltest.main()
