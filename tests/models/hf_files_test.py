"""Tests of score_jax.models.hf_files: what bad input is told."""

import contextlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import huggingface_hub
import huggingface_hub.errors
import huggingface_hub.utils
import numpy as np
import safetensors.numpy

from score_jax.models import hf_files

SHARDS = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
HTML = b"<!DOCTYPE html>\n<html><body>Sign in</body></html>"
LFS_POINTER = (
    b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 123\n"
)
# Starts of what torch.save writes, now and formerly.
ZIPPED_PICKLE = b"PK\x03\x04" + bytes(100)
PICKLE = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M"
# Answers of a web page or of git-lfs instead of the file, and their remedy.
IMPOSTORS = (
    (HTML, "an HTML or XML page.*download it again"),
    (b"\n  <?xml version='1.0'?><Error/>", "an HTML or XML page"),
    (LFS_POINTER, "a Git LFS pointer.*`git lfs pull`"),
    (b"", "but empty"),
)

# Run alone: the environment decides at import whether there is a network.
_RESOLVE = """
import time
from score_jax.models import hf_files
start = time.monotonic()
try:
  hf_files.resolve("nobody/no-such-model")
except ValueError as error:
  print(time.monotonic() - start, error)
"""


class _DirectoryTestCase(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.path = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

  def _write(self, name, content):
    if not isinstance(content, bytes):
      content = json.dumps(content).encode()
    (self.path / name).write_bytes(content)
    return str(self.path / name)

  def _write_weights(self, name="model.safetensors"):
    content = safetensors.numpy.save({"w": np.arange(99, dtype=np.float32)})
    return self._write(name, content)

  def _write_index(self, *names):
    weight_map = {f"tensor.{i}": name for i, name in enumerate(names)}
    return self._write(hf_files.INDEX, {"weight_map": weight_map})

  def _assert_refused(self, file, message):
    """Context in which a ValueError names the file, then says `message`."""
    return self.assertRaisesRegex(
        ValueError, re.escape(str(file)) + "(?s:.*)" + message
    )


class NotThereTest(_DirectoryTestCase):
  """What lies there instead decides what is to be done."""

  def test_links_into_a_cache_that_was_not_copied(self):
    for name in ("config.json", "model.safetensors"):
      (self.path / name).symlink_to("../../blobs/4d7a")
    with self._assert_refused(self.path / "config.json", "a link .*cp -rL"):
      hf_files.read_object(str(self.path / "config.json"))
    with self._assert_refused(self.path, "cannot be read.*a link .*cp -rL"):
      hf_files.weight_files(str(self.path))

  def test_an_index_that_is_a_broken_link(self):
    (self.path / hf_files.INDEX).symlink_to("../../blobs/4d7a")
    self._write_weights(SHARDS[0])
    with self._assert_refused(self.path, "a link .*cp -rL"):
      hf_files.weight_files(str(self.path))

  def test_a_link_to_a_file_that_is_there_is_read(self):
    self._write_weights("blob")
    (self.path / "model.safetensors").symlink_to("blob")
    self.assertLen(hf_files.weight_files(str(self.path)), 1)

  @parameterized.parameters(
      (SHARDS[0], "index model.safetensors.index.json is missing: copy it"),
      ("model.fp16.safetensors", "rename it to model.safetensors"),
      ("adapter.safetensors", "only safetensors are loaded$"),
  )
  def test_weights_of_another_name(self, name, message):
    self._write_weights(name)
    with self._assert_refused(self.path, message):
      hf_files.weight_files(str(self.path))

  def test_a_folder_of_checkpoints_names_them(self):
    config = self.path / "config.json"
    with self._assert_refused(config, "not a Hugging Face directory$"):
      hf_files.read_object(str(config))
    for name in ("checkpoint-20", "checkpoint-10", "logs"):
      (self.path / name).mkdir()
    for name in ("checkpoint-20", "checkpoint-10"):
      (self.path / name / "config.json").write_text("{}")
    with self._assert_refused(
        config, r"one of .* \['checkpoint-10', 'checkpoint-20'\]$"
    ):
      hf_files.read_object(str(config))


class ResolveTest(_DirectoryTestCase):

  def test_a_directory_is_itself_and_the_hub_is_not_asked(self):
    with mock.patch.object(huggingface_hub, "snapshot_download") as download:
      self.assertEqual(hf_files.resolve(self.path), str(self.path))
      (self.path / "some" / "model").mkdir(parents=True)
      with contextlib.chdir(self.path):  # looks like a hub id, but is there
        self.assertEqual(hf_files.resolve("some/model"), "some/model")
    download.assert_not_called()

  def test_a_file_is_no_directory(self):
    file = self._write_weights()
    with self._assert_refused(file, "is a file, expected a .*directory"):
      hf_files.resolve(file)

  @parameterized.parameters(
      "",
      "nowhere",
      "nonsense path",
      "/nowhere/model",
      "a/b/c",
      "runs/model/",
      "https://huggingface.co/google/gemma-2-2b",
  )
  def test_what_cannot_be_a_hub_id_is_not_asked_for(self, path):
    with mock.patch.object(huggingface_hub, "snapshot_download") as download:
      with self._assert_refused(repr(path), "does not exist; expected a dir"):
        hf_files.resolve(path)
    download.assert_not_called()

  @parameterized.parameters("../model", "./model", "runs/a--b")
  def test_a_path_that_the_hub_does_not_accept_as_an_id(self, path):
    with self._assert_refused(repr(path), "is no directory here"):
      hf_files.resolve(path)

  def test_without_a_network_it_says_so(self):
    start = time.monotonic()
    with self._assert_refused("'nobody/no-such-model'", "Without a network"):
      hf_files.resolve("nobody/no-such-model")  # conftest sets the offline mode
    self.assertLess(time.monotonic() - start, 2)

  @parameterized.parameters(
      {"HF_HUB_OFFLINE": "1"},
      # No name server knows .invalid, and nothing listens at port 9.
      {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": "http://huggingface.invalid"},
      {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": "http://127.0.0.1:9"},
  )
  def test_a_real_process_without_a_network_is_told_soon(self, **environment):
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", _RESOLVE],
        env=os.environ | environment | {"HF_HOME": str(self.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    seconds, _, message = result.stdout.partition(" ")
    self.assertStartsWith(message, "'nobody/no-such-model' is no directory")
    self.assertIn("LocalEntryNotFoundError", message)
    self.assertIn("copy the model's files into a directory", message)
    self.assertLess(float(seconds), 2)
    self.assertEmpty(result.stderr)

  @parameterized.parameters(
      OSError("disk full"),
      ConnectionError("reset"),
      huggingface_hub.errors.LocalEntryNotFoundError("offline\nsecond line"),
      huggingface_hub.errors.OfflineModeIsEnabled("offline"),
  )
  def test_a_failing_download_is_told_in_a_line(self, error):
    with mock.patch.object(
        huggingface_hub, "snapshot_download", side_effect=error
    ):
      with self._assert_refused(
          "'google/gemma'", f"{type(error).__name__}.*hf auth login"
      ) as caught:
        hf_files.resolve("google/gemma")
    self.assertNotIn("\n", str(caught.exception))

  def test_a_revision_is_asked_for_and_its_commit_is_known(self):
    commit = "0123456789abcdef0123456789abcdef01234567"
    snapshot = self.path / "models--a--b" / "snapshots" / commit
    snapshot.mkdir(parents=True)
    with mock.patch.object(
        huggingface_hub, "snapshot_download", return_value=str(snapshot)
    ) as download:
      directory = hf_files.resolve("a/b", "v1.0")
    self.assertEqual(download.call_args.kwargs["revision"], "v1.0")
    self.assertEqual(hf_files.commit(directory), commit)
    for other in (self.path, self.path / "snapshots" / "main", snapshot.parent):
      self.assertIsNone(hf_files.commit(other))

  def test_a_revision_that_is_not_there_is_named(self):
    with self._assert_refused("'nobody/no-such-model'", "at revision 'v9'"):
      hf_files.resolve("nobody/no-such-model", "v9")

  def test_a_directory_has_no_revision(self):
    with self._assert_refused(repr(str(self.path)), "has no revision 'main'"):
      hf_files.resolve(self.path, "main")

  def test_a_hub_id_is_downloaded_without_pickles(self):
    with mock.patch.object(
        huggingface_hub, "snapshot_download", return_value=str(self.path)
    ) as download:
      self.assertEqual(hf_files.resolve("google/gemma-2-2b"), str(self.path))
    download.assert_called_once()
    self.assertEqual(download.call_args.args, ("google/gemma-2-2b",))
    wanted = [
        "chat_template.jinja",
        "config.json",
        "merges.txt",
        "model-00001-of-00002.safetensors",
        "model.safetensors",
        "model.safetensors.index.json",
        "tokenizer.json",
        "tokenizer.model",
    ]
    unwanted = [
        "consolidated.00.pth",
        "flax_model.msgpack",
        "model.gguf",
        "modeling_gemma.py",
        "onnx/model.onnx",
        "optimizer.pt",
        "pytorch_model.bin",
        "tf_model.h5",
    ]
    asked = huggingface_hub.utils.filter_repo_objects(
        wanted + unwanted,
        allow_patterns=download.call_args.kwargs["allow_patterns"],
    )
    self.assertCountEqual(asked, wanted)


class ReadObjectTest(_DirectoryTestCase):

  def test_an_object_is_read(self):
    file = self._write("config.json", {"a": [1]})
    self.assertEqual(hf_files.read_object(file), {"a": [1]})

  def test_an_absent_file(self):
    file = self.path / "config.json"
    with self._assert_refused(file, "does not exist: not a Hugging Face dir"):
      hf_files.read_object(str(file))

  @parameterized.parameters(*IMPOSTORS)
  def test_something_else_in_its_place(self, content, message):
    file = self._write("config.json", content)
    with self._assert_refused(file, f"is not valid JSON.*{message}"):
      hf_files.read_object(file)

  @parameterized.parameters(b'{"a": 1', b"{'a': 1}", b'{"a": "\xff"}')
  def test_broken_json(self, content):
    file = self._write("config.json", content)
    with self._assert_refused(
        file, "is not valid JSON; correct it, or copy it again: "
    ):
      hf_files.read_object(file)

  @parameterized.parameters((b"[]", "list"), (b"7", "int"), (b"null", "None"))
  def test_json_that_is_no_object(self, content, found):
    file = self._write("config.json", content)
    with self._assert_refused(file, f"holds a {found}.*no JSON object"):
      hf_files.read_object(file)


class WeightFilesTest(_DirectoryTestCase):

  def test_a_single_file(self):
    file = self._write_weights()
    self.assertEqual(hf_files.weight_files(str(self.path)), [file])

  def test_shards_are_each_listed_once(self):
    files = [self._write_weights(name) for name in SHARDS]
    self._write_index(SHARDS[1], SHARDS[0], SHARDS[1])
    self.assertEqual(hf_files.weight_files(str(self.path)), files)

  def test_all_absent_shards_are_named(self):
    index = self._write_index("c.safetensors", *SHARDS)
    self._write_weights(SHARDS[0])
    with self._assert_refused(
        index, f"do not exist: c.safetensors, {SHARDS[1]}; copy the directory"
    ):
      hf_files.weight_files(str(self.path))

  @parameterized.parameters("../x.safetensors", "/etc/x.safetensors", "a/b")
  def test_a_shard_outside_of_the_directory(self, name):
    directory = self.path / "model"
    directory.mkdir()
    self._write_weights("x.safetensors")  # it would be there
    index = self._write(
        "model/model.safetensors.index.json", {"weight_map": {"w": name}}
    )
    with self._assert_refused(index, f"{name}', expected a plain name"):
      hf_files.weight_files(str(directory))

  @parameterized.parameters(
      b"{}",
      b'{"weight_map": []}',
      b'{"weight_map": {}}',
      b'{"weight_map": null}',
  )
  def test_an_index_without_a_map(self, content):
    index = self._write(hf_files.INDEX, content)
    with self._assert_refused(index, "no weight_map"):
      hf_files.weight_files(str(self.path))

  @parameterized.parameters(
      ([1], r"1, expected"),
      ([SHARDS[0], 1], "1, expected"),
      ([["a"]], r"\['a'\], expected"),
  )
  def test_an_index_of_no_names(self, names, message):
    self._write_weights(SHARDS[0])
    index = self._write_index(*names)
    with self._assert_refused(index, f"names the file {message}"):
      hf_files.weight_files(str(self.path))

  @parameterized.parameters(*IMPOSTORS)
  def test_something_else_in_place_of_the_index(self, content, message):
    index = self._write(hf_files.INDEX, content)
    with self._assert_refused(index, message):
      hf_files.weight_files(str(self.path))

  @parameterized.parameters("pytorch_model.bin", "model.pt", "weights.pth")
  def test_pickles_are_not_loaded(self, name):
    self._write(name, PICKLE)
    with self._assert_refused(
        self.path, rf"pickled weights only \({name}\).*Convert them"
    ):
      hf_files.weight_files(str(self.path))

  def test_no_weights_at_all(self):
    self._write("config.json", {})
    with self._assert_refused(
        self.path / "model.safetensors", r"found \['config.json'\]"
    ):
      hf_files.weight_files(str(self.path))

  @parameterized.parameters(
      ("consolidated.safetensors", "makers' own layout"),
      ("consolidated.00.safetensors", "makers' own layout"),
      ("model-q4.gguf", "for llama.cpp"),
  )
  def test_weights_in_another_layout(self, name, message):
    self._write(name, b"x")
    with self._assert_refused(self.path / "model.safetensors", message):
      hf_files.weight_files(str(self.path))


class AdapterTest(_DirectoryTestCase):

  def test_an_adapter_alone_is_named_with_the_way_to_merge_it(self):
    self._write(
        "adapter_config.json",
        {"peft_type": "LORA", "base_model_name_or_path": "some/base"},
    )
    self._write("adapter_model.safetensors", b"")
    with self._assert_refused(
        self.path,
        r"is a PEFT adapter and no model \(adapter_config.json,"
        r" adapter_model.safetensors, of 'some/base'\).*"
        r"\n  adapter = '.*'"
        r"\n.*AutoPeftModelForCausalLM.from_pretrained\(adapter\)"
        r"\n.*merge_and_unload\(\).save_pretrained",
    ):
      hf_files.refuse_adapter(str(self.path))

  @parameterized.parameters(
      "adapter_config.json",
      "adapter_model.safetensors",
      "adapter_model.bin",
      "adapter_model-00001-of-00002.safetensors",
  )
  def test_an_adapter_beside_a_model_is_not_passed_over(self, name):
    self._write_weights()
    self._write("config.json", {})
    self._write(name, {})
    with self._assert_refused(
        self.path,
        "has a PEFT adapter beside model.safetensors, config.json"
        f"(?s:.*)remove {name}",
    ):
      hf_files.refuse_adapter(str(self.path))

  @parameterized.parameters(
      "config.json", "model.safetensors", "adapter.md", "adapters.json"
  )
  def test_other_files_are_no_adapter(self, name):
    self._write(name, {})
    hf_files.refuse_adapter(str(self.path))


class OpenedTest(_DirectoryTestCase):

  def test_tensors_can_be_read(self):
    with hf_files.opened(self._write_weights()) as tensors:
      self.assertEqual(tensors.get_tensor("w")[-1], 98)

  @parameterized.parameters(4, 40, 200, -1)
  def test_a_truncated_file(self, size):
    file = pathlib.Path(self._write_weights())
    file.write_bytes(file.read_bytes()[:size])
    with self._assert_refused(
        file, rf"\({file.stat().st_size} bytes\) .*truncated.*copy it again"
    ):
      with hf_files.opened(str(file)):
        pass

  @parameterized.parameters(
      *IMPOSTORS,
      (ZIPPED_PICKLE, "a pickle, which is never loaded"),
      (PICKLE, "a pickle, which is never loaded"),
  )
  def test_something_else_in_its_place(self, content, message):
    file = self._write_weights()
    pathlib.Path(file).write_bytes(content)
    with self._assert_refused(file, f"is not a safetensors file.*{message}"):
      with hf_files.opened(file):
        pass

  def test_an_error_inside_of_the_block_is_not_explained_away(self):
    with self.assertRaisesRegex(OSError, "^mine$"):
      with hf_files.opened(self._write_weights()):
        raise OSError("mine")


if __name__ == "__main__":
  absltest.main()
