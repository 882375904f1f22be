"""Writes the report: template, style, script and data in one file.

The page loads nothing from elsewhere. Texts of models cannot act on it: they
lie in a block of data that is not executed, with every "<" escaped, and are
shown as text. Were one taken for markup all the same, the content security
policy would stop it: it allows no script and no style but those of the page.
"""

import base64
from collections.abc import Mapping
import hashlib
import html
from importlib import resources
import json
import os
import re
from typing import Any

from score_jax.output import files
from score_jax.report.page import data

# In this order they become one script.
_SCRIPTS = (
    "dom.js",
    "axes.js",
    "lines.js",
    "rows.js",
    "tables.js",
    "curves.js",
    "diff.js",
    "browser.js",
    "main.js",
)


def write(directory: str | os.PathLike) -> str:
  """Writes `report.html` into the directory of a run or of a study.

  Returns:
    The path of the page.

  Raises:
    ValueError: there is nothing to report (see `data.collect`), or the page
      cannot be written.
  """
  text = render(data.collect(directory))
  path = os.path.join(directory, "report.html")
  try:
    files.write_text(path, text)
  except OSError as error:
    raise ValueError(
        f"{path} cannot be written ({error}): make the directory writable"
    ) from error
  return path


def render(content: Mapping[str, Any]) -> str:
  """Makes the HTML of the page from what `data.collect` returns."""
  style = _asset("report.css")
  scripts = "\n".join(_asset(name) for name in _SCRIPTS)
  script = f'"use strict";\n(() => {{\n{scripts}}})();\n'
  values = {
      "title": html.escape(f"{content['title']} - score_jax"),
      "policy": f"style-src {_hash(style)}; script-src {_hash(script)}",
      "style": style,
      "script": script,
      "data": escaped_json(content),
  }
  # One pass: what is put in is not searched for names again.
  return re.sub(r"\[\[(\w+)\]\]", lambda m: values[m[1]], _asset("report.html"))


def escaped_json(content: Any) -> str:
  """Writes JSON that can stand inside of a script element.

  It neither ends the element nor opens a comment.
  """
  text = json.dumps(
      content, ensure_ascii=False, allow_nan=False, separators=(",", ":")
  )
  # "<" stands only inside of strings. The two separators end lines in scripts.
  for character in "<>&\u2028\u2029":
    text = text.replace(character, f"\\u{ord(character):04x}")
  return text


def _asset(name: str) -> str:
  file = resources.files("score_jax.report.page") / "assets" / name
  return file.read_text(encoding="utf-8")


def _hash(text: str) -> str:
  """A source of a content security policy: this text and no other."""
  digest = hashlib.sha256(text.encode()).digest()
  return f"'sha256-{base64.b64encode(digest).decode()}'"
