"""Sentences are told from code, and broken code stays code."""

from absl.testing import absltest
from absl.testing import parameterized

from score_jax.tasks import prose


class ProseTest(parameterized.TestCase):

  @parameterized.parameters(
      *("It adds one.", "It's one.", "Done.", "Done", "Explanation:"),
      *("Note (important):", "That is all", "In short, yes.", "- It adds"),
      *("* O(n)", "1. First", "**Bold**", "> quoted", "| a | b |", "---"),
      *("```", "~~~", "<details>", "</answer>", "[DONE]", "$ python a.py"),
      *(
          "Is it right?",
          "x is added — once",
          "这个函数返回x加一。",
          "Aquí está:",
      ),
      *("Example: f(1) returns 2", "f(1, 2) gives 3", "g(x) is of O(n) time"),
      *("the sum of x", "f returns 'x'", "Call `f(1)`", "!pip install x"),
  )
  def test_prose(self, line):
    self.assertTrue(prose.is_prose(line))

  @parameterized.parameters(
      *("", "  It adds one.", "\tIt is.", "# It adds one.", "@cache", ")"),
      *("x = 1", "a, b = b, a", "x", "f(x)", "import a as b", "x.y"),
      *("from a import b", "def f(x):", "async def f():", "class A(B):"),
      *("if not x and y is not None:", "else:", "try:", "except E as e:"),
      *(
          "match x:",
          "type X = int",
          "lambda x: x",
          "global x",
          "raise X from y",
      ),
      *("y = f(x) if x else g(x)", "f(x) and g(x) or h(x)", "f(x) in y"),
      *(
          "with f(x) as y:",
          "[f(x) for x in y]",
          "(a) is not b",
          "f(x) not in y",
      ),
      *("print 'a b c'", "exec code in x", "assert x, 'it is wrong'"),
      *("x: int = 1", "x != y", "'the quick fox'", 'f"two words" "it"'),
      *("x = 'a b'  # the first one", "*a, b = c", "return x", "pass"),
      # Cut off.
      *("x = math.", "x = f(1,", "x = [", "d = {1:", "print(", "import"),
      *("f = lambda x:", "x = 'the qui", "größe = 1"),
  )
  def test_code(self, line):
    self.assertFalse(prose.is_prose(line))

  def test_pieces_are_what_stands_between(self):
    text = (
        "Here it is:\n\nimport re\n\ndef f(x):\n  This is code\n\n"
        "It works well.\n- And fast.\nf(1)\n"
    )
    self.assertEqual(
        list(prose.code_between(text)),
        ["\nimport re\n\ndef f(x):\n  This is code\n", "f(1)\n"],
    )

  def test_long_strings_are_code(self):
    text = (
        'x = 1\n"""It is\nno prose here.\n"""\n\'\'\'Nor is\n"""\nthis here.\n'
        "'''\ny = '\"'  # \"\"\"\nThis is prose.\nz = 1"
    )
    first, second = prose.code_between(text)
    self.assertEndsWith(first, '# """')
    self.assertEqual(second, "z = 1")


if __name__ == "__main__":
  absltest.main()
