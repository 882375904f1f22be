"""Collectives of hand-written, of CPU and of TPU programs."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
from jax import lax
from jax.experimental import mesh_utils
import jax.numpy as jnp
from jax.sharding import AxisType
from jax.sharding import Mesh
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
import numpy as np
import pytest

from score_jax.plan import hlo
from score_jax.plan import hlo_text
from score_jax.plan import topologies

pytestmark = pytest.mark.usefixtures("without_kept_programs")


def module(*entry, computations="", num_partitions=8):
  """An HLO module with an entry computation of the given lines."""
  *lines, last = entry
  body = "".join(f"  {line}\n" for line in lines)
  return (
      f"HloModule m, is_scheduled=true, num_partitions={num_partitions}\n\n"
      f"{computations}\nENTRY %main (p: f32[4]) -> f32[4] {{\n"
      f"{body}  ROOT {last}\n}}\n"
  )


def only(text):
  (found,) = hlo.collectives(text)
  return found


def loop(
    start,
    limit,
    step,
    direction,
    *,
    update="add",
    where="condition",
    compared="%i, %limit",
):
  """A loop around an all-reduce of 64 bytes; its counter is element 1.

  `where` says whether the limit is a constant of the condition, or element 2
  of what is carried ("carried"), passed on by the body or not ("changed").
  """
  s32, carried = "s32[]{:T(128)}", "(f32[16]{0}, s32[], /*index=2*/s32[])"
  passed_on = "%other" if where == "changed" else "%same"
  in_condition = f"%limit = {s32} constant({limit})"
  if where != "condition":
    in_condition = f"%limit = {s32} get-tuple-element(%c), index=2"
  return module(
      "%p = f32[16]{0} parameter(0)",
      f"%start = {s32} constant({start})",
      f"%max = {s32} constant({limit})",
      f"%copied = {s32} copy(%start)",
      f"%init = {carried} tuple(%p, %copied, /*index=2*/%max)",
      f"%w = {carried} while(%init), condition=%cond, body=%body",
      "%out = f32[16]{0} get-tuple-element(%w), index=0",
      computations=f"""
%sum (x: f32[], y: f32[]) -> f32[] {{
  %x = f32[] parameter(0)
  %y = f32[] parameter(1)
  ROOT %add = f32[] add(%x, %y)
}}

%body (b: (f32[16], s32[], s32[])) -> (f32[16], s32[], s32[]) {{
  %b = {carried} parameter(0)
  %x = f32[16]{{0}} get-tuple-element(%b), index=0
  %r = f32[16]{{0}} all-reduce(%x), replica_groups={{}}, to_apply=%sum
  %i = s32[] get-tuple-element(%b), index=1
  %same = s32[] get-tuple-element(%b), index=2
  %step = {s32} constant({step})
  %next = {s32} {update}(%i, %step)
  %other = {s32} add(%same, %step)
  ROOT %t = {carried} tuple(%r, %next, /*index=2*/{passed_on})
}}

%cond (c: (f32[16], s32[], s32[])) -> pred[] {{
  %c = {carried} parameter(0)
  %i = s32[] get-tuple-element(%c), index=1
  {in_condition}
  ROOT %less = pred[] compare({compared}), direction={direction}
}}
""",
  )


class TextTest(parameterized.TestCase):

  @parameterized.parameters(
      ("f32[4,2]{1,0:T(8,128)S(1)}", 32),
      ("bf16[3]{0:T(256)}", 6),
      ("s4[8]{0}", 4),
      ("f8e4m3fn[5]", 5),
      ("pred[7]{0}", 7),
      ("c64[2]", 16),
      ("u32[]{:S(2)}", 4),
      ("token[]", 0),
      ("f32[<=8,2]", 64),
      ("(f32[2]{0}, (bf16[4]{0:T(8,128)(2,1)}, s32[]))", 20),
  )
  def test_bytes_of_a_shape(self, shape, expected):
    self.assertEqual(hlo_text.num_bytes(shape), expected)

  def test_text_that_is_no_module(self):
    with self.assertRaisesRegex(ValueError, "no HLO module .* 'hello'"):
      hlo_text.parse("hello\n")

  def test_a_tuple_with_comments_and_layouts(self):
    text = module(
        "%p = f32[4]{0} parameter(0)",
        "%t = (f32[4]{0:T(8,128)(2,1)}, /*index=1*/f32[4]{0}) tuple(%p,"
        ' /*index=1*/%p), metadata={op_name="a(b)"}',
    )
    root = hlo_text.parse(text).entry.root
    self.assertEqual(root.opcode, "tuple")
    self.assertEqual(root.operands, ("p", "p"))
    self.assertLen(hlo_text.tuple_shapes(root.shape), 2)

  def test_attributes_of_several_lines(self):
    text = module(
        "%p = f32[4]{0} parameter(0)",
        '%k = f32[4]{0} custom-call(%p), frontend_attributes={config={\n"a":'
        ' "1"\n}}, metadata={op_name="kernel"}',
        "%r = f32[4]{0} all-reduce(%k), replica_groups=[2,4]<=[8]",
    )
    self.assertEqual(only(text).kind, "all-reduce")


class CollectivesTest(parameterized.TestCase):

  # Results of f32[24, 4]: 384 bytes. Groups of 4 unless said.
  @parameterized.parameters(
      ("all-gather", "replica_groups={{0,1,2,3},{4,5,6,7}}", 4, 288.0),
      ("all-gather", "replica_groups=[2,4]<=[8]", 4, 288.0),
      ("all-gather", "replica_groups=[2,4]<=[4,2]T(1,0)", 4, 288.0),
      ("all-gather", "replica_groups=mesh['a'=2,'b'=4] {'b'}", 4, 288.0),
      ("all-gather", "replica_groups=mesh['a'=2,'b'=4] {'a','b'}", 8, 336.0),
      ("all-gather", "replica_groups=mesh['a'=8] {'a':(2)4}", 4, 288.0),
      ("all-gather", "replica_groups={}", 8, 336.0),
      ("all-gather", "replica_groups={{0},{1}}", 1, 0.0),
      ("all-reduce", "replica_groups=[2,4]<=[8]", 4, 576.0),
      ("reduce-scatter", "replica_groups=[2,4]<=[8]", 4, 1152.0),
      ("all-to-all", "replica_groups=[2,4]<=[8]", 4, 288.0),
      (
          "collective-permute",
          "source_target_pairs={{0,2},{2,4},{4,0},{1,3},{3,1}}",
          3,
          384.0,
      ),
      ("collective-permute", "source_target_pairs={{0,0},{1,1}}", 1, 0.0),
  )
  def test_one(self, kind, groups, size, wire):
    found = only(
        module(
            "%p = f32[4]{0} parameter(0)",
            f"%r = f32[24,4]{{1,0:T(8,128)}} {kind}(%p), channel_id=1,"
            f' {groups}, dimensions={{0}}, metadata={{op_name="jit(f)/x"}}',
        )
    )
    self.assertEqual(found.kind, kind)
    self.assertEqual(found.group_size, size)
    self.assertEqual(found.result_bytes, 384)
    self.assertEqual(found.wire_bytes, wire)
    self.assertEqual(found.total_wire_bytes, wire)
    self.assertEqual(found.op_name, "jit(f)/x")
    self.assertFalse(found.is_in_loop)

  @parameterized.parameters(
      ("all-gather", "(f32[4]{0}, f32[16]{0})", 64),
      (
          "all-gather",
          "((f32[4]{0}, f32[2]{0}), (f32[16]{0}, f32[8]{0}), u32[])",
          96,
      ),
      ("all-reduce", "(f32[4]{0}, f32[16]{0})", 80),
      ("all-reduce", "f32[16]{0}", 64),
      ("reduce-scatter", "((f32[16]{0}), f32[4]{0}, u32[])", 16),
      ("collective-permute", "(f32[4]{0}, f32[4]{0}, u32[]{:S(2)})", 16),
  )
  def test_start_and_done_are_one(self, kind, shape, result_bytes):
    groups = "replica_groups=[2,4]<=[8]"
    if kind == "collective-permute":
      groups = "source_target_pairs={{0,1},{1,0}}"
    found = only(
        module(
            "%p = f32[4]{0} parameter(0)",
            f"%s = {shape} {kind}-start(%p), {groups}",
            f"%d = f32[16]{{0}} {kind}-done(%s)",
        )
    )
    self.assertEqual(found.kind, kind)
    self.assertEqual(found.result_bytes, result_bytes)

  def test_several_results_in_one(self):
    found = only(
        module(
            "%p = f32[4]{0} parameter(0)",
            "%r = (f32[4]{0}, bf16[6]{0}) all-reduce(%p, %p),"
            " replica_groups=[2,4]<=[8]",
        )
    )
    self.assertEqual(found.result_bytes, 28)

  def test_async_wrapper(self):
    text = module(
        "%p = f32[16]{0} parameter(0)",
        "%s = ((f32[16]{0}), f32[4]{0}, u32[]) async-start(%p), calls=%inner",
        "%u = ((f32[16]{0}), f32[4]{0}, u32[]) async-update(%s), calls=%inner",
        "%d = f32[4]{0} async-done(%u), calls=%inner",
        computations="""
%inner (q: f32[16]) -> f32[4] {
  %q = f32[16]{0} parameter(0)
  ROOT %rs = f32[4]{0} reduce-scatter(%q), replica_groups=[2,4]<=[8]
}
""",
    )
    found = only(text)
    self.assertEqual((found.kind, found.wire_bytes), ("reduce-scatter", 48.0))

  def test_reduce_scatter_of_the_tpu_compiler(self):
    text = module(
        "%p = f32[16]{0} parameter(0)",
        "%f = f32[4]{0} fusion(%p), kind=kCustom, calls=%all-reduce-scatter.1",
        computations="""
%all-reduce-scatter.1 (q: f32[16]) -> f32[4] {
  %q = f32[16]{0} parameter(0)
  %r = f32[16]{0} all-reduce(%q), replica_groups=[2,4]<=[8], to_apply=%sum
  %i = u32[] partition-id()
  ROOT %s = f32[4]{0} dynamic-slice(%r, %i), dynamic_slice_sizes={4}
}
""",
    )
    found = only(text)
    self.assertEqual((found.kind, found.wire_bytes), ("reduce-scatter", 48.0))

  def test_parts_of_an_asynchronous_collective_count_once(self):
    def part(name, attributes, root):
      return f"""
%{name} (q: f32[4]) -> f32[16] {{
  %q = f32[4]{{0}} parameter(0)
  %g = f32[16]{{0}} all-gather(%q), channel_id=3, replica_groups=[2,4]<=[8], \
frontend_attributes={{chain_id="{attributes}"}}
  ROOT %c = f32[16]{{0}} {root}
}}
"""

    start = 'custom-call(%g), custom_call_target="AsyncCollectiveStart"'
    done = 'custom-call(%q, %g), custom_call_target="AsyncCollectiveDone"'
    text = module(
        "%p = f32[4]{0} parameter(0)",
        "%a = f32[16]{0} fusion(%p), kind=kCustom, calls=%begin",
        "%b = f32[16]{0} fusion(%a), kind=kOutput, calls=%middle",
        "%c = f32[16]{0} fusion(%b), kind=kCustom, calls=%end",
        computations=part("begin", "0", start)
        + part("middle", "0", "tuple(%g, %q)")
        + part("end", "0", done),
    )
    self.assertEqual(only(text).wire_bytes, 48.0)

  def test_what_leaves_the_slice(self):
    found = only(
        module(
            "%p = f32[4]{0} parameter(0)",
            "%s = (f32[4]{0}, u32[], token[]) send(%p, %t), channel_id=2,"
            " is_host_transfer=true,"
            ' frontend_attributes={_xla_megascale_transfer_type="ALL_REDUCE"}',
        )
    )
    self.assertEqual((found.kind, found.wire_bytes), ("slice-send", 16.0))

  def test_branches_all_count(self):
    computations = "".join(
        f"%{name} (q: f32[4]) -> f32[4] {{\n  %q = f32[4]{{0}} parameter(0)\n"
        f"  ROOT %g = f32[{size}]{{0}} all-gather(%q),"
        " replica_groups=[2,4]<=[8]\n}\n"
        for name, size in (("one", 16), ("two", 32))
    )
    for attributes in (
        "branch_computations={%one, %two}",
        "true_computation=%one, false_computation=%two",
    ):
      text = module(
          "%p = f32[4]{0} parameter(0)",
          f"%c = f32[16]{{0}} conditional(%i, %p, %p), {attributes}",
          computations=computations,
      )
      found = hlo.collectives(text)
      self.assertEqual([c.result_bytes for c in found], [64, 128])

  @parameterized.parameters(
      (0, 7, 1, "LT", 7),
      (2, 8, 2, "LT", 3),
      (2, 9, 2, "LT", 4),
      (1, 7, 1, "LE", 7),
      (7, 0, -1, "GT", 7),
      (7, 0, -1, "GE", 8),
      (0, 6, 2, "NE", 3),
      (9, 3, 1, "LT", 0),
  )
  def test_trips_of_a_counter(self, start, limit, step, direction, trips):
    found = only(loop(start, limit, step, direction))
    self.assertTrue(found.is_in_loop)
    self.assertEqual((found.trips, found.unknown_loops), (trips, 0))
    self.assertEqual(found.total_wire_bytes, trips * 2 * 64 * 7 / 8)

  def test_trips_of_a_counter_that_falls_by_subtraction(self):
    found = only(loop(7, 0, 1, "GT", update="subtract"))
    self.assertEqual((found.trips, found.unknown_loops), (7, 0))

  @parameterized.product(where=("condition", "carried"))
  def test_a_limit_in_front(self, where):
    found = only(loop(0, 7, 1, "GT", where=where, compared="%limit, %i"))
    self.assertEqual((found.trips, found.unknown_loops), (7, 0))

  def test_a_limit_that_is_carried_along(self):
    found = only(loop(0, 7, 1, "LT", where="carried"))
    self.assertEqual((found.trips, found.unknown_loops), (7, 0))

  @parameterized.parameters(
      dict(where="changed"),
      dict(update="multiply"),
      dict(direction="GT"),
      dict(direction="EQ"),
  )
  def test_trips_that_the_text_does_not_say(self, direction="LT", **how):
    found = only(loop(0, 7, 1, direction, **how))
    self.assertEqual((found.trips, found.unknown_loops), (1, 1))
    self.assertEqual(found.total_wire_bytes, 2 * 64 * 7 / 8)

  def test_known_trip_count(self):
    text = loop(0, 7, 1, "LT", where="changed").replace(
        "body=%body",
        'body=%body, backend_config={"known_trip_count":{"n":"5"}}',
    )
    self.assertEqual(only(text).trips, 5)

  def test_totals(self):
    text = module(
        "%p = f32[4]{0} parameter(0)",
        "%a = f32[16]{0} all-gather(%p), replica_groups=[2,4]<=[8]",
        "%b = f32[32]{0} all-gather(%p), replica_groups=[2,4]<=[8]",
        "%c = f32[16]{0} all-reduce(%a), replica_groups=[2,4]<=[8]",
    )
    found = hlo.collectives(text)
    self.assertEqual(hlo.wire_bytes(found), 48 + 96 + 96)
    by_kind = {"all-gather": 144.0, "all-reduce": 96.0}
    self.assertEqual(hlo.wire_bytes_by_kind(found), by_kind)


def _step(c, w):
  """A collective of each kind, over 4 devices of "fsdp" and 2 of "tensor"."""
  c = lax.psum(c @ w, "tensor")
  c = lax.all_gather(c, "fsdp", tiled=True)
  c = lax.psum_scatter(c, "fsdp", tiled=True)
  c = lax.ppermute(c, "fsdp", [(i, (i + 1) % 4) for i in range(4)])
  return jnp.tanh(lax.all_to_all(c, "fsdp", 1, 1, tiled=True))


def _looped(x, w):
  return lax.fori_loop(0, 7, lambda _, c: _step(c, w), x)


def _until_small(x, w):
  """Three steps in each iteration of a loop that the values end."""

  def is_running(c):
    return lax.pmax(jnp.max(c), ("fsdp", "tensor")) > 1e-3

  def block(c):
    return lax.fori_loop(0, 3, lambda _, c: _step(c, w), c)

  return lax.while_loop(is_running, block, x)


def _compiled(function, devices, dtype=jnp.float32):
  """HLO text of a function of [128, 256] parts on 4 x 2 devices."""
  array = np.asarray(devices).reshape(4, 2)
  mesh = Mesh(array, ("fsdp", "tensor"), axis_types=(AxisType.Auto,) * 2)
  args = [
      jax.ShapeDtypeStruct(shape, dtype, sharding=NamedSharding(mesh, spec))
      for shape, spec in (((512, 256), P("fsdp")), ((256, 256), P()))
  ]
  with jax.set_mesh(mesh):
    mapped = jax.shard_map(
        function,
        in_specs=(P("fsdp"), P()),
        out_specs=P("fsdp"),
        check_vma=False,
    )
    return jax.jit(mapped).lower(*args).compile().as_text()


class CompiledTest(parameterized.TestCase):
  """The same program, as compilers write it; [128, 256] float32 parts."""

  part = 128 * 256 * 4
  # Bytes of the result, devices, bytes on the wire in one step.
  expected = {
      "all-reduce": (part, 2, part),
      "all-gather": (4 * part, 4, 3 * part),
      "reduce-scatter": (part, 4, 3 * part),
      "collective-permute": (part, 4, part),
      "all-to-all": (part, 4, 3 * part / 4),
  }

  def _devices(self, platform):
    if platform == "cpu":
      return jax.devices()
    if not topologies.is_available():
      self.skipTest("libtpu is not installed")
    devices = topologies.devices(topologies.parse("v5e:2x4"))
    return mesh_utils.create_device_mesh((4, 2), devices)

  def _check(self, found, trips, unknown_loops, depth):
    self.assertCountEqual([c.kind for c in found], self.expected)
    for c in found:
      values = (c.result_bytes, c.group_size, c.wire_bytes)
      self.assertEqual(values, self.expected[c.kind], c)
      self.assertEqual(c.total_wire_bytes, trips * c.wire_bytes)
      self.assertEqual(c.unknown_loops, unknown_loops)
      self.assertEqual(c.loop_depth, depth)
      self.assertIn("while/body", c.op_name)

  @parameterized.parameters("cpu", "tpu")
  def test_loop(self, platform):
    text = _compiled(_looped, self._devices(platform))
    self._check(hlo.collectives(text), trips=7, unknown_loops=0, depth=1)

  @parameterized.parameters("cpu", "tpu")
  def test_loop_that_values_end(self, platform):
    text = _compiled(_until_small, self._devices(platform))
    in_loop = [c for c in hlo.collectives(text) if c.trips == 3]
    self._check(in_loop, trips=3, unknown_loops=1, depth=2)


if __name__ == "__main__":
  absltest.main()
