"""Sources are joined, and read within limits."""

import ast
import warnings

from absl.testing import absltest
from absl.testing import parameterized

from score_jax.tasks import python_source


class JoinTest(parameterized.TestCase):

  @parameterized.parameters(
      ("import re", "x = 1"),
      ('"""About."""\nfrom __future__ import annotations', "x = 1"),
      ("import re", "from __future__ import annotations\nx = 1"),
      ("# é", "'é\fé'\nfrom __future__ import division as d; x = 'é'"),
      ("import re", "from __future__ import (\n  annotations,\n)\r\nx = 1"),
      (
          "from __future__ import annotations",
          "from __future__ import annotations\nfrom __future__ import division",
      ),
  )
  def test_what_compiles_alone_compiles_together(self, first, second):
    for source in (first, second):
      compile(source, "", "exec", dont_inherit=True)
    joined = python_source.join(first, second)
    compile(joined, "", "exec", dont_inherit=True)
    # All that is not from the future is left, in order.
    names = [
        node.id if isinstance(node, ast.Name) else node.names[0].name
        for node in ast.walk(ast.parse(joined))
        if isinstance(node, (ast.Name, ast.Import))
    ]
    expected = ["re"] * ("import re" in first) + ["x"] * ("x =" in second)
    self.assertEqual(names, expected)

  @parameterized.parameters(
      "x = 1\nfrom __future__ import annotations",
      "from __future__ import no_such_thing",
      "from __future__ import annotations\nx = (",
      "if True:\n  from __future__ import annotations",
  )
  def test_what_does_not_compile_alone_does_not_together(self, source):
    for parts in ((source,), ("import re", source)):
      with self.assertRaises(SyntaxError):
        compile(python_source.join(*parts), "", "exec", dont_inherit=True)

  def test_sources_without_it_are_left_alone(self):
    self.assertEqual(python_source.join("a", "b"), "a\nb\n")
    text = "\ud800 __future__ \0 ("
    self.assertEqual(python_source.join("a", text), f"a\n{text}\n")


class BindsTest(parameterized.TestCase):

  @parameterized.parameters(
      ("f = 1", True),
      ("g = 1", False),
      ("", False),
      ("f = ", None),
      ("\0", None),
      ("\ud800", None),
      ("f = 1\n" + "#" * 10**6, None),
      ("f = " + "-" * 10**5 + "1", None),
  )
  def test_binds(self, source, expected):
    self.assertIs(python_source.binds(source, "f"), expected)

  @parameterized.parameters(
      ("import a.b, c as d\nx: int = e\ndef f(y):\n  z = y", "a d x f", "e"),
      ("from math import *\nf = lambda x: sqrt(len(x)) + g(x)", "f", "g"),
      ("def f(x):\n  return [y for y in x if h(f)]", "f", "h"),
      ("class A(B):\n  c = D()", "A", "B D"),
      ("print(f'{x}')", "", "x"),
      ("def f(x) return y", "", ""),
      ("\0", "", ""),
  )
  def test_names(self, source, bound, free):
    self.assertEqual(python_source.bound_names(source), set(bound.split()))
    self.assertEqual(python_source.free_names(source), set(free.split()))

  def test_sources_do_not_warn(self):
    source = "def f(x): return '\\d' if x is 1 else 1if x else (1)(2)"
    with warnings.catch_warnings():
      warnings.simplefilter("error")
      self.assertTrue(python_source.binds(source, "f"))


if __name__ == "__main__":
  absltest.main()
