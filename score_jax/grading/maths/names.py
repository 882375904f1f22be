"""What may stand before '=' without being part of the answer."""

from collections.abc import Iterable
from collections.abc import Sequence
import re

from score_jax.grading.maths.nodes import Node
from score_jax.grading.maths.nodes import Ordered
from score_jax.grading.maths.nodes import Relation
from score_jax.grading.maths.nodes import Scalar
from score_jax.grading.maths.nodes import Symbol
from score_jax.grading.maths.nodes import Words
from score_jax.grading.maths.phrases import is_quantity

_GREEK = (
    r"\\(?:alpha|beta|gamma|delta|epsilon|theta|lambda|mu|nu|xi|rho|sigma|tau"
    r"|phi|varphi|chi|psi|omega|Delta|Theta|Sigma|Phi|Omega|ell)"
)
_MARKS = r"(?:_(?:[0-9a-zA-Z]|\{[0-9a-zA-Z+,-]+\}))?'*"
_VARIABLE = r"(?:[k-nr-z]|\\theta)"
_EVENT = r"[A-Z]'?"
_NAME = re.compile(
    rf"m?\\(?:angle|triangle) ?(?:[A-Z](?:_\{{?[0-9]\}}?)?'* ?)+"
    r"|\\overline\{[A-Z]+\}|\|[A-Z]{1,2}\|"
    r"|\\vec ?(?:[a-z]|\{[a-z]\})"
    # AB is a segment, ab a product.
    rf"|(?:[a-zA-Z]|[A-Z]+|{_GREEK}){_MARKS}"
    # The value of a function, while a(b) may be a product.
    rf"|(?:[fghpqruyF-HPQR-V]|\\(?:phi|varphi|psi)){_MARKS}(?:\^\{{-1\}})?"
    rf"\({_VARIABLE}(?:,{_VARIABLE})*\)"
    rf"|(?:P|Pr|E|Var|n|N)\({_EVENT}(?:(?:\\cap|\\cup|\|) ?{_EVENT})?\)"
    rf"|(?:E|Var)\[{_EVENT}\]"
)
_LATIN = re.compile(r"[a-zA-Z]+")
_LETTERS = re.compile(r"\\?[a-zA-Z]+")


def is_name(node: Node) -> bool:
  """Whether a node gives a name to what is on the other side of '='."""
  match node:
    case Ordered():
      return all(map(is_name, node.items)) and are_in_order(node.items)
    case Words():
      return len(node.text) == 1 or is_quantity(node.text)
    case Symbol():
      return _NAME.fullmatch(node.text) is not None
    case Scalar():
      is_named = _NAME.fullmatch(node.text) is not None
      return not node.unit and (is_named or is_quantity(node.text))
  return False


def are_in_order(names: Sequence[Node]) -> bool:
  """Whether names are in the order in which values without names are given.

  (x, y) = (1, 2) says what (1, 2) says, (y, x) = (1, 2) does not. Greek letters
  have no such order: (\\rho, \\theta, \\phi).
  """
  texts = [name.text for name in names if not isinstance(name, Ordered)]
  latin = [text for text in texts if _LATIN.match(text)]
  return len(set(texts)) == len(texts) and latin == sorted(
      latin, key=str.casefold
  )


def named(node: Node) -> Node | None:
  """What an equation gives a value to: x of x = 2; None for others."""
  is_equation = isinstance(node, Relation) and set(node.operators) == {"="}
  names = [side for side in node.sides if is_name(side)] if is_equation else ()
  return names[0] if names else None


def letters_named(nodes: Iterable[Node]) -> set[str]:
  """The letters that equations give values to; those of x_1 and x_2 are x."""
  names = [name for name in map(named, nodes) if name is not None]
  texts = [str(n) if isinstance(n, Ordered) else n.text for n in names]
  return {match[0] if (match := _LETTERS.match(t)) else t for t in texts}
