"""Splash attention, interpreted, equals the decoder's own attention.

Its kernels run on a TPU alone: here they are interpreted, and, where libtpu is
installed, compiled for a TPU that is not there.
"""

import functools
import re
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding
import numpy as np
import pytest

from score_jax.devices import sharding
from score_jax.models import layers
from score_jax.models import splash
from score_jax.plan import topologies

pytestmark = pytest.mark.usefixtures("without_kept_programs")


def _mask(length):
  """bool[3, T]: a full row, one padded on the left, one on the right."""
  column = np.arange(length)
  rows = (column >= 0, column >= length // 3, column < length // 2)
  return jnp.asarray(np.stack(rows))


def _normal(seed, shape, dtype=jnp.float32):
  return jax.random.normal(jax.random.key(seed), shape, dtype)


def _inputs(rows, heads, kv_heads, length, head_dim, dtype=jnp.float32):
  """Queries, keys, values, and weights for a sum of the results."""
  return [
      _normal(seed, (rows, n, length, head_dim), dtype)
      for seed, n in enumerate((heads, kv_heads, kv_heads, heads))
  ]


def _with_gradients(attend, queries, keys, values, weights):
  """attend's result, and the gradients of its weighted sum."""

  @jax.jit
  def compute(queries, keys, values, weights):
    mixed, pull = jax.vjp(attend, queries, keys, values)
    return mixed, *pull(weights)

  return compute(queries, keys, values, weights)


def _xla(mask, scale, cap, window):
  """The same attention with scores of every query for every key."""
  positions = layers.positions_of(mask)
  seen = layers.visible(positions, positions, mask, window)
  return lambda q, k, v: layers.attend(q, k, v, seen, scale=scale, cap=cap)


def _splash(mask, scale=0.125, cap=50.0, window=None):
  def attend(queries, keys, values):
    return splash.attend(
        queries,
        keys,
        values,
        mask,
        scale=scale,
        cap=cap,
        window=window,
        interpret=True,
    )

  return attend


def _distance(x, y):
  """Largest difference, relative to the largest value of y."""
  x, y = (np.asarray(a, np.float64) for a in (x, y))
  return np.max(np.abs(x - y)) / np.max(np.abs(y))


class SplashTest(parameterized.TestCase):

  def _compare(self, shape, cap, window, dtype, tolerance):
    *qkv, weights = _inputs(3, *shape, dtype)
    mask = _mask(shape[2])
    # Rows of padding have no meaning: they are not compared.
    tokens = mask[:, None, :, None]
    weights = weights * tokens
    scale = shape[3] ** -0.5
    found, expected = (
        _with_gradients(make(mask, scale, cap, window), *qkv, weights)
        for make in (_splash, _xla)
    )
    names = ("mixed", "dq", "dk", "dv")
    for name, x, y in zip(names, found, expected, strict=True):
      with self.subTest(name):
        self.assertEqual(x.dtype, dtype)
        self.assertTrue(np.all(np.isfinite(x)))
        if name == "mixed":
          x, y = x * tokens, y * tokens
        self.assertLess(_distance(x, y), tolerance)

  # (H, N, T, head_dim), cap, window.
  @parameterized.parameters(
      ((2, 2, 128, 64), None, None),
      ((4, 2, 200, 64), 50.0, 5),
      ((8, 1, 384, 64), None, 64),
      ((4, 2, 200, 128), 50.0, 64),
      ((2, 1, 128, 256), 50.0, None),
  )
  @pytest.mark.slow
  def test_equals_xla_over_blocks(self, shape, cap, window):
    # Small blocks, so that short rows have several.
    with mock.patch.object(splash, "_BLOCKS", (128,)):
      self._compare(shape, cap, window, jnp.float32, 1e-5)

  @parameterized.parameters(
      ((4, 2, 200, 64), 50.0, None),
      ((2, 1, 700, 64), None, 64),
  )
  @pytest.mark.slow
  def test_equals_xla_with_real_blocks(self, shape, cap, window):
    self._compare(shape, cap, window, jnp.float32, 1e-5)

  @pytest.mark.slow
  def test_equals_xla_in_bfloat16(self):
    # Numbers that are one apart in the last place differ by up to 2^-7.
    self._compare((4, 2, 200, 64), 50.0, 64, jnp.bfloat16, 2**-7)

  @pytest.mark.slow
  def test_padding_cannot_leak(self):
    length = 128
    mask = _mask(length)
    *qkv, weights = _inputs(3, 2, 1, length, 64)
    padding = ~mask[:, None, :, None]
    weights = jnp.where(padding, 0, weights)
    attend = _splash(mask)
    before = _with_gradients(attend, *qkv, weights)
    after = _with_gradients(
        attend, *(jnp.where(padding, 7.0, x) for x in qkv), weights
    )
    tokens = np.asarray(mask)[:, None, :, None]
    for x, y in zip(before, after, strict=True):
      np.testing.assert_array_equal(x * tokens, y * tokens)
    for gradient in after[1:]:
      np.testing.assert_array_equal(gradient * ~tokens, 0)

  @pytest.mark.slow
  def test_rows_of_padding_are_finite(self):
    *qkv, weights = _inputs(2, 2, 1, 128, 64)
    mask = jnp.zeros((2, 128), bool).at[0, :60].set(True)
    for x in _with_gradients(_splash(mask), *qkv, weights):
      self.assertTrue(np.all(np.isfinite(x)))

  @parameterized.parameters(
      (1, 128, 128),
      (128, 128, 128),
      (200, 256, 256),
      (640, 640, 640),
      (641, 384, 768),
      (1024, 512, 1024),
      (3122, 640, 3200),
      (4096, 512, 4096),
  )
  def test_block_pads_least(self, length, block, padded):
    self.assertEqual(splash._block_and_length(length), (block, padded))

  @parameterized.named_parameters(
      ("rows_and_heads_divided", 2, 2, 2, 4, 2),
      ("key_value_heads_copied", 2, 4, 2, 8, 2),
      ("rows_that_do_not_divide", 2, 2, 3, 2, 2),
  )
  @pytest.mark.slow
  def test_mesh_changes_nothing(self, fsdp, tensor, rows, heads, kv_heads):
    length = 128
    *qkv, weights = _inputs(rows, heads, kv_heads, length, 64)
    attend = _splash(_mask(length)[:rows])
    alone = _with_gradients(attend, *qkv, weights)
    mesh = sharding.make_mesh(
        sharding.MeshShape(fsdp=fsdp, tensor=tensor),
        jax.devices()[: fsdp * tensor],
    )
    with sharding.use(mesh):
      together = _with_gradients(attend, *qkv, weights)
    expected = sharding.spec(weights.shape, ("rows", "heads", None, None), mesh)
    self.assertTrue(
        together[0].sharding.is_equivalent_to(NamedSharding(mesh, expected), 4)
    )
    for x, y in zip(together, alone, strict=True):
      self.assertLess(_distance(x, y), 1e-6)

  def test_heads_that_do_not_divide_are_refused(self):
    *qkv, _ = _inputs(1, 8, 4, 128, 64)
    mesh = sharding.make_mesh(sharding.MeshShape(tensor=3), jax.devices()[:3])
    with sharding.use(mesh):
      with self.assertRaisesRegex(ValueError, r"of 3 devices.*\[1, 2, 4, 8\]"):
        _splash(_mask(128)[:1])(*qkv)


@absltest.skipUnless(topologies.is_available(), "libtpu is not installed")
class CompileTest(parameterized.TestCase):
  """Gemma 2 2B's attention, compiled for TPUs that are not there."""

  ROWS, HEADS, KV_HEADS, LENGTH, HEAD_DIM = 4, 8, 4, 3122, 256

  def _compiled(self, mesh, window):
    """The program of forward and backward pass on a mesh."""

    def shape(logical, *sizes, dtype=jnp.bfloat16):
      laid_out = NamedSharding(mesh, sharding.spec(sizes, logical, mesh))
      return jax.ShapeDtypeStruct(sizes, dtype, sharding=laid_out)

    heads = functools.partial(shape, ("rows", "heads", None, None))
    sizes = self.LENGTH, self.HEAD_DIM
    queries = heads(self.ROWS, self.HEADS, *sizes)
    keys = heads(self.ROWS, self.KV_HEADS, *sizes)
    mask = shape(("rows", None), self.ROWS, self.LENGTH, dtype=bool)

    def gradients(queries, keys, values, weights, mask):
      attend = functools.partial(
          splash.attend, mask=mask, scale=1 / 16, cap=50.0, window=window
      )
      _, pull = jax.vjp(attend, queries, keys, values)
      return pull(weights)

    with sharding.use(mesh):
      lowered = jax.jit(gradients).lower(queries, keys, keys, queries, mask)
      return lowered.compile()

  @parameterized.parameters(
      ("v5e:1x1", sharding.MeshShape(), None),
      ("v5e:1x1", sharding.MeshShape(), 4096),
      ("v5e:2x2", sharding.MeshShape(fsdp=2, tensor=2), None),
  )
  @pytest.mark.slow
  def test_holds_no_scores(self, topology, mesh_shape, window):
    devices = topologies.devices(topologies.parse(topology))
    mesh = sharding.make_mesh(mesh_shape, devices)
    compiled = self._compiled(mesh, window)
    text = compiled.as_text()
    # One kernel forward, one for dq, one for dk and dv.
    self.assertEqual(text.count('custom_call_target="tpu_custom_call"'), 3)
    shapes = re.findall(r"\[([\d,]+)\]", text)
    long = [[n for n in s.split(",") if int(n) >= self.LENGTH] for s in shapes]
    self.assertLen(max(long, key=len), 1)
    # Queries take 51 MB on one chip, and float32 scores would take 1.3 GB.
    queries = self.ROWS * self.HEADS * self.LENGTH * self.HEAD_DIM * 2
    temporary = compiled.memory_analysis().temp_size_in_bytes
    self.assertLess(temporary, 5 * queries / len(devices))


if __name__ == "__main__":
  absltest.main()
