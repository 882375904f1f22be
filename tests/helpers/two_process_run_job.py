"""One of several processes of a whole run; see two_process_job.py."""

import json
import shutil

import jax

from score_jax import settings as settings_lib
from score_jax.devices import distributed
from score_jax.output.workdir import Workdir
from score_jax.run import recipe
from score_jax.tasks.addition import AdditionTask
from score_jax.types import Grade
from tests.helpers import two_process_job


class _Task(AdditionTask):
  """Answers are right by the sum of their characters: some are, by chance."""

  def grade(self, problems, completions):
    return [
        Grade(sum(map(ord, c)) % 2 == 0, "by_chance", c) for c in completions
    ]


def run(argument):
  """A whole run; the argument is JSON: workdir, base model, settings."""
  # Programs of a few runs each: compiling them is all that takes time.
  jax.config.update("jax_disable_most_optimizations", True)
  path, base, values = json.loads(argument)
  settings = settings_lib.from_mapping(settings_lib.RunSettings, values)
  arguments = {k: v for k, v in settings.task.items() if k != "name"}
  task = _Task(**arguments)
  workdir = Workdir(path, values)
  if distributed.is_main() and not workdir.base.exists():
    shutil.copytree(base, workdir.base)
  distributed.barrier("base")
  recipe.run(settings, task, workdir)


if __name__ == "__main__":
  two_process_job.main({"run": run}, distributed.LOST_AFTER_S)
