"""Runs programs that a model wrote against tests, behind a wall.

A pool of workers, each a bare Python interpreter that never sees JAX. For every
verdict a worker starts two processes: the solver, which holds the solution and
nothing else, and the judge, which holds the tests and calls the solution's
function as a remote one. Only plain data crosses between them. Of what else a
solution returns, a function say, the tests have no more than a handle; so has a
solution of functions that the tests hand to it. So a solution has no expected
answer to read, no test to patch and no verdict to forge.

A solution has the standard library (preload.py), and no files, threads,
processes, sockets or other packages. What it changes in its arguments the tests
do not see.

Reading order: grader.py (the pool), process.py (one worker, from outside),
worker.py (inside) and stopwatch.py, judge.py and solver.py with what crosses
between them (codec.py, exceptions.py, lending.py), then the wall:
confine.py, namespaces.py, seccomp.py and probe.py, which tries to break out
before anything is graded.

Not defended against: bugs of the kernel and side channels of the CPU. Memory is
limited for each process, so all together may use workers x 2 x memory_mb.
Random numbers and the order of sets are the same in every run.
"""

from score_jax.grading.sandbox.grader import CodeGrader
from score_jax.grading.sandbox.names import needs_solution_names
from score_jax.grading.sandbox.tiers import Tier

__all__ = ["CodeGrader", "Tier", "needs_solution_names"]
