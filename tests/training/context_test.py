"""Tests of score_jax.training.context."""

import json
import pathlib
import tempfile

from absl.testing import absltest

from score_jax import settings as settings_lib
from score_jax.models import hf_config
from score_jax.settings import RunSettings
from score_jax.text import tokenization
from score_jax.training import context
from tests.helpers import smoke
from tests.helpers.tiny_rollouts import CHARACTERS
from tests.helpers.tiny_rollouts import CONFIG


class ReadBaseTest(absltest.TestCase):

  def test_texts_with_ids_that_the_embedding_lacks_are_refused(self):
    path = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
    raw = tokenization.make_character_tokenizer(CHARACTERS)
    raw.add_tokens(["<nute>"])
    raw.save_pretrained(path)
    (path / "config.json").write_text(json.dumps(hf_config.to_hf(CONFIG)))
    settings = settings_lib.from_mapping(RunSettings, smoke.settings())
    tokenizer = context.read_base(settings, path).tokenizer
    self.assertLen(tokenizer.prompt_ids(["12"]), 1)
    with self.assertRaisesRegex(ValueError, "the model has 18 embedding rows"):
      tokenizer.prompt_ids(["1<nute>2"])


if __name__ == "__main__":
  absltest.main()
