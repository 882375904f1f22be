"""TFDS builders of the data sets. Only `prepared` needs this module.

A prepared data set is read without it: its directory says what is in it.
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


class ScoreMath(tfds.core.GeneratorBasedBuilder):
  """Hendrycks MATH, 12,000 + 500."""

  VERSION = tfds.core.Version("1.0.0")
  MANUAL_DOWNLOAD_INSTRUCTIONS = math_files.INSTRUCTIONS

  def _info(self) -> tfds.core.DatasetInfo:
    return _text_info(self, math_files.COLUMNS)

  def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
    splits = math_files.read(
        dl_manager.manual_dir, math_files.COUNTS, math_files.ORIGINAL_COUNTS
    )
    return _generators(self, splits, math_files.COUNTS)

  def _generate_examples(self, rows: Sequence[Row]) -> Iterator[Any]:
    yield from _examples(rows)


class ScoreGsm8k(tfds.core.GeneratorBasedBuilder):
  """GSM8K, 7,473 + 1,319."""

  VERSION = tfds.core.Version("1.0.0")
  MANUAL_DOWNLOAD_INSTRUCTIONS = gsm8k_files.INSTRUCTIONS

  def _info(self) -> tfds.core.DatasetInfo:
    return _text_info(self, gsm8k_files.COLUMNS)

  def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
    splits = gsm8k_files.read(dl_manager.manual_dir)
    return _generators(self, splits, gsm8k_files.COUNTS)

  def _generate_examples(self, rows: Sequence[Row]) -> Iterator[Any]:
    yield from _examples(rows)


class ScoreMbpp(tfds.core.GeneratorBasedBuilder):
  """MBPP in the splits of its paper: 974 problems, or 427 checked ones."""

  VERSION = tfds.core.Version("1.0.0")
  MANUAL_DOWNLOAD_INSTRUCTIONS = mbpp_files.INSTRUCTIONS
  BUILDER_CONFIGS = [
      tfds.core.BuilderConfig(name="full", description="All problems."),
      tfds.core.BuilderConfig(name="sanitized", description="Checked ones."),
  ]

  def _info(self) -> tfds.core.DatasetInfo:
    return _text_info(self, mbpp_files.COLUMNS)

  def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
    if self.builder_config.name == "full":
      splits = mbpp_files.read_full(dl_manager.manual_dir)
      return _generators(self, splits, mbpp_files.FULL_COUNTS)
    splits = mbpp_files.read_sanitized(dl_manager.manual_dir)
    return _generators(self, splits, mbpp_files.SANITIZED_COUNTS)

  def _generate_examples(self, rows: Sequence[Row]) -> Iterator[Any]:
    yield from _examples(rows)


class ScoreHumanEval(tfds.core.GeneratorBasedBuilder):
  """HumanEval, 164 problems."""

  VERSION = tfds.core.Version("1.0.0")

  def _info(self) -> tfds.core.DatasetInfo:
    return _text_info(self, human_eval_files.COLUMNS)

  def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
    splits = human_eval_files.read()
    return _generators(self, splits, human_eval_files.COUNTS)

  def _generate_examples(self, rows: Sequence[Row]) -> Iterator[Any]:
    yield from _examples(rows)


def make_builder(
    name: str, data_dir: epath.PathLike
) -> tfds.core.DatasetBuilder:
  """The builder of one of `prepared.DATASETS`."""
  makers = {
      "math": lambda: ScoreMath(data_dir=data_dir),
      "gsm8k": lambda: ScoreGsm8k(data_dir=data_dir),
      "mbpp_full": lambda: ScoreMbpp(data_dir=data_dir, config="full"),
      "mbpp_sanitized": lambda: ScoreMbpp(
          data_dir=data_dir, config="sanitized"
      ),
      "human_eval": lambda: ScoreHumanEval(data_dir=data_dir),
  }
  return makers[name]()


def _text_info(
    builder: tfds.core.DatasetBuilder, columns: Sequence[str]
) -> tfds.core.DatasetInfo:
  # Examples are stored in the order of a hash of their keys.
  index = {"index": tfds.features.Scalar(np.int64)}
  texts = {column: tfds.features.Text() for column in columns}
  return tfds.core.DatasetInfo(
      builder=builder, features=tfds.features.FeaturesDict(index | texts)
  )


def _generators(
    builder: tfds.core.GeneratorBasedBuilder,
    splits: Splits,
    counts: Mapping[str, int],
) -> dict[str, Any]:
  check_counts(splits, counts, builder.name)
  check_unique_ids(splits)
  return {
      split: builder._generate_examples(rows) for split, rows in splits.items()
  }


def _examples(rows: Sequence[Row]) -> Iterator[tuple[int, dict[str, Any]]]:
  for index, row in enumerate(rows):
    yield index, {"index": index, **row}
