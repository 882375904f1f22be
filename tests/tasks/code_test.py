"""The task of programs: data sets, prompts, what is left out."""

import contextlib
import json
import pathlib
import tempfile

from absl.testing import absltest
from absl.testing import parameterized
import pytest

from score_jax.tasks import make
from tests.helpers import made_up_data

SETTINGS = {
    "name": "code",
    "mbpp": "full",
    "test": "human_eval",
    "num_shots": 0,
    "exclude": [],
    "prompts": "code",
    "grader": {
        "num_workers": 2,
        "timeout_s": 5.0,
        "memory_mb": 512,
        "allow_unsandboxed": False,
    },
}


class CodeTaskTest(parameterized.TestCase):

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.root = pathlib.Path(
        cls.enterClassContext(tempfile.TemporaryDirectory())
    )
    made_up_data.write_mbpp(str(cls.root / "manual"))

  def _settings(self, **changes):
    paths = {
        "data_dir": str(self.root / "data"),
        "manual_dir": str(self.root / "manual"),
    }
    return SETTINGS | paths | changes

  def _task(self, **changes):
    task = make.make_task(self._settings(**changes))
    return self.enterContext(contextlib.closing(task))

  @pytest.mark.slow
  def test_trains_on_mbpp_and_tests_on_human_eval(self):
    task = self._task()
    sizes = {s: len(task.problems(s)) for s in ("train", "validation", "test")}
    self.assertEqual(sizes, {"train": 374, "validation": 90, "test": 164})
    names = [task.problems(s)[0].source_id for s in sizes]
    self.assertEqual(names, ["mbpp/601", "mbpp/511", "HumanEval/0"])
    ids = [p.id for s in sizes for p in task.problems(s)]
    self.assertLen(set(ids), len(ids))

  @pytest.mark.slow
  def test_prompts_show_the_asserts_of_mbpp_alone(self):
    """Paper, appendix C: on HumanEval no test is in sight."""
    task = self._task()
    mbpp, human_eval = (task.problems(s)[0] for s in ("train", "test"))
    prompt = task.first_prompt(mbpp)
    self.assertIn("Write a function to add 601 to a number.", prompt)
    self.assertIn("assert add_601(5) == 606", prompt)
    prompt = task.first_prompt(human_eval)
    self.assertIn(human_eval.question.strip(), prompt)
    self.assertNotIn("check(", prompt)
    self.assertNotIn("assert", prompt)
    self.assertNotIn("{{", prompt)

  @pytest.mark.slow
  def test_own_programs_pass_and_others_fail(self):
    task = self._task()
    problems = [*task.problems("train")[:3], *task.problems("test")[:3]]
    right = [task.demonstration(p, 1) for p in problems]
    wrong = [
        f"[BEGIN]\ndef {p.entry_point}(*args):\n  return None\n[DONE]"
        for p in problems
    ]
    grades = task.grade(problems * 2, right + wrong)
    self.assertEqual([g.status for g in grades], ["pass"] * 6 + ["fail"] * 6)

  @pytest.mark.slow
  def test_shots_are_mbpps_own_from_the_second_on(self):
    task = self._task(num_shots=3, prompts="code_few_shot")
    prompt = task.first_prompt(task.problems("train")[0])
    places = [prompt.index(f"def add_{i}(x)") for i in (2, 3, 4)]
    self.assertEqual(places, sorted(places))
    self.assertNotIn("def add_1(", prompt)
    self.assertNotIn("def add_601(", prompt)
    # As a base model's turns are written, so that the pattern goes on.
    self.assertEqual(prompt.count("\nAnswer: [BEGIN]\ndef add_"), 3)
    self.assertEqual(prompt.count("\n[DONE]\n\nQuestion: You are"), 3)
    self.assertEqual(prompt.count("[BEGIN]"), 3)
    self.assertEqual(prompt.count("[DONE]"), 3)
    self.assertLess(places[-1], prompt.index("to add 601"))
    self.assertNotIn("{{", prompt)

  @pytest.mark.slow
  def test_problems_without_a_verdict_are_counted_by_name(self):
    file = self.root / "manual" / "mbpp" / "mbpp.jsonl"
    whole = file.read_text("utf-8")
    rows = [json.loads(line) for line in whole.splitlines()]
    rows[600]["test_list"] = ["assert add_601(1) == 0"]
    file.write_text("".join(json.dumps(r) + "\n" for r in rows), "utf-8")
    try:
      task = self._task(data_dir=str(self.root / "other"))
    finally:
      file.write_text(whole, "utf-8")
    self.assertLen(task.problems("train"), 373)
    self.assertEqual(
        task.provenance()["left_out"],
        {
            "train": {"own_program_fails": ["mbpp/601"]},
            "validation": {},
            "test": {},
        },
    )

  @pytest.mark.slow
  def test_human_eval_alone_needs_no_files(self):
    whole, alone = self._task(), self._task(mbpp="none", manual_dir="/nowhere")
    self.assertEqual(alone.problems("test"), whole.problems("test"))
    self.assertEmpty(alone.problems("train"))

  @pytest.mark.slow
  def test_the_manifest_names_the_wall(self):
    self.assertIn(
        self._task().provenance()["sandbox_tier"], ("namespaces", "seccomp")
    )

  @pytest.mark.slow
  def test_problems_are_left_out_by_name(self):
    task = self._task(exclude=["mbpp/601", "HumanEval/3"])
    self.assertLen(task.problems("train"), 373)
    self.assertLen(task.problems("test"), 163)

  @parameterized.parameters(
      ({"mbpp": "half"}, "task.mbpp is 'half', expected 'full'"),
      ({"test": "x"}, "task.test is 'x', expected 'human_eval'"),
      ({"num_shots": 10, "prompts": "code_few_shot"}, "expected 0 to 9"),
      ({"num_shots": 3}, "expected .*'shot'"),
      ({"exclude": ["mbpp/9999"]}, r"names \['mbpp/9999'\], which no"),
      ({"mbpp": "sanitized"}, "sanitized-mbpp.json.*google-research"),
      ({"grader": {}}, "missing key task.grader.allow_unsandboxed"),
  )
  def test_mistakes_are_refused(self, changes, message):
    with self.assertRaisesRegex(ValueError, message):
      self._task(**changes)


if __name__ == "__main__":
  absltest.main()
