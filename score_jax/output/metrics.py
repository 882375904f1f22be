"""Scalars of a run: `metrics.jsonl`, and a copy as TensorBoard events.

`metrics.jsonl` is the record: one line for each step of each phase, flushed as
it is written, so a killed run loses nothing that it had reported. The
TensorBoard events may lack the last seconds before a kill. In a run of several
processes only one of them opens a writer.
"""

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import json
import math
import os
import pathlib
import time

import tensorboardX

from score_jax import scalars as scalars_lib
from score_jax.output import files
from score_jax.output import phase_axis

_RESERVED = frozenset({"stage", "step", "time_s"})
_FLUSH_SECONDS = 5


class MetricsWriter:
  """Appends records to the files of a run; a context manager.

  A record is `{"stage": ..., "step": ..., "time_s": ..., **scalars}`. "stage"
  names the phase. time_s is how long the run has been going, in seconds; the
  parts of a resumed run are added up. TensorBoard knows no phases: there the
  steps of all phases are counted on, see `global_step`.
  """

  def __init__(
      self,
      workdir: str | os.PathLike[str],
      phase_steps: Mapping[str, int],
      resume_from: tuple[str, int] | None = None,
  ):
    """Opens the files, and drops what a resumed run is going to write again.

    Args:
      workdir: run directory, created when missing.
      phase_steps: number of steps of every phase, in the order they run; 0 for
        a phase that is only evaluated.
      resume_from: (phase, step) of the checkpoint that the run goes on from;
        later records are dropped. None starts over: every record is dropped.
    """
    workdir = pathlib.Path(workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    path = workdir / "metrics.jsonl"
    self._spans = phase_axis.spans(phase_steps)
    if resume_from is None:
      path.unlink(missing_ok=True)
      purge_step = 0
    else:
      purge_step = self.global_step(*resume_from) + 1
      truncate_metrics(path, list(phase_steps), *resume_from)
    self._start_s = time.monotonic() - _last_time_s(path)
    self._file = open(path, "ab")
    self._tensorboard = tensorboardX.SummaryWriter(
        str(workdir / "tensorboard"),
        purge_step=purge_step,
        flush_secs=_FLUSH_SECONDS,
        # Names differ by the second only: a quick restart would overwrite.
        filename_suffix=f".{time.time_ns()}",
    )

  def __enter__(self) -> "MetricsWriter":
    return self

  def __exit__(self, *exc_info: object) -> None:
    self.close()

  def global_step(self, phase: str, step: int) -> int:
    """Counts a phase's step on from the steps of all earlier phases."""
    _check_phase(phase, self._spans)
    first, last = self._spans[phase]
    if not 0 <= step <= last - first:
      raise ValueError(
          f"step {step} is outside phase {phase!r}, which has "
          f"{last - first} steps; pass a step from 0 to that number"
      )
    return first + step

  def write(self, phase: str, step: int, scalars: Mapping[str, float]) -> None:
    """Appends one record.

    Args:
      phase: one of the writer's phases.
      step: step within the phase, from 0 to the phase's length.
      scalars: numbers or zero-dimensional arrays by name, such as
        "train/accuracy_t1". One that is not finite becomes null in the JSON
        line and a gap in TensorBoard.

    Raises:
      ValueError: the phase has no such step, or a scalar is not declared in
        score_jax/scalars.py.
    """
    global_step = self.global_step(phase, step)
    clashes = sorted(_RESERVED.intersection(scalars))
    if clashes:
      raise ValueError(f"scalars {clashes} have reserved names; rename them")
    scalars_lib.check_declared(scalars)
    values = {name: float(value) for name, value in scalars.items()}
    elapsed_s = round(time.monotonic() - self._start_s, 3)
    record = {"stage": phase, "step": step, "time_s": elapsed_s}
    record |= {n: v if math.isfinite(v) else None for n, v in values.items()}
    self._file.write(json.dumps(record, allow_nan=False).encode() + b"\n")
    self._file.flush()
    for name, value in values.items():
      if math.isfinite(value):
        self._tensorboard.add_scalar(name, value, global_step)

  def close(self) -> None:
    """Writes out what is pending and closes the files."""
    self._file.close()
    self._tensorboard.close()


def read_metrics(path: str | os.PathLike[str]) -> list[dict]:
  """Reads the records of a `metrics.jsonl`, without a torn last line.

  Args:
    path: the file; it may still be growing.

  Returns:
    One dict per record, in file order; None stands for a number that was not
    finite.
  """
  return [record for _, record in _parse_lines(path)]


def truncate_metrics(
    path: str | os.PathLike[str],
    phase_order: Sequence[str],
    phase: str,
    step: int,
) -> int:
  """Drops the records later than a step of a phase, and a torn last line.

  The file is replaced in one move, so a kill leaves the old or the new file. A
  missing file stays missing.

  Args:
    path: a `metrics.jsonl`.
    phase_order: every phase that the file may name, in the order they run.
    phase: phase of the last record to keep.
    step: step of the last record to keep.

  Returns:
    The number of whole records dropped.
  """
  path = pathlib.Path(path)
  _check_phase(phase, phase_order)
  if not path.exists():
    return 0
  lines = _parse_lines(path)
  last = (phase_order.index(phase), step)
  kept = []
  for line, record in lines:
    _check_phase(record["stage"], phase_order)
    if (phase_order.index(record["stage"]), record["step"]) <= last:
      kept.append(line + b"\n")
  files.write_text(path, b"".join(kept).decode())
  return len(lines) - len(kept)


def _parse_lines(path: str | os.PathLike[str]) -> list[tuple[bytes, dict]]:
  lines = pathlib.Path(path).read_bytes().splitlines()
  parsed = []
  for number, line in enumerate(lines, start=1):
    try:
      parsed.append((line, json.loads(line)))
    except ValueError as error:
      # No proper prefix of a JSON object parses, so a kill shows here, and only
      # at the end. Anything else is damage that must not pass in silence.
      if number < len(lines):
        raise ValueError(
            f"line {number} of {path} is not JSON: {line[:80]!r}; repair or "
            "remove the file"
        ) from error
  return parsed


def _check_phase(phase: str, phases: Iterable[str]) -> None:
  if phase not in phases:
    raise ValueError(
        f"unknown phase {phase!r}; expected one of {list(phases)}: name every "
        "phase of the run, in order"
    )


def _last_time_s(path: pathlib.Path) -> float:
  records = read_metrics(path) if path.exists() else []
  return records[-1]["time_s"] if records else 0.0
