"""Gemma 2 2B is updated on 16 v5e chips, as its compiler sees it."""

from absl.testing import absltest
import pytest

from score_jax.plan import hlo
from score_jax.plan import programs
from score_jax.plan import topologies
from tests.helpers import plan_jobs

pytestmark = pytest.mark.usefixtures("without_kept_programs")


@pytest.mark.slow
class GemmaUpdateTest(absltest.TestCase):
  """16 rows of 2048 tokens, one a chip, without micro-batches."""

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    if topologies.is_available():
      cls.job = plan_jobs.gemma_2b(
          "v5e:4x4",
          problems_per_step=4,
          problems_per_batch=4,
          max_prompt_tokens=927,
          max_new_tokens=512,
          num_microbatches=1,
      )
      cls.program = programs.update_program(cls.job, cls.job.last_phase)

  def setUp(self):
    super().setUp()
    if not topologies.is_available():
      self.skipTest("libtpu is not installed")

  def test_shape(self):
    self.assertEqual(self.job.rows_per_microbatch, 16)
    self.assertEqual(self.job.conversations.row_tokens, 2048)

  def test_memory(self):
    residents = programs.residents(self.job)
    state = residents.bytes["parameters"] + residents.bytes["moments"]
    self.assertGreaterEqual(self.program.memory.aliased, state)
    self.assertLess(self.program.memory.temporaries, 1.7e9)
    peak = residents.peak(self.program, self.program.memory.code)
    self.assertLess(peak, 0.9 * topologies.CHIPS["v5e"].hbm_bytes)

  def test_bytes_on_the_wire(self):
    self.assertLess(hlo.wire_bytes(self.program.collectives), 16e9)

  def test_the_embedding_stays_where_it_is(self):
    # All of it in bfloat16, whatever the shape it is moved in.
    table = 2 * self.job.model.vocab_size * self.job.model.d_model
    in_loops = [c for c in self.program.collectives if c.is_in_loop]
    self.assertNotEmpty(in_loops)
    self.assertLess(max(c.result_bytes for c in in_loops), table / 10)

  def test_products_are_8_n_tokens(self):
    # Forward, backward, and forward again of the layers: 6 N + 2 N a token.
    # Attention is in kernels; the vocabulary's products are computed again too.
    matrices = 2.61e9 * 16 * 2048
    self.assertBetween(self.program.flops.total, 7.9 * matrices, 8.1 * matrices)


if __name__ == "__main__":
  absltest.main()
