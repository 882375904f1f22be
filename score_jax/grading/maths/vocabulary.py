"""What the parser knows by name, and what it stands for in sympy."""

import sympy

GREEK = frozenset(
    "\\" + name
    for name in (
        "alpha beta gamma delta epsilon varepsilon zeta eta theta kappa lambda"
        " mu nu xi rho sigma tau phi varphi chi psi omega Gamma Delta Theta"
        " Lambda Sigma Phi Psi Omega ell"
    ).split()
)
CONSTANTS = {"e": sympy.E, "i": sympy.I, r"\pi": sympy.pi}
INVERSES = {
    r"\sin": sympy.asin,
    r"\cos": sympy.acos,
    r"\tan": sympy.atan,
    r"\cot": sympy.acot,
    r"\sec": sympy.asec,
    r"\csc": sympy.acsc,
}
FUNCTIONS = {
    r"\sin": sympy.sin,
    r"\cos": sympy.cos,
    r"\tan": sympy.tan,
    r"\cot": sympy.cot,
    r"\sec": sympy.sec,
    r"\csc": sympy.csc,
    r"\arcsin": sympy.asin,
    r"\arccos": sympy.acos,
    r"\arctan": sympy.atan,
    r"\sinh": sympy.sinh,
    r"\cosh": sympy.cosh,
    r"\tanh": sympy.tanh,
    r"\ln": sympy.log,
    r"\exp": sympy.exp,
}
BRACKETS = {
    "(": ")",
    "[": "]",
    "{": "}",
    "|": "|",
    r"\lfloor": r"\rfloor",
    r"\lceil": r"\rceil",
}
WRAPPERS = {"|": sympy.Abs, r"\lfloor": sympy.floor, r"\lceil": sympy.ceiling}
PRODUCTS = frozenset((r"\cdot", r"\times", "*"))
QUOTIENTS = frozenset(("/", r"\div"))
# Marks that make a name of their own of the letters below them.
ACCENTS = frozenset(
    "\\" + name
    for name in (
        "vec hat tilde overline overrightarrow widehat dot angle triangle"
    ).split()
)
# f(2) is no product, and its value is not known: a number of its own.
FUNCTION_NAMES = frozenset("fgh")
