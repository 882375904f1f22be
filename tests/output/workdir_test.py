"""A run directory belongs to one config; files are whole or absent."""

import os
import pathlib

from absl.testing import absltest

import score_jax
from score_jax.output import files
from score_jax.output import workdir as workdir_lib
from score_jax.output.workdir import Workdir


class WorkdirTest(absltest.TestCase):

  def setUp(self):
    super().setUp()
    self.path = pathlib.Path(self.create_tempdir().full_path) / "run"

  def test_the_same_config_opens_it_again(self):
    Workdir(self.path, {"a": {"b": 1}})
    Workdir(self.path, {"a": {"b": 1}})
    self.assertTrue((self.path / "checkpoints").is_dir())

  def test_another_config_is_refused_with_every_difference(self):
    Workdir(self.path, {"a": {"b": 1, "c": 2}, "d": 3})
    with self.assertRaisesRegex(ValueError, "a.b: 1 -> 5; e: None -> 6"):
      Workdir(self.path, {"a": {"b": 5, "c": 2}, "d": 3, "e": 6})

  def test_a_run_of_another_version_is_refused_with_its_name(self):
    Workdir(self.path, {"a": 1})
    version = self.path / "version.txt"
    self.assertEqual(version.read_text(), score_jax.__version__)
    version.write_text(score_jax.__version__ + ".1")  # of the same line
    Workdir(self.path, {"a": 1})
    version.write_text("9.1.0")
    with self.assertRaisesRegex(ValueError, "continue it with score_jax 9.1.0"):
      Workdir(self.path, {"a": 1})
    version.unlink()  # as the first version left it
    with self.assertRaisesRegex(ValueError, "continue it with score_jax 0.1.0"):
      Workdir(self.path, {"a": 1})

  def test_a_directory_of_something_else_is_refused(self):
    self.path.mkdir()
    (self.path / "thesis.tex").touch()
    with self.assertRaisesRegex(ValueError, "not empty and holds no run"):
      Workdir(self.path, {})

  def test_a_path_that_cannot_be_written_is_refused(self):
    self.path.write_text("a file where a directory is needed")
    for path in (self.path, self.path / "below"):
      with self.assertRaisesRegex(ValueError, "cannot be written"):
        Workdir(path, {})

  # The reference must stay the base model after a resume.
  def test_another_model_tokenizer_or_data_stop_a_resumed_run(self):
    Workdir(self.path, {})
    file = self.path / "manifest.json"
    manifest = {
        "reference_sha256": "a",
        "data_sha256": "b",
        "model_config": {"num_heads": 4, "windows": (2, None)},
        "tokenizer": {"stop_ids": (1, 2), "pad_id": 0},
        "devices": ["c"],
    }
    workdir_lib.check_manifest(file, manifest)
    workdir_lib.check_manifest(file, manifest | {"devices": ["other"]})
    for change, message in (
        ({"reference_sha256": "x"}, "reference_sha256: 'a' -> 'x'"),
        ({"data_sha256": "x"}, "data_sha256: 'b' -> 'x'"),
        (
            {"model_config": {"num_heads": 8, "windows": (2, None)}},
            "model_config.num_heads: 4 -> 8",
        ),
        (
            {"tokenizer": {"stop_ids": (1,), "pad_id": 1}},
            r"pad_id: 0 -> 1; tokenizer.stop_ids: \[1, 2\] -> \[1\]",
        ),
    ):
      with self.assertRaisesRegex(ValueError, message):
        workdir_lib.check_manifest(file, manifest | change)


class FilesTest(absltest.TestCase):

  def setUp(self):
    super().setUp()
    self.path = pathlib.Path(self.create_tempdir().full_path)

  def test_a_directory_appears_only_when_it_is_complete(self):
    target = self.path / "d"
    with self.assertRaises(RuntimeError):
      with files.atomic_directory(target) as temporary:
        pathlib.Path(temporary, "half").touch()
        raise RuntimeError()
    self.assertEmpty(os.listdir(self.path))
    with files.atomic_directory(target) as temporary:
      pathlib.Path(temporary, "whole").touch()
      self.assertFalse(target.exists())
    self.assertEqual(os.listdir(target), ["whole"])
    self.assertEqual(os.listdir(self.path), ["d"])

  def test_an_existing_directory_is_never_replaced(self):
    with self.assertRaisesRegex(ValueError, "exists already"):
      with files.atomic_directory(self.path):
        pass

  def test_json_refuses_nan_and_keeps_the_old_file(self):
    file = self.path / "x.json"
    files.write_json(file, {"a": 1})
    with self.assertRaises(ValueError):
      files.write_json(file, {"a": float("nan")})
    self.assertEqual(files.read_json(file), {"a": 1})
    self.assertEqual(os.listdir(self.path), ["x.json"])


if __name__ == "__main__":
  absltest.main()
