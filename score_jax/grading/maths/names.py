"""What may stand before '=' without being part of the answer."""

import re

from score_jax.grading.maths.nodes import Node
from score_jax.grading.maths.nodes import Ordered
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
    r"|\\overline\{[A-Z]+\}|\|[A-Z]{2}\|"
    # AB is a segment, ab a product.
    rf"|(?:[a-zA-Z]|[A-Z]+|{_GREEK}){_MARKS}"
    # The value of a function, while a(b) may be a product.
    rf"|(?:[fghpqruyF-HPQR-V]|\\(?:phi|varphi|psi)){_MARKS}(?:\^\{{-1\}})?"
    rf"\({_VARIABLE}(?:,{_VARIABLE})*\)"
    rf"|(?:P|Pr|E|Var|n|N)\({_EVENT}(?:(?:\\cap|\\cup|\|) ?{_EVENT})?\)"
)


def is_name(node: Node) -> bool:
  """Whether a node gives a name to what is on the other side of '='."""
  match node:
    case Ordered():
      return all(map(is_name, node.items))
    case Words():
      return len(node.text) == 1 or is_quantity(node.text)
    case Symbol():
      return _NAME.fullmatch(node.text) is not None
    case Scalar():
      is_named = _NAME.fullmatch(node.text) is not None
      return not node.unit and (is_named or is_quantity(node.text))
  return False
