"""Directories of runs and studies as the commands leave them, with made-up
numbers and conversations, for tests of what reads them."""

from collections.abc import Mapping
from collections.abc import Sequence
import json
import pathlib
from typing import Any

import numpy as np

from score_jax import evaluate
from score_jax.output import files

# (label, is_trained, phases, accuracy of attempt 1, of attempt 2, c->i).
METHODS = {
    "base": ("Base", False, ("base",), 0.586, 0.577, 0.049),
    "single_turn": (
        "Single-turn RL",
        True,
        ("base", "single_turn"),
        0.671,
        0.629,
        0.073,
    ),
    "star": ("STaR", True, ("base", "star_1", "star_2"), 0.643, 0.783, 0.078),
    "score": ("SCoRe", True, ("base", "stage1", "stage2"), 0.627, 0.778, 0.046),
}
HOSTILE = (
    "</script><script>document.title='owned'</script>"
    "<img src=x onerror=\"document.title='owned'\"> <!-- & \u2028 [[data]]"
)
_DIFFICULTIES = ("few carries", "some carries", "many carries")
_STEPS = 24


def conversation(
    number: int,
    is_correct: Sequence[bool],
    texts: Sequence[str],
    is_truncated: Sequence[bool] = (False, False),
    difficulty: str = "",
    **extra: Any,
) -> dict[str, Any]:
  """One record of `rollouts/`; an attempt's answer is its text."""
  return {
      "problem_id": number,
      "source_id": "",
      "question": f"{number + 10000} + 4711",
      "gold": f"{number + 14711:06d}",
      "difficulty": difficulty,
      "correction_prompt": "Look again.",
      "attempts": [
          {
              "text": text,
              "answer": text,
              "status": "correct" if is_right else "wrong",
              "is_correct": is_right,
              "is_truncated": is_cut,
          }
          for text, is_right, is_cut in zip(
              texts, is_correct, is_truncated, strict=True
          )
      ],
      **extra,
  }


def make_run(
    path: pathlib.Path,
    phases: Sequence[str] = ("base", "stage1", "stage2"),
    rates: tuple[float, float, float] = (0.63, 0.78, 0.05),
    n: int = 40,
    seed: int = 0,
) -> dict[str, Any]:
  """Writes a run directory and returns its results."""
  rng = np.random.default_rng(seed)
  (path / "rollouts").mkdir(parents=True)
  files.write_json(path / "config.json", {"seed": seed, "made_up": True})
  files.write_json(path / "manifest.json", {"versions": {"jax": "0.0"}})
  results = {}
  for phase in phases:
    base = (0.58, 0.57, 0.05)
    records = make_rollouts(rng, rates if phase == phases[-1] else base, n)
    text = "".join(json.dumps(r) + "\n" for r in records)
    files.write_text(path / "rollouts" / f"test_{phase}.jsonl", text)
    results[phase] = summarize(records)
  files.write_json(path / "results.json", results)
  trained = [phase for phase in phases if phase != "base"]
  lines = [json.dumps(r) + "\n" for r in make_metrics(rng, trained, rates)]
  files.write_text(path / "metrics.jsonl", "".join(lines))
  return results


def make_rollouts(
    rng: np.random.Generator, rates: tuple[float, float, float], n: int
) -> list[dict[str, Any]]:
  """Conversations with about the given accuracies and c->i."""
  first, second, c_to_i = rates
  records = []
  for number in range(n):
    is_first = bool(rng.random() < first)
    chance = 1 - c_to_i / first
    if not is_first:
      chance = (second - first + c_to_i) / (1 - first)
    is_second = bool(rng.random() < chance)
    gold = f"{number + 14711:06d}"
    wrong = f"{number + 14711 + 10 ** int(rng.integers(5)):06d}"
    texts = [gold if is_right else wrong for is_right in (is_first, is_second)]
    is_cut = (False, bool(rng.random() < 0.05))
    label = _DIFFICULTIES[int(rng.integers(3))]
    records.append(
        conversation(
            number, (is_first, is_second), texts, is_cut, difficulty=label
        )
    )
  return records


def summarize(records: Sequence[Mapping]) -> dict[str, Any]:
  """Metrics of conversation records, as an evaluation makes them."""
  attempts = [r["attempts"] for r in records]
  right = np.asarray([[a["is_correct"] for a in row] for row in attempts])
  first, second = right[:, :2].astype(float).T
  cut = np.asarray([[a["is_truncated"] for a in row] for row in attempts])
  changed = [row[0]["answer"] != row[1]["answer"] for row in attempts]
  return evaluate.summarize(
      {
          "accuracy_t1": first,
          "accuracy_t2": second,
          "delta_t1_t2": second - first,
          "delta_i_to_c": (1 - first) * second,
          "delta_c_to_i": first * (1 - second),
          "answer_change_rate": np.asarray(changed, float),
          "truncated_t1": cut[:, 0].astype(float),
          "truncated_t2": cut[:, 1].astype(float),
      }
  )


def make_metrics(
    rng: np.random.Generator,
    phases: Sequence[str],
    rates: tuple[float, float, float],
) -> list[dict[str, Any]]:
  """Records of all phases: rising accuracies, KL, validations."""
  records, total = [], _STEPS * len(phases)
  for index, phase in enumerate(phases):
    for step in range(_STEPS + 1):
      done = index * _STEPS + step
      share = done / total
      means = [0.58 + (rates[0] - 0.58) * share]
      means.append(0.57 + (rates[1] - 0.57) * share)
      record = {"stage": phase, "step": step, "time_s": 2.0 * done}
      if step:
        noise = 0.03 * rng.standard_normal(2)
        record |= {
            "train/accuracy_t1": means[0] - 0.06 + noise[0],
            "train/accuracy_t2": means[1] - 0.07 + noise[1],
            "train/kl_t1": 0.0004 * share,
            "train/kl_t2": 0.0015 * share,
            "train/loss": -share + noise[0],
            "train/truncated_t1": 0.0,
            "train/truncated_t2": 0.02,
            "train/conversations": 256 * done,
        }
      if step % 8 == 0:
        record |= {
            "validation/accuracy_t1": means[0],
            "validation/accuracy_t2": means[1],
            "validation/answer_change_rate": 0.2 + 0.2 * share,
        }
      records.append(record)
  return records


def make_study(
    path: pathlib.Path,
    methods: Mapping[str, tuple] = METHODS,
    seeds: Sequence[int] = (0, 1),
    n: int = 40,
) -> dict[str, Any]:
  """Writes the directory of a study and returns its `study.json`."""
  study = {
      "config": {"methods": list(methods), "seeds": list(seeds)},
      "num_problems": n,
      "methods": {},
      "comparisons": [],
      "warnings": [
          {
              "method": list(methods)[-1],
              "seed": 0,
              "phase": "stage1",
              "step": 12,
              "name": "first_attempt_kl",
              "message": "KL of first attempts is 0.21 nats, above 0.2",
          }
      ],
      "unfinished": ["star/7"],
      "wall_s": 3723.0,
  }
  for name, method in methods.items():
    study["methods"][name] = _make_method(path, name, method, seeds, n)
  reference = list(methods)[-1]
  study["comparisons"] = [
      _compare(study["methods"], reference, other, metric)
      for other in methods
      if other != reference
      for metric in ("accuracy_t2", "delta_t1_t2")
  ]
  files.write_json(path / "study.json", study)
  return study


def _make_method(
    path: pathlib.Path,
    name: str,
    method: tuple,
    seeds: Sequence[int],
    n: int,
) -> dict[str, Any]:
  label, is_trained, phases, *rates = method
  finals = [
      make_run(path / f"cells/{name}/seed{k}", phases, tuple(rates), n, k)[
          phases[-1]
      ]
      for k in seeds
  ]
  summary = {}
  for metric in finals[0]:
    if metric not in ("n", "ci95"):
      values = [result[metric] for result in finals]
      ends = [f["ci95"].get(metric, [f[metric]] * 2) for f in finals]
      summary[metric] = {
          "mean": float(np.mean(values)),
          "ci95": np.mean(ends, axis=0).tolist(),
          "per_seed": values,
          "std": float(np.std(values, ddof=1)) if len(seeds) > 1 else None,
      }
  budget = 256 * _STEPS * sum(phase != "base" for phase in phases)
  means = [summary[f"accuracy_t{t}"]["mean"] for t in (1, 2)]
  return {
      "label": label,
      "is_trained": is_trained,
      "summary": summary,
      "mcnemar_p": 3e-9 if is_trained else 0.31,
      "conversations": budget,
      "wall_s": [61.0 + k for k in seeds],
      "cells": {str(k): f"cells/{name}/seed{k}" for k in seeds},
      "by_difficulty": {
          d: {
              "n": n // 3,
              "accuracy_t1": means[0] - 0.1 * i,
              "accuracy_t2": means[1] - 0.05 * i,
              "delta_i_to_c": 0.1,
              "delta_c_to_i": 0.02,
          }
          for i, d in enumerate(_DIFFICULTIES)
      },
      "edit_distance": {
          "edges": np.linspace(0, 1, 21).tolist(),
          "counts": [n - n // 4, n // 8, n // 8, *([0] * 17)],
      },
      "test_time": _test_time(means) if name in ("base", "score") else None,
      "curve": [
          {
              "conversations": int(budget * s),
              "accuracy_t1": 0.58 + (means[0] - 0.58) * s,
              "accuracy_t2": 0.57 + (means[1] - 0.57) * s**0.5,
          }
          for s in (np.linspace(0, 1, 7).tolist() if is_trained else [])
      ],
  }


def _test_time(means: Sequence[float]) -> dict[str, Any]:
  return {
      "num_attempts": {"accuracy": [*means, means[1] + 0.01, means[1] + 0.015]},
      "self_consistency": [
          {
              "budget": budget,
              "parallel": means[0] + 0.01 * budget**0.5,
              "sequential": means[1] + 0.012 * budget**0.5,
              "difference_ci95": [0.01, 0.05],
          }
          for budget in (2, 4, 8, 16)
      ],
  }


def _compare(
    methods: Mapping[str, Mapping], a: str, b: str, metric: str
) -> dict[str, Any]:
  means = [methods[name]["summary"][metric]["mean"] for name in (a, b)]
  difference = means[0] - means[1]
  low, high = difference - 0.03, difference + 0.03
  verb = "differs from" if low > 0 or high < 0 else "is not apart from"
  return {
      "a": a,
      "b": b,
      "metric": metric,
      "difference": difference,
      "ci95": [low, high],
      "p": 0.0004 if low > 0 or high < 0 else 0.4,
      "statement": f"{methods[a]['label']} {verb} {methods[b]['label']}",
  }
