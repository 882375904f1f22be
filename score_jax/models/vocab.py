"""The vocabulary axis, whole on one device or divided over a mesh.

The table of a model with 256,000 tokens is its largest weight, and its gradient
too. Divided by rows it never moves: tokens and hidden states travel to the
parts of the table instead, and what comes back is summed.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from score_jax.devices import sharding


@dataclasses.dataclass(frozen=True)
class Part:
  """The part of a vocabulary that one device holds.

  Where the vocabulary is divided, methods are called inside of `jax.shard_map`.

  Attributes:
    axes: axes of the mesh that divide the vocabulary; () where it is whole.
  """

  axes: tuple[str, ...] = ()

  def logsumexp(self, logits: jax.Array) -> jax.Array:
    """float32[n] over the whole vocabulary, of logits float32[n, V / parts]."""
    if not self.axes:
      return jax.nn.logsumexp(logits, axis=-1)
    highest = self._highest(logits)
    total = self.sum(jnp.exp(logits - highest[:, None]))
    return jnp.log(total) + highest

  def log_softmax(self, logits: jax.Array) -> jax.Array:
    """float32[n, V / parts], log-probabilities of logits of the same shape."""
    if not self.axes:
      return jax.nn.log_softmax(logits)
    shifted = logits - self._highest(logits)[:, None]
    return shifted - jnp.log(self.sum(jnp.exp(shifted)))[:, None]

  def take(self, values: jax.Array, tokens: jax.Array) -> jax.Array:
    """[n], values [n, V / parts] at tokens int32[n] of the whole vocabulary."""
    local, is_here = self._local(tokens, values.shape[-1])
    picked = jnp.take_along_axis(values, local[:, None], axis=-1)[:, 0]
    if not self.axes:
      return picked
    return jax.lax.psum(jnp.where(is_here, picked, 0), self.axes)

  def sum(self, values: jax.Array) -> jax.Array:
    """[n], sum of values [n, V / parts] over the whole vocabulary."""
    total = jnp.sum(values, axis=-1)
    return jax.lax.psum(total, self.axes) if self.axes else total

  def rows(self, table: jax.Array, tokens: jax.Array) -> jax.Array:
    """[..., D], rows of tokens in a table [V / parts, D]; elsewhere zeros."""
    local, is_here = self._local(tokens, table.shape[0])
    if not self.axes:
      return table[local]
    return jnp.where(is_here[..., None], table[local], 0)

  def _highest(self, logits: jax.Array) -> jax.Array:
    highest = jax.lax.stop_gradient(jnp.max(logits, axis=-1))
    return jax.lax.pmax(highest, self.axes)

  def _local(
      self, tokens: jax.Array, size: int
  ) -> tuple[jax.Array, jax.Array | bool]:
    """Tokens counted from this part's first, and which of them are in it."""
    if not self.axes:
      return tokens, True
    local = tokens - jax.lax.axis_index(self.axes) * size
    return jnp.clip(local, 0, size - 1), (local >= 0) & (local < size)


def embed(table: jax.Array, tokens: jax.Array) -> jax.Array:
  """[R, T, D], rows of a table [V, D] for tokens int32[R, T].

  On a mesh each device looks all tokens of its part of the table up, and the
  sum over the parts goes to where the row and the token live.
  """
  axes = sharding.axes_of("vocab", table.shape[0])
  if not axes:
    return table[tokens]
  shape = (*tokens.shape, table.shape[1])
  where = sharding.spec(shape, ("rows", "sequence", None))
  row_axes = sharding.axes_of("rows", tokens.shape[0])
  sequence_axes = sharding.axes_of("sequence", tokens.shape[1])

  def look_up(table, tokens):
    gathered = tuple(a for a in axes if a in row_axes)
    if gathered:
      tokens = jax.lax.all_gather(tokens, gathered, axis=0, tiled=True)
    x = Part(axes).rows(table, tokens)
    for axis in axes:
      if axis in row_axes:
        x = jax.lax.psum_scatter(x, axis, scatter_dimension=0, tiled=True)
      elif axis in sequence_axes:
        x = jax.lax.psum_scatter(x, axis, scatter_dimension=1, tiled=True)
      else:
        x = jax.lax.psum(x, axis)
    return x

  return jax.shard_map(
      look_up,
      in_specs=(
          sharding.spec(table.shape, ("vocab", None)),
          PartitionSpec(where[0]),
      ),
      out_specs=where,
  )(table, tokens)
