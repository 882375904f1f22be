"""What graders raise."""

from collections.abc import Sequence


class GraderError(RuntimeError):
  """The grader itself failed, twice on the same attempt; no grade was given."""


class UnjudgeableTestsError(GraderError):
  """Tests cannot judge any program: the data is at fault, not the attempt.

  Attributes:
    indices: positions of these tests in the batch.
    uncalled: those of them that ended well without a call of the function.
  """

  def __init__(
      self, message: str, indices: Sequence[int], uncalled: Sequence[int] = ()
  ):
    super().__init__(message)
    self.indices = tuple(indices)
    self.uncalled = tuple(uncalled)
