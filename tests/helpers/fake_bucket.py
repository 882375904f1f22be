"""gs:// in memory, for tests of files that may lie there."""

from unittest import mock

from etils.epath import backend as epath_backend
from fsspec.implementations import memory


class FakeBucket(memory.MemoryFileSystem):
  """gs:// in memory."""

  cachable = False
  protocol = ("gcs", "gs")

  @classmethod
  def _strip_protocol(cls, path):
    return super()._strip_protocol(str(path).removeprefix("gs:/"))


def fake_bucket():
  """Patch under which epath reads gs:// from a FakeBucket."""
  return mock.patch.object(
      epath_backend.fsspec_backend, "fs", lambda path: FakeBucket()
  )
