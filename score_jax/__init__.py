"""SCoRe: training language models to self-correct, in JAX."""

__version__ = "0.3.0"
