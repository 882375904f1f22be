"""Names and sizes of slices."""

from absl.testing import absltest
from absl.testing import parameterized

from score_jax.plan import topologies
from score_jax.plan.topologies import Slice


class ParseTest(parameterized.TestCase):

  @parameterized.parameters(
      ("v5e:4x4", Slice("v5e", "4x4"), 16, "v5litepod-16"),
      ("v6e:1x1", Slice("v6e", "1x1"), 1, "v6e-1"),
      ("v5p:2x2x4", Slice("v5p", "2x2x4"), 16, "v5p-32"),
      ("2*v5e:16x16", Slice("v5e", "16x16", 2), 512, "v5litepod-256"),
  )
  def test_known(self, name, expected, num_chips, accelerator_type):
    found = topologies.parse(name)
    self.assertEqual(found, expected)
    self.assertEqual(found.num_chips, num_chips)
    self.assertEqual(found.accelerator_type, accelerator_type)
    self.assertEqual(found.name, name)

  @parameterized.parameters(
      ("v5litepod-16", "write v5e:4x4$"),
      ("v5e-8", "write v5e:2x4$"),
      ("v5e:16", "write v5e:4x4$"),
      ("v6e-64", "write v6e:8x8$"),
      ("v5p-32", "write v5p:2x2x4$"),
      ("v5p-8", "write v5p:2x2x1$"),
      ("v5p-7", "v5p has the slices v5p:2x2x1, .*v5p:8x8x8$"),
      ("v5e:3x3", "v5e has the slices v5e:1x1, .*v5e:16x16$"),
      ("v5p:4x4", "v5p has the slices"),
      ("0*v5e:4x4", r"write one of v5e:1x1.*v5p:8x8x8, or 2\*"),
      ("h100", "write one of v5e:1x1"),
      ("", "write one of v5e:1x1"),
  )
  def test_unknown(self, name, message):
    with self.assertRaisesRegex(ValueError, message):
      topologies.parse(name)


class DevicesTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    if not topologies.is_available():
      self.skipTest("libtpu is not installed")

  @parameterized.parameters(
      f"{kind}:{layout}"
      for kind, chip in topologies.CHIPS.items()
      for layout in chip.layouts
  )
  def test_every_slice_of_the_table(self, name):
    where = topologies.parse(name)
    devices = topologies.devices(where)
    self.assertLen(devices, where.num_chips)
    self.assertEqual({d.platform for d in devices}, {"tpu"})

  def test_two_slices(self):
    devices = topologies.devices(topologies.parse("2*v5e:2x2"))
    self.assertLen(devices, 8)
    self.assertEqual([d.slice_index for d in devices], [0] * 4 + [1] * 4)


if __name__ == "__main__":
  absltest.main()
