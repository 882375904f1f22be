"""What graders raise."""

from collections.abc import Sequence


class GraderError(RuntimeError):
  """The grader itself failed, twice on the same attempt; no grade was given."""


class UnjudgeableTestsError(GraderError):
  """Tests that cannot say anything of any program: the data's fault.

  Attributes:
    indices: which ones of the batch.
  """

  def __init__(self, message: str, indices: Sequence[int]):
    super().__init__(message)
    self.indices = tuple(indices)
