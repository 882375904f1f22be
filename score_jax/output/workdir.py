"""The directory of a run: what lies where, and whose it is."""

from collections.abc import Mapping
import importlib.metadata
import json
import os
import pathlib
import platform
from typing import Any

import score_jax
from score_jax.devices import distributed
from score_jax.output import files

# In a run directory: the version that made it. The first one wrote none.
_VERSION, _FIRST_VERSION = "version.txt", "0.1.0"

# What a resumed run is held to, of the manifest.
_HELD = ("reference_sha256", "data_sha256", "model_config", "tokenizer")


class Workdir:
  """Paths of a run directory, which belongs to one resolved config."""

  def __init__(self, path: str | os.PathLike, config: Mapping[str, Any]):
    """Makes the directory, or checks that it holds a run of this config.

    Args:
      path: the directory.
      config: the resolved config, JSON-serialisable.

    Raises:
      ValueError: see `claim` and `check_version`; or the hosts of the run see
        different directories.
    """
    self.path = pathlib.Path(path)
    distributed.on_main(lambda: self._open(config))
    _check_shared(self.path)

  def _open(self, config: Mapping[str, Any]) -> None:
    claim(self.path, config)
    for name in ("rollouts", "evaluations", "checkpoints"):
      (self.path / name).mkdir(exist_ok=True)

  @property
  def base(self) -> pathlib.Path:
    """Hugging Face directory of a base model that was made here."""
    return self.path / "base"

  @property
  def warmup(self) -> pathlib.Path:
    """Records of how the base model was made out of a pretrained one."""
    return self.path / "warmup"

  @property
  def export(self) -> pathlib.Path:
    """Hugging Face directory of the trained policy."""
    return self.path / "export"

  @property
  def results(self) -> pathlib.Path:
    """The metrics of all evaluations."""
    return self.path / "results.json"

  @property
  def metrics(self) -> pathlib.Path:
    """Scalars by step."""
    return self.path / "metrics.jsonl"

  @property
  def manifest(self) -> pathlib.Path:
    """What the run was made with."""
    return self.path / "manifest.json"

  @property
  def curves(self) -> pathlib.Path:
    """Picture of the learning curves."""
    return self.path / "learning_curves.png"

  def checkpoints(self, phase: str) -> pathlib.Path:
    """Orbax directory of a phase."""
    return self.path / "checkpoints" / phase

  def evaluation(self, name: str) -> pathlib.Path:
    """Metrics of one evaluation."""
    return self.path / "evaluations" / f"{name}.json"

  def rollouts(self, name: str) -> pathlib.Path:
    """Conversations, one JSON line each."""
    return self.path / "rollouts" / f"{name}.jsonl"


def claim(path: pathlib.Path, config: Mapping[str, Any]) -> None:
  """Makes a directory of this config, or checks that it is one.

  Raises:
    ValueError: it cannot be written, is not empty and no run, or holds the run
      of another config (the differences are listed).
  """
  try:
    path.mkdir(parents=True, exist_ok=True)
    files.write_text(path / ".writable", "")
    (path / ".writable").unlink()
  except OSError as error:
    raise ValueError(
        f"workdir {str(path)!r} cannot be written ({error}): choose another"
        " --workdir"
    ) from error
  file = path / "config.json"
  if file.exists():
    check_version(path)
    differences = _differences(files.read_json(file), config)
    if differences:
      raise ValueError(
          f"workdir {str(path)!r} holds a run of another config: "
          + "; ".join(differences)
          + ". Choose another --workdir, or give the same config to resume"
      )
  elif any(path.iterdir()):
    raise ValueError(
        f"workdir {str(path)!r} is not empty and holds no run: choose another"
        " --workdir"
    )
  else:
    files.write_text(path / _VERSION, score_jax.__version__)
    files.write_json(file, config)


def check_version(path: pathlib.Path) -> None:
  """Refuses a run directory of another version, whose config has other keys.

  Versions that differ in their last number alone go on with each other's runs.

  Raises:
    ValueError: with the version that can continue the run.
  """
  file = path / _VERSION
  found = file.read_text().strip() if file.exists() else _FIRST_VERSION
  if found.split(".")[:2] != score_jax.__version__.split(".")[:2]:
    raise ValueError(
        f"workdir {str(path)!r} holds a run of score_jax {found}, this is"
        f" {score_jax.__version__}: continue it with score_jax {found}, or"
        " choose another --workdir"
    )


def _check_shared(path: pathlib.Path) -> None:
  """Refuses a directory that some of the hosts do not see."""
  seen = distributed.gather_json((path / "config.json").exists())
  if not all(seen):
    blind = [i for i, is_seen in enumerate(seen) if not is_seen]
    raise ValueError(
        f"workdir {str(path)!r} is not seen by the processes {blind}: choose a"
        " --workdir on a file system that all hosts share"
    )


def check_manifest(path: pathlib.Path, manifest: Mapping[str, Any]) -> None:
  """Writes what a run is made with, or holds a resumed run to it.

  Raises:
    ValueError: the base model, its tokenizer or the data are not those that the
      run was started with; every difference is listed.
  """
  if not path.exists():
    files.write_json(path, manifest)
    return
  before = files.read_json(path)
  now = json.loads(json.dumps(manifest))  # lists where there are tuples
  differences = _differences(
      {key: before[key] for key in _HELD}, {key: now[key] for key in _HELD}
  )
  if differences:
    raise ValueError(
        f"{path}: {'; '.join(differences)}: the run cannot be continued with"
        " another base model, another tokenizer or other data. Give it what it"
        " was started with, or choose another --workdir"
    )


def versions() -> dict[str, str]:
  """Versions of what a run's numbers depend on."""
  packages = (
      "jax",
      "jaxlib",
      "flax",
      "optax",
      "orbax-checkpoint",
      "transformers",
      "numpy",
  )
  return {
      "score_jax": score_jax.__version__,
      "python": platform.python_version(),
      **{name: importlib.metadata.version(name) for name in packages},
  }


def _differences(before: Any, now: Any, path: str = "") -> list[str]:
  """Lines `key: before -> now` for every leaf that differs."""
  if isinstance(before, Mapping) and isinstance(now, Mapping):
    return [
        line
        for key in sorted(before.keys() | now.keys())
        for line in _differences(
            before.get(key), now.get(key), f"{path}{'.' if path else ''}{key}"
        )
    ]
  return [] if before == now else [f"{path}: {before!r} -> {now!r}"]
