"""Tests of score_jax.models.transformer and score_jax.models.layers."""

import dataclasses
import functools

from absl.testing import absltest
from absl.testing import parameterized
import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from score_jax.devices import sharding
from score_jax.devices.sharding import MeshShape
from score_jax.models import decoding
from score_jax.models import layers
from score_jax.models import transformer
from score_jax.models.config import ModelConfig
from score_jax.models.config import QkNorm
from score_jax.models.config import Rope

# head_dim is not D / H, and no two sizes agree: a mixed-up axis shows.
CONFIG = ModelConfig(
    model_type="llama",
    vocab_size=13,
    d_model=16,
    num_layers=3,
    num_heads=4,
    num_kv_heads=2,
    head_dim=6,
    d_ff=20,
    rope=Rope(100.0),
    norm_eps=1e-5,
    is_tied=False,
    max_positions=64,
)
LENGTH = 5
# Columns of each row's five tokens: left-, right-padded, and two with holes.
LAYOUTS = ((4, 5, 6, 7, 8), (0, 1, 2, 3, 4), (0, 2, 3, 6, 8), (1, 4, 5, 6, 7))
COLUMNS = 9
MASK = np.array([[c in layout for c in range(COLUMNS)] for layout in LAYOUTS])
TOKENS = np.array([[1, 7, 3, 3, 9], [2, 0, 5, 6, 1], [4, 4, 8, 2, 0], [9] * 5])

_logits = jax.jit(transformer.logits, static_argnums=1)
_hidden = jax.jit(transformer.hidden_states, static_argnums=1)


@functools.partial(jax.jit, static_argnums=(1, 4))
def _prefill(params, config, tokens, mask, columns):
  layout = decoding.layout(params, config)
  return decoding.prefill(layout, config, tokens, mask, columns)


@functools.partial(jax.jit, static_argnums=1)
def _continue(params, config, tokens, mask, cache):
  layout = decoding.layout(params, config)
  return decoding.extend(layout, config, tokens, mask, cache)


@functools.cache
def _params():
  """Noise everywhere, so that no norm is a vector of ones."""
  shapes = jax.eval_shape(
      functools.partial(transformer.init_params, config=CONFIG),
      jax.random.key(0),
  )
  leaves, structure = jax.tree.flatten(shapes)
  rng = np.random.default_rng(0)
  return structure.unflatten(
      jnp.asarray(0.5 * rng.normal(size=x.shape), x.dtype) for x in leaves
  )


def _rotate(x, positions, theta):
  """Rotates x [R, T, heads, head_dim]."""
  rotation = layers.rotation(positions, Rope(theta), x.shape[-1])
  return layers.rotate(x.swapaxes(1, 2), rotation).swapaxes(1, 2)


def _spread(tokens, mask, padding):
  """Writes row r of tokens into the columns of mask[r]."""
  spread = np.full(mask.shape, padding, np.int32)
  spread[mask] = tokens.reshape(-1)
  return spread


class CausalityTest(absltest.TestCase):

  @pytest.mark.slow
  def test_a_position_sees_itself_and_all_before_and_nothing_after(self):
    # All tokens differ, so a row of the embedding table is one position.
    tokens = np.arange(LENGTH)[None]
    mask = np.ones((1, LENGTH), bool)

    @jax.jit
    @jax.jacrev
    def influence(embedding):
      params = {**_params(), "embedding": embedding}
      return _hidden(params, CONFIG, tokens, mask)[0].sum(-1)

    jacobian = influence(_params()["embedding"])[:, :LENGTH]
    sizes = np.abs(np.asarray(jacobian)).max(-1)  # [query, key]
    np.testing.assert_array_equal(np.triu(sizes, 1), 0)
    self.assertTrue((sizes[np.tril_indices(LENGTH)] > 1e-4).all(), sizes)


class PaddingTest(parameterized.TestCase):
  """Rows may be padded anywhere, with anything."""

  def test_padding_anywhere_changes_nothing(self):
    padded = _logits(_params(), CONFIG, _spread(TOKENS, MASK, 11), MASK)
    for r, tokens in enumerate(TOKENS):
      alone = _logits(
          _params(), CONFIG, tokens[None], np.ones((1, LENGTH), bool)
      )
      np.testing.assert_allclose(padded[r][MASK[r]], alone[0], atol=1e-5)

  @pytest.mark.slow
  def test_padding_content_reaches_neither_logits_nor_gradients(self):
    rng = np.random.default_rng(1)
    weights = rng.normal(size=(*MASK.shape, CONFIG.vocab_size))

    @jax.jit
    @jax.value_and_grad
    def value_and_grad(params, tokens):
      logits = transformer.logits(params, CONFIG, tokens, MASK)
      return jnp.sum(jnp.where(MASK[..., None], logits * weights, 0.0))

    expected = value_and_grad(_params(), _spread(TOKENS, MASK, 11))
    for padding in (0, 12, -100, 10**6):
      actual = value_and_grad(_params(), _spread(TOKENS, MASK, padding))
      chex.assert_tree_all_finite(actual)
      chex.assert_trees_all_close(actual, expected, rtol=1e-6, atol=1e-6)

  @pytest.mark.slow
  def test_batch_mates_change_nothing(self):
    expected = _logits(_params(), CONFIG, _spread(TOKENS, MASK, 11), MASK)
    others = np.concatenate([TOKENS[:1], (TOKENS[1:] + 3) % 13])
    mask = np.concatenate([MASK[:1], MASK[:0:-1]])
    actual = _logits(_params(), CONFIG, _spread(others, mask, 11), mask)
    np.testing.assert_allclose(
        actual[0][MASK[0]], expected[0][MASK[0]], atol=1e-6
    )

  def test_a_row_of_padding_alone_is_finite(self):
    nothing = np.zeros((1, LENGTH), bool)
    logits = _logits(_params(), CONFIG, TOKENS[:1], nothing)
    self.assertTrue(np.isfinite(logits).all())


class ArchitectureTest(absltest.TestCase):

  def test_grouped_heads_equal_repeated_key_value_heads(self):
    repeats = CONFIG.num_heads // CONFIG.num_kv_heads
    config = dataclasses.replace(CONFIG, num_kv_heads=CONFIG.num_heads)
    stack = dict(_params()["layers"])
    for name in ("key", "value"):
      stack[name] = jnp.repeat(stack[name], repeats, axis=2)
    tokens = _spread(TOKENS, MASK, 0)
    np.testing.assert_allclose(
        _logits({**_params(), "layers": stack}, config, tokens, MASK),
        _logits(_params(), CONFIG, tokens, MASK),
        atol=1e-5,
    )

  @pytest.mark.slow
  def test_scanned_layers_equal_a_loop_over_layers(self):
    params, tokens = _params(), _spread(TOKENS, MASK, 0)
    positions = layers.positions_of(MASK)
    contexts = transformer.make_contexts(CONFIG, positions, positions, MASK)
    apply = jax.jit(transformer.Layer(CONFIG).apply)
    x = params["embedding"][tokens]
    for i in range(CONFIG.num_layers):
      layer = jax.tree.map(lambda a, i=i: a[i], params["layers"])
      kind = transformer.LayerKind(is_local=None, has_rope=None)
      x, _ = apply({"params": layer}, x, contexts, kind)
    x = layers.rms_norm(x, params["final_norm"], CONFIG.norm_eps)
    np.testing.assert_allclose(
        (x @ params["head"])[MASK],
        _logits(params, CONFIG, tokens, MASK)[MASK],
        atol=1e-5,
    )

  @pytest.mark.slow
  def test_tied_head_is_the_embedding_table(self):
    config = dataclasses.replace(CONFIG, is_tied=True)
    tied = {k: v for k, v in _params().items() if k != "head"}
    untied = {**tied, "head": tied["embedding"].T}
    tokens = _spread(TOKENS, MASK, 0)
    init = functools.partial(transformer.init_params, config=config)
    self.assertNotIn("head", jax.eval_shape(init, jax.random.key(0)))
    np.testing.assert_allclose(
        _logits(tied, config, tokens, MASK),
        _logits(untied, CONFIG, tokens, MASK),
        atol=1e-5,
    )


class CacheTest(parameterized.TestCase):
  """Pieces and a cache give what one forward pass gives."""

  @parameterized.parameters(
      ((9,),), ((4, 5),), ((4, 2, 2, 1),), ((0,) + (1,) * 9,)
  )
  @pytest.mark.slow
  def test_any_pieces_equal_the_full_forward(self, sizes):
    tokens = _spread(TOKENS, MASK, 11)
    full = _hidden(_params(), CONFIG, tokens, MASK)
    first, start = sizes[0], sizes[0]
    cache = _prefill(
        _params(), CONFIG, tokens[:, :first], MASK[:, :first], COLUMNS + 2
    )
    for size in sizes[1:]:
      piece = slice(start, start + size)
      hidden, cache = _continue(
          _params(), CONFIG, tokens[:, piece], MASK[:, piece], cache
      )
      valid = MASK[:, piece]
      np.testing.assert_allclose(
          hidden[valid], full[:, piece][valid], atol=1e-5
      )
      start += size
    self.assertEqual(int(cache.column), COLUMNS)
    np.testing.assert_array_equal(cache.mask[:, :COLUMNS], MASK)
    self.assertFalse(cache.mask[:, COLUMNS:].any())
    np.testing.assert_array_equal(cache.next_position, MASK.sum(1))

  def test_prefilled_keys_are_those_that_pieces_write(self):
    tokens = _spread(TOKENS, MASK, 11)
    at_once = _prefill(_params(), CONFIG, tokens, MASK, COLUMNS + 2)
    half = _prefill(_params(), CONFIG, tokens[:, :4], MASK[:, :4], COLUMNS + 2)
    _, in_pieces = _continue(
        _params(), CONFIG, tokens[:, 4:], MASK[:, 4:], half
    )
    valid = np.asarray(at_once.mask)
    for name in ("keys", "values"):
      np.testing.assert_allclose(
          np.stack(getattr(in_pieces, name)).swapaxes(2, 3)[:, valid],
          np.stack(getattr(at_once, name)).swapaxes(2, 3)[:, valid],
          atol=1e-5,
      )


class MeshTest(absltest.TestCase):

  @pytest.mark.slow
  def test_a_norm_over_all_heads_is_over_the_heads_of_all_devices(self):
    """Logits and gradients, with heads and their scales divided by four."""
    config = dataclasses.replace(
        CONFIG, num_heads=8, num_kv_heads=4, qk_norm=QkNorm.PROJECTION
    )
    params = transformer.init_params(jax.random.key(0), config)
    tokens = _spread(TOKENS, MASK, 0)

    @jax.value_and_grad
    def loss(params):
      logits = transformer.logits(params, config, tokens, MASK)
      return jnp.sum(jnp.where(MASK[..., None], jnp.sin(logits), 0.0))

    expected = jax.jit(loss)(params)
    mesh = sharding.make_mesh(MeshShape(1, 1, 1, 4), jax.devices()[:4])
    places = sharding.tree_shardings(
        mesh, params, transformer.logical_axes(config)
    )
    scale = places["layers"]["query_norm"]
    self.assertEqual(scale.shard_shape((3, 8, 6)), (3, 2, 6))
    with sharding.use(mesh):
      found = jax.jit(loss)(jax.device_put(params, places))
    chex.assert_trees_all_close(
        jax.device_get(found), jax.device_get(expected), rtol=2e-4, atol=2e-4
    )


class LayersTest(absltest.TestCase):

  def test_positions_count_valid_tokens(self):
    mask = np.array([[0, 1, 1, 0, 1], [1, 1, 0, 0, 0], [0, 0, 0, 0, 0]], bool)
    np.testing.assert_array_equal(
        layers.positions_of(mask),
        [[0, 0, 1, 1, 2], [0, 1, 1, 1, 1], [0, 0, 0, 0, 0]],
    )

  def test_rms_norm_by_hand(self):
    x = jnp.asarray([[3.0, 4.0]])  # mean square 12.5
    scale = jnp.asarray([2.0, 10.0])
    np.testing.assert_allclose(
        layers.rms_norm(x, scale, 12.5), [[1.2, 8.0]], rtol=1e-6
    )

  @pytest.mark.slow
  def test_rotation_by_hand(self):
    # One pair per wavelength: angle p for the first, p / sqrt(theta) for the
    # second; pairs are (i, i + head_dim / 2).
    x = jnp.asarray([1.0, 0.0, 0.0, 2.0]).reshape(1, 1, 1, 4)
    rotated = _rotate(x, np.array([[3]]), 100.0)[0, 0, 0]
    expected = [np.cos(3), -2 * np.sin(0.3), np.sin(3), 2 * np.cos(0.3)]
    np.testing.assert_allclose(rotated, expected, rtol=1e-5)

  def test_rotated_products_depend_on_distance_alone(self):
    rng = np.random.default_rng(0)
    q, k = rng.normal(size=(2, 1, 1, 1, 8)).astype(np.float32)

    @jax.jit
    def product(q_position, k_position):
      rotated_q = _rotate(q, q_position.reshape(1, 1), 50.0)
      rotated_k = _rotate(k, k_position.reshape(1, 1), 50.0)
      return jnp.sum(rotated_q * rotated_k)

    near, same, other = (
        float(product(np.array(a), np.array(b)))
        for a, b in ((7, 4), (23, 20), (7, 5))
    )
    self.assertAlmostEqual(near, same, places=4)
    self.assertNotAlmostEqual(near, other, places=2)


if __name__ == "__main__":
  absltest.main()
