"""SCoRe: training language models to self-correct, in JAX."""
