"""Problems without end, from the generators of reasoning-gym.

The generators give questions and answers; prompts and grading are our own,
because the package's scorers give partial credit and search for any number.

Needs the optional package `reasoning-gym` (the `smollm2` extra).
"""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import functools
import hashlib
import importlib.metadata
import itertools
from types import ModuleType
from typing import Any
import warnings

from score_jax.tasks import exact_answer
from score_jax.tasks import splits
from score_jax.types import Grade
from score_jax.types import Problem

_INSTRUCTIONS = (
    "Solve it step by step, in few words. Finish with a line that says"
    ' "The answer is N." where N is the final answer alone: a number without'
    " units, or the word or text that is asked for."
)
_CORRECTION_PROMPT = (
    "The solution above might contain a mistake. Look at it again and fix the"
    " mistake if there is one. Then write the whole solution again, step by"
    ' step, and finish with the same kind of line: "The answer is N."'
)
# Appended by gsm_symbolic to every question; our instructions say it already.
_GSM_SUFFIX = " Give the result as your final answer. Do not include units."

_CHUNK_SIZE = 1024
# A generator that repeats itself this often has nothing new to give.
_MAX_REPEATS = 10_000


def _whole_question(item: Mapping[str, Any]) -> str:
  return item["question"].strip()


def _chain_sum_question(item: Mapping[str, Any]) -> str:
  return f"What is {item['metadata']['expression']}?"


def _gsm_symbolic_question(item: Mapping[str, Any]) -> str:
  return item["question"].removesuffix(_GSM_SUFFIX)


# Generators whose questions have one right answer that can be compared as it
# is: a number, a word or a short text, the same for the same seed. Other
# generators of the package accept many answers (a path, an expression), round
# them, or draw a picture.
SUPPORTED_GENERATORS = (
    "aiw",
    "base_conversion",
    "basic_arithmetic",
    "bf",
    "binary_alternation",
    "bitwise_arithmetic",
    "calendar_arithmetic",
    "chain_sum",
    "circuit_logic",
    "color_cube_rotation",
    "count_bits",
    "count_primes",
    "course_schedule",
    "decimal_chain_sum",
    "dice",
    "family_relationships",
    "gcd",
    "gsm_symbolic",
    "isomorphic_strings",
    "largest_island",
    "lcm",
    "leg_counting",
    "letter_counting",
    "maze",
    "needle_haystack",
    "number_sequence",
    "products",
    "ransom_note",
    "rectangle_count",
    "rotten_oranges",
    "self_reference",
    "simple_equations",
    "simple_geometry",
    "spell_backward",
    "syllogism",
)

# Generators whose question is not taken word for word.
_QUESTIONS = {
    "chain_sum": _chain_sum_question,
    "gsm_symbolic": _gsm_symbolic_question,
}


@dataclasses.dataclass(frozen=True)
class ReasoningGymTask:
  """Problems of some generators in equal shares, split without overlap.

  All splits are cut from one stream of problems with distinct questions: first
  the test problems, then validation, then training. So no question is in two
  splits, and more training problems leave the other two as they are.

  Attributes:
    generators: names out of SUPPORTED_GENERATORS, taken in turns.
    generator_config: per generator, options such as {"max_digits": 2}.
    num_train: problems of the training split.
    num_validation: problems of the validation split.
    num_test: problems of the test split.
    seed: another seed gives another, unrelated stream.
    name: short name for logs and for the manifest of a run.
    correction_prompt: the constant text that asks for another attempt.
  """

  generators: tuple[str, ...] = ("chain_sum",)
  generator_config: Mapping[str, Mapping[str, Any]] = dataclasses.field(
      default_factory=dict
  )
  num_train: int = 4096
  num_validation: int = 256
  num_test: int = 512
  seed: int = 0
  name: str = dataclasses.field(default="reasoning_gym", init=False)
  correction_prompt: str = dataclasses.field(
      default=_CORRECTION_PROMPT, init=False
  )

  def __post_init__(self):
    _check_generators(self.generators)
    splits.check_sizes(self._sizes)
    stray = sorted(set(self.generator_config) - set(self.generators))
    if stray:
      raise ValueError(
          f"generator_config has options for {stray}, expected only for"
          f" generators={self.generators}. Remove them or add the generators."
      )
    for generator in self.generators:
      _check_options(generator, self.generator_config.get(generator, {}))

  def problems(self, split: str) -> Sequence[Problem]:
    """All problems of a split, in stream order; generated when first asked."""
    return self._stream.take(*splits.piece(self._sizes, split))

  def first_prompt(self, problem: Problem) -> str:
    """The question, and the form in which to state the answer."""
    return f"{problem.question}\n\n{_INSTRUCTIONS}"

  def demonstration(self, problem: Problem, attempt: int) -> str:
    """The answer in a sentence of the form that is asked for."""
    del attempt
    return f"The answer is {problem.answer}."

  def grade(
      self, problems: Sequence[Problem], completions: Sequence[str]
  ) -> list[Grade]:
    """Exact comparison of the final answers that the completions state."""
    return [
        exact_answer.grade_exact(completion, problem.answer)
        for problem, completion in zip(problems, completions, strict=True)
    ]

  def provenance(self) -> Mapping[str, Any]:
    version = importlib.metadata.version("reasoning-gym")
    return {"reasoning_gym": version}

  def close(self) -> None:
    pass

  @property
  def _sizes(self) -> dict[str, int]:
    """Problems of each split, in the order in which the stream is cut."""
    return {
        "test": self.num_test,
        "validation": self.num_validation,
        "train": self.num_train,
    }

  @functools.cached_property
  def _stream(self) -> "_ProblemStream":
    return _ProblemStream(self.generators, self.generator_config, self.seed)


class _ProblemStream:
  """An endless list of problems with distinct questions, made as needed."""

  def __init__(
      self,
      generators: Sequence[str],
      generator_config: Mapping[str, Mapping[str, Any]],
      seed: int,
  ):
    self._items = itertools.cycle(
        [
            (name, _draw(name, generator_config.get(name, {}), seed))
            for name in generators
        ]
    )
    self._problems = []
    self._questions = set()

  def take(self, start: int, stop: int) -> tuple[Problem, ...]:
    """Problems start to stop - 1 of the stream; an id is a place in it."""
    while len(self._problems) < stop:
      name, items = next(self._items)
      question, answer = self._next_unseen(name, items, stop)
      exact_answer.check_gold(answer)
      self._questions.add(question)
      self._problems.append(Problem(len(self._problems), question, answer))
    return tuple(self._problems[start:stop])

  def _next_unseen(
      self, name: str, items: Iterator[tuple[str, str]], wanted: int
  ) -> tuple[str, str]:
    for question, answer in itertools.islice(items, _MAX_REPEATS):
      if question not in self._questions:
        return question, answer
    raise ValueError(
        f"{name} gave no new question in {_MAX_REPEATS} draws;"
        f" {len(self._problems)} of the {wanted} distinct problems needed were"
        " found. Lower num_train, num_validation or num_test, or widen its"
        " range in generator_config."
    )


def _draw(
    name: str, options: Mapping[str, Any], seed: int
) -> Iterator[tuple[str, str]]:
  """Yields questions with answers, repetitions included.

  The package seeds item i with seed + i, so that neighbouring seeds give the
  same problems one place apart; every chunk gets an unrelated seed instead.
  """
  gym = _import_reasoning_gym()
  for chunk in itertools.count():
    digest = hashlib.sha256(f"{name}/{seed}/{chunk}".encode()).digest()
    dataset = gym.create_dataset(
        name,
        seed=int.from_bytes(digest[:6], "big"),
        size=_CHUNK_SIZE,
        **options,
    )
    for i in range(_CHUNK_SIZE):
      item = dataset[i]
      question = _QUESTIONS.get(name, _whole_question)(item)
      yield question, item["answer"]


def _check_generators(generators: Sequence[str]) -> None:
  if isinstance(generators, str) or not generators:
    raise ValueError(
        f"generators is {generators!r}, expected a tuple of names out of"
        f" {SUPPORTED_GENERATORS}."
    )
  unknown = sorted(set(generators) - set(SUPPORTED_GENERATORS))
  if unknown or len(set(generators)) < len(generators):
    raise ValueError(
        f"generators is {generators}, expected distinct names out of"
        f" {SUPPORTED_GENERATORS}."
    )


def _check_options(name: str, options: Mapping[str, Any]) -> None:
  """Refuses options that the generator does not have or cannot use."""
  gym = _import_reasoning_gym()
  _, config_class = gym.factory.DATASETS[name]
  fields = {field.name for field in dataclasses.fields(config_class)}
  known = sorted(fields - {"seed", "size"})
  unknown = sorted(set(options) - set(known))
  if unknown:
    raise ValueError(
        f"generator_config[{name!r}] has {unknown}, expected options out of"
        f" {known}. Seed and sizes are arguments of the task."
    )
  try:
    config_class(**options).validate()
  except (AssertionError, TypeError) as error:  # What bad options end in.
    raise ValueError(
        f"generator_config[{name!r}] is {dict(options)}, which {name} refuses:"
        f" {error}"
    ) from error


def _import_reasoning_gym() -> ModuleType:
  try:
    with warnings.catch_warnings():
      # From the sources of its dependencies, when they are first compiled.
      warnings.simplefilter("ignore", SyntaxWarning)
      import reasoning_gym
  except ModuleNotFoundError as error:
    raise ValueError(
        f"The package {error.name}, which makes these problems, is not"
        " installed. Install it with: pip install -e .[smollm2]"
    ) from error
  return reasoning_gym
