r"""Unicode that models write, as the LaTeX that it stands for.

Most of it follows from the character database: full-width and styled letters,
superscripts, vulgar fractions, Greek. One table holds the signs of mathematics.
"""

import re
import unicodedata

_SIGNS = {
    "−": "-", "‐": "-", "‑": "-", "﹣": "-", "－": "-", "×": r"\times ",
    "·": r"\cdot ", "⋅": r"\cdot ", "∙": r"\cdot ", "∗": "*", "÷": r"\div ",
    "∕": "/", "⁄": "/", "±": r"\pm ", "∓": r"\mp ", "∞": r"\infty ",
    "°": r"^\circ ", "º": r"^\circ ", "˚": r"^\circ ",
    "≤": r"\le ", "≥": r"\ge ",
    "⩽": r"\le ", "⩾": r"\ge ", "≦": r"\le ", "≧": r"\ge ", "≠": r"\ne ",
    "≈": r"\approx ", "∪": r"\cup ", "∩": r"\cap ", "∈": r"\in ",
    "∖": r"\setminus ", "∅": r"\emptyset ", "Ø": r"\emptyset ",
    "ø": r"\emptyset ", "∨": r"\lor ", "∧": r"\land ", "∣": "|", "∶": ":",
    "→": r"\to ", "∠": r"\angle ", "△": r"\triangle ", "⟨": r"\langle ",
    "⟩": r"\rangle ", "⌊": r"\lfloor ", "⌋": r"\rfloor ", "⌈": r"\lceil ",
    "⌉": r"\rceil ", "ℝ": r"\mathbb{R}", "ℤ": r"\mathbb{Z}",
    "ℕ": r"\mathbb{N}", "ℚ": r"\mathbb{Q}", "ℂ": r"\mathbb{C}", "…": "...",
    "⋯": "...", "∑": r"\sum ", "∏": r"\prod ", "∫": r"\int ", "′": "'",
    "‘": "'", "’": "'", "“": '"', "”": '"', "。": ".", "、": ", ",
    "¢": r"\cent ", "€": r"\euro ", "£": r"\pounds ", "¥": r"\yen ",
    "\u2009": r"\,", "\u202f": r"\,", "✓": "", "✔": "", "✅": "", "\ufe0f": "",
}  # fmt: skip
# Without width, and without a say in what is read: joiners, soft hyphens,
# invisible operators. Overrides of the direction stay: they change the order.
_INVISIBLE = dict.fromkeys(
    map(chr, (0xAD, *range(0x200B, 0x2010), *range(0x2060, 0x2065), 0xFEFF)), ""
)
_TABLE = str.maketrans(_SIGNS | _INVISIBLE)
# Between two numbers a dash may be a range, elsewhere it is a minus sign.
_DASH = re.compile(
    r"((?<![0-9a-zA-Z.)}\]+*/^-])[0-9.,]+\s*[–—‒―]\s*[0-9.,]+"
    r"(?![0-9a-zA-Z(\\{√^*/+-]))|[–—‒―]"
)
_ROOT = re.compile(
    r"([√∛∜])\s*(?:\(([^()]*)\)|\{([^{}]*)\}|([0-9]+|[a-z]|\\pi))"
)
_ROOTS = {"√": r"\sqrt", "∛": r"\sqrt[3]", "∜": r"\sqrt[4]"}
_SCRIPTS = (("<super>", "^"), ("<sub>", "_"))
# What these stand for is the character itself, in another shape.
_SHAPES = ("<wide>", "<narrow>", "<font>", "<compat>", "<noBreak>", "<small>")


def to_latex(text: str) -> str:
  """The text in ASCII, as far as its characters have one meaning there.

  What has none stays, and makes the answer unreadable.
  """
  text = _DASH.sub(lambda match: match.group(1) or "-", text)
  text = text.translate(_TABLE)
  text = _join_scripts(text)
  text = "".join(c if c.isascii() else _character(c) for c in text)
  return _ROOT.sub(_root, text)


def _join_scripts(text: str) -> str:
  """x²³ as x^{23}, H₂ as H_{2}; º is a degree, and no script."""
  for kind, mark in _SCRIPTS:
    if not any(_decomposition(c)[0] == kind for c in text if not c.isascii()):
      continue
    pieces, is_inside = [], False
    for character in text:
      found, shape = _decomposition(character)
      if (found == kind) != is_inside:
        is_inside = not is_inside
        pieces.append(mark + "{" if is_inside else "}")
      pieces.append(shape.replace("−", "-") if is_inside else character)
    text = "".join(pieces) + "}" * is_inside
  return text


def _decomposition(character: str) -> tuple[str, str]:
  """(kind, what a character stands for); ('', the character) without one."""
  kind, *codes = unicodedata.decomposition(character).split() or [""]
  if not kind.startswith("<"):
    return "", character
  return kind, "".join(chr(int(code, 16)) for code in codes)


def _character(character: str) -> str:
  kind, shape = _decomposition(character)
  if kind == "<fraction>":
    numerator, _, denominator = shape.partition("⁄")
    return rf"\frac{{{numerator}}}{{{denominator}}}"
  if kind in _SHAPES:
    return "".join(c if c.isascii() else _character(c) for c in shape)
  return _greek(character) or character


def _greek(character: str) -> str:
  name = unicodedata.name(character, "").replace("LAMDA", "LAMBDA")
  match name.split():
    case ["GREEK", "SMALL", "LETTER", letter]:
      return rf"\{letter.lower()} "
    case ["GREEK", "CAPITAL", "LETTER", letter]:
      return rf"\{letter.capitalize()} "
    case ["GREEK", "PHI", "SYMBOL"]:
      return r"\phi "
  return ""


def _root(match: re.Match) -> str:
  sign, *parts = match.groups()
  return rf"{_ROOTS[sign]}{{{''.join(part or '' for part in parts)}}}"
