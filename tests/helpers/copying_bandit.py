"""A bandit in which second attempts can copy, guess, or correct.

There are four answers, one of them right. First attempts are right with chance
1/2. A second attempt first draws what it does, and that does not depend on
whether the first attempt was right, which a model cannot see:

  copy     the first attempt again
  guess    a blind new answer, each of the four as likely: right with chance 1/4
  correct  right with chance 0.6 behind a wrong attempt, 0.9 behind a right one

Parameters are the logits of first answers and of these three skills. Gradients
are those of the library's losses on its shaped rewards, in expectation: every
episode is listed. An update subtracts the gradient; its step size is 1.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from score_jax import losses
from score_jax import shaping
from score_jax.objectives import Objective
from score_jax.objectives import Stage1
from score_jax.objectives import Stage1Corrections
from score_jax.objectives import Stage1Entropy
from tests.helpers import enumerable
from tests.helpers.compiling import fast_jit

ANSWERS = 4
RIGHT = ANSWERS - 1
FIRST_RIGHT = 0.5
MENDS, KEEPS = 0.6, 0.9  # the skill, behind wrong and behind right attempts
COPY, GUESS, CORRECT = range(3)
COPY_SHARE = 0.4

# Updates of a run, and of one that lasts four times as long.
SHORT, LONG = 400, 1600
RARE, NONE = 0.01, 1e-12  # shares of second attempts that correct
GRID = tuple(i / 1000 for i in range(1, 31))
SHARES = (NONE, *GRID)

COEFS = {"kl_coef": 0.01, "first_attempt_kl_coef": 1.0, "num_anchored": 1}
OBJECTIVES = {
    "Stage I": Stage1(**COEFS),
    "changes alone, lambda = 1/2": Stage1Corrections(**COEFS, broken_coef=0.5),
    "changes alone, lambda = 0": Stage1Corrections(**COEFS, broken_coef=0.0),
    "entropy, 0.05 per nat": Stage1Entropy(**COEFS, entropy_coef=0.05),
    "entropy, 0.1 per nat": Stage1Entropy(**COEFS, entropy_coef=0.1),
    "entropy, 0.2 per nat": Stage1Entropy(**COEFS, entropy_coef=0.2),
}
TITLES = (
    "objective",
    f"least share, {SHORT} updates",
    f"least share, {LONG:,} updates",
    f"copies after {SHORT}",
    f"attempt 2 after {SHORT}",
    "updates to escape",
    "no skill: attempt 2",
    "no skill: c→i",
)

MODEL = enumerable.TwoAttempts(ANSWERS, max_tokens=1)
REWARDS = MODEL.rewards(np.arange(ANSWERS) == RIGHT)


class Policy(NamedTuple):
  """Parameters: logits of first answers [4] and of the three skills [3]."""

  first: jax.Array
  skills: jax.Array


class Outcome(NamedTuple):
  """What a policy does, in probabilities; arrays of policies have axes."""

  skills: jax.Array  # of copy, guess and correct
  t1: jax.Array
  t2: jax.Array
  i_to_c: jax.Array
  c_to_i: jax.Array
  copied: jax.Array  # equal answers, whichever skill gave them


def start(correct_share: float) -> Policy:
  """A policy that corrects, copies, and for the rest guesses."""
  wrong = (1 - FIRST_RIGHT) / (ANSWERS - 1)
  first = np.full(ANSWERS, wrong)
  first[RIGHT] = FIRST_RIGHT
  guess_share = 1 - COPY_SHARE - correct_share
  skills = jnp.array([COPY_SHARE, guess_share, correct_share])
  return Policy(jnp.log(first), jnp.log(skills))


def _second() -> np.ndarray:
  """float64[3, 4, 4]: P(y2 | skill, y1)."""
  chance = np.where(np.arange(ANSWERS) == RIGHT, KEEPS, MENDS)[:, None]
  correct = np.repeat((1 - chance) / (ANSWERS - 1), ANSWERS, axis=1)
  correct[:, RIGHT] = chance[:, 0]
  guess = np.full((ANSWERS, ANSWERS), 1 / ANSWERS)
  return np.stack([np.eye(ANSWERS), guess, correct])


SECOND = _second()


def logits(policy: Policy) -> jax.Array:
  """float64[C, V], as `enumerable.TwoAttempts` reads them."""
  weights = jax.nn.softmax(policy.skills)
  second = jnp.log(jnp.einsum("s,sij->ij", weights, SECOND))
  return jnp.concatenate([policy.first[None], second])


def gradient(policy: Policy, reference: Policy, objective: Objective) -> Policy:
  """Expected gradient of an objective's loss, with the exact KL."""
  logprobs = MODEL.logprobs(logits(policy))
  sequence_logprobs = shaping.attempt_sums(logprobs, MODEL.attempt_ids, 2)
  shaped = objective.shaped_rewards(
      jnp.asarray(REWARDS), jnp.zeros(REWARDS.shape), sequence_logprobs
  )

  def per_episode(policy):
    kl = losses.exact_kl(
        MODEL.token_kl(logits(policy), logits(reference)),
        MODEL.logprobs(logits(policy)),
        MODEL.attempt_ids,
        2,
    )
    rows = (MODEL.logprobs(logits(policy)), MODEL.attempt_ids, shaped, kl)
    loss = functools.partial(objective.loss, reduce=shaping.attempt_sums)
    return jax.vmap(loss)(*(jnp.asarray(row)[:, None] for row in rows))

  return enumerable.expected_gradient(
      per_episode, lambda p: MODEL.probabilities(logits(p)), policy
  )


def train(
    policy: Policy, reference: Policy, objective: Objective, steps: int
) -> Policy:
  """The policies before and after each update: arrays [steps + 1, ...]."""

  def update(policy, _):
    step = gradient(policy, reference, objective)
    policy = jax.tree.map(lambda p, g: p - g, policy, step)
    return policy, policy

  _, policies = jax.lax.scan(update, policy, None, length=steps)
  return jax.tree.map(
      lambda p, ps: jnp.concatenate([p[None], ps]), policy, policies
  )


def outcome(policy: Policy) -> Outcome:
  """What a policy does."""
  weights = MODEL.probabilities(logits(policy))
  first, second = REWARDS.T
  y1, y2 = np.divmod(np.arange(len(REWARDS)), ANSWERS)
  return Outcome(
      skills=jax.nn.softmax(policy.skills),
      t1=weights @ first,
      t2=weights @ second,
      i_to_c=weights @ ((1 - first) * second),
      c_to_i=weights @ (first * (1 - second)),
      copied=weights @ (y1 == y2),
  )


@functools.cache
def paths(objective: Objective) -> Outcome:
  """Outcomes after 0, 1, ... updates from each of SHARES: [S, LONG + 1]."""

  def path(correct_share):
    policy = start(correct_share)
    return jax.vmap(outcome)(train(policy, policy, objective, LONG))

  return jax.tree.map(np.asarray, fast_jit(jax.vmap(path))(jnp.array(SHARES)))


def at_share(objective: Objective, correct_share: float) -> Outcome:
  """The outcomes from one of SHARES: [LONG + 1]."""
  index = SHARES.index(correct_share)
  return jax.tree.map(lambda a: a[index], paths(objective))


def escapes(objective: Objective, correct_share: float) -> int | None:
  """Updates until most second attempts correct; None if they never do."""
  corrects = at_share(objective, correct_share).skills[:, CORRECT] > 0.5
  return int(np.argmax(corrects)) if corrects.any() else None


def least_share(objective: Objective, steps: int) -> float | None:
  """The least of the shares in GRID from which `steps` updates suffice."""
  for share in GRID:
    updates = escapes(objective, share)
    if updates is not None and updates <= steps:
      return share
  return None


def table() -> list[str]:
  """The table of docs/copying.md, line by line."""
  lines = [_row(TITLES), "|" + "---|" * len(TITLES)]
  for name, objective in OBJECTIVES.items():
    rare, none = (at_share(objective, share) for share in (RARE, NONE))
    updates = escapes(objective, RARE)
    cells = [
        name,
        *(_percent(least_share(objective, n)) for n in (SHORT, LONG)),
        _percent(rare.copied[SHORT]),
        _percent(rare.t2[SHORT]),
        f"{updates:,}" if updates else f"above {LONG:,}",
        _percent(none.t2[LONG]),
        _percent(none.c_to_i[LONG]),
    ]
    lines.append(_row(cells))
  return lines


def _row(cells) -> str:
  return f"| {' | '.join(cells)} |"


def _percent(value) -> str:
  # Adding a little: what is zero up to rounding has no sign.
  return f"{100 * value + 1e-9:.1f}"
