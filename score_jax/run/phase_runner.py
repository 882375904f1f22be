"""Runs phases one after the other, evaluates in between, and resumes."""

from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import dataclasses
import pathlib
from typing import Any

from score_jax import evaluate
from score_jax.devices import distributed
from score_jax.evaluate import monitors
from score_jax.evaluate.monitors import Notice
from score_jax.models import hf
from score_jax.models import placement as placement_lib
from score_jax.models.transformer import Params
from score_jax.output import conversations
from score_jax.output import files
from score_jax.output import metrics
from score_jax.output.metrics import MetricsWriter
from score_jax.output.progress import console
from score_jax.output.workdir import Workdir
from score_jax.report import tables
from score_jax.rollouts import protocols
from score_jax.rollouts.protocols import Evaluation
from score_jax.run import preparation
from score_jax.settings import RunSettings
from score_jax.training import checkpoint
from score_jax.training import imitate
from score_jax.training import phases as phases_lib
from score_jax.training import reinforce as stage_lib
from score_jax.training.checkpoint import Checkpointer
from score_jax.training.imitate import Imitation
from score_jax.training.phases import BASE
from score_jax.training.phases import Phase
from score_jax.training.phases import RlPhase
from score_jax.training.phases import SftPhase
from score_jax.training.reinforce import Policy
from score_jax.training.reinforce import Stage
from score_jax.training.train import TrainState
from score_jax.types import Problem
from score_jax.types import Rollouts

# Share of attempts above which a run is told.
_MANY_TIMEOUTS = 0.05


@dataclasses.dataclass(frozen=True)
class Outcome:
  """What a run leaves in memory.

  Attributes:
    results: metrics of the base and after each phase, as in results.json.
    evaluation: how the policy was evaluated.
    params: of the policy.
    problems: by split.
  """

  results: dict[str, Any]
  evaluation: Evaluation
  params: Params
  problems: Mapping[str, Sequence[Problem]]


class PhaseRunner:
  """The parts of a run after its base model is there."""

  def __init__(
      self,
      settings: RunSettings,
      fixed: Policy,
      workdir: Workdir,
      base: pathlib.Path,
      params: Params,
      phases: Sequence[Phase],
  ):
    self._settings = settings
    self._params = params  # of the policy, as far as it is trained
    self._base = base
    self._fixed = fixed
    self._workdir = workdir
    self._phases = phases
    self._told: list[Notice] = []  # by the monitors
    self._evaluation = preparation.make_evaluation(
        settings,
        fixed.config,
        fixed.tokenizer,
        fixed.task,
        fixed.placement,
        num_attempts=phases_lib.evaluated_attempts(phases),
    )

  def run(self) -> dict[str, Any]:
    steps = {phase.name: phase.steps for phase in self._phases}
    resume_point = checkpoint.newest(
        {name: self._workdir.checkpoints(name) for name in steps}
    )
    first_step = 0
    with contextlib.ExitStack() as stack:
      writer = None
      if distributed.is_main():
        writer = stack.enter_context(
            MetricsWriter(self._workdir.path, {BASE: 0, **steps}, resume_point)
        )
      results = {BASE: self._test(BASE)}
      for phase in self._phases:
        train = {RlPhase: self._reinforce, SftPhase: self._imitate}[type(phase)]
        train(phase, first_step, writer)
        first_step += phase.sampling_steps
        results[phase.name] = self._test(phase.name)
    if not distributed.agree(self._workdir.export.exists()):
      hf.save(
          self._workdir.export,
          self._fixed.config,
          self._params,
          like=self._base,
      )
    return results

  def outcome(self, results: dict[str, Any]) -> Outcome:
    """What is handed to the caller."""
    return Outcome(
        results, self._evaluation, self._params, self._fixed.problems
    )

  def _reinforce(
      self, phase: RlPhase, first_step: int, writer: MetricsWriter | None
  ) -> None:
    """Runs what is left of a phase; other processes have no writer."""
    fixed = self._fixed
    if phase.reference != BASE:
      reference = preparation.reference_params(
          self._settings, self._end_of(phase.reference)
      )
      fixed = dataclasses.replace(fixed, ref_params=reference)
    stage = Stage(fixed, self._settings, phase, first_step)
    state = stage.init_state(self._params)
    self._params = None  # or there would be two of them
    with Checkpointer(self._workdir.checkpoints(phase.name)) as checkpointer:
      if checkpointer.latest_step() is not None:
        like = checkpoint.abstract(state)
        del state  # or there would be two of them
        state = checkpointer.restore(like)
        console.print(f"{phase.name}: continued from step {int(state.step)}")
      elif phase.steps:
        self._start(writer, phase, state, first_step)
      state = stage_lib.run_stage(
          stage,
          state,
          description=tables.phase_label(phase.name),
          steps=phase.steps,
          checkpointer=checkpointer,
          checkpoint_every_steps=self._settings.output.checkpoint_every_steps,
          on_step=lambda *args: self._record(phase, writer, *args),
      )
    self._params = state.params

  def _imitate(
      self, phase: SftPhase, first_step: int, writer: MetricsWriter | None
  ) -> None:
    """Runs a supervised phase, which leaves one checkpoint, at its end."""
    imitation = Imitation(self._fixed, self._settings, phase, first_step)
    label = tables.phase_label(phase.name)
    with Checkpointer(self._workdir.checkpoints(phase.name)) as checkpointer:
      if checkpointer.latest_step() is not None:
        like = checkpoint.abstract(imitation.init_state(self._params))
        self._params = checkpointer.restore(like).params
        return
      rollouts = imitation.sample(self._params, f"{label}: sampling")
      self._write_rollouts(f"{phase.name}_sampled", rollouts[:1], self._rows)
      state = imitation.init_state(self._end_of(phase.start))
      chosen = imitation.select(rollouts)
      last = imitate.num_updates(phase, len(chosen))
      if not first_step:
        self._start(writer, phase, state, first_step)

      def on_step(step: int, state: TrainState, scalars: dict[str, float]):
        if step == last:
          scalars = scalars | self._validate(state.params)
        self._write(writer, phase.name, step, scalars)

      state = imitation.run(state, chosen, label, on_step)
      checkpointer.save(state)
    self._params = state.params

  def _start(
      self,
      writer: MetricsWriter | None,
      phase: Phase,
      state: TrainState,
      first_step: int,
  ) -> None:
    """Writes how a phase starts."""
    rollout = self._settings.rollout
    rows = rollout.problems_per_step * rollout.samples_per_problem
    sampled = {"train/conversations": first_step * rows}
    self._write(writer, phase.name, 0, sampled | self._validate(state.params))

  def _end_of(self, name: str) -> Params:
    """The parameters that a phase ended with; the base model is read again."""
    if name == BASE:
      _, params = hf.load(
          self._base,
          placement_lib.param_dtype(self._settings),
          self._fixed.placement.params,
      )
      return params
    like = checkpoint.abstract(self._params)
    with Checkpointer(self._workdir.checkpoints(name)) as checkpointer:
      return checkpointer.restore_params(like)

  def _write(
      self,
      writer: MetricsWriter | None,
      name: str,
      step: int,
      scalars: dict[str, float],
  ) -> None:
    if writer is None:
      return
    writer.write(name, step, scalars)
    if any(key.startswith("validation/") for key in scalars):
      self._warn()

  def _warn(self) -> None:
    """Prints what the monitors see for the first time."""
    records = metrics.read_metrics(self._workdir.metrics)
    notices = monitors.warnings(records, phases_lib.anchored(self._phases))
    for notice in notices:
      if notice not in self._told:
        tables.print_warning(
            f"{notice.phase}, step {notice.step}: {notice.message}"
        )
    self._told = notices

  def _record(
      self,
      phase: RlPhase,
      writer: MetricsWriter | None,
      done: int,
      state: TrainState,
      rollouts: Rollouts,
      scalars: dict[str, float],
  ) -> None:
    """Writes what one step has to show."""
    output, evaluation = self._settings.output, self._settings.evaluation
    if done % evaluation.every_steps == 0 or done == phase.steps:
      scalars = scalars | self._validate(state.params)
    self._write(writer, phase.name, done, scalars)
    timeouts = scalars.get("grade/status_timeout", 0.0)
    if timeouts > _MANY_TIMEOUTS:
      console.print(
          f"{phase.name}, step {done}: the grader gave up on {timeouts:.0%} of"
          " the attempts, which count as wrong; look at rollouts/, or raise"
          " task.grader.timeout_s"
      )
    if done == 1 or done % output.rollouts_every_steps == 0:
      self._write_rollouts(f"{phase.name}_{done:06d}", [rollouts], self._rows)

  @property
  def _rows(self) -> range:
    """Of a step's conversations, those that are written."""
    rollout = self._settings.rollout
    rows = rollout.problems_per_step * rollout.samples_per_problem
    return range(min(self._settings.output.rollouts_rows, rows))

  def _validate(self, params: Params) -> dict[str, float]:
    """Greedy metrics on some validation problems, by logged name."""
    count = self._settings.evaluation.validation_problems
    problems = self._fixed.problems["validation"][:count]
    rollouts = protocols.own_attempts(params, self._evaluation, problems)
    values = evaluate.concatenate(evaluate.per_problem(r) for r in rollouts)
    return {f"validation/{k}": float(v.mean()) for k, v in values.items()}

  def _test(self, name: str) -> dict[str, Any]:
    """Greedy metrics on all test problems, from disk where they are there."""
    file = self._workdir.evaluation(name)
    found = distributed.agree(files.read_json(file) if file.exists() else None)
    if found is not None:
      return found
    problems = self._fixed.problems["test"]
    label = f"Evaluation of {tables.phase_label(name)}"
    rollouts = protocols.own_attempts(
        self._params, self._evaluation, problems, label
    )
    values = evaluate.concatenate(evaluate.per_problem(r) for r in rollouts)
    result = evaluate.summarize(values)
    self._write_rollouts(f"test_{name}", rollouts)
    if distributed.is_main():
      files.write_json(file, result)
    return result

  def _write_rollouts(
      self,
      name: str,
      rollouts: Sequence[Rollouts],
      rows: Sequence[int] | None = None,
  ) -> None:
    if distributed.is_main():
      lines = conversations.jsonl(
          rollouts, self._fixed.task.correction_prompt, rows
      )
      files.write_text(self._workdir.rollouts(name), lines)
