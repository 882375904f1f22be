"""Splits that are consecutive pieces of one stream of distinct problems."""

from collections.abc import Mapping


def check_sizes(sizes: Mapping[str, int]) -> None:
  """Raises ValueError unless every split has 0 or more problems."""
  for split, size in sizes.items():
    if size < 0:
      raise ValueError(f"num_{split} is {size}, expected 0 or more")


def piece(sizes: Mapping[str, int], split: str) -> tuple[int, int]:
  """Where a split lies in the stream: its first place, and that behind it.

  Args:
    sizes: number of problems by split, in the order of the stream.
    split: the one to find.

  Raises:
    ValueError: there is no such split.
  """
  if split not in sizes:
    raise ValueError(
        f"there is no split {split!r}, expected one of {', '.join(sizes)}"
    )
  names = list(sizes)
  start = sum(sizes[name] for name in names[: names.index(split)])
  return start, start + sizes[split]
