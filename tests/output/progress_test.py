"""Tests of score_jax.output.progress."""

import contextlib
import io
import os
import re
from unittest import mock

from absl.testing import absltest
import rich.console

from score_jax.output import progress


class _Terminal(io.StringIO):

  def isatty(self):
    return True


class _Clock:
  """Stands in for the module `time`; moves only when told."""

  def __init__(self):
    self.now = 0.0

  def monotonic(self):
    return self.now


def _train(total: int, seconds_per_step: float, **options) -> str:
  """Runs a phase on a clock that moves, and returns what was printed."""
  clock = _Clock()
  output = io.StringIO()
  with (
      mock.patch.object(progress, "time", clock),
      contextlib.redirect_stdout(output),
      progress.TrainProgress("Stage I", total, **options) as bar,
  ):
    for step in range(options.get("start", 0) + 1, total + 1):
      clock.now += seconds_per_step
      bar.update(
          step,
          rewards=[0.25, 0.5],
          kl=0.0321,
          tokens_per_second=12345.0,
      )
  return output.getvalue()


def _last_line(terminal: _Terminal) -> str:
  """The last line on the screen, without control codes."""
  plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
  return plain.strip().splitlines()[-1].rstrip()


class PlainTest(absltest.TestCase):

  def test_lines_come_at_the_interval_and_at_the_end(self):
    lines = _train(100, seconds_per_step=1.0).splitlines()
    steps = [line.split()[2] for line in lines]
    self.assertEqual(steps, [f"{step}/100" for step in range(10, 101, 10)])

  def test_quick_work_is_one_line(self):
    lines = _train(100, seconds_per_step=0.01).splitlines()
    self.assertEqual(
        lines,
        ["Stage I 100/100  reward 0.250/0.500  KL 0.032  12.3k tok/s"],
    )

  def test_time_left_leaves_out_the_first_step(self):
    clock, output = _Clock(), io.StringIO()
    with (
        mock.patch.object(progress, "time", clock),
        contextlib.redirect_stdout(output),
        progress.work_progress("Warm-up", 62) as advance,
    ):
      clock.now = 500.0  # Compilation.
      advance()
      clock.now += 60.0
      advance(1, "loss 0.5")
      clock.now += 60.0
      advance(59)
    lines = output.getvalue().splitlines()
    self.assertEqual(lines[0], "Warm-up 1/62")
    self.assertEqual(lines[1], "Warm-up 2/62  loss 0.5  1:00:00 left")
    # 120 seconds for 60 steps: two for the last one.
    self.assertEqual(lines[2], "Warm-up 61/62  0:02 left")

  def test_resumed_phase_counts_only_its_own_steps(self):
    text = _train(100, seconds_per_step=1.0, start=80, interval_s=5.0)
    self.assertIn("Stage I 85/100  ", text)
    self.assertIn("0:15 left", text)

  def test_no_control_codes_even_when_color_is_forced(self):
    with mock.patch.dict(os.environ, {"FORCE_COLOR": "1"}):
      text = _train(10, seconds_per_step=5.0)
    self.assertIn("Stage I 10/10", text)
    self.assertNotIn("\x1b", text)
    self.assertNotIn("\r", text)

  def test_long_lines_are_not_folded_and_brackets_are_text(self):
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
      with progress.work_progress("[bold]Evaluation", 1) as advance:
        advance(1, "x" * 200)
    expected = "[bold]Evaluation 1/1  " + "x" * 200 + "\n"
    self.assertEqual(output.getvalue(), expected)

  def test_last_state_is_printed_when_the_work_fails(self):
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
      with self.assertRaises(ZeroDivisionError):
        with progress.work_progress("Evaluation", 3) as advance:
          advance(2)
          _ = 1 / 0
    self.assertEqual(output.getvalue(), "Evaluation 2/3\n")


class TerminalTest(absltest.TestCase):

  def test_bar_fits_eighty_columns(self):
    terminal, clock = _Terminal(), _Clock()
    console = rich.console.Console(
        file=terminal, width=80, _environ={"TERM": "xterm"}
    )
    with (
        mock.patch.object(progress, "console", console),
        mock.patch.object(progress, "time", clock),
        progress.TrainProgress("Stage II", 1000) as bar,
    ):
      for step in (1, 2):
        clock.now += 10.0
        bar.update(step, rewards=[0.4, 0.5], kl=0.1, tokens_per_second=9876)
    self.assertIn("\x1b[", terminal.getvalue())
    last = _last_line(terminal)
    self.assertLessEqual(len(last), 80)
    self.assertRegex(
        last,
        r"^Stage II .* +2/1000 reward 0.400/0.500  KL 0.100  9876 tok/s"
        r" 2:46:20 left$",
    )

  def test_work_inside_a_phase_has_its_own_bar(self):
    terminal = _Terminal()
    console = rich.console.Console(
        file=terminal, width=80, _environ={"TERM": "xterm"}
    )
    with (
        mock.patch.object(progress, "console", console),
        progress.work_progress("Stage I", 2) as advance,
    ):
      with progress.work_progress("Validation", 3) as advance_inner:
        advance_inner(3)
      advance(2)
    self.assertRegex(terminal.getvalue(), "Validation.*3/3")
    self.assertRegex(_last_line(terminal), "^Stage I .*2/2")


if __name__ == "__main__":
  absltest.main()
