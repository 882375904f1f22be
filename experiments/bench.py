"""Times the sampler and the update on a real checkpoint.

  python -m experiments.bench --model=HF_DIR [--batch=1,8,32] [--prompt=64]
      [--new=64] [--temperature=0] [--train] [--sequence=128]

One JSON line for each measurement. `prefill_s` is a call that makes one token;
decoding is the difference between that and a call that makes all of them, so
that neither compilation (`first_call_s`, once) nor prefill is in it. Every
figure is the best of --repeats; `cpu` figures count the seconds of all threads
and stay true on a busy machine. Compare figures of one run only.
"""

from collections.abc import Callable
import json
import os
import sys
import time
from typing import Any
from typing import NamedTuple

from absl import app
from absl import flags
import jax
import jax.numpy as jnp
import numpy as np

from score_jax import settings
from score_jax import shaping
from score_jax.models import decoding
from score_jax.models import hf
from score_jax.objectives import Stage2
from score_jax.rollouts import sampler
from score_jax.rollouts.sampler import Occasion
from score_jax.rollouts.sampler import Prompts
from score_jax.rollouts.spec import ConversationSpec
from score_jax.rollouts.spec import SamplingSpec
from score_jax.training import optim
from score_jax.training import scoring
from score_jax.training import train
from score_jax.types import TrainBatch

_NEVER = -1  # no token has this id: every attempt runs to its limit


class Times(NamedTuple):
  """Seconds of one call.

  Attributes:
    wall: seconds on the clock.
    cpu: seconds of all threads together.
  """

  wall: float
  cpu: float


def measure(call: Callable[[], Any], repeats: int) -> Times:
  """The least times of several calls."""
  runs = []
  for _ in range(repeats):
    wall, cpu = time.perf_counter(), time.process_time()
    jax.block_until_ready(call())
    runs.append((time.perf_counter() - wall, time.process_time() - cpu))
  return Times(*(min(column) for column in zip(*runs, strict=True)))


def bench_sampling(
    config: Any,
    params: Any,
    *,
    batch: int,
    prompt: int,
    new: int,
    temperature: float,
    repeats: int,
) -> dict[str, Any]:
  """Times prefill and decoding of `batch` prompts of `prompt` tokens."""
  rng = np.random.default_rng(0)
  tokens = rng.integers(0, config.vocab_size, (batch, prompt), np.int32)
  mask = np.ones(tokens.shape, bool)
  copy = decoding.make_copy(config, dtype=None, mesh=None)(params)

  def sample(max_new_tokens: int) -> Any:
    spec = ConversationSpec(
        num_attempts=1,
        samples_per_problem=1,
        max_prompt_tokens=prompt,
        max_new_tokens=(max_new_tokens,),
        sampling=SamplingSpec(
            temperature,
            eos_id=_NEVER,
            stop_ids=(_NEVER,),
            pad_id=0,
        ),
        turn_ids=(0,),
    )
    return sampler.sample_messages(
        copy,
        config,
        Prompts(tokens, mask, jnp.arange(batch)),
        spec.turns,
        Occasion(jax.random.key(0), 0),
        spec,
    )

  first = measure(lambda: sample(new), 1)
  measure(lambda: sample(1), 1)
  prefill = measure(lambda: sample(1), repeats)
  whole = measure(lambda: sample(new), repeats)
  seconds = whole.wall - prefill.wall
  return {
      "bench": "sampling",
      "batch": batch,
      "prompt": prompt,
      "new": new,
      "temperature": temperature,
      "first_call_s": first.wall,
      "prefill_s": prefill.wall,
      "prefill_cpu_s": prefill.cpu,
      "decode_tok_s": batch * (new - 1) / seconds,
      "ms_per_step": 1e3 * seconds / (new - 1),
      "cpu_ms_per_step": 1e3 * (whole.cpu - prefill.cpu) / (new - 1),
  }


def bench_update(
    config: Any,
    params: Any,
    *,
    kl_estimator: str,
    batch: int,
    sequence: int,
    repeats: int,
) -> dict[str, Any]:
  """Times an update of Stage II; half of each row's tokens are attempts.

  With "k1_in_reward" the reference's log-probabilities are given, as in a run;
  with "exact" the reference policy is computed inside of the update.
  """
  rng = np.random.default_rng(0)
  attempt_ids = np.zeros((batch, sequence), np.int32)
  attempt_ids[:, sequence // 2 : 3 * sequence // 4] = 1
  attempt_ids[:, 3 * sequence // 4 :] = 2
  rows = TrainBatch(
      tokens=rng.integers(0, config.vocab_size, attempt_ids.shape, np.int32),
      mask=np.ones(attempt_ids.shape, bool),
      attempt_ids=attempt_ids,
      advantages=rng.normal(size=(batch, 2)).astype(np.float32),
      ref_logprobs=np.full((batch, sequence - 1), -10.0, np.float32),
  )
  loss_fn = scoring.make_loss_fn(
      Stage2(kl_coef=0.01, bonus_coef=10.0),
      scoring.KL_ESTIMATORS[kl_estimator],
      scoring.Scoring(
          model=config,
          num_attempts=2,
          temperature=1.0,
          reduce=shaping.attempt_sums,
      ),
  )
  optimizer = optim.make_optimizer(
      learning_rate=1e-6, warmup_steps=0, max_grad_norm=1.0
  )
  step = train.make_train_step(loss_fn, optimizer)
  state = train.init_train_state(jax.tree.map(jnp.copy, params), optimizer)

  def update() -> Any:
    nonlocal state
    state, metrics = step(state, params, rows)
    return metrics

  first = measure(update, 1)
  best = measure(update, repeats)
  return {
      "bench": f"update_{kl_estimator}",
      "batch": batch,
      "sequence": sequence,
      "first_call_s": first.wall,
      "s_per_step": best.wall,
      "cpu_s_per_step": best.cpu,
      "tok_s": batch * sequence / best.wall,
  }


def _print(result: dict[str, Any], model: str, dtype: str) -> None:
  line = {
      **result,
      "model": os.path.basename(os.path.normpath(model)),
      "dtype": dtype,
      "device": jax.devices()[0].device_kind,
      "load": os.getloadavg()[0],
  }
  rounded = {
      k: float(f"{v:.5g}") if isinstance(v, float) else v
      for k, v in line.items()
  }
  print(json.dumps(rounded), flush=True)


def _main(argv: list[str]) -> None:
  if len(argv) > 1:
    raise app.UsageError(f"unknown arguments: {argv[1:]}")
  values = flags.FLAGS
  try:
    config, params = hf.load(values.model, jnp.dtype(values.dtype))
  except ValueError as error:
    sys.exit(f"error: {error}")
  for batch in map(int, values.batch):
    result = bench_sampling(
        config,
        params,
        batch=batch,
        prompt=values.prompt,
        new=values.new,
        temperature=values.temperature,
        repeats=values.repeats,
    )
    _print(result, values.model, values.dtype)
  if values.train:
    for kl_estimator in ("k1_in_reward", "exact"):
      result = bench_update(
          config,
          params,
          kl_estimator=kl_estimator,
          batch=values.train_batch,
          sequence=values.sequence,
          repeats=values.repeats,
      )
      _print(result, values.model, values.dtype)


if __name__ == "__main__":
  jax.config.parse_flags_with_absl()
  flags.DEFINE_string("model", None, "Hugging Face directory or hub id.")
  flags.DEFINE_list("batch", ["1", "8", "32"], "Rows to sample at once.")
  flags.DEFINE_integer("prompt", 64, "Tokens of a prompt.", lower_bound=2)
  flags.DEFINE_integer("new", 64, "Tokens to sample.", lower_bound=2)
  flags.DEFINE_float("temperature", 0.0, "0 is greedy.", lower_bound=0.0)
  flags.DEFINE_enum("dtype", "float32", settings.DTYPES, "Of parameters.")
  flags.DEFINE_integer("repeats", 3, "Calls, the best counts.", lower_bound=1)
  flags.DEFINE_bool("train", False, "Time updates too.")
  flags.DEFINE_integer("train_batch", 8, "Rows of an update.", lower_bound=1)
  flags.DEFINE_integer("sequence", 128, "Tokens of a row.", lower_bound=4)
  flags.mark_flag_as_required("model")
  app.run(_main)
