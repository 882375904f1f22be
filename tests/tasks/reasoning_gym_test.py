"""Tests of the task made of reasoning-gym's generators."""

import importlib.util
import sys
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import pytest

from score_jax.tasks import exact_answer
from score_jax.tasks.reasoning_gym import SUPPORTED_GENERATORS
from score_jax.tasks.reasoning_gym import ReasoningGymTask

_HAS_EXTRA = importlib.util.find_spec("reasoning_gym") is not None
_SPLITS = ("test", "validation", "train")
_ADD_UP_TO_20 = {"chain_sum": {"max_terms": 2, "max_digits": 1}}


class MissingPackageTest(absltest.TestCase):

  def test_error_names_the_extra(self):
    with mock.patch.dict(sys.modules, {"reasoning_gym": None}):
      with self.assertRaisesRegex(ValueError, r"-e \.\[smollm2\]"):
        ReasoningGymTask()


@pytest.mark.smollm2
@absltest.skipUnless(_HAS_EXTRA, "needs pip install -e .[smollm2]")
class ReasoningGymTaskTest(parameterized.TestCase):

  def test_splits_have_their_sizes_and_share_nothing(self):
    task = ReasoningGymTask(
        generator_config=_ADD_UP_TO_20,
        num_train=120,
        num_validation=30,
        num_test=40,
    )
    sizes = [len(task.problems(split)) for split in _SPLITS]
    self.assertEqual(sizes, [40, 30, 120])
    problems = [p for split in _SPLITS for p in task.problems(split)]
    self.assertLen({p.id for p in problems}, 190)
    self.assertLen({p.question for p in problems}, 190)

  def test_demonstrations_are_right(self):
    names = ("chain_sum", "letter_counting", "spell_backward")
    task = ReasoningGymTask(generators=names, num_train=30)
    problems = task.problems("train")
    texts = [task.demonstration(p, attempt=1) for p in problems]
    self.assertTrue(all(g.is_correct for g in task.grade(problems, texts)))

  def test_same_problems_whatever_was_asked_first(self):
    first, second = (ReasoningGymTask(num_train=50, seed=3) for _ in range(2))
    train = first.problems("train")
    test = first.problems("test")
    self.assertEqual(second.problems("test"), test)
    self.assertEqual(second.problems("train"), train)
    self.assertEqual(first.problems("train"), train)

  def test_more_training_problems_leave_the_rest_alone(self):
    small, large = (ReasoningGymTask(num_train=n) for n in (10, 100))
    for split in ("test", "validation"):
      self.assertEqual(small.problems(split), large.problems(split))
    self.assertEqual(small.problems("train"), large.problems("train")[:10])

  def test_neighbouring_seeds_are_unrelated(self):
    # Seeds given to the package as they are would share all but one question.
    first, second = (
        {p.question for p in ReasoningGymTask(seed=s).problems("test")}
        for s in (0, 1)
    )
    self.assertLess(len(first & second), len(first) / 4)

  def test_generators_take_turns(self):
    generators = ("chain_sum", "gsm_symbolic")
    task = ReasoningGymTask(generators=generators, num_test=10)
    is_sum = [
        p.question.startswith("What is ") and "many" not in p.question
        for p in task.problems("test")
    ]
    self.assertEqual(is_sum, [True, False] * 5)

  @parameterized.parameters(*SUPPORTED_GENERATORS)
  def test_golds_of_every_generator_can_be_stated_and_told_apart(self, name):
    task = ReasoningGymTask(generators=(name,), num_test=30)
    problems = task.problems("test")
    for form in ("The answer is {}.", "So \\boxed{{{}}}"):
      texts = [form.format(p.answer) for p in problems]
      self.assertTrue(all(g.is_correct for g in task.grade(problems, texts)))
    answers = {p.answer for p in problems}
    self.assertGreater(len(answers), 1)
    for answer in answers:
      others = [p for p in problems if p.answer != answer]
      texts = [f"The answer is {answer}."] * len(others)
      grades = task.grade(others, texts)
      self.assertFalse(any(g.is_correct for g in grades))

  def test_chain_sum_answers_are_the_sums(self):
    task = ReasoningGymTask(num_test=200)
    for problem in task.problems("test"):
      expression = problem.question.removeprefix("What is ").removesuffix("?")
      total = 0
      for term in expression.replace("- ", "-").replace("+ ", "").split():
        total += int(term)
      self.assertEqual(problem.answer, str(total), problem.question)

  def test_generator_config_reaches_the_generator(self):
    config = {"chain_sum": {"min_terms": 3, "max_terms": 3, "max_digits": 1}}
    task = ReasoningGymTask(generator_config=config, num_test=50)
    for problem in task.problems("test"):
      self.assertRegex(problem.question, r"^What is \d [+-] \d [+-] \d\?$")

  def test_gsm_symbolic_questions_and_numbers(self):
    task = ReasoningGymTask(generators=("gsm_symbolic",), num_test=300)
    for problem in task.problems("test"):
      self.assertNotIn("final answer", problem.question)
      self.assertIsNotNone(exact_answer.parse_number(problem.answer))

  def test_prompt_and_grade(self):
    task = ReasoningGymTask(num_test=1)
    (problem,) = task.problems("test")
    prompt = task.first_prompt(problem)
    self.assertStartsWith(prompt, problem.question)
    self.assertNotIn(problem.answer, prompt.replace(problem.question, ""))
    grades = task.grade(
        [problem] * 3,
        [
            f"The answer is {problem.answer}.",
            "The answer is N.",
            # No partial credit, and no search for a number that looks right.
            problem.answer,
        ],
    )
    statuses = [grade.status for grade in grades]
    self.assertEqual(statuses, ["correct", "wrong", "no_answer"])

  def test_form_asked_for_is_the_form_graded(self):
    task = ReasoningGymTask()
    for text in (
        task.first_prompt(task.problems("test")[0]),
        task.correction_prompt,
    ):
      self.assertIn("The answer is", text)

  def test_too_few_distinct_problems(self):
    task = ReasoningGymTask(generator_config=_ADD_UP_TO_20, num_test=201)
    # 10 x 10 x 2 questions exist.
    with self.assertRaisesRegex(ValueError, "200 of the 201"):
      task.problems("test")
    enough = ReasoningGymTask(generator_config=_ADD_UP_TO_20, num_test=200)
    self.assertLen(enough.problems("test"), 200)

  def test_unknown_split(self):
    with self.assertRaisesRegex(ValueError, "no split 'dev'"):
      ReasoningGymTask().problems("dev")

  @parameterized.parameters(
      (dict(generators=()), "generators is"),
      (dict(generators="chain_sum"), "tuple of names"),
      (dict(generators=("chain_sum", "chain_sum")), "distinct"),
      (dict(generators=("sudoku",)), "gsm_symbolic"),
      (dict(num_test=-1), "num_test is -1"),
      (dict(generator_config={"gsm_symbolic": {}}), "gsm_symbolic"),
      (dict(generator_config={"chain_sum": {"max_term": 3}}), "max_terms"),
      (dict(generator_config={"chain_sum": {"seed": 3}}), "arguments of"),
      (dict(generator_config={"chain_sum": {"max_terms": 1}}), "refuses"),
      (dict(generator_config={"chain_sum": {"max_terms": "3"}}), "refuses"),
  )
  def test_bad_arguments(self, arguments, message):
    with self.assertRaisesRegex(ValueError, message):
      ReasoningGymTask(**arguments)


if __name__ == "__main__":
  absltest.main()
