"""Files of rows are read exactly, and every flaw of theirs is named."""

import datetime
import decimal
import gzip
import json
import pathlib
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
from etils.epath import backend as epath_backend
import fsspec
import numpy as np
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
            {"id": "3", "answer": "-2"},
        ],
    )

  @parameterized.parameters(
      ("float32", 0.1, "0.1"),
      ("float32", 5.0, "5"),
      ("float32", -2.5, "-2.5"),
      ("float32", 16777216.0, "16777216"),
      ("float16", 0.1, "0.1"),
      ("float16", 12.0, "12"),
      ("float64", 0.1, "0.1"),
      ("float64", 0.1 + 0.2, "0.30000000000000004"),
      ("float64", 5.0, "5"),
      ("float64", -0.0, "0"),
      ("float64", 1e16, "10000000000000000"),
      ("float64", 1234567890123456.0, "1234567890123456"),
      ("float64", 1e-5, "0.00001"),
      ("float64", 6.02e23, "602000000000000000000000"),
      ("float64", 1e300, "1e+300"),
      ("float64", 1e-300, "1e-300"),
      ("uint64", 2**64 - 1, "18446744073709551615"),
      ("int8", -5, "-5"),
      ("decimal128(5, 2)", "5.00", "5"),
      ("decimal128(5, 2)", "0.10", "0.1"),
      ("decimal128(5, 0)", "100", "100"),
      ("decimal128(38, 0)", "12345678901234567890123456789",
       "12345678901234567890123456789"),
      ("decimal128(5, 2)", "0.00", "0"),
  )  # fmt: skip
  def test_parquet_numbers_are_the_shortest_text(self, kind, value, expected):
    if kind.startswith("decimal128"):
      digits = [int(part) for part in kind[11:-1].split(", ")]
      column = pyarrow.array(
          [decimal.Decimal(value)], pyarrow.decimal128(*digits)
      )
    else:
      array = np.array([value], kind)
      column = pyarrow.array(array)
    path = self._parquet({"id": ["a"], "answer": column})
    (row,) = tables.read_table(path, ["id", "answer"])
    self.assertEqual(row["answer"], expected)

  @parameterized.parameters("float16", "float32", "float64")
  def test_what_is_no_number_in_parquet_is_refused(self, kind):
    for value, shown in ((np.nan, "nan"), (-np.inf, "inf"), (None, "None")):
      values = [np.dtype(kind).type(1), value and np.dtype(kind).type(value)]
      column = pyarrow.array(values, pyarrow.from_numpy_dtype(kind))
      path = self._parquet({"id": [1, 2], "answer": column})
      with self.assertRaisesRegex(
          ValueError, f"t.parquet, row 2: answer is .*{shown}.*remove the row"
      ):
        tables.read_table(path, ["id", "answer"])

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
      ("lines_of_an_old_mac", "t.jsonl", b'{"id": 1}\r{"id": 2}\r'),
      ("lines_of_windows", "t.jsonl", b'{"id": 1}\r\n{"id": 2}\r\n'),
      ("mark_in_front", "t.jsonl", b'\xef\xbb\xbf{"id": 1}\n{"id": 2}'),
      ("blank_lines", "t.jsonl", b'\n{"id": 1}\n \n\t\n{"id": 2}\n\n\n'),
      ("packed", "t.jsonl.gz", gzip.compress(b'{"id": 1}\n{"id": 2}')),
      ("packed_list", "t.json.gz", gzip.compress(b'[{"id": 1}, {"id": 2}]')),
      ("no_strings", "t.json", b'[{"id": 1, "x": null}, {"id": 2, "x": []}]'),
  )
  def test_harmless_differences(self, name, content):
    path = self._write(name, content)
    self.assertEqual(
        tables.read_table(path, ["id"]), [{"id": "1"}, {"id": "2"}]
    )

  @parameterized.named_parameters(
      ("nothing", "t.jsonl", b"", "t.jsonl has no rows: it is empty.*again"),
      ("zeros", "t.parquet", bytes(99), "zero bytes alone, .*fetch it again"),
      ("page", "t.jsonl", b"\n <!DOCTYPE html><p>", "web page.*the raw one"),
      ("page_2", "t.parquet", b"<html><body>", "t.parquet is a web page"),
      ("page_3", "t.json", b'\xef\xbb\xbf<?xml version="1.0"?>', "web page"),
      ("annex", "t.json", b"/annex/objects/SHA256E-s1", "git annex get"),
      ("zip", "t.jsonl", b"PK\x03\x04rest", "is a zip archive: unpack it"),
      ("zstd", "t.jsonl", b"\x28\xb5\x2f\xfdrest", "zstd: unpack it"),
      ("gzip", "t.jsonl", gzip.compress(b"{}"), "gzip: .* name end in .gz"),
      ("no_gzip", "t.jsonl.gz", b'{"id": 1}', "cannot be unpacked"),
      ("cut_gzip", "t.jsonl.gz", gzip.compress(b'{"id": 1}' * 99)[:-9],
       "cannot be unpacked .*fetch it again"),
      ("utf_16", "t.jsonl", '{"id": 1}'.encode("utf-16"), "UTF-16: save it as"),
      ("latin_1", "t.jsonl", '{"id": 1}\n{"id": "\xe9"}'.encode("latin-1"),
       "t.jsonl, line 2 is not UTF-8.*save it as UTF-8"),
      ("parquet", "t.jsonl", b"PAR1rest", "parquet file: .*end in .parquet"),
      ("list", "t.jsonl", b'[{"id": 1}]', "line 1: .*found list .*named .json"),
      ("long_list", "t.jsonl", b'[\n{"id": 1},\n{"id": 2}]',
       "line 1: no JSON.*named .json"),
      ("over_lines", "t.jsonl", b'{\n  "id": 1\n}',
       "line 1: no JSON.*each line is one whole object"),
      ("cut", "t.jsonl", b'{"id": 1}\n{"id": "a',
       "line 2: no JSON.*cut off, fetch the file again"),
      ("single_quotes", "t.jsonl", b"{'id': 1}", "line 1: no JSON"),
      ("csv", "t.jsonl", b"id,question\n1,2\n", "line 1: no JSON"),
      ("lines", "t.json", b'{"id": 1}\n{"id": 2}', "no JSON: Extra.*a .jsonl"),
      ("wrapped", "t.json", b'{"data": [{"id": 1}]}', "found dict; one obj"),
      ("cut_list", "t.json", b'[{"id": 1}, {"id"', "t.json: no JSON"),
      ("text", "t.json", b'"id"', "found str"),
      ("list_of_lists", "t.json", b'[["id"]]', "item 1: expected an object"),
      ("twice", "t.jsonl", b'{"id": 1, "id": 2}', "line 1: .*has id twice"),
      ("blank", "t.jsonl", b" \n\n\t", "t.jsonl has no rows: .*copied whole"),
      ("txt", "t.txt", b"1", "ends in .jsonl, .json, .parquet.*convert it"),
      ("no_ending", "t", b"1", "ends in .jsonl, .json, .parquet.*convert it"),
      ("zip_ending", "t.jsonl.zip", b"1", "ends in .jsonl, .json, .parquet"),
  )  # fmt: skip
  def test_files_that_are_something_else(self, name, content, message):
    with self.assertRaisesRegex(ValueError, message):
      tables.read_table(self._write(name, content), ["id"])

  def test_a_tilde_is_the_home_directory(self):
    self._write("t.json", json.dumps(ROWS))
    with mock.patch.dict("os.environ", {"HOME": str(self.folder)}):
      self.assertEqual(tables.read_table("~/t.json", COLUMNS), ROWS)

  def test_a_directory_is_no_file(self):
    (self.folder / "t.jsonl").mkdir()
    with self.assertRaisesRegex(ValueError, "t.jsonl is a directory: name a"):
      tables.read_table(self.folder / "t.jsonl", ["id"])

  def test_parquet_that_broke_off(self):
    path = self._parquet({"id": [str(i) for i in range(1000)]})
    whole = path.read_bytes()
    for size in (4, 5, 100, len(whole) // 2, len(whole) - 8, len(whole) - 1):
      path.write_bytes(whole[:size])
      with self.assertRaisesRegex(
          ValueError, "t.parquet is no parquet file .*fetch it again"
      ):
        tables.read_table(path, ["id"])

  def test_parquet_with_wrong_bytes_within_is_refused(self):
    path = self._parquet({"id": [str(i) for i in range(1000)]})
    content = bytearray(path.read_bytes())
    content[4:40] = b"\xff" * 36
    path.write_bytes(content)
    with self.assertRaisesRegex(ValueError, "t.parquet is no parquet file"):
      tables.read_table(path, ["id"])

  def test_parquet_with_text_that_is_no_text(self):
    binary = pyarrow.array([b"a", b"\xff"])
    text = pyarrow.StringArray.from_buffers(2, *binary.buffers()[1:])
    path = self._parquet({"id": [1, 2], "answer": text})
    with self.assertRaisesRegex(ValueError, "t.parquet: answer is not UTF-8"):
      tables.read_table(path, ["id", "answer"])

  def test_parquet_with_a_column_twice(self):
    table = pyarrow.table([[1], [2]], names=["id", "id"])
    parquet.write_table(table, self.folder / "t.parquet")
    with self.assertRaisesRegex(ValueError, r"\['id'\] stand twice: rename"):
      tables.read_table(self.folder / "t.parquet", ["id"])

  @parameterized.parameters(
      ([[1.5, 2.5]],),
      ([["2"]],),
      ([{"value": "2"}],),
      ([True],),
      ([b"2"],),
      ([datetime.date(2024, 1, 1)],),
      ([None],),
  )
  def test_parquet_values_that_are_no_answer(self, column):
    path = self._parquet({"id": [1], "answer": column})
    with self.assertRaisesRegex(
        ValueError, "t.parquet, row 1: answer is .*expected text or a number"
    ):
      tables.read_table(path, ["id", "answer"])

  def test_a_long_value_is_cut_in_the_message(self):
    path = self._write("t.jsonl", json.dumps({"id": ["x" * 10_000]}))
    with self.assertRaises(ValueError) as caught:
      tables.read_table(path, ["id"])
    self.assertLess(len(str(caught.exception)), 600)

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
