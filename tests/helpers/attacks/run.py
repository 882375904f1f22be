"""Runs all attacks in one tier: python -m tests.helpers.attacks.run TIER.

A program of its own, so that it can be run as another user. It prints what the
grader said, and what happened around it, as one line of JSON.
"""

import ctypes
import dataclasses
import json
import os
import pathlib
import sys
import time
from typing import Any

from score_jax.grading.sandbox import CodeGrader
from score_jax.grading.sandbox import Tier
from score_jax.grading.sandbox import stopwatch
from tests.helpers.attacks import honest
from tests.helpers.attacks import kinds
from tests.helpers.attacks import world
from tests.helpers.attacks.attack import Attack
from tests.helpers.attacks.probe import PROBE_TESTS

# Enough for every program that ends, on a machine that is busy.
_PATIENT_S = 20.0
# What runs until it is stopped mostly waits: more workers than processors.
_HASTY_S = 0.5
_HASTY_WORKERS = 6
# Stopping a program costs little beside the time that it was given.
_OVERHEAD_S = 1.0

_PR_SET_CHILD_SUBREAPER = 36


@dataclasses.dataclass
class Report:
  """What came of the attacks.

  Attributes:
    refused: why there is no such wall here; '' where there is.
    failure: what ended the attacks before they were through.
    statuses: by name of the attack, one for each time that it was graded.
    aftermath: statuses of an honest program after each batch.
    damage: what happened outside.
    leftovers: processes and files of the sandbox that outlived it.
    slow_batch: seconds of the slow attacks, in units of what they may take.
  """

  refused: str = ""
  failure: str = ""
  statuses: dict[str, list[str]] = dataclasses.field(default_factory=dict)
  aftermath: list[str] = dataclasses.field(default_factory=list)
  damage: list[str] = dataclasses.field(default_factory=list)
  leftovers: list[str] = dataclasses.field(default_factory=list)
  slow_batch: float = 0.0


def run(tier: Tier) -> Report:
  """Grades every attack; those that end at once in two orders."""
  report = Report()
  os.environ[world.VARIABLE] = "secret"
  # What is orphaned comes to this process, and is found.
  ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
  with world.make_world() as outside:
    processes, files = _children(), _open_files()
    try:
      grader = CodeGrader(num_workers=2, timeout_s=_PATIENT_S, tier=tier)
    except ValueError as error:
      return Report(refused=str(error))
    with grader:
      quick = [attack for attack in kinds.ATTACKS if not attack.is_slow]
      _grade(grader, quick, outside.facts, report)
      _grade(grader, quick[::-1], outside.facts, report)
    _run_slow(tier, outside.facts, report)
    report.damage = outside.damage()
    report.leftovers = [
        *(f"process {x}" for x in sorted(_survivors(processes))),
        *(f"file {x}" for x in sorted(_open_files() - files)),
    ]
  return report


def _run_slow(tier: Tier, facts: dict[str, Any], report: Report) -> None:
  """Grades those that run until they are stopped, and takes the time."""
  slow = [attack for attack in kinds.ATTACKS if attack.is_slow]
  rounds = -(-len(slow) // _HASTY_WORKERS)
  start = time.monotonic()
  with CodeGrader(
      num_workers=_HASTY_WORKERS, timeout_s=_HASTY_S, tier=tier
  ) as grader:
    _grade(grader, slow, facts, report)
  allowed_s = rounds * (stopwatch.CLOCK_FACTOR * _HASTY_S + _OVERHEAD_S)
  report.slow_batch = (time.monotonic() - start) / allowed_s


def _grade(
    grader: CodeGrader,
    attacks: list[Attack],
    facts: dict[str, Any],
    report: Report,
) -> None:
  tests = [
      attack.tests.format(world=facts)
      if attack.tests == PROBE_TESTS
      else attack.tests
      for attack in attacks
  ]
  grades = grader.grade(
      [attack.solution for attack in attacks],
      tests,
      [attack.entry_point for attack in attacks],
  )
  for attack, grade in zip(attacks, grades, strict=True):
    # One source of rewards; the other is what it is reported by.
    status = grade.status
    if grade.is_correct != (status == "pass"):
      status = f"{status} with is_correct={grade.is_correct}"
    report.statuses.setdefault(attack.name, []).append(status)
  plain = honest.ATTACKS[0]
  for i in range(4):
    source = f"{plain.solution}# {i}\n"
    (grade,) = grader.grade([source], [plain.tests], [plain.entry_point])
    report.aftermath.append(grade.status)


def _survivors(before: set[int], patience_s: float = 5.0) -> set[int]:
  """Processes that are still there after a while: the kernel ends them late."""
  end = time.monotonic() + patience_s
  while (pids := _children() - before) and time.monotonic() < end:
    for pid in pids:
      try:
        os.waitpid(pid, os.WNOHANG)
      except ChildProcessError:
        continue
    time.sleep(0.05)
  return pids


def _children() -> set[int]:
  """All processes that descend from this one."""
  parents = {}
  for folder in pathlib.Path("/proc").glob("[0-9]*"):
    try:
      text = (folder / "stat").read_text()
    except OSError:  # it has ended
      continue
    parents[int(folder.name)] = int(text.rpartition(")")[2].split()[1])
  found = {os.getpid()}
  while more := {p for p, q in parents.items() if q in found} - found:
    found |= more
  return found


def _open_files() -> set[str]:
  return {f"{fd}" for fd in os.listdir("/proc/self/fd")}


if __name__ == "__main__":
  print(json.dumps(dataclasses.asdict(run(Tier(sys.argv[1])))))
