"""Programs that attack the grader of code, and what shows that they are real.

`attack` says what an attack is; the modules that `kinds` imports hold the
programs, one kind each, as source text. Nothing here is imported by score_jax.
"""
