"""What the devices of a run can take."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec
import numpy as np

from score_jax import settings as settings_lib
from score_jax.devices import sharding
from score_jax.models import placement
from score_jax.run import tiny_base
from tests.helpers import smoke

MESH = {"slice": 1, "data": 1, "fsdp": -1, "tensor": 1, "sampler_tensor": 1}


def _check(check=placement.check_rows, **overrides):
  """Of 16 rows in a step, 8 problems sampled at once, on 8 devices."""
  shapes = {
      "rollout__problems_per_step": 8,
      "rollout__problems_per_batch": 8,
      "evaluation__batch_size": 8,
  }
  values = smoke.settings(**(shapes | overrides))
  settings = settings_lib.from_mapping(settings_lib.RunSettings, values)
  config = tiny_base.model_config(settings.tiny_model, 32)
  place = placement.make_placement(config, settings.mesh)
  check(settings, place)


class CheckRowsTest(parameterized.TestCase):

  def test_what_the_devices_can_take(self):
    _check()
    _check(mesh=MESH)

  @parameterized.product(mesh=(None, MESH))
  def test_kernels_for_other_devices(self, mesh):
    with self.assertRaisesRegex(ValueError, "devices are cpu: give .*xla"):
      _check(mesh=mesh, attention="splash")

  def test_rows_that_the_mesh_does_not_divide(self):
    with self.assertRaisesRegex(ValueError, "^4 rows .*by the 8 parts"):
      _check(mesh=MESH, train__num_microbatches=4)

  @parameterized.parameters(placement.check_rows, placement.check_evaluation)
  def test_an_evaluation_that_the_mesh_does_not_divide(self, check):
    message = r"^12 rows \(evaluation.batch_size\) .*by the 8 parts"
    with self.assertRaisesRegex(ValueError, message):
      _check(check, mesh=MESH, evaluation__batch_size=12)
    _check(check, mesh=None, evaluation__batch_size=12)

  def test_an_evaluation_is_no_step(self):
    _check(
        placement.check_evaluation,
        mesh=MESH,
        rollout__problems_per_batch=4,
        train__num_microbatches=4,
    )


class ToMemoryTest(absltest.TestCase):

  def test_the_reference_waits_on_the_host_and_comes_back(self):
    mesh = sharding.make_mesh(sharding.MeshShape(fsdp=-1))
    place = NamedSharding(mesh, PartitionSpec("fsdp"))
    weights = {"w": jax.device_put(np.arange(16.0), place)}
    away = placement.to_memory(weights, "pinned_host")
    self.assertEqual(away["w"].sharding.memory_kind, "pinned_host")
    back = placement.to_memory(away, "device")
    self.assertEqual(back["w"].sharding.memory_kind, "device")
    for tree in (away, back):
      self.assertEqual(tree["w"].sharding.spec, place.spec)
      np.testing.assert_array_equal(tree["w"], np.arange(16.0))


if __name__ == "__main__":
  absltest.main()
