r"""Tests of the parser of LaTeX expressions and of their comparison."""

import cmath
import math

from absl.testing import absltest
from absl.testing import parameterized
import sympy

from score_jax.grading.maths import symbolic
from score_jax.grading.maths.limits import RefusedError
from score_jax.grading.maths.limits import check_expression
from score_jax.grading.maths.normalize import normalize
from score_jax.grading.maths.parser import parse_expression
from score_jax.grading.maths.structure import UnreadableError
from tests.helpers import math_hostile

X, Y = 0.7, 1.3


class ParserTest(parameterized.TestCase):

  @parameterized.parameters(
      ("2+3*4", 14),
      ("-2^2", -4),
      ("2^{-2}", 0.25),
      ("2^-2", 0.25),
      ("2^10", 1024),
      ("(-2)^2", 4),
      (r"3-2-1", 0),
      (r"8/2", 4),
      (r"8/2/2", 2),
      (r"8\div2", 4),
      (r"6/2*3", 9),
      (r"2\cdot-3", -6),
      ("2(3)", 6),
      ("2(3)(4)", 24),
      (r"2\frac{1}{3}", 7 / 3),
      (r"-2\frac{1}{3}", -7 / 3),
      (r"2\frac{1}{3}x", 7 / 3 * X),
      (r"2\frac{x}{3}", 2 * X / 3),
      (r"x^2\frac{1}{3}", X**2 / 3),
      (r"\frac{x+1}{y}", (X + 1) / Y),
      ("2x^2y", 2 * X**2 * Y),
      ("x(x+1)", X * (X + 1)),
      ("(x+1)x", (X + 1) * X),
      ("x/2", X / 2),
      ("x^{1/2}", math.sqrt(X)),
      ("x^(1/2)", math.sqrt(X)),
      ("x^y", X**Y),
      ("x^{y^2}", X ** (Y**2)),
      ("x^{2y}", X ** (2 * Y)),
      (r"\sqrt{x}y", math.sqrt(X) * Y),
      (r"\sqrt[3]{8}", 2),
      ("sqrt(2)x", math.sqrt(2) * X),
      (r"|x-2|", 2 - X),
      (r"|x-2||y|", (2 - X) * Y),
      (r"2|x-2|+1", 2 * (2 - X) + 1),
      (r"\lfloor 2.5\rfloor", 2),
      (r"\lceil 2.5\rceil+\lfloor-0.5\rfloor", 2),
      ("5!", 120),
      ("2\\cdot3!", 12),
      (r"\frac{2004!}{2004!}", 1),
      ("f(x)-f(x)", 0),
      ("f(x+1)-f(1+x)+x", X),
      ("(x-1)2^x", (X - 1) * 2**X),
      ("(2+1)!", 6),
      (r"\binom{5}{2}", 10),
      (r"\sin x", math.sin(X)),
      (r"\sin2x", math.sin(2 * X)),
      (r"\sin 2\pi x", math.sin(2 * math.pi * X)),
      (r"\sin(x)y", math.sin(X) * Y),
      (r"\sin x\cos y", math.sin(X) * math.cos(Y)),
      (r"\sin x+1", math.sin(X) + 1),
      (r"\sin^2x", math.sin(X) ** 2),
      (r"\sin^{-1}x", math.asin(X)),
      (r"\sin\frac{x}{2}", math.sin(X / 2)),
      (r"\cos60^\circ", 0.5),
      (r"2\sin x", 2 * math.sin(X)),
      (r"\ln x", math.log(X)),
      (r"\log100", 2),
      (r"\log_2 8", 3),
      (r"\log_{2}8x", math.log2(8 * X)),
      (r"\ln|x|", math.log(X)),
      (r"e^x", math.exp(X)),
      (r"2e", 2 * math.e),
      (r"\exp(x)", math.exp(X)),
      (r"e^{i\pi}", -1),
      (r"i^2", -1),
      (r"e^{ix}", cmath.exp(1j * X)),
      (r"\arctan x", math.atan(X)),
      ("0.5x", X / 2),
      (".5x", X / 2),
      ("1.25", 1.25),
  )
  def test_values(self, text, expected):
    point = {sympy.Symbol("x"): X, sympy.Symbol("y"): Y}
    value = complex(parse_expression(text).subs(point).evalf())
    self.assertAlmostEqual(value, expected, places=9)

  def test_names_stay_apart(self):
    names = ["x", "X", "x_1", "x_{12}", "X_1", r"\alpha", r"\phi", r"\varphi"]
    symbols = [parse_expression(name) for name in names]
    self.assertLen(set(symbols), len(names))
    self.assertEqual(parse_expression("x_{1}"), parse_expression("x_1"))
    self.assertEqual(parse_expression("e_1").name, "e_1")
    for first, second in (
        ("f(x)", "f(y)"),
        ("f(x)", "g(x)"),
        ("2004!", "2005!"),
        ("a_{n+1}", "a_n+1"),
        (r"\vec{a}", "a"),
        (r"\overline{z}", "z"),
        (r"\angle ABC", "ABC"),
    ):
      self.assertNotEqual(parse_expression(first), parse_expression(second))

  @parameterized.parameters(
      "1/2x",
      r"x/2\pi",
      "1/2(x+1)",
      "5 6",
      "2 1/3",
      "x2",
      "[x+1]2y",
      r"\sqrt{2}3",
      "(2)3",
      "(x)3",
      "1{2}",
      "x{2}",
      "f(1,2)",
      r"\vec{}",
      r"\overline{2}",
      "a_{}",
      r"2\frac{3}{2}",
      r"2\frac{1}{3}^2",
      "2^3^4",
      "5!!",
      r"\sin x(y)",
      r"\sin(x)^2",
      r"\sin x/2",
      "f(2",
      "x'",
      "3e5x6",
      "f'(x)",
      r"\tanh^{-1}x",
      r"\log_28",
      "2area",
      "perimeter",
      "2apples",
      "",
      "x+",
      "+",
      "*x",
      "x^",
      "x_",
      r"\frac{1}",
      r"\frac{}{2}",
      r"\frac12",
      r"\sqrt",
      "(x",
      "x)",
      "(x]",
      "|x",
      "||x||",
      "1.2.3",
      "5.",
      "x=5",
      "1,2",
      r"\text{cm}",
      r"\qux",
      r"\pm5",
      "A^*",
      "__import__",
  )
  def test_what_is_no_expression_or_reads_in_two_ways(self, text):
    with self.assertRaises(UnreadableError):
      parse_expression(text)


class EqualityTest(parameterized.TestCase):

  @parameterized.parameters(
      ("0", r"(\sqrt{2}+1)^2-3-2\sqrt{2}", True),
      ("0", r"10^{-90}\sqrt{2}", False),
      (r"10^{-90}\sqrt{3}", r"10^{-90}\sqrt{2}", False),
      (r"10^{90}\sqrt{2}", r"10^{90}\sqrt{2}+1", False),
      (r"10^{400}\sqrt{2}", r"10^{400}\sqrt{2}+1", False),
      (r"e^{\pi\sqrt{163}}", "262537412640768744", False),
      ("x", r"\sqrt{x^2}", False),
      ("x", r"\lfloor x\rfloor", False),
      ("0", r"\lfloor\frac{x^2}{9999}\rfloor", False),
      ("x", "x+y-y", True),
      ("x", "y", False),
      (r"\ln x^2", r"2\ln x", False),
      (r"2\ln x", r"\ln x^2", True),
      (r"\sqrt{x}\sqrt{y}", r"\sqrt{xy}", True),
      (r"\frac{x^2-1}{x-1}", "x+1", True),
      ("1", r"\frac{1}{0}", None),
      (r"\ln(-1-x^2)", r"\ln(-1-x^2)+1", False),
  )
  def test_expressions(self, gold, answer, expected):
    request = {"gold": normalize(gold), "answer": normalize(answer)}
    verdict = symbolic.handle(request)["verdict"]
    names = {True: "correct", False: "wrong", None: "unparseable"}
    self.assertEqual(verdict, names[expected])


class LimitsTest(parameterized.TestCase):

  @parameterized.parameters(
      "x^{2009}+1",
      "2^{9999}",
      "(x^2+1)^{10}",
      r"e^{-\frac{x^2}{2}}",
      r"e^{2\pi i/2017}",
      "100!",
      "2004!",
      "(n+1)!",
      r"\binom{100}{50}",
      r"\sqrt{2+\sqrt{2+\sqrt{2}}}",
      "2^(1/2)",
      "x_1^{2}x_2^{3}",
  )
  def test_what_people_write_is_within(self, text):
    check_expression(text)

  def test_what_nobody_writes_is_not(self):
    towers = [a for a in math_hostile.CHEAP if "9^{9^" in a or "!" in a]
    for text in (
        *towers,
        "10000!",
        "(1001n)!",
        "1" * 61,
        "x" * 301,
        "(" * 9,
        "x^{99999}",
    ):
      with self.assertRaises(RefusedError, msg=text):
        check_expression(text)

  def test_powers_of_powers_multiply(self):
    check_expression("(x^{100})^{100}")
    for text in ("(x^{1000})^{1000}", "((x^{99})^{99})^{99}", "2^{999*999}"):
      with self.assertRaises(RefusedError, msg=text):
        check_expression(text)


if __name__ == "__main__":
  absltest.main()
