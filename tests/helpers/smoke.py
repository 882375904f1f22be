"""The smallest settings that go through the whole recipe, for tests."""

import copy
from typing import Any

SETTINGS = {
    "seed": 0,
    "model": None,
    "warmup": None,
    "mesh": None,
    "attention": "xla",
    "tiny_model": {
        "d_model": 16,
        "num_layers": 1,
        "num_heads": 2,
        "head_dim": 8,
        "d_ff": 16,
        "rope_theta": 100.0,
        "max_positions": 32,
        "batch_size": 8,
        "max_grad_norm": 1.0,
        "answer_accuracy": 0.0,
        "max_answer_steps": 4,
        "check_steps": 2,
        "answer_learning_rate": 1e-3,
        "correction_fraction": 0.5,
        "slip_rate": 0.15,
        "self_temperature": 0.5,
        "skill_accuracy": 0.0,
        "max_skill_steps": 2,
        "skill_learning_rate": 1e-3,
        "habit_steps": 2,
        "habit_learning_rate": 1e-3,
        "copy_fraction": 0.5,
        "retry_fraction": 0.2,
        "slip_fraction": 0.1,
    },
    "task": {
        "name": "addition",
        "num_digits": 2,
        "nine_probability": 0.4,
        "num_test": 11,
        "num_validation": 8,
        "num_train": 32,
        "num_base": 64,
        "seed": 7,
    },
    "rollout": {
        "problems_per_step": 4,
        "problems_per_batch": 2,
        "samples_per_problem": 2,
        "num_attempts": 2,
        "corrections_per_attempt": 1,
        "offline_first_attempt_fraction": 0.0,
        "max_prompt_tokens": 6,
        "num_prompt_buckets": 1,
        "long_prompts": "error",
        "max_new_tokens": 4,
        "temperature": 1.0,
        "done_check_steps": 2,
    },
    "train": {
        "kl_estimator": "exact",
        "token_reduction": "sum",
        "num_microbatches": 2,
        "logprob_chunk_tokens": 64,
        "remat": "none",
        "moment_dtype": "float32",
        "reference": "device",
        "lora_rank": None,
        "lora_alpha": 4.0,
        "shared_prefix": False,
    },
    "stage1": {
        "steps": 4,
        "objective": {
            "name": "stage1",
            "kl_coef": 0.01,
            "first_attempt_kl_coef": 1.0,
            "num_anchored": 1,
        },
        "optimizer": {
            "learning_rate": 1e-3,
            "warmup_steps": 1,
            "max_grad_norm": 1.0,
        },
    },
    "stage2": {
        "steps": 4,
        "objective": {
            "name": "stage2",
            "kl_coef": 0.01,
            "bonus_coef": 3.0,
        },
        "optimizer": {
            "learning_rate": 1e-3,
            "warmup_steps": 1,
            "max_grad_norm": 1.0,
        },
    },
    "evaluation": {
        "batch_size": 4,
        "every_steps": 2,
        "validation_problems": 8,
    },
    "output": {
        "checkpoint_every_steps": 2,
        "rollouts_every_steps": 2,
        "rollouts_rows": 3,
    },
}


def settings(**overrides: Any) -> dict[str, Any]:
  """A copy of SETTINGS; `a__b=1` sets settings["a"]["b"]."""
  result = copy.deepcopy(SETTINGS)
  for path, value in overrides.items():
    *groups, key = path.split("__")
    target = result
    for group in groups:
      target = target[group]
    target[key] = value
  return result
