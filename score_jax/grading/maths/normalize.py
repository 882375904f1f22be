r"""One spelling for answers that differ only in how LaTeX sets them.

This covers spacing, \dfrac, \left, delimiters, thousands separators and final
periods. Differences that change a meaning, however slightly, are left to
`compare`.
"""

import functools
import re

# Longer texts are refused before they are read.
MAX_RAW_CHARS = 2000

_UNICODE = {
    "\u2212": "-", "\u00d7": r"\times ", "\u00b7": r"\cdot ",
    "\u00f7": r"\div ", "\u03c0": r"\pi ", "\u221e": r"\infty ",
    "\u00b0": r"^\circ ", "\u2264": r"\le ", "\u2265": r"\ge ",
    "\u2260": r"\ne ", "\u222a": r"\cup ", "\u2229": r"\cap ",
    "\u2208": r"\in ", "\u00b1": r"\pm ", "\u03b8": r"\theta ",
    "\u00b2": "^{2}", "\u00b3": "^{3}", "\u2019": "'", "\u00a0": " ",
    "\u2009": " ", "\u202f": " ",
}  # fmt: skip
_UNICODE_TABLE = str.maketrans(_UNICODE)
_UNICODE_ROOT = re.compile(r"\u221a\s*(?:\(([^()]*)\)|([0-9]+|[a-z]))")

# (what, by what), in this order; the last spelling is the one kept.
_REWRITES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        # Thousands, while the spacing still tells 1,\!234 from the list 1, 234.
        (r"(?<=[0-9])(?:,\\! *|\{,\} *|\\,)(?=[0-9]{3}(?![0-9]))", ""),
        # \sqrt{10} \approx 3.16 states the root.
        (r"(.)\\approx(?![a-zA-Z]).*", r"\1"),
        (r"\\!|\\displaystyle\b|\\limits\b|\\hfill\b", ""),
        (r"(?<!\\)\\[,;:> ]|~|\\q?quad\b|\\thinspace\b", " "),
        (r"\\(?:left|right|[bB]igg?[lr]?)(?![a-zA-Z])\s*\.?", ""),
        (r"\\[dtc]frac(?![a-zA-Z])", r"\\frac"),
        (r"\\(?:leqslant|leq)(?![a-zA-Z])", r"\\le"),
        (r"\\(?:geqslant|geq)(?![a-zA-Z])", r"\\ge"),
        (r"\\lt(?![a-zA-Z])", "<"),
        (r"\\gt(?![a-zA-Z])", ">"),
        (r"\\neq(?![a-zA-Z])", r"\\ne"),
        (r"\\lbrace(?![a-zA-Z])", r"\\{"),
        (r"\\rbrace(?![a-zA-Z])", r"\\}"),
        (r"\\(?:[lr]?vert|mid)(?![a-zA-Z])", "|"),
        (r"\\varnothing(?![a-zA-Z])|\\\{\s*\\\}", r"\\emptyset "),
        (r"\^\s*\{\s*\\circ\s*\}|\\degrees?(?![a-zA-Z])", r"^\\circ "),
        (r"\\(?:mathbf|boldsymbol|mathit|mathnormal)(?![a-zA-Z])", ""),
        (r"\\(?:mathrm|textbf|textit|textrm|textnormal|mbox|mathsf|hbox)"
         r"(?![a-zA-Z])\s*", r"\\text"),
        (r"\\operatorname\s*\{\s*([a-z]+)\s*\}", r"\\\1 "),
        (r"\\text\s*\{\s*(e|i)\s*\}", r"\1"),
        (r"(\\[a-z]+)\s+(?=[0-9])", r"\1"),
        (r"\\ast(?![a-zA-Z])", "*"),
        (r"\\infinity(?![a-zA-Z])", r"\\infty"),
        (r"\\mathbb\s*([A-Z])", r"\\mathbb{\1}"),
        # 5$6 is no 56.
        (r"(?<!\\)\$|\\[()]", " "),
        (r"\\\\\s*\[[0-9.]+ ?(?:pt|ex|em|mm)\]", r"\\\\ "),
        (r"\\text\s*\{[. ]*\}$|(?<!\\)\\$", ""),
        # \frac12, \frac1{72}, \frac{1}2 and \sqrt2.
        (r"\\frac\s*([0-9a-zA-Z]|\\(?:pi|theta))", r"\\frac{\1}"),
        (
            r"(\\frac\s*\{(?:[^{}]|\{[^{}]*\})*\})\s*([0-9a-zA-Z]|\\(?:pi|theta))",
            r"\1{\2}",
        ),
        (r"\\sqrt\s*([0-9a-z])", r"\\sqrt{\1}"),
    )
)  # fmt: skip
_THOUSANDS = re.compile(r"(?<![0-9.,])[0-9]{1,3}(?:,[0-9]{3})+(?![0-9]|,[0-9])")
# A space matters between two letters or digits only: 2 1/3, not even, 5 cm.
_IDLE_SPACE = re.compile(r"(?<![a-zA-Z0-9.]) | (?![a-zA-Z0-9.])")
# Nothing in it to rewrite: most answers are plain numbers.
_AS_TYPED = re.compile(r"[^\\${}~^_]*")
_DELIMITERS = re.compile(r"^\\\[(.*)\\\]$")


@functools.lru_cache(maxsize=1 << 16)
def normalize(text: str) -> str:
  """The answer in its one spelling, '' when nothing is left of it.

  Args:
    text: at most MAX_RAW_CHARS characters.
  """
  if len(text) > MAX_RAW_CHARS:
    raise ValueError(f"Expected at most {MAX_RAW_CHARS}, got {len(text)}.")
  if not text.isascii():
    text = _UNICODE_ROOT.sub(_root, text.translate(_UNICODE_TABLE))
  text = " ".join(text.split()).strip("*` ")
  text = _DELIMITERS.sub(r"\1", text)
  if not text.isalnum():
    if not _AS_TYPED.fullmatch(text):
      for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    if "=" in text:
      text = text.replace("<=", r"\le ").replace(">=", r"\ge ")
    if "," in text:
      text = _THOUSANDS.sub(_join_thousands, text)
    text = _drop_spaces(text)
    # An ellipsis leaves open which number it is.
    text = text.rstrip("*` ,;" if ".." in text else "*`. ,;")
  return text


def _root(match: re.Match) -> str:
  return rf"\sqrt{{{match.group(1) or match.group(2)}}}"


def _join_thousands(match: re.Match) -> str:
  """1,234 without its comma, except in a bracket, where it may be a tuple."""
  before = match.string[: match.start()]
  depth = sum(before.count(c) for c in "([") - sum(map(before.count, ")]"))
  depth += before.count(r"\{") - before.count(r"\}")
  return match.group() if depth > 0 else match.group().replace(",", "")


def _drop_spaces(text: str) -> str:
  """Drops spaces that change nothing; a space that ends a command stays."""
  text = " ".join(text.split())
  return _IDLE_SPACE.sub("", text)
