"""TFDS builders of the data sets, which only `prepared` uses.

A prepared data set is read without them: its directory describes itself.
"""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from etils import epath
import numpy as np
import tensorflow_datasets as tfds

from score_jax.datasets import gsm8k_files
from score_jax.datasets import human_eval_files
from score_jax.datasets import math_files
from score_jax.datasets import mbpp_files
from score_jax.datasets.rows import Row
from score_jax.datasets.rows import check_counts
from score_jax.datasets.rows import check_unique_ids

Splits = Mapping[str, Sequence[Row]]


class _TextBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
  """Rows of text, each with its place in the order of the files.

  Attributes:
    COLUMNS: names of the columns, all of them text.
  """

  VERSION = tfds.core.Version("1.0.0")
  COLUMNS: Sequence[str]

  def _read(self, dl_manager: Any) -> tuple[Splits, Mapping[str, int]]:
    """The rows of each split, and how many there must be."""
    raise NotImplementedError

  def _info(self) -> tfds.core.DatasetInfo:
    # Examples are stored in the order of a hash of their keys.
    index = {"index": tfds.features.Scalar(np.int64)}
    texts = {column: tfds.features.Text() for column in self.COLUMNS}
    return tfds.core.DatasetInfo(
        builder=self, features=tfds.features.FeaturesDict(index | texts)
    )

  def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
    splits, counts = self._read(dl_manager)
    check_counts(splits, counts, self.name)
    check_unique_ids(splits)
    return {
        split: self._generate_examples(rows) for split, rows in splits.items()
    }

  def _generate_examples(
      self, rows: Sequence[Row]
  ) -> Iterator[tuple[int, dict[str, Any]]]:
    for index, row in enumerate(rows):
      yield index, {"index": index, **row}


class ScoreMath(_TextBuilder):
  """Hendrycks MATH, 12,000 + 500."""

  # 1.1: known faults are corrected, an answer that is not stated is ''.
  VERSION = tfds.core.Version("1.1.0")
  MANUAL_DOWNLOAD_INSTRUCTIONS = math_files.INSTRUCTIONS
  COLUMNS = math_files.COLUMNS

  def _read(self, dl_manager: Any) -> tuple[Splits, Mapping[str, int]]:
    splits = math_files.read(
        dl_manager.manual_dir, math_files.COUNTS, math_files.ORIGINAL_COUNTS
    )
    return splits, math_files.COUNTS


class ScoreGsm8k(_TextBuilder):
  """GSM8K, 7,473 + 1,319."""

  MANUAL_DOWNLOAD_INSTRUCTIONS = gsm8k_files.INSTRUCTIONS
  COLUMNS = gsm8k_files.COLUMNS

  def _read(self, dl_manager: Any) -> tuple[Splits, Mapping[str, int]]:
    return gsm8k_files.read(dl_manager.manual_dir), gsm8k_files.COUNTS


class ScoreMbpp(_TextBuilder):
  """MBPP in the splits of its paper: 974 problems, or 427 checked ones."""

  MANUAL_DOWNLOAD_INSTRUCTIONS = mbpp_files.INSTRUCTIONS
  BUILDER_CONFIGS = [
      tfds.core.BuilderConfig(name="full", description="All problems."),
      tfds.core.BuilderConfig(name="sanitized", description="Checked ones."),
  ]
  COLUMNS = mbpp_files.COLUMNS

  def _read(self, dl_manager: Any) -> tuple[Splits, Mapping[str, int]]:
    manual_dir = dl_manager.manual_dir
    if self.builder_config.name == "full":
      return mbpp_files.read_full(manual_dir), mbpp_files.FULL_COUNTS
    return mbpp_files.read_sanitized(manual_dir), mbpp_files.SANITIZED_COUNTS


class ScoreHumanEval(_TextBuilder):
  """HumanEval, 164 problems."""

  COLUMNS = human_eval_files.COLUMNS

  def __init__(self, *, manual_dir: epath.PathLike | None, **arguments: Any):
    super().__init__(**arguments)
    # TFDS has no manual directory that may be absent.
    self._manual_dir = epath.Path(manual_dir) if manual_dir else None

  def _read(self, dl_manager: Any) -> tuple[Splits, Mapping[str, int]]:
    del dl_manager  # the package human-eval carries the file
    return human_eval_files.read(self._manual_dir), human_eval_files.COUNTS


def make_builder(
    name: str, data_dir: epath.PathLike, manual_dir: epath.PathLike | None
) -> tfds.core.DatasetBuilder:
  """The builder of the data set that is called `name` in `prepared.DATASETS`.

  Args:
    name: key of `prepared.DATASETS`.
    data_dir: directory that the builder writes to.
    manual_dir: directory of the user's files, for data that may come from a
      package as well.
  """
  makers = {
      "math": lambda: ScoreMath(data_dir=data_dir),
      "gsm8k": lambda: ScoreGsm8k(data_dir=data_dir),
      "mbpp_full": lambda: ScoreMbpp(data_dir=data_dir, config="full"),
      "mbpp_sanitized": lambda: ScoreMbpp(
          data_dir=data_dir, config="sanitized"
      ),
      "human_eval": lambda: ScoreHumanEval(
          data_dir=data_dir, manual_dir=manual_dir
      ),
  }
  return makers[name]()
