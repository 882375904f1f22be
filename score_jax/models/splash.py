"""Attention on a TPU that never holds the scores: splash attention.

`attend` computes what `layers.attend` computes, for the tokens of rows among
themselves (training, prefill). Its kernels run on a TPU alone; elsewhere they
can only be interpreted, which is for tests.
"""

import functools
import math

import jax
from jax.experimental.pallas.ops.tpu import splash_attention
import jax.numpy as jnp
import numpy as np

from score_jax.devices import sharding

# Vector registers are this wide: blocks are multiples of it.
_LANES = 128

# Lengths of a block, of queries and of keys, for rows longer than one. Scores
# of a block lie in the chip's fast memory, as float32 and several times over in
# the backward pass; smaller blocks read the keys more often.
_BLOCKS = (640, 512, 384)


def attend(
    queries: jax.Array,
    keys: jax.Array,
    values: jax.Array,
    mask: jax.Array,
    *,
    scale: float,
    cap: float | None = None,
    window: int | None = None,
    interpret: bool = False,
) -> jax.Array:
  """Causal softmax attention with grouped heads, in blocks.

  Memory grows with T, not with its square, and blocks that no query sees are
  left out. Columns decide what a query sees: itself, and tokens before it.
  Tokens of a row must therefore be neighbours, with padding before or behind
  them but not between them: then distances in columns are those in positions.

  Under an ambient mesh every device attends for its rows and heads. Rows that
  the mesh does not divide evenly are computed on all devices. Where there are
  more devices along the tensor axis than key/value heads, a head is copied to
  all of the devices that need it.

  Args:
    queries: [R, H, T, head_dim], rotated, not yet scaled.
    keys: [R, N, T, head_dim], rotated; N divides H.
    values: [R, N, T, head_dim].
    mask: bool[R, T], columns that hold a token.
    scale: factor of the queries.
    cap: soft-cap of the scores, None for none.
    window: positions that are seen, the query's own included; None for all.
    interpret: emulate the kernels, slowly, where there is no TPU.

  Returns:
    [R, H, T, head_dim] in queries' dtype; finite, without meaning where mask is
    False.

  Raises:
    ValueError: the tensor axis of the mesh does not fit the number of heads.
  """
  local = functools.partial(
      _attend, scale=scale, cap=cap, window=window, interpret=interpret
  )
  mesh = jax.sharding.get_abstract_mesh()
  if mesh.empty:
    return local(queries, keys, values, mask)
  copies = _copies(queries.shape[1], keys.shape[1], mesh.shape["tensor"])
  if copies > 1:
    keys, values = (jnp.repeat(x, copies, axis=1) for x in (keys, values))
  by_head = sharding.spec(queries.shape, ("rows", "heads", None, None))
  by_kv_head = sharding.spec(keys.shape, ("rows", "kv_heads", None, None))
  by_row = sharding.spec(mask.shape, ("rows", None))
  # The kernels do not say along which axes of the mesh their results vary.
  return jax.shard_map(
      local,
      in_specs=(by_head, by_kv_head, by_kv_head, by_row),
      out_specs=by_head,
      check_vma=False,
  )(queries, keys, values, mask)


def _copies(num_heads: int, num_kv_heads: int, tensor: int) -> int:
  """Copies of each key/value head, so that `tensor` devices get equal parts."""
  if num_heads % tensor == 0:
    if num_kv_heads % tensor == 0:
      return 1
    if tensor % num_kv_heads == 0:
      return tensor // num_kv_heads
  sizes = [
      n
      for n in range(1, num_heads + 1)
      if num_heads % n == 0 and (num_kv_heads % n == 0 or n % num_kv_heads == 0)
  ]
  raise ValueError(
      f"{num_heads} heads and {num_kv_heads} key/value heads cannot be divided"
      f" over a tensor axis of {tensor} devices: make it one of {sizes}"
  )


def _attend(queries, keys, values, mask, *, scale, cap, window, interpret):
  """`attend`, on one device."""
  _, num_heads, length, _ = queries.shape
  block, padded = _block_and_length(length)
  pad = padded - length
  queries, keys, values = (
      jnp.pad(x, ((0, 0), (0, 0), (0, pad), (0, 0)))
      for x in (queries * scale, keys, values)
  )
  # Padding is a segment too: it sees itself, which keeps its softmax finite.
  segments = jnp.pad(mask, ((0, 0), (0, pad))).astype(jnp.int32)
  kernel = _kernel(num_heads, padded, block, cap, window, interpret)
  mixed = jax.vmap(kernel)(
      queries, keys, values, splash_attention.SegmentIds(segments, segments)
  )
  return mixed[:, :, :length]


def _block_and_length(length: int) -> tuple[int, int]:
  """Length of a block, and the padded length of rows, a multiple of it.

  Rows that fit one block get one that is just large enough, longer rows the
  block that pads them least, and of those the largest.
  """
  if length <= _BLOCKS[0]:
    block = math.ceil(length / _LANES) * _LANES
    return block, block
  padded = [math.ceil(length / block) * block for block in _BLOCKS]
  return _BLOCKS[np.argmin(padded)], min(padded)


def _kernel(num_heads, length, block, cap, window, interpret):
  """The kernel for one row: queries, keys, values, segments -> mixed values.

  Layers of the same kind share the work: masks that are equal are looked
  through once, and give kernels that are traced once.
  """
  if window is None:
    mask = splash_attention.CausalMask((length, length))
  else:
    # It counts the columns to the left of the query's own.
    mask = splash_attention.LocalMask(
        (length, length), window_size=(window - 1, 0), offset=0
    )
  # Not the fused backward pass: it writes one dq for every block of keys, in
  # the dtype of the queries, and sums them then. That is memory quadratic in
  # the length, and in bfloat16 less exact.
  sizes = splash_attention.BlockSizes(
      block_q=block,
      block_kv=block,
      block_q_dkv=block,
      block_kv_dkv=block,
      block_q_dq=block,
      block_kv_dq=block,
  )
  return splash_attention.make_splash_mha(
      splash_attention.MultiHeadMask([mask] * num_heads),
      block_sizes=sizes,
      head_shards=1,
      q_seq_shards=1,
      attn_logits_soft_cap=cap,
      interpret=interpret,
  )
