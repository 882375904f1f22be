"""Programs are found in texts, however a chat model writes them down."""

import time

from absl.testing import absltest
from absl.testing import parameterized

from score_jax.tasks.program_text import extract_program
from tests.helpers import program_styles

F = "def f(x):\n  return x"
G = "def f(x):\n  return x + 1"


class ExtractProgramTest(parameterized.TestCase):

  @parameterized.named_parameters(
      ("tokens", f"[BEGIN]\n{F}\n[DONE]", F),
      ("text_around", f"Here: [BEGIN]\n{F}\n[DONE] That is it.", F),
      ("last_tokens", f"[BEGIN]\n{F}\n[DONE]\n[BEGIN]\n{G}\n[DONE]", G),
      ("goes_on_after_done", f"[BEGIN]\n{F}\n[DONE]\n\nQuestion: {G}", F),
      (
          "goes_on_as_a_shot_would",
          f"[BEGIN]\n{F}\n[DONE]\n\nQuestion: g\nAnswer: [BEGIN]\ndef g(): 1",
          F,
      ),
      ("speaks_of_the_marks", f"[BEGIN]\n{F}\n[DONE] [BEGIN] and [DONE].", F),
      ("begins_again", f"[BEGIN]\n{F}\n[DONE]\n\n[BEGIN]", F),
      ("no_done", f"[BEGIN]\n{F}", F),
      ("only_done", f"{F}\n[DONE]\nQuestion: more", F),
      ("fence_in_tokens", f"[BEGIN]\n```python\n{F}\n```\n[DONE]", F),
      ("fence", f"Sure!\n```python\n{F}\n```\nDone.", F),
      ("plain_fence", f"```\n{F}\n```", F),
      ("indented_fence", f"  ```py\n{F}\n  ```", F),
      ("last_fence", f"```\n{F}\n```\nbetter:\n```\n{G}\n```", G),
      ("usage_behind", f"```\n{F}\n```\n```\nprint(f(1))\n```", F),
      ("cut_fence", f"```python\n{F}", F),
      ("bare", F, F),
      ("bare_with_imports", f"import math\n\n{F}\n", f"import math\n\n{F}"),
      ("lambda", "f = lambda x: x", "f = lambda x: x"),
      ("async", "async def f(x):\n  pass", "async def f(x):\n  pass"),
      # [BEGIN] is the form asked for: what it holds is the answer, good or bad.
      ("other_name", "[BEGIN]\ndef g(): pass\n[DONE]", "def g(): pass"),
      ("indentation_stays", "[BEGIN]\n  return 1\n[DONE]", "  return 1"),
      ("empty", "", None),
      ("empty_tokens", "[BEGIN]\n[DONE]", None),
      ("prose", "The function f should return x.", None),
      ("longer_name", "def f2(x):\n  return x", None),
      ("fence_without_it", "```\nprint(1)\n```", None),
  )
  def test_program_of(self, text, expected):
    self.assertEqual(extract_program(text, "f"), expected)

  def test_names_are_no_patterns(self):
    self.assertIsNone(extract_program("def fx(): pass", "f."))


# As F and G, with what confuses a reader.
HARD = '''import re

FENCE = "```"
TEXT = """
This is a string, not prose.
Explanation:
"""


def helper(pattern):
    """It's described as

    ```
    helper("[a-z]")
    ```
    """
    return re.compile(pattern)


@staticmethod
def f(s: str, begin: int = 0, *, end=None) -> str:
    # [1, 2] is no mark, nor is s[end].
    if s[begin] == "\\\\d":
        return s[
            begin
        ]
    else:
        return s'''


class StyleTest(parameterized.TestCase):

  @parameterized.named_parameters(program_styles.STYLES.items())
  def test_the_program_is_what_the_text_states(self, style):
    for stated, other in ((HARD, F), (F, G), (G, HARD)):
      program = extract_program(style(stated, other), "f")
      self.assertIsNotNone(program)
      # A style may add lines to a program.
      self.assertIn(stated, program)
      scope = {}
      exec(program, scope)
      self.assertIn("f", scope)


H = "def h(x):\n  return x"
USES_H = "def f(x):\n  return h(x)"
USES_M = "def h(x):\n  return m.g(x)"


class SeveralBlocksTest(parameterized.TestCase):

  @parameterized.parameters(
      ([H, USES_H], [H, USES_H]),
      ([USES_H, H], [H, USES_H]),
      ([H, USES_H, "print(f(1))"], [H, USES_H]),
      (["import h", USES_H, "g = 1"], ["import h", USES_H]),
      (["from m import h as h2", H, USES_H], [H, USES_H]),
      # What helpers lack, too; the last of two is meant.
      (["import m", USES_M, USES_H], ["import m", USES_M, USES_H]),
      ([USES_M, USES_H, "import m"], [USES_M, "import m", USES_H]),
      ([H, USES_M, USES_H, "m = 1"], [H, USES_M, "m = 1", USES_H]),
      # One that does not parse gives nothing.
      (["def h(x) return x", USES_H], [USES_H]),
      (["from m import h and k", USES_H], [USES_H]),
      # Neither does another attempt.
      ([f"{H}\n{F}", USES_H], [USES_H]),
      ([f"{H}\n\ndef f(x) return 1", USES_H], [USES_H]),
      # Nothing is lacking.
      ([H, F], [F]),
      ([H, f"from m import h\n{USES_H}"], [f"from m import h\n{USES_H}"]),
      (["len = 1", "f = lambda x: len(x)"], ["f = lambda x: len(x)"]),
  )
  def test_what_the_program_lacks_goes_before_it(self, blocks, expected):
    text = "\n".join(f"Then:\n```python\n{x}\n```" for x in blocks)
    for variant in (text, f"[BEGIN]\n{text}\n[DONE]"):
      self.assertEqual(extract_program(variant, "f"), "\n".join(expected))

  def test_blocks_are_read_in_quotes_and_lists(self):
    for prefix in ("> ", "   "):
      blocks = "\n".join(f"```py\n{x}\n```" for x in (H, USES_H))
      text = "\n".join(prefix + line for line in blocks.split("\n"))
      self.assertEqual(extract_program(text, "f"), f"{H}\n{USES_H}")

  def test_imports_from_the_future_stay_first(self):
    future = "from __future__ import annotations"
    program = extract_program(
        f"```\n{H}\n```\n```\n{future}\n{USES_H}\n```", "f"
    )
    compile(program, "<program>", "exec")
    self.assertStartsWith(program, future)

  def test_a_piece_of_broken_code_is_not_completed(self):
    text = f"{H}\n\nprnt the x\n\n{USES_H}"
    self.assertEqual(extract_program(text, "f"), USES_H)

  @parameterized.parameters(
      *("def f(x):", "def f(x: int) -> int:", "def f(x)", "async def f(x):"),
      "def f(\n    x: int,\n) -> list[int]:",
  )
  def test_a_signature_is_no_program(self, line):
    text = f"```\n{F}\n```\nIt has the signature:\n```\n{line}\n```"
    self.assertEqual(extract_program(text, "f"), F)
    # This one was cut off.
    text = f"```\n{F}\n```\nBetter:\n```\n{line}"
    self.assertEqual(extract_program(text, "f"), line)

  @parameterized.parameters(
      *("def f(x): retrn (1)", "def f(x) return 1", "def f(x):\n  y ="),
  )
  def test_a_broken_program_is_no_signature(self, program):
    text = f"```\n{F}\n```\nBetter:\n```\n{program}\n```"
    self.assertEqual(extract_program(text, "f"), program)

  @parameterized.parameters("````", "`````", "~~~")
  def test_a_block_in_a_longer_fence(self, fence):
    text = f"{fence}markdown\nHere:\n```python\n{F}\n```\n{fence}"
    self.assertEqual(extract_program(text, "f"), F)

  def test_a_byte_order_mark(self):
    for text in (f"\ufeff{F}", f"```\n\ufeff{F}\n```"):
      self.assertEqual(extract_program(text, "f"), F)
    inside = "f = '\ufeff'"
    self.assertEqual(extract_program(inside, "f"), inside)


class BrokenTest(parameterized.TestCase):
  """What is broken stays broken: no part of it may pass in its place."""

  @parameterized.parameters(
      # Cut off, or with a mistake, behind a function that is whole.
      f"{F}\n\nprint(f(1",
      f"{F}\n\ndef g(",
      f"{F}\n    return 1",
      f"{F}\n\nprint f(1)",
      f"{F}\n\nx = math.",
      f"{F}\n\nif x\n  pass",
      f"import\n\n{F}",
      f"from math import sqrt as\n{F}",
      f'{F}\n\nTEXT = """\nThis is it.',
      f"x = [\n{F}",
      f"{F}\n)",
  )
  def test_code(self, program):
    self.assertEqual(extract_program(program, "f"), program)
    for text in (
        f"[BEGIN]\n{program}\n[DONE]",
        f"```python\n{program}\n```",
        f"```python\n{program}",
        f"Here it is:\n\n{program}",
    ):
      self.assertEqual(extract_program(text, "f"), program)

  @parameterized.parameters(
      f"```\n{F}\n```\nFixed:\n```\ndef f(x) return 1\n```",
      f"```\n{F}\n```\nFixed:\n```\ndef f(x) return 1",
      f"[BEGIN]\n{F}\n[DONE]\nFixed:\n[BEGIN]\ndef f(x) return 1\n[DONE]",
      f"{F}\n\nThis was wrong. Fixed:\n\ndef f(x) return 1",
      f"[BEGIN]\ndef f(x) return 1\n[DONE]\nOr:\n\n{F}",
      f"[BEGIN]\ndef f(x) return 1\n[DONE]\n```\n{F}\n```",
      f"<think>\n{F}\n</think>\n[BEGIN]\ndef f(x) return 1\n[DONE]",
  )
  def test_a_program_that_is_wrong_is_the_answer(self, text):
    self.assertEqual(extract_program(text, "f"), "def f(x) return 1")

  def test_tags_of_a_program_stay(self):
    program = "def f(x):\n  return f'<code>{x}</code>'"
    for text in (program, f"Here it is:\n\n{program}\n\nThat is it."):
      self.assertEqual(extract_program(text, "f"), program)

  def test_a_fence_holds_no_prose(self):
    program = f"{F}\n\nThis returns x."
    self.assertEqual(extract_program(f"```\n{program}\n```", "f"), program)


class DefinitionTest(parameterized.TestCase):

  @parameterized.parameters(
      "f: Callable[[int], int] = lambda x: x",
      "from operator import pos as f",
      "import m as f",
      "class f:\n  pass",
      "if x:\n  f = 1\nelse:\n  f = 2",
      "(f, g), *h = make()",
      "try:\n  pass\nexcept E:\n  def f(): pass",
      "@cache\ndef f(x): pass",
  )
  def test_defines_it(self, program):
    text = f"```\n{program}\n```\nUse it:\n```\nf(1)\n```"
    self.assertEqual(extract_program(text, "f"), program)

  @parameterized.parameters(
      "f(1)",
      "f == 1",
      "x.f = 1",
      "x = dict(\n  f = 1)",
      "class A:\n  def f(self): pass",
      "def g():\n  def f(): pass",
      "'''\ndef f(): pass\n'''",
      "# f = 1",
  )
  def test_does_not_define_it(self, other):
    for text in (
        f"```\n{F}\n```\n```\n{other}\n```",
        f"[BEGIN]\n{F}\n[DONE]\n[BEGIN]\n{other}\n[DONE]",
        f"```\n{F}\n```\n[BEGIN]\n{other}\n[DONE]",
        f"{F}\n\nThis is how to use it:\n\n{other}",
        f"<think>{F}</think>\n```\n{F}\n```\n```\n{other}\n```",
    ):
      self.assertEqual(extract_program(text, "f"), F)


class HostileTest(parameterized.TestCase):

  @parameterized.parameters(
      *("(", "f(", "[", "{", "f'{", "-", "not ", "f.f", "f+", "f()", "f;"),
      *("lambda f:", "f if f else ", "if f:\n", "elif f: pass\n", "f = "),
      *("f\r", '"""', "'f", "\\\n", "`", "```", "```\n", "```f\n"),
      *("~~~\nf = \n", "f = (\n```\n", "[BEGIN]", "[BEGIN]f = (\n"),
      *("[DONE]\n", "*_`[BEGIN]", "> ", "> [BEGIN]\n", "</think>", "\0f"),
      *("f = ' \n", "f \n", " f=\n", "\ud800f", "f f f ", "f = '\\d' \n"),
  )
  def test_any_text_is_read_in_time(self, unit):
    for text in (unit * (20_000 // len(unit)), unit * 300 + G):
      start = time.process_time()
      program = extract_program(text, "f")
      self.assertLess(time.process_time() - start, 5.0)
      self.assertTrue(program is None or isinstance(program, str))

  def test_a_long_program_is_found(self):
    program = "\n".join(f"def f{i}(): return {i}" for i in range(20_000))
    program += f"\n{F}"
    text = f"```python\n{program}\n```"
    self.assertEqual(extract_program(text, "f"), program)


if __name__ == "__main__":
  absltest.main()
