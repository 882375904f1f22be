r"""One spelling for the commands of LaTeX: tables of what replaces what.

Spacing, sizes, fonts and aliases are data here, applied in one pass over the
commands of a text; then come the arguments that may stand without braces.
"""

import re

_ALIASES = {
    "frac": "dfrac tfrac cfrac nicefrac sfrac",
    "binom": "dbinom tbinom",
    "le": "leq leqslant leqq",
    "ge": "geq geqslant geqq",
    "ne": "neq",
    "cup": "bigcup",
    "cap": "bigcap",
    "lor": "vee",
    "land": "wedge",
    "emptyset": "varnothing",
    "infty": "infinity",
    "setminus": "backslash smallsetminus",
    "to": "rightarrow longrightarrow",
    "overline": "bar",
    "angle": "measuredangle",
    "mathbb": "Bbb",
    "pounds": "textsterling",
    "euro": "texteuro EUR",
    "cent": "textcent",
    "text": (
        "mathrm textbf textit textrm textnormal mbox mathsf hbox textsf texttt"
        " mathtt emph textsl textsc textup textmd mathup"
    ),
}
_STYLES = (
    "displaystyle textstyle scriptstyle limits nolimits hfill left right middle"
    " big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr Biggl Biggr mathbf bm"
    " boldsymbol mathit mathnormal mathcal pmb bf rm it sf tt tiny scriptsize"
    " footnotesize small normalsize large Large LARGE huge Huge underline"
    " uline ensuremath boxed fbox framebox strut mathstrut null relax bfseries"
    " itshape quad qquad thinspace enspace space enskip medspace thickspace"
    " nobreak newline checkmark therefore mathop mathord mathbin"
    " mathrel negthinspace smash"
)
_SIGNS = {
    "lt": "<",
    "gt": ">",
    "lbrace": r"\{",
    "rbrace": r"\}",
    "set": r"\set",
    "lparen": "(",
    "rparen": ")",
    "cr": r"\\ ",
    "lbrack": "[",
    "rbrack": "]",
    "colon": ":",
    "vert": "|",
    "lvert": "|",
    "rvert": "|",
    "mid": "|",
    "ast": "*",
    "degree": r"^\circ ",
    "degrees": r"^\circ ",
    "deg": r"^\circ ",
    "textdegree": r"^\circ ",
    "ldots": "...",
    "dots": "...",
    "cdots": "...",
    "prime": "'",
    "textdollar": r"\$",
    "mathdollar": r"\$",
    "textpercent": r"\%",
    "lg": r"\log_{10}",
    "R": r"\mathbb{R}",
}
_TABLE = (
    dict.fromkeys(_STYLES.split(), " ")
    | _SIGNS
    | {
        alias: "\\" + command
        for command, aliases in _ALIASES.items()
        for alias in aliases.split()
    }
)
_COMMAND = re.compile(r"\\([a-zA-Z]+)")
# \\frac as it stands in JSON; a line break is not expected before a letter.
_DOUBLED = re.compile(r"\\\\(?:[a-zA-Z]{2}|[$%!,;{])")
# \right. sets no bracket, its period is none.
_NO_DELIMITER = re.compile(r"\\(?:left|right|[bB]igg?[lr]?)(?![a-zA-Z])\s*\.")

_GROUP = r"\{(?:[^{}]|\{[^{}]*\})*\}"
_TOKEN = r"[0-9a-zA-Z]|\\(?:pi|theta)(?![a-zA-Z])"
# (what must occur for it, what, by what), in this order.
_REWRITES = tuple(
    (literal, re.compile(pattern), replacement)
    for literal, pattern, replacement in (
        ("quad", r"\\q?quad(?=[a-zA-Z])", " "),
        ("~", "~", " "),
        ("\\", r"(?<!\\)\\[,;:> ]", " "),
        (r"\!", r"\\!", ""),
        # What is not seen.
        ("phantom", rf"\\[hv]?phantom\s*(?:{_GROUP}|[^\s{{}}\\])", ""),
        ("space", rf"\\[hvm]space\*?\s*{_GROUP}", " "),
        ("color", r"\\f?(?:text)?color(?:box)?\s*(?:\[\w+\])?\{[\w,.]+\}", " "),
        ("align", r"\\(?:begin|end)\{align(?:ed)?\*?\}|&(?==)", " "),
        # 5$6 is no 56.
        ("$", r"(?<!\\)((?:\\\\)*)\$", r"\1 "),
        ("\\", r"(?<!\\)\\[()]", " "),
        (r"\\", r"\\\\\s*\[[0-9.]+ ?(?:pt|ex|em|mm)\]", r"\\\\ "),
        (r"\\", r"(?:\\\\\s*)+\.?$", ""),
        ("\\", r"\\text\s*\{[. ]*\}$|(?<!\\)\\$", ""),
        (r"\text ", r"\\text\s+\{", r"\\text{"),
        (
            "operator",
            r"\\operatorname\s*\{\s*((?:arc)?(?:sin|cos|tan)h?|cot|sec|csc|ln|log"
            r"|lg|exp|max|min|gcd|lcm)\s*\}",
            r"\\\1 ",
        ),
        ("operator", r"\\operatorname\s*\{", r"\\text{"),
        ("text", r"\\text\{\s*([,;:]?)\s*\}", r"\1 "),
        ("text", r"\\text\{\s*\\text\{([^{}]*)\}\s*\}", r"\\text{\1}"),
        ("text", r"\\text\{(sin|cos|tan|ln|log)\}", r"\\\1 "),
        # Digits are digits, also as text, but not behind other digits.
        ("text", r"([\^_]) ?\\text\{ ?([0-9]+) ?\}", r"\1{\2}"),
        (
            "text",
            r"(?<![0-9a-zA-Z}])\\text\{ ?([0-9]+(?:\.[0-9]+)?) ?\}",
            r"\1",
        ),
        # \text{12 cm}^2.
        (
            "text",
            r"^\s*\\text\{([0-9.,]+) ?([a-z]+)\}\^\{?([23])\}?[\s.]*$",
            r"\1\\text{\2}^\3",
        ),
        ("USD", r"\\text\{\s*USD\s*\}", " USD "),
        ("all real", r"\\text\{\s*all real(?:s| numbers)\s*\}", r"\\mathbb{R}"),
        (
            "all real",
            r"\\text\{\s*all real(?:s| numbers) except(?: for)? *([^{}]*)\}",
            r"\\mathbb{R}\\setminus \1",
        ),
        (
            "text",
            r"\\text\{\s*(e|i|-|\\[$%]|\^\\circ|\\(?:euro|pounds|cent|pi)) *\}",
            r"\1",
        ),
        ("^", r"\^\s*\{\s*(?:\\circ|\\text\{\s*o\s*\})\s*\}", r"^\\circ "),
        ("^", r"\^ ?\\text\{ ?o ?\}", r"^\\circ "),
        ("o", r"(?<=[0-9])\^\{?o\}?(?![a-zA-Z])", r"^\\circ "),
        ("super", r"\\textsuperscript\{([0-9]+)\}", r"^{\1}"),
        ("^", r"(\\text\{[^{}]*)\^\{([0-9]+)\}", r"\1^\2"),
        (" ", r"(\\[a-z]+)\s+(?=[0-9])", r"\1"),
        ("text", r"_\s*\{\s*\\text\{([^{}]*)\}([^{}]*)\}", r"_{\1\2}"),
        ("text", r"_\s*\\text\{([^{}]*)\}", r"_{\1}"),
        ("_", r"_\s*\{\s*\\(max|min)\s*\}", r"_{\1}"),
        ("_", r"_\s*\\(max|min)(?![a-z])", r"_{\1}"),
        ("arrow", r"\\overrightarrow(?=\s*\{?[a-z]\b)", r"\\vec"),
        ("mathbb", r"\\mathbb\s*([A-Z])", r"\\mathbb{\1}"),
        (r"\set", r"\\set\s*\{([^{}]*)\}", r"\\{\1\\}"),
        (r"\{", r"\\\{\s*\\\}", r"\\emptyset "),
        ("over", r"\{([^{}]*)\\over(?![a-zA-Z])([^{}]*)\}", r"\\frac{\1}{\2}"),
        (
            "over",
            r"^([^{}\\]*)\\over(?![a-zA-Z])([^{}\\]*)$",
            r"\\frac{\1}{\2}",
        ),
        (
            "choose",
            r"\{([^{}]*)\\choose(?![a-zA-Z])([^{}]*)\}",
            r"\\binom{\1}{\2}",
        ),
        ("{", r"\{([:,;.-])\}", r"\1"),
        # 45{}^\circ, 45{^\circ}, {101}_2, 0.{\overline{3}}.
        ("{", r"(?<=[0-9])\{ ?\}(?=\^)", ""),
        ("{", r"(?<=[0-9])\{(\^\\circ) ?\}", r"\1 "),
        ("_", r"^\s*\{([0-9A-Z]+)\}(?=_)", r"\1"),
        ("{", r"(?<=[0-9.])\{(\\overline\{[0-9]+\})\}", r"\1"),
        ("not", r"\\not ?=", r"\\ne "),
        ("arrow", r"^\s*\\(?:Long)?[Rr]ightarrow", ""),
        # {}_5C_2, {}^5C_2 and C(5, 2).
        (
            "C",
            r"(?:\{\})?[_^]\{?([0-9]+)\}?\s*C_\{?([0-9]+)\}?",
            r"\\binom{\1}{\2}",
        ),
        # \frac12, \frac1{72}, \frac{1}2 and \sqrt2.
        ("frac", rf"\\frac\s*({_TOKEN})", r"\\frac{\1}"),
        ("frac", rf"(\\frac\s*{_GROUP})\s*({_TOKEN})", r"\1{\2}"),
        ("binom", rf"\\binom\s*({_TOKEN})", r"\\binom{\1}"),
        ("binom", rf"(\\binom\s*{_GROUP})\s*({_TOKEN})", r"\1{\2}"),
        (
            "sqrt",
            r"(\\sqrt(?:\s*\[[^\[\]]*\])?)\s*([0-9a-z]|\\pi(?![a-z]))",
            r"\1{\2}",
        ),
        ("frac", r"(?<=[0-9])\{(\\frac\{[0-9]+\}\{[0-9]+\})\}", r"\1"),
        ("overline", r"\\overline\s*([0-9])", r"\\overline{\1}"),
        ("dot", r"\\dot\s*([0-9])", r"\\dot{\1}"),
    )
)


def one_spelling(text: str) -> str:
  """The text with one spelling for each command and its arguments."""
  if "\\" in text:
    if _DOUBLED.search(text) and r"\begin" not in text:
      text = text.replace(r"\\", "\\")
    if "." in text:
      text = _NO_DELIMITER.sub(" ", text)
    text = _COMMAND.sub(lambda match: _TABLE.get(match[1], match[0]), text)
  for literal, pattern, replacement in _REWRITES:
    if literal in text:
      text = pattern.sub(replacement, text)
  return text
