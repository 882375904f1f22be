"""Gemma 2 2B samples on 16 v5e chips, as its compiler sees it."""

import contextlib

from absl.testing import absltest
import pytest

from score_jax.plan import programs
from score_jax.plan import topologies
from tests.helpers import plan_jobs

pytestmark = pytest.mark.usefixtures("without_kept_programs")


class _EnoughError(Exception):
  """What the tests look at is compiled."""


@pytest.mark.slow
class GemmaSamplerTest(absltest.TestCase):

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    if not topologies.is_available():
      return
    cls.job = plan_jobs.gemma_2b("v5e:4x4")
    cls.programs = {}

    def keep(program):
      cls.programs[program.name] = program
      if program.name == "decode":
        raise _EnoughError  # the others take long to compile

    with contextlib.suppress(_EnoughError):
      programs.sampling_programs(cls.job, keep)

  def setUp(self):
    super().setUp()
    if not topologies.is_available():
      self.skipTest("libtpu is not installed")

  def test_peak_below_nine_tenths(self):
    residents = programs.residents(self.job)
    for program in self.programs.values():
      peak = residents.peak(program, program.memory.code)
      self.assertLess(peak, 0.9 * topologies.CHIPS["v5e"].hbm_bytes)

  def test_the_cache_is_donated_and_not_copied(self):
    cache = programs.residents(self.job).bytes["cache"]
    taken = self.programs["decode"].memory
    self.assertGreaterEqual(taken.aliased, cache)
    self.assertLess(taken.temporaries, 0.1 * cache)

  def test_no_weights_move_while_decoding(self):
    moved = [c for c in self.programs["decode"].collectives if c.unknown_loops]
    # Two sums of hidden states in each layer, and those of the logits.
    sums = [c for c in moved if c.kind == "all-reduce"]
    self.assertGreaterEqual(len(sums), 2 * self.job.model.num_layers)
    self.assertLess(max(c.result_bytes for c in moved), 2**20)
    # Of 64 rows: 2 (n - 1) / n of each, in bfloat16, and little else.
    hidden = 64 * self.job.model.d_model * 2
    one = 1.5 * hidden * (2 * self.job.model.num_layers + 1)
    self.assertLess(sum(c.wire_bytes for c in moved), 1.01 * one)


if __name__ == "__main__":
  absltest.main()
