from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
import numpy as np
import pytest

from score_jax.devices import sharding
from score_jax.devices.sharding import MeshShape
from score_jax.models import placement
from score_jax.models import transformer
from tests.helpers.eight_heads import CONFIG


class MeshShapeTest(parameterized.TestCase):

  @parameterized.parameters(
      (MeshShape(), 1, (1, 1, 1, 1)),
      (MeshShape(fsdp=-1), 16, (1, 1, 16, 1)),
      (MeshShape(slice=2, fsdp=-1, tensor=4), 64, (2, 1, 8, 4)),
      (MeshShape(data=2, fsdp=2, tensor=2), 8, (1, 2, 2, 2)),
  )
  def test_filled(self, shape, num_devices, expected):
    self.assertEqual(shape.filled(num_devices), MeshShape(*expected))

  @parameterized.parameters(
      (MeshShape(fsdp=4), 8),
      (MeshShape(tensor=3, fsdp=-1), 8),
      (MeshShape(tensor=16, fsdp=-1), 8),
  )
  def test_a_shape_that_does_not_fit(self, shape, num_devices):
    with self.assertRaisesRegex(ValueError, f"does not fit {num_devices}"):
      shape.filled(num_devices)

  @parameterized.parameters(dict(fsdp=0), dict(fsdp=-2), dict(data=-1, fsdp=-1))
  def test_no_shape(self, **sizes):
    with self.assertRaisesRegex(ValueError, "every axis has 1 device or more"):
      MeshShape(**sizes)


class MeshTest(absltest.TestCase):

  def test_the_sampler_has_the_same_devices_in_the_same_order(self):
    mesh = sharding.make_mesh(MeshShape(slice=2, fsdp=2, tensor=2))
    sampler = sharding.sampler_mesh(mesh, 4)
    self.assertEqual(tuple(sampler.shape.values()), (2, 1, 1, 4))
    self.assertEqual(list(sampler.devices.flat), list(mesh.devices.flat))

  def test_a_tensor_axis_beyond_a_slice(self):
    mesh = sharding.make_mesh(MeshShape(slice=2, fsdp=4))
    with self.assertRaisesRegex(ValueError, "8, which does not divide 4"):
      sharding.sampler_mesh(mesh, 8)


class SpecTest(parameterized.TestCase):

  @parameterized.parameters(
      ((8, 6), ("rows", "sequence"), P(("data", "fsdp"), "tensor")),
      ((8, 5), ("rows", "sequence"), P(("data", "fsdp"), None)),
      ((6, 6), ("rows", None), P(None, None)),
      ((32, 16), ("vocab", None), P(("fsdp", "tensor"), None)),
      ((16, 8, 2), ("model", "heads", None), P("fsdp", "tensor", None)),
  )
  def test_rules(self, shape, logical, expected):
    mesh = sharding.make_mesh(MeshShape(data=2, fsdp=2, tensor=2))
    found = sharding.spec(shape, logical, mesh)
    self.assertEqual(
        NamedSharding(mesh, found).shard_shape(shape),
        NamedSharding(mesh, expected).shard_shape(shape),
    )

  def test_axes_that_the_array_does_not_have(self):
    with self.assertRaisesRegex(ValueError, r"\(4,\) with axes"):
      sharding.spec((4,), ("rows", None))

  def test_without_a_mesh_nothing_happens(self):
    x = jnp.ones((4, 2))
    self.assertIs(sharding.constrain(x, "rows", None), x)
    self.assertIs(sharding.gather(x, ("model", "ffn")), x)
    self.assertIsNone(sharding.tree_shardings(None, x, ("rows", None)))
    with sharding.use(None):
      self.assertEqual(sharding.axes_of("rows", 4), ())


class GatherTest(absltest.TestCase):

  def test_whole_in_use_and_its_gradient_divided(self):
    mesh = sharding.make_mesh(MeshShape(fsdp=4, tensor=2))
    weight = jnp.arange(64.0).reshape(8, 8)
    place = NamedSharding(mesh, P("fsdp", "tensor"))

    def loss(w, x):
      whole = sharding.gather(w, ("model", "ffn"))
      return jnp.sum(jnp.square(x @ whole)), whole

    x = np.random.default_rng(0).normal(size=(16, 8)).astype(np.float32)
    with sharding.use(mesh):
      rows = jax.device_put(x, NamedSharding(mesh, P("fsdp", None)))
      grad, whole = jax.jit(jax.grad(loss, has_aux=True))(
          jax.device_put(weight, place), rows
      )
    self.assertEqual(whole.addressable_shards[0].data.shape, (8, 4))
    self.assertEqual(grad.addressable_shards[0].data.shape, (2, 4))
    np.testing.assert_allclose(grad, 2 * x.T @ (x @ weight), rtol=1e-5)


class CheckMeshTest(absltest.TestCase):

  def test_heads_that_are_not_divided(self):
    placement.check_mesh(CONFIG, 8)
    with self.assertRaisesRegex(ValueError, "16 devices does not.*num_heads 8"):
      placement.check_mesh(CONFIG, 16)

  @pytest.mark.slow
  def test_every_parameter_has_its_axes(self):
    params = transformer.init_params(jax.random.key(0), CONFIG)
    places = sharding.tree_shardings(
        sharding.make_mesh(MeshShape(fsdp=-1)),
        params,
        transformer.logical_axes(CONFIG),
    )
    self.assertEqual(jax.tree.structure(places), jax.tree.structure(params))


if __name__ == "__main__":
  absltest.main()
