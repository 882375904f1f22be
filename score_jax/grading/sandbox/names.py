"""Finds tests that cannot be judged from another process."""

import ast
import builtins
from collections.abc import Iterator
import importlib
import symtable

from score_jax.grading.sandbox import preload

# Names that every module has.
_GIVEN = {"__name__", "__builtins__", "__doc__"}


def needs_solution_names(tests: str, entry_point: str) -> list[str]:
  """Names that tests use but do not define.

  Tests may call the entry point, also known as `candidate`. Tests that use
  other names of the solution, mostly to build objects of its classes, cannot be
  judged: only plain data crosses between the tests and a solution.

  Args:
    tests: Python source; ValueError when it does not compile.
    entry_point: the name of the function under test.

  Returns:
    The names, sorted; empty when the tests can be judged.
  """
  try:
    module = symtable.symtable(tests, "<tests>", "exec")
    tree = ast.parse(tests)
  except (SyntaxError, ValueError) as error:
    raise ValueError(
        f"The tests of {entry_point!r} do not compile: {error}. Correct or drop"
        " this problem."
    ) from error
  tables = list(_tables(module))
  known = {entry_point, "candidate", *_GIVEN, *dir(builtins)}
  known |= set(_bound_elsewhere(tree))
  for table in tables:
    known |= {s.get_name() for s in _globals(table) if _is_bound(s)}
  used = {
      symbol.get_name()
      for table in tables
      for symbol in _globals(table)
      if symbol.is_referenced()
  }
  return sorted(used - known)


def _bound_elsewhere(tree: ast.AST) -> Iterator[str]:
  """Names that the tests bind although symbol tables do not show it."""
  for node in ast.walk(tree):
    # In a comprehension, := binds a name outside of it, which symbol tables do
    # not show from Python 3.12 on.
    if isinstance(node, ast.NamedExpr):
      yield node.target.id
    elif isinstance(node, ast.ImportFrom) and node.module in preload.MODULES:
      if any(alias.name == "*" for alias in node.names):
        module = importlib.import_module(node.module)
        public = [name for name in dir(module) if not name.startswith("_")]
        yield from vars(module).get("__all__", public)


def _tables(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
  """A scope and all scopes within it."""
  yield table
  for child in table.get_children():
    yield from _tables(child)


def _globals(table: symtable.SymbolTable) -> list[symtable.Symbol]:
  """The names of a scope that are names of the module."""
  is_module = table.get_type() == "module"
  return [s for s in table.get_symbols() if is_module or s.is_global()]


def _is_bound(symbol: symtable.Symbol) -> bool:
  return symbol.is_assigned() or symbol.is_imported()
