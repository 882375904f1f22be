"""From a task's name and arguments to the task."""

from collections.abc import Mapping
import dataclasses
from typing import Any

from score_jax.tasks.addition import AdditionTask
from score_jax.tasks.reasoning_gym import ReasoningGymTask
from score_jax.tasks.task import Task

_TASKS = {"addition": AdditionTask, "reasoning_gym": ReasoningGymTask}


def make_task(settings: Mapping[str, Any]) -> Task:
  """Makes the task that `settings['name']` names from the other settings.

  Raises:
    ValueError: no such task, or arguments that are unknown, missing or refused.
  """
  arguments = dict(settings)
  name = arguments.pop("name", None)
  if name not in _TASKS:
    raise ValueError(
        f"task.name is {name!r}, expected one of {', '.join(_TASKS)}"
    )
  cls = _TASKS[name]
  known = {f.name for f in dataclasses.fields(cls) if f.init}
  if known != arguments.keys():
    raise ValueError(
        f"task {name!r}: unknown {sorted(arguments.keys() - known)}, missing"
        f" {sorted(known - arguments.keys())}"
    )
  return cls(**arguments)
