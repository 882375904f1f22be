r"""Tests of answer extraction and exact comparison."""

import fractions

from absl.testing import absltest
from absl.testing import parameterized

from score_jax.tasks import exact_answer
from score_jax.tasks.exact_answer import extract_answer
from score_jax.tasks.exact_answer import grade_exact
from score_jax.tasks.exact_answer import is_same_answer


class ExtractAnswerTest(parameterized.TestCase):

  @parameterized.parameters(
      (r"so \boxed{5}", "5"),
      (r"\boxed{5} or rather \boxed{6}", "6"),
      (r"\boxed {5}", "5"),
      (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
      (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
      (r"\boxed{a \} b}", r"a \} b"),
      # Behind a line end a brace is no escaped one.
      (r"\boxed{1\\{-2}}", r"1\\{-2}"),
      (r"\boxed{5} but then \boxed{7", "5"),
      (r"\boxed{7 and in the end \boxed{5}", "5"),
      (r"} \boxed{5} {", "5"),
      (r"\boxed{x = \boxed{5}}", "5"),
  )
  def test_last_balanced_box(self, text, expected):
    self.assertEqual(extract_answer(text), expected)

  @parameterized.parameters(
      ("The answer is 5.", "5"),
      ("THE ANSWER IS: 5", "5"),
      ("Answer: 5", "5"),
      ("**Answer:** 5", "5"),
      ("The final answer is **5**.", "5"),
      ("#### 5", "5"),
      ("The answer is 4. No, the answer is 5.", "5"),
      ("Answer: 4\n#### 5", "5"),
      ("#### 4\nAnswer: 5", "5"),
      ("The answer is:\n\n5\nBye 7", "5"),
      ("The answer is 5. I checked it 2 times.", "5"),
      ("The answer is 1.5.", "1.5"),
      ("The answer is .5", ".5"),
      ("The answer is $5.", "5"),
      ("The answer is 5 apples.", "5 apples"),
  )
  def test_sentence_after_last_marker(self, text, expected):
    self.assertEqual(extract_answer(text), expected)

  def test_box_wins_over_later_marker(self):
    self.assertEqual(extract_answer(r"\boxed{5}. The answer is 6."), "5")

  @parameterized.parameters(
      "",
      "3 + 4 = 7",
      "\n7\n",
      "The answer is",
      "The answer is .",
      "Answer: $",
      r"\boxed{",
      r"\boxed{}",
      r"The answer is 5. \boxed{}",
      "answering: 5",
      "unanswer: 5",
  )
  def test_nothing_stated_is_no_answer(self, text):
    self.assertIsNone(extract_answer(text))

  def test_length_limit(self):
    limit = exact_answer.MAX_ANSWER_CHARS
    self.assertEqual(extract_answer("Answer: " + "1" * limit), "1" * limit)
    self.assertIsNone(extract_answer("Answer: " + "1" * (limit + 1)))
    long_box = r"Answer: 5 \boxed{" + "1" * (limit + 1) + "}"
    self.assertIsNone(extract_answer(long_box))

  def test_hostile_texts_take_linear_time(self):
    # Each takes minutes when every opening is searched to the end of the text.
    for piece in (r"\boxed{", "{", "}", "answer is ", "answer ", "#", "\\{"):
      extract_answer(piece * 100_000)
    extract_answer("answer" + " " * 1_000_000)
    extract_answer("answer is" + "\n" * 1_000_000)


class IsSameAnswerTest(parameterized.TestCase):

  @parameterized.parameters(
      ("5", "5.0"),
      ("5", "+5"),
      ("05", "5"),
      ("0.5", "1/2"),
      (".5", "2 / 4"),
      ("-0.25", "-1/4"),
      ("\u22125", "-5"),
      ("1,234", "1234"),
      ("-1,234,567", "-1234567"),
      ("$1,234.50", "1234.5"),
      (" 5. ", "5"),
      (r"\$5", "5"),
      ("0.1", "1/10"),
      ("0", "-0"),
      ("x  =\n2", "x = 2"),
  )
  def test_equal(self, first, second):
    self.assertTrue(is_same_answer(first, second))
    self.assertTrue(is_same_answer(second, first))

  @parameterized.parameters(
      ("5", "6"),
      ("5", "-5"),
      ("0.333333333333333333", "1/3"),
      ("10000000000000000", "10000000000000001"),
      ("1,23", "123"),
      ("12,345", "12345 apples"),
      ("1e3", "1000"),
      ("1_000", "1000"),
      ("\u0665", "5"),
      ("1/0", "0"),
      ("inf", "1/0"),
      ("nan", "0"),
      ("a", "A"),
      ("", "0"),
  )
  def test_different(self, first, second):
    self.assertFalse(is_same_answer(first, second))
    self.assertFalse(is_same_answer(second, first))

  def test_none_equals_nothing(self):
    self.assertFalse(is_same_answer(None, None))
    self.assertFalse(is_same_answer(None, "5"))
    self.assertFalse(is_same_answer("None", None))

  def test_parse_number_is_exact(self):
    parse = exact_answer.parse_number
    self.assertEqual(parse("0.1"), fractions.Fraction(1, 10))
    self.assertEqual(parse("-6/4"), fractions.Fraction(-3, 2))
    self.assertIsNone(parse("1/0"))
    self.assertIsNone(parse("1/2/3"))
    # Python's int() alone would raise on so many digits.
    self.assertIsNone(parse("9" * 5000))


class GradeExactTest(parameterized.TestCase):

  def test_statuses(self):
    correct = grade_exact("2 + 3 = 5\nThe answer is 5.0.", "5")
    self.assertTrue(correct.is_correct)
    self.assertEqual((correct.status, correct.answer), ("correct", "5.0"))
    wrong = grade_exact("The answer is 6.", "5")
    self.assertFalse(wrong.is_correct)
    self.assertEqual((wrong.status, wrong.answer), ("wrong", "6"))
    none = grade_exact("2 + 3 = 5", "5")
    self.assertFalse(none.is_correct)
    self.assertEqual((none.status, none.answer), ("no_answer", None))

  @parameterized.parameters(
      "\x00", "\ud800 answer is \ud800", "Answer: 1/0", "Answer: " + "9" * 10**6
  )
  def test_model_text_never_raises(self, text):
    self.assertFalse(grade_exact(text, "5").is_correct)

  @parameterized.parameters("", " ", "$", " . ", "3/0", "9" * 101)
  def test_gold_that_cannot_be_graded_raises(self, gold):
    with self.assertRaisesRegex(ValueError, "gold answer"):
      grade_exact("The answer is 5.", gold)


if __name__ == "__main__":
  absltest.main()
