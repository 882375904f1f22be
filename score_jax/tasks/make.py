"""From a task's name and arguments to the task."""

from collections.abc import Mapping
from typing import Any

from score_jax.settings.strict import from_mapping
from score_jax.tasks.addition import AdditionTask
from score_jax.tasks.answers import answers_task
from score_jax.tasks.ball_passes import BallPassesTask
from score_jax.tasks.code import code_task
from score_jax.tasks.reasoning_gym import ReasoningGymTask
from score_jax.tasks.task import Task

_TASKS = {
    "addition": AdditionTask,
    "answers": answers_task,
    "ball_passes": BallPassesTask,
    "code": code_task,
    "reasoning_gym": ReasoningGymTask,
}


def make_task(settings: Mapping[str, Any]) -> Task:
  """Makes the task called `settings['name']` from the other settings.

  The task may own processes, which its `close` ends.

  Raises:
    ValueError: no such task, or arguments that are unknown, missing or refused.
  """
  arguments = dict(settings)
  name = arguments.pop("name", None)
  if name not in _TASKS:
    raise ValueError(
        f"task.name is {name!r}, expected one of {', '.join(_TASKS)}"
    )
  return from_mapping(_TASKS[name], arguments, "task")
