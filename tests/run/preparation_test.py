"""Tests of score_jax.run.preparation."""

from unittest import mock

from absl.testing import absltest

from score_jax import settings as settings_lib
from score_jax.devices import distributed
from score_jax.models import hf_files
from score_jax.run import preparation
from score_jax.settings import RunSettings
from tests.helpers import smoke


class BaseModelTest(absltest.TestCase):

  def test_hosts_with_different_commits_are_refused(self):
    """A branch may move between the downloads of two hosts."""
    model = {
        "path": "a/b",
        "revision": "main",
        "compute_dtype": "float32",
        "chat_template_options": {},
    }
    values = smoke.settings(tiny_model=None, model=model)
    settings = settings_lib.from_mapping(RunSettings, values)
    with (
        mock.patch.object(hf_files, "resolve") as resolve,
        mock.patch.object(
            distributed, "gather_json", return_value=["1" * 40, "2" * 40]
        ),
        self.assertRaisesRegex(
            ValueError, "pin one with config.model.revision"
        ),
    ):
      resolve.return_value = "snapshots/" + "1" * 40
      preparation.base_model(settings, mock.Mock())
    resolve.assert_called_once_with("a/b", "main")


if __name__ == "__main__":
  absltest.main()
