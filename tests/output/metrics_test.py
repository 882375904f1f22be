"""Tests of score_jax.output.metrics."""

import json
import math
import pathlib
import struct
import tempfile

from absl.testing import absltest
import jax.numpy as jnp
import numpy as np
from tensorboardX.proto import event_pb2

from score_jax.output import metrics

PHASES = {"base": 0, "stage1": 3, "stage2": 2}


def _events(workdir: pathlib.Path) -> list[event_pb2.Event]:
  """All events of a run, oldest file first, as TensorBoard reads them."""
  events = []
  for path in sorted((workdir / "tensorboard").glob("*tfevents*")):
    data, position = path.read_bytes(), 0
    while position < len(data):
      # Length, checksum of the length, event, checksum of the event.
      (length,) = struct.unpack_from("<Q", data, position)
      event = data[position + 12 : position + 12 + length]
      events.append(event_pb2.Event.FromString(event))
      position += 16 + length
  return events


def _shown_scalars(workdir: pathlib.Path) -> list[tuple[int, str, float]]:
  """What TensorBoard shows: a session's start hides later steps before it."""
  shown = []
  for event in _events(workdir):
    if event.HasField("session_log"):
      shown = [scalar for scalar in shown if scalar[0] < event.step]
    for value in event.summary.value:
      shown.append((event.step, value.tag, value.simple_value))
  return shown


class MetricsWriterTest(absltest.TestCase):

  def setUp(self):
    super().setUp()
    directory = self.enterContext(tempfile.TemporaryDirectory())
    self.workdir = pathlib.Path(directory) / "run"
    self.path = self.workdir / "metrics.jsonl"

  def _write_run(self):
    with metrics.MetricsWriter(self.workdir, PHASES) as writer:
      writer.write("base", 0, {"validation/accuracy_t1": 0.25})
      for step in (1, 2, 3):
        writer.write("stage1", step, {"train/accuracy_t1": step / 8})
      writer.write("stage2", 1, {"train/accuracy_t1": 0.5})

  def test_record_holds_phase_step_time_and_scalars(self):
    with metrics.MetricsWriter(self.workdir, PHASES) as writer:
      scalars = {
          "train/loss": 1,
          "train/kl_t1": np.float32(0.5),
          "train/kl_t2": jnp.asarray(0.25),
      }
      writer.write("stage1", 2, scalars)
    (record,) = metrics.read_metrics(self.path)
    self.assertGreaterEqual(record.pop("time_s"), 0.0)
    self.assertEqual(
        record,
        {
            "stage": "stage1",
            "step": 2,
            "train/loss": 1.0,
            "train/kl_t1": 0.5,
            "train/kl_t2": 0.25,
        },
    )

  def test_lines_are_on_disk_before_the_writer_is_closed(self):
    with metrics.MetricsWriter(self.workdir, PHASES) as writer:
      writer.write("stage1", 1, {"train/loss": 1.0})
      self.assertLen(metrics.read_metrics(self.path), 1)

  def test_not_finite_numbers_become_null_in_strict_json(self):
    bad = {
        "train/kl_t1": math.nan,
        "train/kl_t2": math.inf,
        "train/kl_t3": -math.inf,
        "train/loss": 2.0,
    }
    with metrics.MetricsWriter(self.workdir, PHASES) as writer:
      writer.write("stage1", 1, bad)

    def refuse(literal):
      raise AssertionError(f"{literal} is not JSON")

    record = json.loads(self.path.read_text(), parse_constant=refuse)
    self.assertEqual(record["train/loss"], 2.0)
    for name in ("train/kl_t1", "train/kl_t2", "train/kl_t3"):
      self.assertIn(name, record)
      self.assertIsNone(record[name])
    self.assertEqual(_shown_scalars(self.workdir), [(1, "train/loss", 2.0)])

  def test_tensorboard_holds_the_same_scalars_at_global_steps(self):
    self._write_run()
    self.assertEqual(
        _shown_scalars(self.workdir),
        [
            (0, "validation/accuracy_t1", 0.25),
            (1, "train/accuracy_t1", 0.125),
            (2, "train/accuracy_t1", 0.25),
            (3, "train/accuracy_t1", 0.375),
            (4, "train/accuracy_t1", 0.5),
        ],
    )

  def test_global_step_adds_the_lengths_of_all_earlier_phases(self):
    phase_steps = {"warmup": 10, "stage1": 3, "stage2": 2}
    with metrics.MetricsWriter(self.workdir, phase_steps) as writer:
      self.assertEqual(writer.global_step("warmup", 7), 7)
      self.assertEqual(writer.global_step("stage1", 0), 10)
      self.assertEqual(writer.global_step("stage2", 2), 15)

  def test_resumed_run_ends_like_an_uninterrupted_one(self):
    self._write_run()
    resume = ("stage1", 2)
    with metrics.MetricsWriter(self.workdir, PHASES, resume) as writer:
      writer.write("stage1", 3, {"train/accuracy_t1": 0.75})
      writer.write("stage2", 1, {"train/accuracy_t1": 1.0})
    records = metrics.read_metrics(self.path)
    self.assertEqual(
        [(r["stage"], r["step"], r.get("train/accuracy_t1")) for r in records],
        [
            ("base", 0, None),
            ("stage1", 1, 0.125),
            ("stage1", 2, 0.25),
            ("stage1", 3, 0.75),
            ("stage2", 1, 1.0),
        ],
    )
    shown = _shown_scalars(self.workdir)
    self.assertEqual([step for step, _, _ in shown], [0, 1, 2, 3, 4])
    self.assertEqual([value for _, _, value in shown][3:], [0.75, 1.0])

  def test_time_goes_on_where_the_kept_records_end(self):
    self._write_run()
    lines = self.path.read_text().splitlines()
    record = json.loads(lines[1]) | {"time_s": 1000.0}
    self.path.write_text(json.dumps(record) + "\n")
    resume = ("stage1", 1)
    with metrics.MetricsWriter(self.workdir, PHASES, resume) as writer:
      writer.write("stage1", 2, {})
    time_s = metrics.read_metrics(self.path)[-1]["time_s"]
    self.assertBetween(time_s, 1000.0, 1100.0)

  def test_without_a_checkpoint_the_record_starts_over(self):
    self._write_run()
    with metrics.MetricsWriter(self.workdir, PHASES) as writer:
      writer.write("stage1", 1, {"train/accuracy_t1": 1.0})
    self.assertLen(metrics.read_metrics(self.path), 1)
    shown = _shown_scalars(self.workdir)
    self.assertEqual(shown, [(1, "train/accuracy_t1", 1.0)])

  def test_mistakes_are_named(self):
    with metrics.MetricsWriter(self.workdir, PHASES) as writer:
      with self.assertRaisesRegex(ValueError, "unknown phase 'stage3'"):
        writer.write("stage3", 1, {})
      with self.assertRaisesRegex(ValueError, "step 4 is outside .* 3 steps"):
        writer.write("stage1", 4, {})
      with self.assertRaisesRegex(ValueError, r"\['step'\]"):
        writer.write("stage1", 1, {"step": 2.0})
      with self.assertRaisesRegex(ValueError, r"\['train/los'\] are not decl"):
        writer.write("stage1", 1, {"train/loss": 2.0, "train/los": 2.0})
    self.assertEqual(self.path.read_bytes(), b"")


class TruncateMetricsTest(absltest.TestCase):

  def setUp(self):
    super().setUp()
    directory = self.enterContext(tempfile.TemporaryDirectory())
    self.path = pathlib.Path(directory) / "metrics.jsonl"
    self.positions = [
        ("base", 0),
        ("stage1", 1),
        ("stage1", 2),
        ("stage1", 3),
        ("stage2", 1),
    ]
    lines = (
        json.dumps({"stage": phase, "step": step, "x": 0.1})
        for phase, step in self.positions
    )
    self.path.write_text("".join(line + "\n" for line in lines))

  def _positions(self):
    return [(r["stage"], r["step"]) for r in metrics.read_metrics(self.path)]

  def test_drops_exactly_the_later_records(self):
    for number, (phase, step) in reversed(list(enumerate(self.positions))):
      dropped = metrics.truncate_metrics(self.path, list(PHASES), phase, step)
      self.assertEqual(self._positions(), self.positions[: number + 1])
      self.assertEqual(dropped, number < len(self.positions) - 1)

  def test_kept_lines_keep_their_bytes(self):
    before = self.path.read_bytes().splitlines()
    metrics.truncate_metrics(self.path, list(PHASES), "stage1", 2)
    self.assertEqual(self.path.read_bytes().splitlines(), before[:3])
    self.assertEqual(list(self.path.parent.iterdir()), [self.path])

  def test_every_torn_last_line_is_dropped(self):
    whole = self.path.read_bytes()
    line = b'{"stage": "stage1", "step": 2, "x": 1.5}'
    for length in range(1, len(line)):
      self.path.write_bytes(whole + line[:length])
      self.assertEqual(self._positions(), self.positions)
      metrics.truncate_metrics(self.path, list(PHASES), "stage2", 2)
      self.assertEqual(self.path.read_bytes(), whole)

  def test_last_line_that_lacks_only_its_end_is_kept(self):
    whole = self.path.read_bytes()
    self.path.write_bytes(whole.rstrip(b"\n"))
    metrics.truncate_metrics(self.path, list(PHASES), "stage2", 2)
    self.assertEqual(self.path.read_bytes(), whole)

  def test_damage_in_the_middle_is_not_passed_over(self):
    self.path.write_bytes(b'{"stage": "ba\n' + self.path.read_bytes())
    with self.assertRaisesRegex(ValueError, "line 1 of .* is not JSON"):
      metrics.truncate_metrics(self.path, list(PHASES), "stage2", 2)

  def test_missing_file_stays_missing(self):
    self.path.unlink()
    dropped = metrics.truncate_metrics(self.path, list(PHASES), "stage1", 1)
    self.assertEqual(dropped, 0)
    self.assertFalse(self.path.exists())

  def test_unknown_phase_in_the_file_is_named(self):
    with self.assertRaisesRegex(ValueError, "unknown phase 'base'"):
      metrics.truncate_metrics(self.path, ["stage1", "stage2"], "stage2", 2)


if __name__ == "__main__":
  absltest.main()
