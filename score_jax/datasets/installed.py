"""Data files within installed packages, whose code is never run."""

import importlib.util
import pathlib


def installed_file(package: str, path: str, install: str) -> pathlib.Path:
  """Path of a data file within a package; the package is not imported.

  Args:
    package: top-level name of the package.
    path: path of the file within the package.
    install: command that installs the package, for error messages.

  Raises:
    ValueError: the package is not installed, or has no such file.
  """
  # find_spec runs no code of a top-level package.
  spec = importlib.util.find_spec(package)
  if spec is None or not spec.submodule_search_locations:
    raise ValueError(f"the package {package} is not installed: {install}")
  for folder in spec.submodule_search_locations:
    file = pathlib.Path(folder) / path
    if file.is_file():
      return file
  raise ValueError(
      f"the installed package {package} has no file {path}: {install}"
  )
