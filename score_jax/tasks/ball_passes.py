"""Where a ball ends, for a language model that answers at once.

"The ball goes from Ann to Tom, Bob to Sue, Tom to Bob, Max to Pat, Pat to Lee.
Ann has it first. Who gets it last?" To answer at once, all passes have to be
made in one look at the text, which a small model can do for one. Once the
players are written down one behind the other, each one is a single look. A
first attempt that has room for the two ends of the way
(rollout.max_new_tokens) is a guess if the way is long; a second one that has
room for all players can do better than repeat it.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import functools
import itertools
import math
import re
from typing import Any

import numpy as np

from score_jax.tasks import splits
from score_jax.types import Grade
from score_jax.types import Problem

_CORRECTION_PROMPT = "Look again."
# Each of them is one token of SmolLM2's vocabulary, with a space before it and
# without.
_NAMES = (
    *("Ann", "Ben", "Bob", "Dan", "Jim", "Kim", "Lee"),
    *("Max", "Pat", "Ray", "Sam", "Tim", "Tom", "Rob"),
)
_NAME = re.compile(rf"\b(?:{'|'.join(_NAMES)})\b")


@dataclasses.dataclass(frozen=True)
class BallPassesTask:
  """A ball that players pass on, among passes of others.

  Splits are consecutive pieces of one stream of distinct problems, so no
  problem is in two of them.

  Attributes:
    num_passes: passes that are told. Those of the ball make one chain, all
      others make a second one, of other players.
    max_way: most passes of the ball; the least is 1, and all numbers between
      are equally frequent.
    num_test: problems of the test split.
    num_validation: problems of the validation split.
    num_train: problems of the training split.
    seed: seed of the stream; the problems are the same in every run.
    name: short name for logs and for the manifest of a run.
    correction_prompt: the constant text that asks for another attempt.
  """

  num_passes: int
  max_way: int
  num_test: int
  num_validation: int
  num_train: int
  seed: int
  name: str = dataclasses.field(default="ball_passes", init=False)
  correction_prompt: str = dataclasses.field(
      default=_CORRECTION_PROMPT, init=False
  )

  def __post_init__(self):
    most = len(_NAMES) - 2  # two chains have two players more than passes
    if not 2 <= self.num_passes <= most:
      raise ValueError(f"num_passes is {self.num_passes}, expected 2 to {most}")
    if not 1 <= self.max_way < self.num_passes:
      raise ValueError(
          f"max_way is {self.max_way}, expected 1 to {self.num_passes - 1},"
          " one less than num_passes: the others pass something too"
      )
    splits.check_sizes(self._sizes)
    total, questions = sum(self._sizes.values()), self._num_questions
    # Drawing the last distinct ones would take long.
    if total > questions // 2:
      raise ValueError(
          f"{total} distinct problems asked of {questions} questions about"
          f" {self.num_passes} passes: lower the split sizes, or raise"
          " num_passes"
      )

  @property
  def _num_questions(self) -> int:
    """Who plays, in which order passes are told, how many are the ball's."""
    players = math.perm(len(_NAMES), self.num_passes + 2)
    return players * math.factorial(self.num_passes) * self.max_way

  @property
  def _sizes(self) -> dict[str, int]:
    """Problems of each split, in the order in which the stream is cut."""
    return {
        "test": self.num_test,
        "validation": self.num_validation,
        "train": self.num_train,
    }

  def problems(self, split: str) -> Sequence[Problem]:
    """All problems of 'test', 'validation' or 'train'."""
    start, stop = splits.piece(self._sizes, split)
    return self._stream[start:stop]

  def first_prompt(self, problem: Problem) -> str:
    """The question as it is."""
    return problem.question

  def demonstration(self, problem: Problem, attempt: int) -> str:
    """First and last player; from the second attempt on, all on the way.

    The two forms differ in their first word: which of them it is to be is
    decided there, and what follows is not torn between them.
    """
    way = ball_way(problem.question)
    if attempt == 1:
      return f"{way[0]} to {way[-1]}"
    return f"From {' to '.join(way)}"

  def grade(
      self, problems: Sequence[Problem], completions: Sequence[str]
  ) -> list[Grade]:
    """Correct if and only if the last name of the attempt is the player's."""
    pairs = zip(problems, completions, strict=True)
    return [_grade(problem.answer, text) for problem, text in pairs]

  def provenance(self) -> Mapping[str, Any]:
    return {}

  def close(self) -> None:
    pass

  @functools.cached_property
  def _stream(self) -> tuple[Problem, ...]:
    rng = np.random.default_rng(self.seed)
    lengths: dict[str, int] = {}  # of the ball's way, by question
    while len(lengths) < sum(self._sizes.values()):
      length = int(rng.integers(1, self.max_way + 1))
      players = rng.permutation(len(_NAMES))[: self.num_passes + 2]
      order = rng.permutation(self.num_passes)
      lengths.setdefault(_question(players, order, length), length)
    return tuple(
        Problem(
            id=i,
            question=question,
            answer=ball_way(question)[-1],
            difficulty="1 pass" if length == 1 else f"{length} passes",
        )
        for i, (question, length) in enumerate(lengths.items())
    )


def ball_way(question: str) -> list[str]:
  """The players who have the ball, from the first to the last one."""
  *pairs, player = _NAME.findall(question)
  receivers = dict(zip(pairs[::2], pairs[1::2], strict=True))
  way = [player]
  while way[-1] in receivers:
    way.append(receivers[way[-1]])
  return way


def _question(players: np.ndarray, order: np.ndarray, length: int) -> str:
  """What is asked.

  Args:
    players: int[passes + 2], those of the ball's way, then the others.
    order: int[passes], in which the passes are told.
    length: passes of the ball.
  """
  names = [_NAMES[i] for i in players]
  chains = names[: length + 1], names[length + 1 :]
  passes = [pair for chain in chains for pair in itertools.pairwise(chain)]
  told = ", ".join("{} to {}".format(*passes[i]) for i in order)
  return (
      f"The ball goes from {told}. {names[0]} has it first. Who gets it last?"
  )


def _grade(answer: str, completion: str) -> Grade:
  names = _NAME.findall(completion)
  if not names:
    return Grade(False, "no_answer", None)
  is_correct = names[-1] == answer
  return Grade(is_correct, "correct" if is_correct else "wrong", names[-1])
