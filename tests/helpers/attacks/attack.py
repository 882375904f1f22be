"""What an attack is, and the tests that most of them are up against."""

import dataclasses

# Whatever happened, the attempt was not counted as right.
NOT_PASSED = frozenset({"fail", "timeout", "memory", "crash", "load_error"})
# It ended, or was ended, without an answer.
BROKEN = frozenset({"fail", "memory", "crash", "load_error"})
STOPPED = frozenset({"timeout"})
PASSED = frozenset({"pass"})

ADD_TESTS = """
def check(candidate):
  assert candidate(2, 3) == 5
  assert candidate(10, -4) == 6
  assert candidate(123, 456) == 579

check(candidate)
"""


@dataclasses.dataclass(frozen=True)
class Attack:
  """A program and what the grader may say of it.

  Attributes:
    name: unique over all kinds.
    solution: source of the program that attacks.
    allowed: statuses that are no hole.
    tests: source of the tests.
    entry_point: the function that the tests call.
    fools: names of the protocols of `naive` that count it as right.
    is_slow: it runs until it is stopped, so it is given a short time limit.
  """

  name: str
  solution: str
  allowed: frozenset[str] = NOT_PASSED
  tests: str = ADD_TESTS
  entry_point: str = "add"
  fools: tuple[str, ...] = ()
  is_slow: bool = False


def endless(name: str, solution: str) -> Attack:
  """An attack that goes on until it is stopped."""
  return Attack(name, solution, allowed=STOPPED, is_slow=True)


def honest(name: str, solution: str, tests: str, entry_point: str) -> Attack:
  """No attack at all: a program that has to pass."""
  return Attack(
      name, solution, allowed=PASSED, tests=tests, entry_point=entry_point
  )
