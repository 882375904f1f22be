"""Compilation for tests."""

import functools

import jax

# Tiny models run for no time and compile for long: as little as possible.
fast_jit = functools.partial(
    jax.jit, compiler_options={"xla_backend_optimization_level": 0}
)
