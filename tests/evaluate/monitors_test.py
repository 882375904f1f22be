"""Tests of score_jax.evaluate.monitors."""

from absl.testing import absltest
from absl.testing import parameterized

from score_jax.evaluate import monitors


def _step(phase, step, **values):
  """A record of a training step; validation is added by `_validation`."""
  scalars = {
      "train/accuracy_t1": 0.5,
      "train/accuracy_t2": 0.5,
      "train/truncated_t1": 0.0,
      "train/truncated_t2": 0.0,
      "train/kl_t1": 0.1,
      "train/copied": 0.5,
      "train/same_answer": 0.5,
      "train/new_tokens_per_row": 14.0,
  }
  values = {f"train/{name}": value for name, value in values.items()}
  return {"stage": phase, "step": step, **scalars, **values}


def _validation(phase, step, t1, t2, changed=0.3):
  return {
      "stage": phase,
      "step": step,
      "validation/accuracy_t1": t1,
      "validation/accuracy_t2": t2,
      "validation/answer_change_rate": changed,
  }


def _found(records, **arguments):
  return [
      (n.phase, n.step, n.name) for n in monitors.warnings(records, **arguments)
  ]


class MonitorsTest(parameterized.TestCase):

  @parameterized.parameters(
      (0.44, 0.60, True),  # spoiled, and the second better
      (0.44, 0.49, True),  # or as good as it was
      (0.44, 0.47, False),  # both became worse
      (0.46, 0.60, False),  # within what problems make up
      (0.60, 0.60, False),
  )
  def test_sandbagging(self, t1, t2, is_found):
    records = [_validation("s", 0, 0.5, 0.5), _validation("s", 20, t1, t2)]
    expected = [("s", 20, "sandbagging")] if is_found else []
    self.assertEqual(_found(records), expected)

  def test_sandbagging_counts_from_the_beginning_of_the_phase(self):
    records = [
        _validation("a", 0, 0.6, 0.5),
        _validation("a", 20, 0.56, 0.5),
        _validation("b", 0, 0.56, 0.5),
        _validation("b", 20, 0.52, 0.5),
        _validation("b", 40, 0.50, 0.5),
    ]
    self.assertEqual(_found(records), [("b", 40, "sandbagging")])

  @parameterized.parameters(
      (0.3, 0.01, 0.6, True),
      (0.3, 0.03, 0.6, False),  # not gone
      (0.05, 0.01, 0.6, False),  # never there
      (0.3, 0.01, 0.96, False),  # nothing to correct
  )
  def test_collapse(self, before, after, t2, is_found):
    """Also when the answers were changed in an earlier phase."""
    records = [
        _validation("a", 0, 0.5, 0.5, before),
        _validation("b", 0, 0.5, 0.5, 0.05),
        _validation("b", 20, 0.5, t2, after),
    ]
    expected = [("b", 20, "collapse")] if is_found else []
    self.assertEqual(_found(records), expected)

  @parameterized.parameters(
      (0.95, 0.95, 0.50, True),
      (0.95, 0.10, 0.50, True),  # without answers
      (0.10, 0.95, 0.505, True),  # in other words
      (0.95, 0.95, 0.40, True),  # and what is left makes it worse
      (0.89, 0.89, 0.50, False),
      (0.95, 0.95, 0.52, False),  # the rest corrects
  )
  def test_copying(self, copied, same_answer, t2, is_found):
    values = {"copied": copied, "same_answer": same_answer, "accuracy_t2": t2}
    records = [_step("stage1", i, **values) for i in range(1, 6)]
    expected = [("stage1", 5, "copying")] if is_found else []
    self.assertEqual(_found(records), expected)

  def test_copying_is_told_of_phases_that_hold_first_attempts(self):
    """Elsewhere first attempts become right, and copies of them too."""
    records = [_step("a", i, copied=0.95, same_answer=0.9) for i in range(6)]
    self.assertEmpty(_found(records))
    self.assertEqual(_found(records, anchored=("a",)), [("a", 4, "copying")])
    (notice,) = monitors.warnings(records, anchored=("a",))
    self.assertIn("95.0% of sampled second attempts repeat", notice.message)

  def test_copies_of_what_is_right_are_no_copying(self):
    values = {"copied": 1.0, "same_answer": 1.0}
    values |= {"accuracy_t1": 0.96, "accuracy_t2": 0.96}
    records = [_step("stage1", i, **values) for i in range(1, 6)]
    self.assertEmpty(_found(records))

  def test_truncation_of_either_attempt(self):
    for attempt in (1, 2):
      records = [
          _step("s", i, **{f"truncated_t{attempt}": 0.25}) for i in range(1, 8)
      ]
      self.assertEqual(_found(records), [("s", 5, "truncation")])
      (notice,) = monitors.warnings(records)
      self.assertIn(f"25.0% of attempts {attempt} are cut", notice.message)

  def test_one_bad_batch_is_none(self):
    shares = (0.0, 0.0, 0.0, 0.0, 0.9, 0.0, 0.9, 0.9)
    records = [
        _step("s", i, truncated_t1=share, kl_t1=10 * share)
        for i, share in enumerate(shares, start=1)
    ]
    expected = [("s", 8, "truncation"), ("s", 8, "first_attempt_kl")]
    self.assertEqual(_found(records), expected)

  @parameterized.parameters(
      ("stage1", 0.6, 14, True),
      ("stage1", 0.4, 14, False),
      ("stage1", 0.6, 600, True),  # whatever the length
      ("stage2", 0.6, 14, False),
      ("stage2", 2.2, 14, True),  # 7 tokens of an attempt: 0.31 each
      ("stage2", 2.0, 14, False),
      ("stage2", 2.2, 600, False),
  )
  def test_kl_is_held_where_the_phase_holds_it(self, phase, kl, tokens, found):
    records = [
        _step(phase, i, kl_t1=kl, new_tokens_per_row=tokens)
        for i in range(1, 6)
    ]
    expected = [(phase, 5, "first_attempt_kl")] if found else []
    self.assertEqual(_found(records), expected)

  def test_the_caller_names_the_phases_that_hold(self):
    records = [_step("stage1a", i, kl_t1=0.6) for i in range(1, 6)]
    self.assertEmpty(_found(records))
    self.assertLen(_found(records, anchored=("stage1a",)), 1)

  def _bad_run(self):
    records = []
    for phase in ("stage1", "stage2"):
      records.append(_validation(phase, 0, 0.5, 0.5))
      for i in range(1, 11):
        record = _step(phase, i, truncated_t1=0.1 * i, kl_t1=1.0 * i)
        if i % 5 == 0:
          record |= _validation(phase, i, 0.5 - 0.04 * i, 0.5, 0.01)
        records.append(record)
    return records

  def test_each_kind_once_per_phase(self):
    found = _found(self._bad_run())
    kinds = [(phase, name) for phase, _, name in found]
    self.assertLen(set(kinds), len(kinds))
    self.assertLen(kinds, 8)

  def test_what_was_found_stays_as_it_was(self):
    records = self._bad_run()
    whole = monitors.warnings(records)
    for n in range(len(records)):
      part = monitors.warnings(records[:n])
      self.assertEqual(part, whole[: len(part)])

  def test_records_may_lack_what_a_monitor_reads(self):
    """As of supervised phases; and null stands for what is not finite."""
    records = [{"stage": "sft", "step": i, "train/loss": 1.0} for i in range(9)]
    records += [_step("s", i, kl_t1=None) for i in range(1, 9)]
    records += [_validation("s", 9, None, 0.5)]
    self.assertEmpty(_found(records))
    self.assertEmpty(_found([]))


if __name__ == "__main__":
  absltest.main()
