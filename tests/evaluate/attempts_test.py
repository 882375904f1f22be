"""Tests of score_jax.evaluate."""

import dataclasses
import itertools
import json
import random

from absl.testing import absltest
from absl.testing import parameterized
import numpy as np

from score_jax import evaluate
from score_jax.evaluate import statistics
from score_jax.output import conversations
from score_jax.types import Grade
from score_jax.types import Problem
from tests.helpers.made_up_rollouts import made_up_rollouts

SECOND_OF = {"c": "correct", "w": "wrong", "-": "no_answer"}


def _grade(mark, answer):
  return Grade(mark == "c", SECOND_OF[mark], None if mark == "-" else answer)


def _rollouts(problems, grades, is_truncated=None):
  """One sample per problem; only what evaluation reads is filled in."""
  n = len(problems)
  attempts = len(grades[0])
  if is_truncated is None:
    is_truncated = np.zeros((n, 1, attempts), bool)
  return made_up_rollouts(
      problems,
      grades,
      tokens=np.array([[p.id] for p in problems], np.int32).reshape(n, 1),
      attempt_ids=np.ones((n, 1), np.int32),
      texts=tuple((str(p.id),) + ("",) * (attempts - 1) for p in problems),
      is_truncated=is_truncated,
  )


def _problems(n):
  return tuple(Problem(i, f"q{i}", f"a{i}") for i in range(n))


# First and second mark and answer of eight problems.
TABLE = (
    ("c", "1", "c", "1"),
    ("c", "1", "w", "2"),
    ("w", "3", "c", "4"),
    ("w", "3", "c", "5"),
    ("w", "3", "w", "3"),
    ("w", "3", "w", "6"),
    ("-", None, "-", None),
    ("w", "7", "-", None),
)


def _table_rollouts():
  grades = [(_grade(m1, a1), _grade(m2, a2)) for m1, a1, m2, a2 in TABLE]
  is_truncated = np.zeros((8, 1, 2), bool)
  is_truncated[[0, 6], 0, 0] = True
  is_truncated[7, 0, 1] = True
  return _rollouts(_problems(8), grades, is_truncated)


# Tokens and attempts of each row: prompt 9, correction turn 8, stop id 0.
REPEATS = {
    "copy": ([9, 5, 6, 0, 8, 5, 6, 0], [0, 1, 1, 1, 0, 2, 2, 2]),
    "copy without a stop id": (
        [9, 5, 6, 8, 5, 6, 9, 9],
        [0, 1, 1, 0, 2, 2, 0, 0],
    ),
    "other token": ([9, 5, 6, 0, 8, 5, 7, 0], [0, 1, 1, 1, 0, 2, 2, 2]),
    "longer": ([9, 5, 0, 8, 5, 5, 0, 9], [0, 1, 1, 0, 2, 2, 2, 0]),
    "begins alike": ([9, 5, 6, 0, 8, 5, 0, 9], [0, 1, 1, 1, 0, 2, 2, 0]),
    "one was cut": ([9, 5, 6, 8, 5, 6, 0, 9], [0, 1, 1, 0, 2, 2, 2, 0]),
}


class RepeatSharesTest(absltest.TestCase):

  def _shares(self, rows, grades):
    tokens, attempt_ids = (
        np.array(a, np.int32) for a in zip(*rows, strict=True)
    )
    rollouts = made_up_rollouts(
        _problems(len(rows)), grades, tokens=tokens, attempt_ids=attempt_ids
    )
    return evaluate.repeat_shares(rollouts)

  def test_copies_are_equal_in_every_token_that_was_written(self):
    grade = _grade("w", "1")
    for name, row in REPEATS.items():
      with self.subTest(name):
        shares = self._shares([row], [(grade, grade)])
        self.assertEqual(shares["train/copied"], name.startswith("copy"))

  def test_answers_are_compared_apart_from_tokens(self):
    one, two, none = _grade("w", "1"), _grade("w", "2"), _grade("-", None)
    rows = [REPEATS[n] for n in ("copy", "longer", "longer", "copy", "longer")]
    grades = [(one, one), (one, one), (one, one), (none, none), (one, two)]
    self.assertEqual(
        self._shares(rows, grades),
        {"train/copied": 0.4, "train/same_answer": 0.6},
    )

  def test_later_attempts_are_left_out(self):
    tokens, ids = REPEATS["copy"]
    row = ([*tokens, 8, 7, 0], [*ids, 0, 3, 3])
    shares = self._shares([row], [(_grade("w", "1"),) * 3])
    self.assertEqual(shares["train/copied"], 1.0)

  def test_one_attempt_repeats_nothing(self):
    row = ([9, 5, 0], [0, 1, 1])
    self.assertEqual(self._shares([row], [(_grade("w", "1"),)]), {})


class MetricsTest(absltest.TestCase):

  def test_metrics_by_hand(self):
    """i->c and c->i are fractions of all eight problems."""
    summary = evaluate.summarize(evaluate.per_problem(_table_rollouts()))
    self.assertEqual(summary["n"], 8)
    expected = {
        "accuracy_t1": 2 / 8,
        "accuracy_t2": 3 / 8,
        "delta_t1_t2": 1 / 8,
        "delta_i_to_c": 2 / 8,
        "delta_c_to_i": 1 / 8,
        # Rows 1, 2, 3, 5, 7, and row 6: None never equals None.
        "answer_change_rate": 6 / 8,
        "truncated_t1": 2 / 8,
        "truncated_t2": 1 / 8,
    }
    self.assertEqual({k: summary[k] for k in expected}, expected)
    self.assertEqual(set(summary), set(expected) | {"n", "ci95"})
    self.assertEqual(
        set(summary["ci95"]), {k for k in expected if "truncated" not in k}
    )

  def test_attempts_without_an_answer_never_gave_the_same_one(self):
    changes = evaluate.per_problem(_table_rollouts())["answer_change_rate"]
    self.assertEqual(changes.tolist(), [0, 1, 1, 1, 0, 1, 1, 1])

  def test_delta_is_what_was_won_less_what_was_lost(self):
    """On random tables."""
    rng = np.random.default_rng(0)
    for n in (1, 7, 40):
      marks = rng.choice(list("cw-"), size=(n, 2))
      grades = [tuple(_grade(m, "x") for m in row) for row in marks]
      values = evaluate.per_problem(_rollouts(_problems(n), grades))
      np.testing.assert_array_equal(
          values["delta_t1_t2"], values["delta_i_to_c"] - values["delta_c_to_i"]
      )
      summary = evaluate.summarize(values)
      self.assertAlmostEqual(
          summary["accuracy_t2"] - summary["accuracy_t1"],
          summary["delta_i_to_c"] - summary["delta_c_to_i"],
          places=12,
      )

  def test_accuracy_is_the_graders_verdict_and_nothing_else(self):
    """The rewards are not looked at."""
    rollouts = _table_rollouts()
    rollouts.rewards[:] = 1
    values = evaluate.per_problem(rollouts)
    self.assertEqual(values["accuracy_t1"].sum(), 2)

  def test_no_problems_are_an_error(self):
    values = evaluate.per_problem(_table_rollouts())
    with self.assertRaisesRegex(ValueError, "no evaluated problems"):
      evaluate.summarize({k: v[:0] for k, v in values.items()})


class PairsTest(absltest.TestCase):

  def _three_attempts(self):
    """Marks and answers of three attempts at three problems."""
    table = (("w1", "c2", "c2"), ("c2", "c2", "w3"), ("w1", "w1", "c2"))
    grades = [tuple(_grade(*mark) for mark in row) for row in table]
    is_truncated = np.zeros((3, 1, 3), bool)
    is_truncated[1, 0, 2] = True
    return _rollouts(_problems(3), grades, is_truncated)

  def test_every_attempt_is_compared_with_the_one_before(self):
    first, second = evaluate.per_pair(self._three_attempts())
    self.assertEqual(first["accuracy_t1"].tolist(), [0, 1, 0])
    self.assertEqual(first["accuracy_t2"].tolist(), [1, 1, 0])
    self.assertEqual(second["accuracy_t1"].tolist(), [1, 1, 0])
    self.assertEqual(second["accuracy_t2"].tolist(), [1, 0, 1])
    self.assertEqual(second["delta_i_to_c"].tolist(), [0, 0, 1])
    self.assertEqual(second["delta_c_to_i"].tolist(), [0, 1, 0])
    self.assertEqual(second["answer_change_rate"].tolist(), [0, 1, 1])
    self.assertEqual(second["truncated_t1"].tolist(), [0, 0, 0])
    self.assertEqual(second["truncated_t2"].tolist(), [0, 1, 0])

  def test_the_first_pair_is_what_two_attempts_are(self):
    rollouts = self._three_attempts()
    first = evaluate.per_pair(rollouts)[0]
    for name, values in evaluate.per_problem(rollouts).items():
      np.testing.assert_array_equal(values, first[name])

  def test_summaries_name_their_attempts(self):
    """Also over several batches."""
    pairs = evaluate.summarize_pairs([self._three_attempts()] * 2)
    self.assertEqual([m["pair"] for m in pairs], [[1, 2], [2, 3]])
    self.assertEqual([m["n"] for m in pairs], [6, 6])
    self.assertAlmostEqual(pairs[1]["delta_c_to_i"], 1 / 3)
    curve = evaluate.attempt_curve(pairs)
    self.assertEqual([point["attempt"] for point in curve], [1, 2, 3])
    np.testing.assert_allclose(
        [point["accuracy"] for point in curve], [1 / 3, 2 / 3, 2 / 3]
    )
    self.assertEqual(curve[0]["ci95"], pairs[0]["ci95"]["accuracy_t1"])
    self.assertEqual(curve[2]["ci95"], pairs[1]["ci95"]["accuracy_t2"])

  def test_one_attempt_is_refused(self):
    with self.assertRaisesRegex(ValueError, r"shape \(3, 1\), expected rows x"):
      evaluate.attempt_metrics(np.zeros((3, 1), bool), [[None]] * 3, None)


def _records(rollouts):
  lines = conversations.jsonl([rollouts], "Again.").splitlines()
  return [json.loads(line) for line in lines]


class RecordsTest(absltest.TestCase):

  def test_files_say_what_rollouts_say(self):
    """In the order of the problems, whatever that of the lines."""
    rollouts = _table_rollouts()
    expected = evaluate.per_problem(rollouts)
    records = _records(rollouts)
    random.Random(0).shuffle(records)
    found = evaluate.per_problem_of_records(records)
    self.assertEqual(list(found), list(expected))
    for name, values in expected.items():
      np.testing.assert_array_equal(found[name], values, name)

  def test_records_that_do_not_fit_are_refused(self):
    records = _records(_table_rollouts())
    longer = dict(records[0], problem_id=99)
    longer["attempts"] = longer["attempts"] * 2
    for wrong, message in (
        ([], "no evaluated problems"),
        ([*records, records[3]], "problem 3 has several conversations"),
        ([*records, longer], r"conversations of \[2, 4\] attempts"),
    ):
      with self.assertRaisesRegex(ValueError, message):
        evaluate.per_pair_of_records(wrong)

  def test_transitions_by_difficulty(self):
    records = _records(_table_rollouts())
    labels = ["level 2"] * 3 + ["level 1"] * 2 + [""] * 3
    for record, label in zip(records, labels, strict=True):
      record["difficulty"] = label
    result = evaluate.transitions_by_difficulty(records)
    self.assertEqual(list(result), ["level 1", "level 2"])
    self.assertEqual(
        result["level 2"],
        {
            "n": 3,
            "accuracy_t1": 2 / 3,
            "accuracy_t2": 2 / 3,
            "delta_i_to_c": 1 / 3,
            "delta_c_to_i": 1 / 3,
        },
    )
    self.assertEqual(result["level 1"]["n"], 2)
    self.assertEqual(result["level 1"]["delta_i_to_c"], 1 / 2)

  def test_without_difficulties_there_is_no_table(self):
    records = _records(_table_rollouts())
    self.assertEqual(evaluate.transitions_by_difficulty(records), {})


def _naive_ratio(first, second):
  """By the longest common subsequence."""
  rows = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
  for i, j in itertools.product(range(len(first)), range(len(second))):
    rows[i + 1][j + 1] = (
        rows[i][j] + 1
        if first[i] == second[j]
        else max(rows[i][j + 1], rows[i + 1][j])
    )
  total = len(first) + len(second)
  return (total - 2 * rows[-1][-1]) / total


class EditDistanceTest(parameterized.TestCase):

  @parameterized.parameters(
      ("", "", 0.0),
      ("abc", "abc", 0.0),
      ("abc", "", 1.0),
      ("abc", "xyz", 1.0),
      ("abc", "abd", 2 / 6),  # one out, one in
      ("abc", "abcd", 1 / 7),
      ("\u00e9a", "a", 1 / 3),
  )
  def test_by_hand(self, first, second, expected):
    self.assertAlmostEqual(
        evaluate.edit_distance_ratio(first, second), expected
    )

  def test_against_a_naive_count(self):
    draw = random.Random(0)
    for _ in range(30):
      first, second = (
          "".join(draw.choices("abc", k=draw.randint(1, 70))) for _ in range(2)
      )
      self.assertAlmostEqual(
          evaluate.edit_distance_ratio(first, second),
          _naive_ratio(first, second),
      )


class IntervalTest(parameterized.TestCase):

  @parameterized.parameters(0.05, 0.5, 0.9)
  def test_close_to_the_normal_approximation(self, accuracy):
    n = 1000
    values = (np.arange(n) < accuracy * n).astype(float)
    low, high = statistics.bootstrap_ci95([values], seed=0)
    half = 1.96 * np.sqrt(accuracy * (1 - accuracy) / n)
    np.testing.assert_allclose(
        [low[0], high[0]], [accuracy - half, accuracy + half], atol=0.15 * half
    )

  def test_delta_is_paired(self):
    """Attempts that agree on most problems: their difference is known well."""
    n = 500
    first = (np.arange(n) < 250).astype(float)
    second = (np.arange(n) < 260).astype(float)
    low, high = statistics.bootstrap_ci95(
        [first, second, second - first], seed=1
    )
    widths = high - low
    self.assertLess(widths[2], 0.3 * np.hypot(widths[0], widths[1]))
    self.assertGreater(low[2], 0)

  def test_all_metrics_see_the_same_resamples(self):
    rng = np.random.default_rng(2)
    won, lost = rng.random((2, 60)) < 0.3
    low, high = statistics.bootstrap_ci95(
        [won - 1.0 * lost, lost - 1.0 * won], 3
    )
    np.testing.assert_allclose(low, -high[::-1], atol=1e-12)

  def test_the_seed_decides(self):
    values = evaluate.per_problem(_table_rollouts())
    first, again, other = (evaluate.summarize(values, s) for s in (0, 0, 1))
    self.assertEqual(first, again)
    self.assertEqual(first["accuracy_t1"], other["accuracy_t1"])

  def test_certain_metrics_have_no_width(self):
    low, high = statistics.bootstrap_ci95([np.ones(20), np.zeros(20)], 0)
    np.testing.assert_allclose(low, [1, 0], atol=1e-12)
    np.testing.assert_allclose(high, [1, 0], atol=1e-12)


class GradeSharesTest(absltest.TestCase):

  def test_by_hand(self):
    grades = [_grade(mark, "1") for mark in "ccw-"]
    grades.append(Grade(False, "wrong", "2", method="symbolic"))
    expected = {
        "grade/method_exact": 0.8,
        "grade/method_symbolic": 0.2,
        "grade/status_correct": 0.4,
        "grade/status_no_answer": 0.2,
        "grade/status_wrong": 0.4,
    }
    self.assertEqual(evaluate.grade_shares(grades), expected)


class EvaluateTest(parameterized.TestCase):

  @parameterized.parameters((1, 4), (4, 4), (10, 4), (12, 4), (3, 1), (3, 50))
  def test_every_problem_once_in_batches_of_one_shape(self, n, batch_size):
    """The last one too, without problems that count twice."""
    seen = []

    def sample(problems):
      seen.append(len(problems))
      self.assertNotEmpty(problems)
      grades = [(_grade("w", str(p.id)), _grade("c", "x")) for p in problems]
      return _rollouts(problems, grades)

    problems = _problems(n)
    results = evaluate.in_batches(sample, problems, batch_size)
    self.assertEqual(set(seen), {batch_size})
    self.assertLen(seen, -(-n // batch_size))
    found = [p for r in results for p in r.conversations.problems]
    self.assertEqual(found, list(problems))
    for r in results:
      c, rows = r.conversations, len(r.conversations.problems)
      for field in dataclasses.fields(c):
        self.assertLen(getattr(c, field.name), rows)
      for field in (r.rewards, r.grades):
        self.assertLen(field, rows)
      self.assertEqual(
          [g[0].answer for g in r.grades], [str(p.id) for p in c.problems]
      )
      self.assertEqual(c.tokens[:, 0].tolist(), [p.id for p in c.problems])


if __name__ == "__main__":
  absltest.main()
