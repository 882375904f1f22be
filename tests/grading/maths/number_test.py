"""Tests of exact numbers and of the normal spelling."""

import fractions
import math
import time

from absl.testing import absltest
from absl.testing import parameterized

from score_jax.grading.maths.normalize import MAX_RAW_CHARS
from score_jax.grading.maths.normalize import normalize
from score_jax.grading.maths.number import parse_number
from tests.helpers import math_hostile


class ParseNumberTest(parameterized.TestCase):

  @parameterized.parameters(
      ("5", "5"),
      ("-05", "-5"),
      ("1.50", "3/2"),
      ("5.", "5"),
      (".5", "1/2"),
      ("-6/4", "-3/2"),
      ("6/-4", "-3/2"),
      (r"\frac{-1}{-2}", "1/2"),
      (r"-\frac{0.5}{2}", "-1/4"),
      (r"2\frac{1}{3}", "7/3"),
      (r"-2\frac{1}{3}", "-7/3"),
      ("2 1/3", "7/3"),
      (r"0.\overline{9}", "1"),
      (r"1.2\overline{34}", "611/495"),
      ("2.(3)", "7/3"),
      (r"0.1\dot{6}", "1/6"),
      (r"0.\dot{1}4285\dot{7}", "1/7"),
      (r"6\times10^{-1}", "3/5"),
      (r"6*10^2", "600"),
      ("6e2", "600"),
      ("10^{3}", "1000"),
      ("-10^{3}", "-1000"),
  )
  def test_value(self, text, expected):
    self.assertEqual(parse_number(text), fractions.Fraction(expected))

  def test_infinity(self):
    self.assertEqual(parse_number(r"\infty"), math.inf)
    self.assertEqual(parse_number(r"+\infty"), math.inf)
    self.assertEqual(parse_number(r"-\infty"), -math.inf)

  @parameterized.parameters(
      "",
      "x",
      "--5",
      "1/0",
      r"\frac{1}{0}",
      r"2\frac{3}{2}",
      r"2\frac{1}{0}",
      "2(3)",
      "2.()",
      r"0.\dot{1}2",
      r"0.\dot{12}",
      "1/2/3",
      "5 6",
      "1_000",
      "1e1001",
      "1e999999999",
      "nan",
      "inf",
      "\u0665",
      "0x10",
      "9" * 5000,
  )
  def test_no_number(self, text):
    self.assertIsNone(parse_number(text))


class NormalizeTest(parameterized.TestCase):

  @parameterized.parameters(
      (r"\dfrac12", r"\frac{1}{2}"),
      (r"\frac1{72}", r"\frac{1}{72}"),
      (r"\frac{\sqrt{3}}2", r"\frac{\sqrt{3}}{2}"),
      (r"\tfrac \pi 4", r"\frac{\pi}{4}"),
      (r"\sqrt 2", r"\sqrt{2}"),
      (r"\left( \frac{1}{2} , 3 \right]", r"(\frac{1}{2},3]"),
      (r"$ x = 5 $.", "x=5"),
      (r"\[ 5 \]", "5"),
      (r"10,\!000", "10000"),
      ("1,234,567.5", "1234567.5"),
      ("1, 234", "1,234"),
      ("(1,234)", "(1,234)"),
      ("12,34", "12,34"),
      ("1234,567", "1234,567"),
      ("2 1/3", "2 1/3"),
      ("x \u2264 \u221a2", r"x\le\sqrt{2}"),
      ("\u22125\u00b0", r"-5^\circ"),
      (r"30^{\circ}", r"30^\circ"),
      (r"\mathrm{cm}", r"\text{cm}"),
      (r"\mathbf{v}", "{v}"),
      (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}",
       r"\begin{pmatrix}1\\2\end{pmatrix}"),
      (r"\cos x", r"\cos x"),
      (r"\pi  r", r"\pi r"),
      ("5\t cm", "5 cm"),
      (r"\nicefrac{1}{2}", r"\frac{1}{2}"),
      (r"{1 \over 2}", r"\frac{1}{2}"),
      (r"\dbinom 52", r"\binom{5}{2}"),
      (r"\\sqrt{2}", r"\sqrt{2}"),
      (r"2\large3", "2 3"),
      (r"\phantom -1", "1"),
      ("2\u00bd", r"2\frac{1}{2}"),
      ("x\u00b2\u00b3y", "x^{23}y"),
      ("\u20135", "-5"),
      ("3\u20135", "3\u20135"),
      ("10 \u2013 x", "10-x"),
      ("\u03bb\uff11\u200b", r"\lambda1"),
      ("\u202e5", "\u202e5"),
      ("12 345", "12345"),
      (r"\log_2 128", r"\log_2 128"),
      ("]1,2[", "(1,2)"),
      ("[1,2],[3,4]", "[1,2],[3,4]"),
      ("2**10", "2^10"),
      (r"5\text{, as required}", "5"),
      (r"\text{So the answer is 5}", r"\text{5}"),
      ("twice the area is 5", "twice the area is 5"),
      ("'5'.", "5"),
      ("**5**", "5"),
      (" . ", ""),
  )  # fmt: skip
  def test_spelling(self, text, expected):
    self.assertEqual(normalize(text), expected)

  def test_too_long(self):
    with self.assertRaisesRegex(ValueError, str(MAX_RAW_CHARS)):
      normalize("1" * (MAX_RAW_CHARS + 1))

  def test_hostile_texts_take_no_time(self):
    start = time.monotonic()
    for piece in (
        r"\frac{",
        r"\frac",
        r"\text{",
        "1,111",
        " ",
        "{",
        "\\",
        "^{",
        "$",
        r"\boxed ",
        r"\over",
        r"\phantom{",
        r"\text{and}",
        r"_{\text{",
        "\u00b2",
        "\u221a(",
        "5\u2013",
        "1 000 ",
        "]1,",
        "the answer is ",
        " , ( , (",
        ", which ",
        "x:",
    ):
      for start_of_text in ("", "Answer: 5 "):
        text = start_of_text + piece * MAX_RAW_CHARS
        normalize(text[:MAX_RAW_CHARS])
        normalize(text[: MAX_RAW_CHARS - 1] + "!")
    for text in math_hostile.CHEAP:
      normalize(text[:MAX_RAW_CHARS])
    self.assertLess(time.monotonic() - start, 5.0)


if __name__ == "__main__":
  absltest.main()
