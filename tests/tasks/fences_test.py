"""Fenced blocks are found, and end where they should."""

from absl.testing import absltest
from absl.testing import parameterized

from score_jax.tasks import fences


def texts(text, is_whole=lambda block: False):
  return [(b.text, b.is_closed) for b in fences.blocks(text, is_whole)]


class BlocksTest(parameterized.TestCase):

  @parameterized.parameters(
      ("none", []),
      ("```\na\n```", [("\na\n", True)]),
      ("```py\na\n```\nb\n```\nc\n```", [("\na\n", True), ("\nc\n", True)]),
      ("b ```py\na```", [("\na", True)]),
      ("```\na\n``` b", [("\na\n", True)]),
      ("````\n```\na\n```\n````", [("\n```\na\n```\n", True)]),
      ("~~~\n```\n~~~", [("\n```\n", True)]),
      ("~~~~x\na\n~~~\n~~~~", [("\na\n~~~\n", True)]),
      ("x = ~~~y\n1", []),
      ("- ~~~\n  a\n  ~~~", [("\n  a\n", True)]),
      ("```py\na", [("\na", False)]),
      ("```py", [("", False)]),
      # A language opens the next block.
      ("```py\na\n```py\nb\n```", [("\na\n", False), ("\nb\n", True)]),
      ("See ```python x = 1``` there.", [("x = 1", True)]),
      # A fence within a line goes after one that has its own.
      ("```\na = '```'\n```", [("\na = '```'\n", True)]),
  )
  def test_blocks(self, text, expected):
    self.assertEqual(texts(text), expected)

  def test_a_whole_block_ends_where_it_is_whole(self):
    text = "```\na\n```\nb\n```\nc"
    self.assertEqual(
        texts(text, lambda block: "b" in block)[0], ("\na\n```\nb\n", True)
    )


if __name__ == "__main__":
  absltest.main()
