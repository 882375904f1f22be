"""Progress of long work: a live bar on a terminal, plain lines elsewhere.

This module and `report/tables.py` hold the console; other modules print
through it.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import time
from typing import Protocol

import rich.console
import rich.progress

# Looks sys.stdout up at every use, so redirection is respected.
console = rich.console.Console(highlight=False)


def is_terminal() -> bool:
  """Tells whether standard output is a terminal with control codes."""
  # FORCE_COLOR makes rich take a log file for a terminal: ask the file too.
  is_tty = console.is_terminal and console.file.isatty()
  return is_tty and not console.is_dumb_terminal


class _Display(Protocol):
  """Where the state of one piece of work is shown."""

  def show(self, step: int, note: str, time_left: str) -> None:
    ...

  def close(self) -> None:
    ...


class _BarDisplay:
  """A live bar."""

  def __init__(self, description: str, total: int, start: int):
    # What the other columns need at the most; the bar takes the rest.
    bar_width = max(5, min(40, console.width - 75))
    self._bar = rich.progress.Progress(
        rich.progress.TextColumn("{task.description}", markup=False),
        rich.progress.BarColumn(bar_width=bar_width),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TextColumn("{task.fields[note]}", markup=False),
        rich.progress.TextColumn("{task.fields[time_left]}", markup=False),
        console=console,
    )
    self._task = self._bar.add_task(
        description, total=total, completed=start, note="", time_left=""
    )
    self._bar.start()

  def show(self, step: int, note: str, time_left: str) -> None:
    self._bar.update(self._task, completed=step, note=note, time_left=time_left)

  def close(self) -> None:
    self._bar.stop()


class _LineDisplay:
  """A line every `interval_s` seconds, and the last."""

  def __init__(self, description: str, total: int, interval_s: float):
    self._description = description
    self._total = total
    self._interval_s = interval_s
    self._printed_s = time.monotonic()
    self._pending = None

  def show(self, step: int, note: str, time_left: str) -> None:
    parts = [f"{self._description} {step}/{self._total}", note, time_left]
    self._pending = "  ".join(part for part in parts if part)
    now = time.monotonic()
    if now - self._printed_s >= self._interval_s:
      self._printed_s = now
      self._flush()

  def close(self) -> None:
    self._flush()

  def _flush(self) -> None:
    if self._pending is not None:
      # Soft wrap: a log has no width. No markup: brackets are text.
      console.print(self._pending, markup=False, soft_wrap=True)
      self._pending = None


class _Progress:
  """Steps of one piece of work, with the time left; a context manager."""

  def __init__(
      self, description: str, total: int, start: int, interval_s: float
  ):
    self._total = total
    self._first = None
    if is_terminal():
      self._display: _Display = _BarDisplay(description, total, start)
    else:
      self._display = _LineDisplay(description, total, interval_s)

  def __enter__(self):
    return self

  def __exit__(self, *exc_info: object) -> None:
    self._display.close()

  def _show(self, step: int, note: str) -> None:
    self._display.show(step, note, self._time_left(step))

  def _time_left(self, step: int) -> str:
    # Timed from the first update: the time before it is mostly compilation.
    now = time.monotonic()
    if self._first is None:
      self._first = (step, now)
    first_step, first_s = self._first
    if step <= first_step or step >= self._total:
      return ""
    seconds_per_step = (now - first_s) / (step - first_step)
    return _duration(seconds_per_step * (self._total - step)) + " left"


class TrainProgress(_Progress):
  """Shows the progress of one phase of training; a context manager.

  On a terminal it is a live bar, which stays when the phase is over. Elsewhere
  it is a plain line now and then, without control codes.
  """

  def __init__(
      self,
      description: str,
      total: int,
      start: int = 0,
      interval_s: float = 10.0,
  ):
    """Shows the phase at its start.

    Args:
      description: label of the phase, such as "Stage I".
      total: number of steps of the phase.
      start: steps done already, for a resumed run.
      interval_s: least time between two plain lines, in seconds.
    """
    super().__init__(description, total, start, interval_s)

  def update(
      self,
      step: int,
      *,
      rewards: Sequence[float],
      kl: float,
      tokens_per_second: float,
  ) -> None:
    """Shows what a step brought.

    Args:
      step: number of steps done, from 1 to the total.
      rewards: mean reward of each attempt, a fraction.
      kl: KL to the reference policy, nats per conversation.
      tokens_per_second: throughput of the whole step.
    """
    shown = "/".join(f"{reward:.3f}" for reward in rewards)
    note = (
        f"reward {shown}  KL {float(kl):.3f}"
        f"  {_quantity(float(tokens_per_second))} tok/s"
    )
    self._show(step, note)


class _WorkProgress(_Progress):

  def __init__(self, description: str, total: int, interval_s: float):
    super().__init__(description, total, 0, interval_s)
    self._step = 0

  def advance(self, count: int = 1, note: str = "") -> None:
    self._step += count
    self._show(self._step, note)


@contextlib.contextmanager
def work_progress(
    description: str, total: int, interval_s: float = 10.0
) -> Iterator[Callable[..., None]]:
  """Shows the progress of long work without rewards, such as an evaluation.

  Args:
    description: what is being done.
    total: number of units of work.
    interval_s: least time between two plain lines, in seconds.

  Yields:
    `advance(count=1, note="")`: to be called when `count` more units are done.
    The note is shown next to the number of units.
  """
  with _WorkProgress(description, total, interval_s) as progress:
    yield progress.advance


def _duration(seconds: float) -> str:
  minutes, second = divmod(round(seconds), 60)
  hours, minute = divmod(minutes, 60)
  if hours:
    return f"{hours}:{minute:02d}:{second:02d}"
  return f"{minute}:{second:02d}"


def _quantity(number: float) -> str:
  if number >= 1e6:
    return f"{number / 1e6:.1f}M"
  return f"{number / 1e3:.1f}k" if number >= 1e4 else f"{number:.0f}"
