"""The log of a run: records in its directory, and warnings on the terminal."""

from collections.abc import Sequence
import contextlib
from typing import Any

from score_jax import evaluate
from score_jax.devices import distributed
from score_jax.evaluate import monitors
from score_jax.evaluate.monitors import Notice
from score_jax.models.lora import Policy
from score_jax.output import conversations
from score_jax.output import files
from score_jax.output import metrics
from score_jax.output.metrics import MetricsWriter
from score_jax.output.progress import console
from score_jax.output.workdir import Workdir
from score_jax.report import tables
from score_jax.rollouts import protocols
from score_jax.training import checkpoint
from score_jax.training import phases as phases_lib
from score_jax.training.context import RunContext
from score_jax.training.phases import BASE
from score_jax.training.phases import Phase
from score_jax.types import Rollouts

# Share of attempts with a grader's timeout, above which a line is printed.
_MANY_TIMEOUTS = 0.05


class RunLog(contextlib.AbstractContextManager):
  """Scalars, conversations, greedy evaluations and warnings of a run.

  Every process calls every method; process 0 alone writes.
  """

  def __init__(
      self, context: RunContext, workdir: Workdir, phases: Sequence[Phase]
  ):
    """Opens the files; records behind the newest checkpoint are dropped.

    Args:
      context: the run's context.
      workdir: the run's directory.
      phases: all phases of the run.
    """
    self._context = context
    self._workdir = workdir
    self._anchored = phases_lib.anchored(phases)
    self._told: list[Notice] = []  # by the monitors
    self.collector = context.greedy_collector(
        phases_lib.evaluated_attempts(phases)
    )
    steps = {phase.name: phase.steps for phase in phases}
    resume_point = checkpoint.newest(
        {name: workdir.checkpoints(name) for name in steps}
    )
    self._writer = None
    if distributed.is_main():
      self._writer = MetricsWriter(
          workdir.path, {BASE: 0, **steps}, resume_point
      )

  def __exit__(self, *exc_info: object) -> None:
    if self._writer is not None:
      self._writer.close()

  def start(self, phase: Phase, policy: Policy, first_step: int) -> None:
    """Writes the record of a phase before its first update, with validation.

    Args:
      phase: the phase that starts.
      policy: the policy.
      first_step: number of steps that earlier phases sampled.
    """
    rows = self._context.settings.rollout.rows
    self.step(
        phase, 0, {"train/conversations": first_step * rows}, validate=policy
    )

  def step(
      self,
      phase: Phase,
      done: int,
      scalars: dict[str, float],
      validate: Policy | None = None,
  ) -> None:
    """Writes the scalars of an update.

    Args:
      phase: the phase that the update belongs to.
      done: updates of the phase so far.
      scalars: the update's scalars by name.
      validate: policy whose validation metrics are added; None for none.
    """
    if validate is not None:
      scalars = scalars | self._validation(validate)
    if self._writer is None:
      return
    self._writer.write(phase.name, done, scalars)
    if validate is not None:
      self._warn()
    timeouts = scalars.get("grade/status_timeout", 0.0)
    if timeouts > _MANY_TIMEOUTS:
      console.print(
          f"{phase.name}, step {done}: the grader gave up on {timeouts:.0%} of"
          " the attempts, which count as wrong; look at rollouts/, or raise"
          " task.grader.timeout_s"
      )

  def sampled(self, name: str, rollouts: Rollouts) -> None:
    """Writes the first conversations of a training step to a file `name`."""
    settings = self._context.settings
    rows = min(settings.output.rollouts_rows, settings.rollout.rows)
    self._conversations(name, [rollouts], range(rows))

  def test(self, name: str, policy: Policy) -> dict[str, Any]:
    """Greedy metrics on all test problems; read from disk if they are there.

    Args:
      name: name of the phase that `policy` is the result of, or BASE.
      policy: the policy.

    Returns:
      The metrics, see `evaluate.summarize`.
    """
    file = self._workdir.evaluation(name)
    found = distributed.agree(files.read_json(file) if file.exists() else None)
    if found is not None:
      return found
    rollouts = protocols.own_attempts(
        policy,
        self.collector,
        self._context.problems.splits["test"],
        f"Evaluation of {tables.phase_label(name)}",
    )
    values = evaluate.concatenate(evaluate.per_problem(r) for r in rollouts)
    result = evaluate.summarize(values)
    self._conversations(f"test_{name}", rollouts)
    if distributed.is_main():
      files.write_json(file, result)
    return result

  def _validation(self, policy: Policy) -> dict[str, float]:
    """Greedy metrics on some validation problems, by logged name."""
    count = self._context.settings.evaluation.validation_problems
    problems = self._context.problems.splits["validation"][:count]
    rollouts = protocols.own_attempts(policy, self.collector, problems)
    values = evaluate.concatenate(evaluate.per_problem(r) for r in rollouts)
    return {f"validation/{k}": float(v.mean()) for k, v in values.items()}

  def _warn(self) -> None:
    """Prints what the monitors see for the first time."""
    records = metrics.read_metrics(self._workdir.metrics)
    notices = monitors.warnings(records, self._anchored)
    for notice in notices:
      if notice not in self._told:
        tables.print_warning(
            f"{notice.phase}, step {notice.step}: {notice.message}"
        )
    self._told = notices

  def _conversations(
      self,
      name: str,
      rollouts: Sequence[Rollouts],
      rows: Sequence[int] | None = None,
  ) -> None:
    if distributed.is_main():
      prompt = self._context.task.correction_prompt
      lines = conversations.jsonl(rollouts, prompt, rows)
      files.write_text(self._workdir.rollouts(name), lines)
