"""The README's Python runs as it is pasted."""

import contextlib
import pathlib
import re
import tempfile

from absl.testing import absltest
import pytest

_README = pathlib.Path(__file__).resolve().parents[1] / "README.md"


def _python_blocks(text):
  """(line of the text, source) of each block."""
  for block in re.finditer(r"^```python\n(.*?)^```$", text, re.M | re.S):
    line = 1 + text.count("\n", 0, block.start(1))
    yield line, block[1]


class ReadmeTest(absltest.TestCase):

  @pytest.mark.slow
  def test_python_blocks_run(self):
    text = _README.read_text("utf-8")
    blocks = list(_python_blocks(text))
    self.assertNotEmpty(blocks)
    self.assertLen(blocks, text.count("```python"))  # no other form of them
    for line, source in blocks:
      # What goes wrong is then shown with its line of the README.
      code = compile("\n" * (line - 1) + source, str(_README), "exec")
      with (
          self.subTest(f"line_{line}"),
          tempfile.TemporaryDirectory() as folder,
          contextlib.chdir(folder),
      ):
        exec(code, {"__name__": "__main__"})


if __name__ == "__main__":
  absltest.main()
