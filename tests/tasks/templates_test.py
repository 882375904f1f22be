"""Prompt templates: places, built-in files, errors."""

from absl.testing import absltest
from absl.testing import parameterized

from score_jax.tasks import templates

EXPECTED = {"first": ("question",), "correction": ()}


class TemplatesTest(parameterized.TestCase):

  def _file(self, text):
    return self.create_tempfile("prompts.toml", text).full_path

  def test_values_are_put_in_and_braces_stay(self):
    text = templates.fill("{{a}} \\boxed{x} {{b}}", a="{{b}}", b="2")
    self.assertEqual(text, "{{b}} \\boxed{x} 2")

  def test_a_file_of_ones_own_is_read_and_stripped(self):
    path = self._file("first = '''\n{{question}}?\n'''\ncorrection = ' Again '")
    self.assertEqual(
        templates.load_templates(path, EXPECTED),
        {"first": "{{question}}?", "correction": "Again"},
    )

  @parameterized.parameters(
      ("first = '{{question}}'", "has the templates ..first.., expected"),
      (
          "first = '{{question}}'\ncorrection = ''",
          "correction is '', expected a text",
      ),
      (
          "first = 'x'\ncorrection = 'y'",
          r"first has the places \[\], expected \['question'\]",
      ),
      (
          "first = '{{question}} {{gold}}'\ncorrection = 'y'",
          r"first has the places \['gold', 'question'\]",
      ),
      # A correction that is told the problem could tell right from wrong.
      (
          "first = '{{question}}'\ncorrection = '{{question}}'",
          r"correction has the places \['question'\], expected \[\]",
      ),
      ("first = ", "is no TOML"),
  )
  def test_files_that_do_not_fit_are_refused(self, text, message):
    with self.assertRaisesRegex(ValueError, message):
      templates.load_templates(self._file(text), EXPECTED)

  @parameterized.parameters("no_such", "missing.toml")
  def test_what_is_neither_built_in_nor_a_file_is_refused(self, source):
    with self.assertRaisesRegex(ValueError, "expected one of math, code"):
      templates.load_templates(source, EXPECTED)


if __name__ == "__main__":
  absltest.main()
