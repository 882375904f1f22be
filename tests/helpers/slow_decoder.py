"""A decoder in NumPy, of all families of models.

It is written from the models' papers, one row, head and position at a time, in
float64. It knows neither padding nor caches: a row is its tokens.
"""

import math

import jax
import numpy as np

from score_jax.models.config import Activation
from score_jax.models.config import LinearScaling
from score_jax.models.config import Llama3Scaling
from score_jax.models.config import YarnScaling


def decode(params, config, row):
  """Logits [T, V] of a row of tokens."""
  params = jax.tree.map(lambda a: np.asarray(a, np.float64), params)
  embedding = params["embedding"]
  factor = math.sqrt(config.d_model) if config.has_scaled_embedding else 1.0
  stream = [embedding[token] * factor for token in row]
  for i in range(config.num_layers):
    weights = {name: stack[i] for name, stack in params["layers"].items()}
    is_local = bool(config.is_local) and config.is_local[i]
    stream = _layer(weights, config, stream, is_local)
  head = embedding.T if config.is_tied else params["head"]
  return np.array(
      [
          _capped(_normed(x, params["final_norm"], config) @ head, config)
          for x in stream
      ]
  )


def _layer(w, config, stream, is_local):
  """One block for all positions of a row."""
  inputs = [_normed(x, w["attention_norm"], config) for x in stream]
  rope = config.local_rope if is_local else None
  rope = rope or config.rope
  keys = [
      [_head(x, w, config, "key", n, p, rope) for p, x in enumerate(inputs)]
      for n in range(config.num_kv_heads)
  ]
  values = [
      [_head(x, w, config, "value", n, p, None) for p, x in enumerate(inputs)]
      for n in range(config.num_kv_heads)
  ]
  results = []
  for position, x in enumerate(stream):
    first = max(0, position - config.sliding_window + 1) if is_local else 0
    seen = slice(first, position + 1)
    mixed = np.zeros(config.d_model)
    for h in range(config.num_heads):
      n = h // (config.num_heads // config.num_kv_heads)
      query = _head(inputs[position], w, config, "query", h, position, rope)
      found = _attend(query, keys[n][seen], values[n][seen], config)
      mixed += found @ w["output"][h]
    if config.has_output_bias:
      mixed += w["output_bias"]
    if config.has_post_norms:
      mixed = _normed(mixed, w["post_attention_norm"], config)
    x = x + mixed
    y = _normed(x, w["mlp_norm"], config)
    y = (_activated(y @ w["gate"], config) * (y @ w["up"])) @ w["down"]
    if config.has_post_norms:
      y = _normed(y, w["post_mlp_norm"], config)
    results.append(x + y)
  return results


def _head(x, w, config, kind, number, position, rope):
  """Query, key or value of one head at one position."""
  result = x @ w[kind][:, number]
  if config.has_qkv_bias:
    result = result + w[f"{kind}_bias"][number]
  if rope is None:  # a value
    return result
  if config.has_qk_norm:
    result = _normed(result, w[f"{kind}_norm"], config)
  half = config.head_dim // 2
  # Pairs of numbers are points of a plane, which is turned.
  points = result[:half] + 1j * result[half:]
  speeds = np.array([_speed(rope, i, half) for i in range(half)])
  points = points * np.exp(1j * position * speeds)
  if isinstance(rope.scaling, YarnScaling):
    points = points * rope.scaling.attention_factor
  return np.concatenate([points.real, points.imag])


def _speed(rope, pair, half):
  """Radians per position of a pair."""
  wavelength = 2 * math.pi * rope.theta ** (pair / half)
  scaling = rope.scaling
  if isinstance(scaling, LinearScaling):
    wavelength *= scaling.factor
  if isinstance(scaling, Llama3Scaling):
    length = scaling.original_max_positions
    if wavelength > length / scaling.low_freq_factor:
      wavelength *= scaling.factor
    elif wavelength > length / scaling.high_freq_factor:
      share = length / wavelength - scaling.low_freq_factor
      share /= scaling.high_freq_factor - scaling.low_freq_factor
      wavelength /= share + (1 - share) / scaling.factor
  if isinstance(scaling, YarnScaling):
    slowed = 1 / scaling.factor
    share = _yarn_share(rope, pair, half)
    wavelength /= (1 - share) + share * slowed
  return 2 * math.pi / wavelength


def _yarn_share(rope, pair, half):
  """How much of YaRN's factor a pair gets: 0 for the fast ones, 1 for slow."""
  scaling = rope.scaling
  # theta^(bound / half) 2 pi turns = length
  bounds = [
      math.log(scaling.original_max_positions / (turns * 2 * math.pi))
      / math.log(rope.theta ** (1 / half))
      for turns in (scaling.beta_fast, scaling.beta_slow)
  ]
  if scaling.has_whole_bounds:
    bounds = [math.floor(bounds[0]), math.ceil(bounds[1])]
  low, high = max(bounds[0], 0), min(bounds[1], 2 * half - 1)
  if low == high:
    high += 1e-3
  return min(max((pair - low) / (high - low), 0), 1)


def _attend(query, keys, values, config):
  """Mean of the values, weighted by how well their keys fit the query."""
  divisor = math.sqrt(config.query_pre_attn_scalar or config.head_dim)
  scores = np.array([query @ key / divisor for key in keys])
  cap = config.attention_softcap
  if cap is not None:
    scores = cap * np.tanh(scores / cap)
  weights = np.exp(scores) / np.exp(scores).sum()
  return sum(p * value for p, value in zip(weights, values, strict=True))


def _normed(x, scale, config):
  mean_square = np.mean(x**2) + config.norm_eps
  return x / math.sqrt(mean_square) * (scale + config.norm_offset)


def _activated(x, config):
  if config.activation is Activation.SILU:
    return x / (1 + np.exp(-x))
  inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
  return x * (1 + np.tanh(inner)) / 2


def _capped(logits, config):
  cap = config.logit_softcap
  return logits if cap is None else cap * np.tanh(logits / cap)
