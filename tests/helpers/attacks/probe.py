"""What a probe is: a program that returns what it could reach.

Its function takes the facts of a `world` and returns a list of texts: empty
behind a wall. None of them does harm where there is no wall, so that they are
also run without one, where they have to find something.
"""

from tests.helpers.attacks.attack import PASSED
from tests.helpers.attacks.attack import Attack

PROBE_TESTS = """
WORLD = {world!r}
FOUND = candidate(WORLD)
assert type(FOUND) is list and not FOUND, FOUND
"""

# Source that probes start with.
TRY = """
import errno
import os

def reached(actions):
  found = []
  for name, action in actions:
    try:
      value = action()
    except Exception:
      continue
    if value is not False and value is not None:
      found.append(f"{name}: {value!r:.60}")
  return found
"""


def probe(name: str, source: str, may_crash: bool = False) -> Attack:
  """A probe.

  Args:
    name: of the attack.
    source: defines `probe(world)`.
    may_crash: a wall may also end a process that tries this.
  """
  allowed = PASSED | {"crash"} if may_crash else PASSED
  return Attack(
      name, source, allowed=allowed, tests=PROBE_TESTS, entry_point="probe"
  )
