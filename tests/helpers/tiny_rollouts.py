"""Conversations of a model that is tiny: its tokens, problems, collector."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from score_jax.models import placement
from score_jax.models import transformer
from score_jax.models.config import ModelConfig
from score_jax.models.config import Rope
from score_jax.rollouts.rollout import Collector
from score_jax.rollouts.spec import ConversationSpec
from score_jax.rollouts.spec import SamplingSpec
from score_jax.text import tokenization
from score_jax.types import Grade
from score_jax.types import Problem

CHARACTERS = "0123456789abc=?"
TOKENIZER = tokenization.wrap(tokenization.make_character_tokenizer(CHARACTERS))
EOS = TOKENIZER.eos_id
CONFIG = ModelConfig(
    model_type="llama",
    vocab_size=3 + len(CHARACTERS),
    d_model=12,
    num_layers=1,
    num_heads=2,
    num_kv_heads=1,
    head_dim=4,
    d_ff=16,
    rope=Rope(100.0),
    norm_eps=1e-5,
    is_tied=False,
    max_positions=64,
)
SPEC = ConversationSpec(
    num_attempts=2,
    samples_per_problem=2,
    max_prompt_tokens=4,
    max_new_tokens=(5,),
    sampling=SamplingSpec(
        temperature=1.0,
        eos_id=EOS,
        stop_ids=TOKENIZER.stop_ids,
        pad_id=TOKENIZER.pad_id,
    ),
    turn_ids=TOKENIZER.turn_ids("?="),
)
# Ids are neither consecutive nor ordered, prompts of different length.
PROBLEMS = (
    Problem(7, "a", "7"),
    Problem(2, "bbb", "2"),
    Problem(5, "cc", "5"),
)


class TagTask:
  """Correct attempts name their problem and say that they are right.

  What the grader was given is recorded.
  """

  name = "tag"
  correction_prompt = "?="

  def __init__(self):
    self.seen = []

  def problems(self, split):
    del split
    return PROBLEMS

  def first_prompt(self, problem):
    return f"{problem.question}="

  def grade(self, problems, completions):
    return [self._grade(*x) for x in zip(problems, completions, strict=True)]

  def _grade(self, problem, completion):
    self.seen.append((problem.id, completion))
    is_correct = completion.startswith(problem.answer + "1")
    return Grade(is_correct, "correct" if is_correct else "wrong", completion)


@functools.cache
def model_params():
  shapes = jax.eval_shape(
      functools.partial(transformer.init_params, config=CONFIG),
      jax.random.key(0),
  )
  leaves, structure = jax.tree.flatten(shapes)
  rng = np.random.default_rng(1)
  return structure.unflatten(
      jnp.asarray(0.5 * rng.normal(size=x.shape), x.dtype) for x in leaves
  )


@functools.cache
def _placement():
  """One for all collectors: its copy of parameters is compiled once."""
  return placement.make_placement(CONFIG)


def make_collector(spec=SPEC, **changes):
  """A collector of the tiny model's conversations, with a task of its own."""
  fields = {
      "config": CONFIG,
      "tokenizer": TOKENIZER,
      "task": TagTask(),
      "problems_per_batch": len(PROBLEMS),
      "key": jax.random.key(0),
      "placement": _placement(),
  }
  return Collector(spec=spec, **(fields | changes))


def sampler_params(params=None):
  """The copy of parameters that the sampler takes, of the model's own ones."""
  return _placement().copy(model_params() if params is None else params)
