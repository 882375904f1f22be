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
from score_jax.models.config import LongRopeScaling
from score_jax.models.config import NormPlacement
from score_jax.models.config import QkNorm
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
    rope = config.local_rope if is_local and config.local_rope else config.rope
    if config.has_rope and not config.has_rope[i]:
      rope = None
    stream = _layer(weights, config, stream, is_local, rope)
  head = embedding.T if config.is_tied else params["head"]
  return np.array(
      [
          _capped(_normed(x, params["final_norm"], config) @ head, config)
          for x in stream
      ]
  )


def _layer(w, config, stream, is_local, rope):
  """One block for all positions of a row."""
  inputs = [_norm_before(x, w, "attention_norm", config) for x in stream]
  keys = [
      [
          _turned(_heads(x, w, config, "key")[n], config, p, rope)
          for p, x in enumerate(inputs)
      ]
      for n in range(config.num_kv_heads)
  ]
  values = [
      [_heads(x, w, config, "value")[n] for x in inputs]
      for n in range(config.num_kv_heads)
  ]
  results = []
  for position, x in enumerate(stream):
    first = max(0, position - config.sliding_window + 1) if is_local else 0
    seen = slice(first, position + 1)
    mixed = np.zeros(config.d_model)
    for h in range(config.num_heads):
      n = h // (config.num_heads // config.num_kv_heads)
      query = _heads(inputs[position], w, config, "query")[h]
      query = _turned(query, config, position, rope)
      found = _attend(query, keys[n][seen], values[n][seen], config)
      mixed += found @ w["output"][h]
    if config.has_output_bias:
      mixed += w["output_bias"]
    x = x + _norm_behind(mixed, w, "post_attention_norm", config)
    y = _norm_before(x, w, "mlp_norm", config)
    y = (_activated(y @ w["gate"], config) * (y @ w["up"])) @ w["down"]
    results.append(x + _norm_behind(y, w, "post_mlp_norm", config))
  return results


def _norm_before(x, w, name, config):
  """A model whose norms were moved here has no scales for them."""
  is_there = config.norm_placement is not NormPlacement.BEHIND and name in w
  return _normed(x, w[name], config) if is_there else x


def _norm_behind(x, w, name, config):
  if config.norm_placement is NormPlacement.BEFORE:
    return x
  return _normed(x, w[name], config)


def _heads(x, w, config, kind):
  """Queries, keys or values of all heads at one position, not yet turned."""
  heads = np.einsum("d,dnh->nh", x, w[kind])
  if config.has_qkv_bias:
    heads = heads + w[f"{kind}_bias"]
  if kind == "value" or config.qk_norm is None:
    return heads
  scale = w[f"{kind}_norm"]
  if config.qk_norm is QkNorm.HEAD:
    return np.array([_normed(head, scale, config) for head in heads])
  return _normed(heads.ravel(), scale.ravel(), config).reshape(heads.shape)


def _turned(head, config, position, rope):
  """A query or key at its position; without a rope as it is."""
  if rope is None:
    return head
  half = int(config.head_dim * rope.share) // 2
  # Pairs of numbers are points of a plane, which is turned.
  points = head[:half] + 1j * head[half : 2 * half]
  speeds = np.array([_speed(rope, i, half) for i in range(half)])
  points = points * np.exp(1j * position * speeds)
  if isinstance(rope.scaling, YarnScaling | LongRopeScaling):
    points = points * rope.scaling.attention_factor
  return np.concatenate([points.real, points.imag, head[2 * half :]])


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
  if isinstance(scaling, LongRopeScaling):
    wavelength *= scaling.short_factors[pair]
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
    return x * (1 + np.tanh(x / 2)) / 2
  inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
  return x * (1 + np.tanh(inner)) / 2


def _capped(logits, config):
  cap = config.logit_softcap
  return logits if cap is None else cap * np.tanh(logits / cap)
