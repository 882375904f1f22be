"""Reads Python source without running it.

The source may be hostile, and this is the trainer's process: only a limited
length of it is parsed.
"""

import ast
from collections.abc import Callable
import symtable
from typing import Any
import warnings

from score_jax.grading import sandbox

# A parser takes a second for a megabyte.
_MAX_CHARS = 200_000


def binds(source: str, name: str) -> bool | None:
  """Whether a module gives a name a value; None if it does not parse.

  Args:
    source: Python source, or any other text; what is too long does not parse.
    name: an identifier.
  """
  module = _symbols(source)
  if module is None or name not in module.get_identifiers():
    return None if module is None else False
  return _is_bound(module.lookup(name))


def bound_names(source: str) -> set[str]:
  """The names that a module gives a value; none if it does not parse."""
  module = _symbols(source)
  symbols = [] if module is None else module.get_symbols()
  return {symbol.get_name() for symbol in symbols if _is_bound(symbol)}


def free_names(source: str) -> set[str]:
  """The names that a module uses and lacks; none if it does not parse."""
  names = _parse(source, lambda: sandbox.needs_solution_names(source, ""))
  return set(names or ())


def join(*sources: str) -> str:
  """One module of several, with their imports from __future__ at its top.

  Args:
    sources: Python sources. Imports are moved where Python allows them, at the
      beginning of each; one that does not parse is taken as it is.
  """
  split = [_split_future(source) for source in sources]
  futures = [line for lines, _ in split for line in lines]
  return "\n".join([*futures, *(rest for _, rest in split), ""])


def _symbols(source: str) -> symtable.SymbolTable | None:
  return _parse(source, lambda: symtable.symtable(source, "<text>", "exec"))


def _is_bound(symbol: symtable.Symbol) -> bool:
  return symbol.is_assigned() or symbol.is_imported()


def _split_future(source: str) -> tuple[list[str], str]:
  """A source's imports from __future__, and its rest."""
  if "__future__" not in source:
    return [], source
  tree = _parse(source, lambda: ast.parse(source))
  imports = [] if tree is None else _leading_future_imports(tree)
  source = source.replace("\r\n", "\n").replace("\r", "\n")
  lines = source.encode("utf-8", "surrogatepass").split(b"\n")
  for node in reversed(imports):  # their positions count bytes
    first, last = node.lineno - 1, node.end_lineno - 1
    before = lines[first][: node.col_offset]
    after = lines[last][node.end_col_offset :]
    # Other statements may share the line.
    lines[first : last + 1] = [before + b"pass" + after]
  return [ast.unparse(x) for x in imports], b"\n".join(lines).decode(
      "utf-8", "surrogatepass"
  )


def _leading_future_imports(tree: ast.Module) -> list[ast.ImportFrom]:
  """The imports from __future__ that stand where Python allows them."""
  statements = tree.body
  if ast.get_docstring(tree, clean=False) is not None:
    statements = statements[1:]
  found = []
  for node in statements:
    if not isinstance(node, ast.ImportFrom) or node.module != "__future__":
      break
    found.append(node)
  return found


def _parse(source: str, parser: Callable[[], Any]) -> Any:
  """What a parser makes of a source, None if it is refused."""
  if len(source) > _MAX_CHARS:
    return None
  try:
    with warnings.catch_warnings():  # of escapes that Python does not know
      warnings.simplefilter("ignore")
      return parser()
  except (SyntaxError, ValueError, MemoryError, RecursionError):
    return None
