"""Tests of score_jax.output.phase_axis."""

from absl.testing import absltest

from score_jax.output import phase_axis


class PhaseAxisTest(absltest.TestCase):

  def test_phases_lie_end_to_end(self):
    spans = phase_axis.spans({"base": 0, "stage1": 3, "stage2": 2})
    self.assertEqual(
        spans, {"base": (0, 0), "stage1": (0, 3), "stage2": (3, 5)}
    )
    self.assertEqual(list(spans), ["base", "stage1", "stage2"])
    self.assertEqual(phase_axis.spans({}), {})

  def test_a_recorded_phase_is_as_long_as_its_last_step(self):
    positions = [("stage1", 0), ("stage1", 7), ("stage2", 5), ("stage2", 4)]
    records = [{"stage": phase, "step": step} for phase, step in positions]
    self.assertEqual(
        phase_axis.recorded_spans(records),
        {"stage1": (0, 7), "stage2": (7, 12)},
    )


if __name__ == "__main__":
  absltest.main()
