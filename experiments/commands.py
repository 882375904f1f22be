"""What commands with a config share: its flag, and the check of overrides."""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import difflib
import os
import re
import sys
from typing import Any

from absl import app
from absl import flags
import ml_collections
from ml_collections import config_flags


def define_config(description: str) -> None:
  """Defines --config=FILE, and --config.KEY=VALUE for each of its keys."""
  config_flags.DEFINE_config_file("config", None, description, lock_config=True)


def run(main: Callable[[list[str]], Any]) -> None:
  """Runs a command; an override of an unknown key ends it in one line."""
  app.run(main, flags_parser=_parse)


def _parse(argv: list[str]) -> list[str]:
  found = mistake(argv)
  if found is not None:
    sys.exit(f"error: {found}")
  return app.parse_flags_with_usage(argv)


def mistake(argv: Sequence[str]) -> str | None:
  """What is wrong with the --config arguments; None if nothing is.

  The flag itself would end such mistakes in a traceback.

  Args:
    argv: arguments of a command, its name first.
  """
  values = flags.FlagValues()
  # Given no arguments of its own, the flag looks for no overrides in them.
  config_flags.DEFINE_config_file(
      "config", None, flag_values=values, sys_argv=[""]
  )
  values.set_gnu_getopt(True)  # others' values may stand in front of --config
  try:
    values(list(argv), known_only=True)
  except flags.Error:
    return None  # the command's own parser says what is wrong
  if values.config is None:
    return None
  file = config_flags.get_config_filename(values["config"]).split(":")[0]
  if not os.path.isfile(file):
    return f"--config: there is no file {file!r}"
  return unknown_key(values.config, argv)


def unknown_key(
    config: ml_collections.ConfigDict, argv: Sequence[str]
) -> str | None:
  """What is wrong with the first override of a key that is not there.

  Args:
    config: as its file has it.
    argv: arguments; overrides are "--config.KEY=VALUE" and "--noconfig.KEY".

  Returns:
    What was found and the nearest known key; None if all keys are known.
  """
  for argument in argv:
    override = re.match(r"--?(?:no)?config\.([^=]+)", argument)
    if override:
      missing = _missing(config, override[1])
      if missing is not None:
        return f"--config.{override[1]}: {missing}"
  return None


def _missing(config: ml_collections.ConfigDict, path: str) -> str | None:
  group, above = config, "config"
  for key in path.split("."):
    name = key.split("[")[0]  # an element of a tuple
    if not isinstance(group, ml_collections.ConfigDict):
      return f"{above} is {group!r} in this config, it has no keys"
    if name not in group:
      nearest = difflib.get_close_matches(path, _keys(config), 1, cutoff=0.0)
      return (
          f"{above} has no {name!r}, the nearest known key is"
          f" config.{nearest[0]}"
      )
    group, above = group[name], f"{above}.{name}"
  return None


def _keys(group: ml_collections.ConfigDict) -> Iterator[str]:
  """Keys of a config and of the groups in it, with dots between them."""
  for key, value in group.items():
    yield key
    if isinstance(value, ml_collections.ConfigDict):
      yield from (f"{key}.{inner}" for inner in _keys(value))
