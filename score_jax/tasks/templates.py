"""The texts of a task's prompts: one file of templates, replaceable by path."""

from collections.abc import Mapping
import importlib.resources
import pathlib
import re
import tomllib

_PLACE = re.compile(r"\{\{(\w*)\}\}")
_BUILT_IN = ("math", "code", "code_few_shot")


def load_templates(
    source: str, expected: Mapping[str, tuple[str, ...]]
) -> dict[str, str]:
  """Reads a TOML file of templates.

  A template has places, written `{{name}}`, where values are put in. Single
  braces are text, as in LaTeX.

  Args:
    source: name of a built-in file ('math', 'code', 'code_few_shot'), or the
      path of a .toml file.
    expected: the names of the templates, each with the places that it must
      have. The file may have no other templates.

  Returns:
    The templates by name.

  Raises:
    ValueError: there is no such file, it is no TOML, or templates or places are
      missing or unknown.
  """
  templates = _read(source)
  if templates.keys() != expected.keys():
    raise ValueError(
        f"task.prompts {source!r} has the templates {sorted(templates)},"
        f" expected {sorted(expected)} (code_few_shot goes with num_shots above"
        " 0, code with 0)"
    )
  for name, places in expected.items():
    if not isinstance(templates[name], str) or not templates[name].strip():
      raise ValueError(
          f"task.prompts {source!r}: {name} is {templates[name]!r}, expected a"
          " text"
      )
    found = set(_PLACE.findall(templates[name]))
    if found != set(places):
      raise ValueError(
          f"task.prompts {source!r}: {name} has the places {sorted(found)},"
          f" expected {sorted(places)}, each written as {{{{name}}}}"
      )
  return {name: text.strip() for name, text in templates.items()}


def fill(template: str, **values: str) -> str:
  """Puts values into a template's places; a place in a value stays text."""
  return _PLACE.sub(lambda place: values[place.group(1)], template)


def _read(source: str) -> dict[str, object]:
  if source in _BUILT_IN:
    folder = importlib.resources.files("score_jax.tasks")
    text = (folder / "prompts" / f"{source}.toml").read_text("utf-8")
    return tomllib.loads(text)
  path = pathlib.Path(source)
  if path.suffix != ".toml" or not path.is_file():
    raise ValueError(
        f"task.prompts is {source!r}, expected one of {', '.join(_BUILT_IN)} or"
        " the path of a .toml file with templates of your own"
    )
  try:
    return tomllib.loads(path.read_text("utf-8"))
  except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
    raise ValueError(f"task.prompts {source!r} is no TOML: {error}") from error
