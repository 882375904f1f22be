"""The grader against all attacks, in every tier and as every user there is."""

import functools
import json
import os
import subprocess

from absl.testing import absltest
from absl.testing import parameterized
import pytest

from score_jax.grading.sandbox import Tier
from tests.helpers.attacks import kinds
from tests.helpers.attacks import run
from tests.helpers.attacks import user

# Root is stopped by other means than everybody else: both are tried.
USERS = ("self", "nobody") if os.getuid() == 0 else ("self",)
TIERS = (Tier.NAMESPACES, Tier.SECCOMP)
WALLS = tuple((who, tier) for who in USERS for tier in TIERS)

_TIMEOUT_S = 300.0


@functools.cache
def _report(who: str, tier: Tier) -> run.Report:
  """What came of all attacks; each combination is run once."""
  if who == "nobody" and (reason := user.why_not_nobody()):
    return run.Report(refused=reason)
  try:
    done = user.run_module(
        who, "tests.helpers.attacks.run", [tier.value], _TIMEOUT_S
    )
  except subprocess.TimeoutExpired as error:
    return run.Report(failure=str(error))
  if done.returncode != 0:
    return run.Report(failure=done.stderr[-3000:])
  return run.Report(**json.loads(done.stdout.splitlines()[-1]))


class GraderTest(parameterized.TestCase):

  def _report(self, who, tier):
    report = _report(who, tier)
    self.assertEmpty(report.failure)
    if report.refused:
      self.skipTest(report.refused)
    return report

  @parameterized.named_parameters(
      (f"{attack.name}_{who}_{tier.value}", attack, who, tier)
      for who, tier in WALLS
      for attack in kinds.ATTACKS
  )
  @pytest.mark.slow
  def test_attack(self, attack, who, tier):
    statuses = self._report(who, tier).statuses[attack.name]
    self.assertContainsSubset(statuses, attack.allowed)
    # Once for each order of the others. In which way an attack failed may
    # depend on which of two processes was the first.
    self.assertLen({status == "pass" for status in statuses}, 1)

  @parameterized.product(wall=WALLS)
  def test_the_grader_outlives_them(self, wall):
    self.assertEqual(set(self._report(*wall).aftermath), {"pass"})

  @parameterized.product(wall=WALLS)
  def test_nothing_happens_outside(self, wall):
    self.assertEmpty(self._report(*wall).damage)

  @parameterized.product(wall=WALLS)
  @pytest.mark.slow
  def test_no_process_and_no_file_stays(self, wall):
    self.assertEmpty(self._report(*wall).leftovers)

  @parameterized.product(wall=WALLS)
  def test_time_is_bounded(self, wall):
    self.assertLess(self._report(*wall).slow_batch, 1.0)

  def test_there_is_a_wall(self):
    # Else a grader that refuses everything would pass by skipping.
    reports = [_report("self", tier) for tier in TIERS]
    self.assertTrue(any(report.statuses for report in reports))


class AttacksTest(absltest.TestCase):

  def test_names_are_unique(self):
    names = [attack.name for attack in kinds.ATTACKS]
    self.assertLen(set(names), len(names))

  def test_only_the_honest_and_the_probes_may_pass(self):
    allowed = {a.name for a in kinds.ATTACKS if "pass" in a.allowed}
    honest = (*kinds.HONEST, *kinds.PROBES)
    self.assertEqual(
        allowed, {a.name for a in honest} | {"index_error_ends_the_iteration"}
    )


if __name__ == "__main__":
  absltest.main()
