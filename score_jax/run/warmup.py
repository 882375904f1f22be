"""Makes the base model of a run out of a pretrained one, by imitation.

What is taught is in training/lessons.py. The result is a Hugging Face directory
in the run's own, from which everything else starts. Records are in warmup/; so
are the checkpoints, until the base model is there.
"""

import contextlib
import functools
import pathlib
import shutil

from score_jax import evaluate
from score_jax.devices import distributed
from score_jax.models import hf
from score_jax.models.transformer import Params
from score_jax.output.metrics import MetricsWriter
from score_jax.output.progress import work_progress
from score_jax.output.workdir import Workdir
from score_jax.rollouts import protocols
from score_jax.text import export as text_export
from score_jax.training import checkpoint
from score_jax.training import lessons as lessons_lib
from score_jax.training.checkpoint import Checkpointer
from score_jax.training.context import RunContext
from score_jax.training.lessons import Lesson
from score_jax.training.teacher import Teacher
from score_jax.training.train import TrainState


def make(context: RunContext, workdir: Workdir) -> None:
  """Teaches what is left of the lessons, and saves the base model.

  Args:
    context: the run's context; its base model is the one to be made.
    workdir: the run's directory.

  Raises:
    ValueError: too few training problems for a batch, or right attempts that
      are longer than attempts may be.
  """
  lessons = lessons_lib.lessons(context)
  params = context.load_pretrained()
  with _Records(context, workdir.warmup, lessons) as records:
    for lesson in lessons:
      params = _teach(context, lesson, params, records)
  base = context.base
  hf.save(
      base.directory,
      base.config,
      params,
      like=base.source,
      write_format=functools.partial(text_export.write_format, base.tokenizer),
  )
  distributed.on_main(lambda: shutil.rmtree(records.checkpoints))


class _Records(contextlib.AbstractContextManager):
  """Scalars and checkpoints of a warm-up."""

  def __init__(
      self,
      context: RunContext,
      directory: pathlib.Path,
      lessons: tuple[Lesson, ...],
  ):
    self.checkpoints = directory / "checkpoints"
    self._context = context
    self._collector = context.greedy_collector(2)
    resume_point = checkpoint.newest(
        {lesson.name: self.checkpoints / lesson.name for lesson in lessons}
    )
    self._writer = None
    if distributed.is_main():
      steps = {lesson.name: lesson.settings.steps for lesson in lessons}
      self._writer = MetricsWriter(directory, steps, resume_point)

  def __exit__(self, *exc_info: object) -> None:
    if self._writer is not None:
      self._writer.close()

  def write(self, lesson: Lesson, done: int, scalars: dict[str, float]) -> None:
    """Writes the scalars of an update."""
    if self._writer is not None:
      self._writer.write(lesson.name, done, scalars)

  def validation(self, params: Params) -> dict[str, float]:
    """Greedy metrics on the run's validation problems, by logged name."""
    count = self._context.settings.evaluation.validation_problems
    problems = self._context.problems.splits["validation"][:count]
    rollouts = protocols.own_attempts(params, self._collector, problems)
    values = evaluate.concatenate(evaluate.per_problem(r) for r in rollouts)
    return {f"validation/{k}": float(v.mean()) for k, v in values.items()}


def _teach(
    context: RunContext, lesson: Lesson, params: Params, records: _Records
) -> Params:
  """Makes the updates of a lesson that are not made yet."""
  teacher, steps = Teacher(context, lesson), lesson.settings.steps
  with Checkpointer(records.checkpoints / lesson.name) as checkpointer:
    state = teacher.init_state(params)
    if checkpointer.latest_step() is not None:
      state = checkpointer.restored(state)
    start = int(state.step)
    with work_progress(f"Warm-up: {lesson.name}", steps - start) as advance:
      for step in range(start, steps):
        state, scalars = teacher.step(state, step)
        note = _record(context, lesson, state, scalars, records)
        advance(1, note)
        is_due = context.settings.warmup.checkpoint_every_steps
        if step + 1 == steps or (step + 1) % is_due == 0:
          checkpointer.save(state)
  return state.params


def _record(
    context: RunContext,
    lesson: Lesson,
    state: TrainState,
    scalars: dict[str, float],
    records: _Records,
) -> str:
  """Writes what an update has to show; returns a line about it."""
  done, every = int(state.step), context.settings.warmup.check_every_steps
  note = f"loss {scalars['train/loss']:.2f}"
  if done % every == 0 or done == lesson.settings.steps:
    scalars = scalars | records.validation(state.params)
    first, second = (
        scalars[f"validation/accuracy_t{attempt}"] for attempt in (1, 2)
    )
    note += f", validation accuracy {first:.3f}, {second:.3f}"
  records.write(lesson, done, scalars)
  return note
