"""Measures what corrections that share a first attempt do to Stage II.

  python -m experiments.gradient_variance --config=configs/tiny.py
      --checkpoint=HF_DIR --workdir=DIR --num_batches=32 [--corrections=2,4]

At a fixed policy and for each number of corrections per first attempt, the
gradient of the Stage II objective on batches of fresh conversations, as many in
each batch whatever that number, at the same problems. results.json has, of the
gradient of attempt 2 and of all of it: the trace of its covariance over batches
(the noise), the squared norm of its mean (the signal), and the ratio of
variances to the plain leave-one-out baseline with its 95 % interval.

One more estimator has the plain baseline and one correction, but leaves
-alpha r_1 out of the second attempt's reward: r_1 is a function of what the
second attempt reads, so its expected gradient is zero.

The reference policy is the policy itself: all KL terms are zero, and what is
measured is the gradient of the rewards. The gradients of one estimator, 8 bytes
per parameter and batch, are kept in memory.
"""

from collections.abc import Callable
from collections.abc import Sequence
import contextlib
import functools
import json
import sys
from typing import Any

from absl import app
from absl import flags
from absl import logging
import jax
from jax.flatten_util import ravel_pytree
import jax.numpy as jnp
import numpy as np

from experiments import commands
from score_jax import losses
from score_jax import settings as settings_lib
from score_jax import shaping
from score_jax.evaluate import gradient_variance
from score_jax.grading.errors import GraderError
from score_jax.models import hf
from score_jax.models import hf_files
from score_jax.models import placement as placement_lib
from score_jax.models.transformer import Execution
from score_jax.models.transformer import Params
from score_jax.output import files
from score_jax.output.progress import console
from score_jax.output.progress import work_progress
from score_jax.rollouts import problems as problems_lib
from score_jax.rollouts import rollout
from score_jax.run import evaluation_run
from score_jax.run import preparation
from score_jax.settings import RunSettings
from score_jax.tasks import make
from score_jax.tasks.task import Task
from score_jax.training import reinforce as stage_lib
from score_jax.training import train
from score_jax.training.objective import TOKEN_REDUCTIONS
from score_jax.training.objective import Scoring
from score_jax.training.reinforce import Policy
from score_jax.types import TrainBatch

_PLAIN, _PLAIN_WITHOUT_R1 = "corrections_1", "corrections_1_without_r1"


def measure(
    config: Any,
    checkpoint: str,
    workdir: str,
    num_batches: int,
    corrections: Sequence[int],
) -> dict[str, Any]:
  """Measures a config (an ml_collections ConfigDict) in a new directory."""
  settings = settings_lib.from_mapping(
      RunSettings, json.loads(config.to_json())
  )
  _check(settings, num_batches, corrections)
  output = evaluation_run.make_output(workdir)
  with contextlib.closing(make.make_task(settings.task)) as task:
    policy, params = _load(settings, task, checkpoint)
    result = {
        "checkpoint": checkpoint,
        "num_batches": num_batches,
        "conversations_per_batch": settings.rollout.problems_per_step
        * settings.rollout.samples_per_problem,
        "estimators": gradient_variance.compare(
            _all_grams(settings, policy, params, num_batches, corrections),
            _PLAIN,
        ),
    }
  files.write_json(output.results, result)
  return result


def _check(
    settings: RunSettings, num_batches: int, corrections: Sequence[int]
) -> None:
  if num_batches < 2:
    raise ValueError(f"num_batches is {num_batches}, expected 2 or more")
  if settings.mesh is not None:
    raise ValueError("config.mesh is given; set it to None: one device is used")
  rollouts = settings.rollout
  if rollouts.num_attempts != 2:
    raise ValueError(
        f"rollout.num_attempts is {rollouts.num_attempts}, expected 2"
    )
  for count in corrections:
    shaping.conditional_leave_one_out(
        jnp.zeros((1, rollouts.samples_per_problem, 2)), count
    )


def _load(
    settings: RunSettings, task: Task, checkpoint: str
) -> tuple[Policy, Params]:
  path = hf_files.resolve(checkpoint)
  config = hf.load_config(path)
  tokenizer = preparation.load_tokenizer(settings, path, config)
  problems = problems_lib.select_problems(
      task,
      ["train"],
      tokenizer,
      max_prompt_tokens=settings.rollout.max_prompt_tokens,
      long_prompts=settings.rollout.long_prompts,
  )
  _, params = hf.load(path, placement_lib.param_dtype(settings), None)
  policy = Policy(
      config=config,
      tokenizer=tokenizer,
      placement=preparation.make_placement(settings, config),
      base_params=params,
      ref_params=params,
      task=task,
      problems=problems.splits,
      key=jax.random.key(settings.seed),
  )
  return policy, params


def _all_grams(
    settings: RunSettings,
    policy: Policy,
    params: Params,
    num_batches: int,
    corrections: Sequence[int],
) -> dict[str, dict[str, np.ndarray]]:
  shape = functools.partial(
      _stage2_rewards, bonus_coef=settings.stage2.bonus_coef
  )
  estimators = {
      _PLAIN: (1, lambda r: shaping.leave_one_out(shape(r))),
      _PLAIN_WITHOUT_R1: (
          1,
          lambda r: shaping.leave_one_out(
              shape(r).at[..., 1].add(settings.stage2.bonus_coef * r[..., 0])
          ),
      ),
  }
  for k2 in corrections:
    estimators[f"corrections_{k2}"] = (
        k2,
        lambda r, k2=k2: shaping.conditional_leave_one_out(shape(r), k2),
    )
  gradient = _gradient_program(settings, policy)
  grams = {}
  with work_progress("Gradients", num_batches * len(estimators)) as advance:
    for name, (k2, advantages) in estimators.items():
      parts = []
      for step in range(num_batches):
        batch = _batch(settings, policy, params, step, k2, advantages)
        parts.append(jax.device_get(gradient(params, batch)))
        advance()
      first, second = map(np.stack, zip(*parts, strict=True))
      grams[name] = {
          "attempt_2": gradient_variance.gram(second),
          "all": gradient_variance.gram(first + second),
      }
  return grams


def _stage2_rewards(rewards: jax.Array, bonus_coef: float) -> jax.Array:
  return shaping.stage2_rewards(
      rewards, jnp.zeros_like(rewards), kl_coef=0.0, bonus_coef=bonus_coef
  )


def _batch(
    settings: RunSettings,
    policy: Policy,
    params: Params,
    step: int,
    corrections: int,
    advantages: Callable[[jax.Array], jax.Array],
) -> TrainBatch:
  """Fresh conversations at the problems of a step."""
  spec = stage_lib.conversation_spec(
      settings,
      policy.tokenizer,
      policy.task,
      policy.placement,
      temperature=settings.rollout.temperature,
      samples=settings.rollout.samples_per_problem,
      num_attempts=2,
      corrections_per_attempt=corrections,
  )
  rollouts = rollout.grade(
      policy.task,
      stage_lib.sample_step(policy, settings, spec, params, step),
  )
  return TrainBatch(
      tokens=jnp.asarray(rollouts.tokens),
      mask=jnp.asarray(rollouts.mask),
      attempt_ids=jnp.asarray(rollouts.attempt_ids),
      advantages=advantages(jnp.asarray(rollouts.rewards)).reshape(-1, 2),
  )


def _gradient_program(
    settings: RunSettings, policy: Policy
) -> Callable[[Params, TrainBatch], tuple[jax.Array, jax.Array]]:
  """(params, batch) -> gradients float32[P] of attempt 1 and of attempt 2."""
  scoring = Scoring(
      model=policy.config,
      num_attempts=2,
      temperature=settings.rollout.temperature,
      chunk=settings.train.logprob_chunk_tokens,
      reduce=TOKEN_REDUCTIONS[settings.train.token_reduction],
      execution=Execution(
          placement_lib.compute_dtype(settings),
          settings.train.remat,
          settings.train.attention,
      ),
  )
  pieces = settings.train.num_microbatches

  def loss(params, batch, attempt):
    return losses.reinforce_loss(
        scoring.logprobs(params, batch),
        jnp.where(batch.attempt_ids == attempt, attempt, 0),
        batch.advantages,
        reduce=scoring.reduce,
    )

  def gradient(params, batch, attempt):
    def add(total, piece):
      found = jax.grad(loss)(params, piece, attempt)
      return total + ravel_pytree(found)[0].astype(jnp.float32), None

    start = jnp.zeros(sum(p.size for p in jax.tree.leaves(params)))
    total, _ = jax.lax.scan(add, start, train.microbatches(batch, pieces))
    return total / pieces

  return jax.jit(lambda p, b: (gradient(p, b, 1), gradient(p, b, 2)))


def _print(result: dict[str, Any]) -> None:
  for name, parts in result["estimators"].items():
    for part, figures in parts.items():
      low, high = figures["variance_ratio_ci95"]
      console.print(
          f"{name:24} {part:9} variance {figures['variance']:.4g}, ratio"
          f" {figures['variance_ratio']:.3f} [{low:.3f}, {high:.3f}], signal"
          f" to noise {figures['signal_to_noise']:.4g}"
      )


def _main(argv: list[str]) -> None:
  if len(argv) > 1:
    raise app.UsageError(f"unknown arguments: {argv[1:]}")
  logging.set_verbosity(logging.WARNING)
  values = flags.FLAGS
  try:
    result = measure(
        values.config,
        values.checkpoint,
        values.workdir,
        values.num_batches,
        [int(count) for count in values.corrections],
    )
  except (ValueError, GraderError) as error:
    sys.exit(f"error: {error}")
  _print(result)


if __name__ == "__main__":
  jax.config.parse_flags_with_absl()
  commands.define_config("File with task and shapes.")
  flags.DEFINE_string("checkpoint", None, "Policy, a Hugging Face directory.")
  flags.DEFINE_string("workdir", None, "Directory to make for the results.")
  flags.DEFINE_integer("num_batches", 32, "Batches per estimator.")
  flags.DEFINE_list("corrections", ["2", "4"], "Per first attempt, above 1.")
  flags.mark_flags_as_required(["config", "checkpoint", "workdir"])
  commands.run(_main)
