"""The attacks are real.

Each forgery fools a grader that is often written, and each probe reaches
something where there is no wall.
"""

from absl.testing import absltest
from absl.testing import parameterized
import pytest

from tests.helpers.attacks import kinds
from tests.helpers.attacks import naive
from tests.helpers.attacks import world


class NaiveTest(parameterized.TestCase):

  @parameterized.named_parameters(
      (f"{attack.name}_{protocol}", attack, protocol)
      for attack in kinds.FORGERIES
      for protocol in attack.fools
  )
  @pytest.mark.slow
  def test_forgery_fools(self, attack, protocol):
    self.assertTrue(naive.is_fooled(protocol, attack))

  @parameterized.named_parameters((a.name, a) for a in kinds.PROBES)
  @pytest.mark.slow
  def test_probe_reaches_what_is_open(self, attack):
    with world.make_world() as outside:
      # What stays there is removed with the folder.
      here = {"mark": outside.facts["token"], "folders": ["."]}
      found = naive.reached(attack, {**outside.facts, **here})
      if "system_calls" in attack.name and not outside.facts["is_x86"]:
        self.skipTest("the numbers of system calls are those of x86_64")
    if found is None and "crash" in attack.allowed:
      self.skipTest("this kernel has no calls of 32 bits")
    self.assertTrue(found)


if __name__ == "__main__":
  absltest.main()
