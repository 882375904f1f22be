"""What graders raise."""

from collections.abc import Sequence


class GraderError(RuntimeError):
  """The grader itself failed, twice on the same attempt; no grade was given."""


class UnjudgeableTestsError(GraderError):
  """Tests cannot judge any program: the data is at fault, not the attempt.

  Attributes:
    indices: positions of these tests in the batch.
  """

  def __init__(self, message: str, indices: Sequence[int]):
    super().__init__(message)
    self.indices = tuple(indices)
