"""A task that models of random weights get right now and then."""

from score_jax.tasks.addition import AdditionTask
from score_jax.types import Grade


class Lottery(AdditionTask):
  """Grades by characters, whatever the problem."""

  def grade(self, problems, completions):
    return [
        Grade(sum(map(ord, text)) % 3 == 0, "correct", text)
        for text in completions
    ]


def make_task(settings):
  """The lottery of the arguments of an addition task."""
  return Lottery(**{k: v for k, v in settings.items() if k != "name"})
