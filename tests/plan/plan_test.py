"""Plans: arithmetic by hand, programs on CPU and TPU devices, the command."""

import copy
import dataclasses
import importlib
import json
import os
import subprocess
import sys
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import jax
import pytest

from score_jax import settings as settings_lib
from score_jax.models import hf
from score_jax.models import hf_config
from score_jax.models.config import ModelConfig
from score_jax.models.config import Rope
from score_jax.plan import advice
from score_jax.plan import architectures
from score_jax.plan import compiled
from score_jax.plan import memory
from score_jax.plan import outcome
from score_jax.plan import programs
from score_jax.plan import summary
from score_jax.plan import topologies
from score_jax.plan.compiled import Memory
from score_jax.plan.compiled import Program
from score_jax.plan.flops import MatmulFlops
from score_jax.plan.hlo import Collective
from score_jax.plan.memory import Residents
from tests.helpers import smoke
from tests.helpers.published_configs import PUBLISHED

pytestmark = pytest.mark.usefixtures("without_kept_programs")

MODEL = ModelConfig(
    model_type="llama",
    vocab_size=512,
    d_model=256,
    num_layers=2,
    num_heads=4,
    num_kv_heads=2,
    head_dim=128,
    d_ff=512,
    rope=Rope(100.0),
    norm_eps=1e-6,
    is_tied=True,
    max_positions=1024,
)
# Programs that run where several corrections share a first attempt alone.
OF_CORRECTIONS = ("decode_first", "repeat")
# Elements: table, matrices of a layer, norms of a layer, the last norm.
TABLE = 512 * 256
MATRICES = 256 * 128 * (4 + 2 + 2 + 4) + 3 * 256 * 512
NORMS = 2 * 2 * 256 + 256


def settings(*, mesh=None, attention="xla", **changes):
  """Run settings for MODEL on 8 devices; changes as group={...}."""
  values = copy.deepcopy(smoke.SETTINGS)
  values["attention"] = attention
  values["tiny_model"] = None
  values["model"] = {
      "path": "tiny",
      "revision": None,
      "compute_dtype": "bfloat16",
      "chat_template_options": {},
  }
  values["mesh"] = mesh or {
      "slice": 1,
      "data": 1,
      "fsdp": 4,
      "tensor": 2,
      "sampler_tensor": 2,
  }
  values["rollout"] |= {
      "problems_per_step": 8,
      "problems_per_batch": 4,
      "samples_per_problem": 2,
      "max_prompt_tokens": 8,
      "max_new_tokens": 4,
  }
  values["train"] |= {"kl_estimator": "k1_in_reward", "num_microbatches": 2}
  for group, change in changes.items():
    values[group] |= change
  return settings_lib.from_mapping(settings_lib.RunSettings, values)


def job(**changes):
  return programs.make_job(settings(**changes), MODEL, jax.devices())


class ResidentsTest(parameterized.TestCase):

  def test_by_hand(self):
    found = programs.residents(job()).bytes
    # Norms are on every device, matrices over all 8, or the sampler's 2.
    part = (TABLE + 2 * MATRICES) // 8 + NORMS
    self.assertEqual(found["parameters"], 4 * part)
    self.assertEqual(found["gradients"], 4 * part)
    # Two moments, and the counters of Adam and of its schedule.
    self.assertEqual(found["moments"], 2 * 4 * part + 8)
    self.assertEqual(found["reference"], 2 * part)
    copied = (TABLE + 2 * MATRICES) // 2 + NORMS
    self.assertEqual(found["sampler copy"], 2 * copied)
    # Keys and values, layers, rows / 4, heads / 2, columns, width, bytes.
    self.assertEqual(found["cache"], 2 * 2 * (8 // 4) * 1 * 128 * 128 * 2)

  def test_cache_of_an_evaluation_that_has_more_rows(self):
    few, many = (
        programs.residents(job(evaluation={"batch_size": n})).bytes["cache"]
        for n in (8, 24)
    )
    self.assertEqual(many, 3 * few)

  def test_moments_in_bfloat16(self):
    full, half = (
        programs.residents(job(train={"moment_dtype": dtype})).bytes["moments"]
        for dtype in ("float32", "bfloat16")
    )
    self.assertEqual((full - 8) * 3, (half - 8) * 4)  # of the first alone

  def test_what_is_alive(self):
    found = Residents(
        {
            "parameters": 1,
            "moments": 2,
            "reference": 4,
            "sampler copy": 8,
            "cache": 16,
            "gradients": 32,
        },
        is_reference_on_host=False,
        reference_readers=("reference",),
    )
    totals = {name: found.total(name) for name in memory.ALIVE}
    expected = {
        "reshard": 15,
        "prefill": 31,
        "decode_first": 31,
        "decode": 31,
        "turn": 31,
        "repeat": 31,
        "reference": 7,
        "update": 39,
    }
    self.assertEqual(totals, expected)
    away = dataclasses.replace(found, is_reference_on_host=True)
    totals = {name: away.total(name) for name in memory.ALIVE}
    expected = {
        "reshard": 11,
        "prefill": 27,
        "decode_first": 27,
        "decode": 27,
        "turn": 27,
        "repeat": 27,
        "reference": 7,
        "update": 35,
    }
    self.assertEqual(totals, expected)
    exact = dataclasses.replace(away, reference_readers=("update",))
    self.assertEqual(exact.total("update"), 39)

  @parameterized.parameters(
      # Its own figures: arguments, outputs, aliased, temporaries, code.
      ("decode", Memory(24, 16, 16, 100, 7), 7 + 24 + 100),
      ("decode", Memory(30, 16, 16, 100, 7), 7 + 30 + 100),  # padding
      ("decode", Memory(20, 16, 16, 100, 7), 7 + 24 + 100),  # not all is read
      ("prefill", Memory(8, 16, 0, 100, 7), 7 + 24 + 100),
      ("update", Memory(3, 3, 3, 100, 7), 4 + 3 + 100),
  )
  def test_peak_of_a_program(self, name, taken, expected):
    found = Residents(
        {
            "parameters": 1,
            "moments": 2,
            "reference": 4,
            "sampler copy": 8,
            "cache": 16,
            "gradients": 32,
        },
        is_reference_on_host=False,
        reference_readers=("reference",),
    )
    program = Program(name, MatmulFlops(), 0.0, memory=taken)
    self.assertEqual(found.peak(program, 1000), 1000 + expected)

  def test_who_reads_the_reference(self):
    for estimator, program in (("k2", "reference"), ("exact", "update")):
      found = programs.residents(job(train={"kl_estimator": estimator}))
      self.assertEqual(found.reference_readers, (program,))

  def test_of_adapters_by_hand(self):
    whole = programs.residents(job()).bytes
    found = programs.residents(job(train={"lora_rank": 2}))
    # Two layers, rank 2; D over 4 devices, heads and F over 2.
    with_queries = 256 // 4 + 4 // 2 * 128  # as many with F
    with_keys = 256 // 4 + 2 // 2 * 128
    part = 2 * 2 * (5 * with_queries + 2 * with_keys)
    self.assertEqual(found.bytes["parameters"], 4 * part)
    self.assertEqual(found.bytes["gradients"], 4 * part)
    self.assertEqual(found.bytes["moments"], 2 * 4 * part + 8)
    for name in ("reference", "sampler copy", "cache"):
      self.assertEqual(found.bytes[name], whole[name])

  @parameterized.parameters(
      ("k2", ("reshard", "update", "reference")),
      ("exact", ("reshard", "update")),
  )
  def test_adapters_are_beside_the_reference(self, estimator, programs_):
    train = {"kl_estimator": estimator, "lora_rank": 2}
    found = programs.residents(job(train=train))
    self.assertEqual(found.reference_readers, programs_)
    # An argument of the copy: it does not count twice.
    copied = Program(
        "reshard", MatmulFlops(), 0.0, memory=Memory(0, 0, 0, 0, 0)
    )
    self.assertEqual(
        found.peak(copied, 0),
        sum(found.bytes[n] for n in memory.ALIVE["reshard"]),
    )
    kept = found.bytes["reference"] + found.bytes["parameters"]
    kept += found.bytes["sampler copy"]
    taken = dataclasses.replace(copied, memory=Memory(kept + 5, 0, 0, 0, 0))
    self.assertEqual(found.peak(taken, 0), found.bytes["moments"] + kept + 5)

  def test_the_reference_of_adapters_is_not_sent_to_the_host(self):
    for rank, is_advised in ((None, True), (2, False)):
      changes = advice._changes(settings(train={"lora_rank": rank}), "update")
      texts = [text for text, _ in changes]
      self.assertEqual("--config.train.reference=host" in texts, is_advised)


class JobTest(parameterized.TestCase):

  @parameterized.parameters(
      (dict(rollout={"problems_per_batch": 2}), "2 rows .*problems_per_batch"),
      (dict(train={"num_microbatches": 8}), "2 rows .*num_microbatches 8"),
      (dict(mesh={"tensor": 4, "fsdp": 2}), "kv_heads 2"),
      (dict(mesh={"sampler_tensor": 4}), "kv_heads 2"),
      (dict(mesh={"fsdp": 3}), "does not fit 8 devices"),
  )
  def test_what_does_not_go_together(self, changes, message):
    if "mesh" in changes:
      base = dataclasses.asdict(settings().mesh)
      changes = {"mesh": base | changes["mesh"]}
    with self.assertRaisesRegex(ValueError, message):
      job(**changes)

  def test_no_mesh(self):
    without = dataclasses.replace(settings(), mesh=None)
    with self.assertRaisesRegex(ValueError, "config.mesh"):
      programs.make_job(without, MODEL, jax.devices())

  def test_slices_of_config_and_topology(self):
    where = topologies.parse("2*v5e:2x2")
    with self.assertRaisesRegex(ValueError, "slice is 1, .* has 2"):
      outcome.make_job(settings(), MODEL, where)

  def test_rows_and_columns(self):
    found = job()
    self.assertEqual(found.conversations.max_tokens, 8 + 4 + 97 + 4)
    self.assertEqual(found.conversations.row_tokens, 128)
    self.assertEqual(found.rows_per_microbatch, 8)

  def test_columns_are_of_the_limits_of_all_attempts(self):
    found = job(rollout={"max_new_tokens": (4, 60)})
    self.assertEqual(found.conversations.max_tokens, 8 + 4 + 97 + 60)
    self.assertEqual(found.conversations.row_tokens, 256)
    cache = programs.residents(found).bytes["cache"]
    self.assertEqual(cache, 2 * programs.residents(job()).bytes["cache"])


class ArchitecturesTest(parameterized.TestCase):

  @parameterized.parameters(*(PUBLISHED.keys() & architectures.KNOWN))
  def test_known_are_those_that_are_published(self, name):
    expected = hf_config.from_hf(PUBLISHED[name].config, name)
    self.assertEqual(architectures.load(name), expected)
    self.assertEqual(architectures.load(f"{name}-it"), expected)

  @parameterized.parameters(
      ("gemma_math", "2b"),
      ("gemma_math", "9b"),
      ("gemma_math", "27b"),
      ("llama_math", "3b"),
      ("llama_math", "8b"),
      ("qwen_math", "1.5b"),
      ("qwen_math", "7b"),
  )
  @pytest.mark.slow
  def test_models_of_the_configs_are_known(self, name, size):
    module = importlib.import_module(f"configs.{name}")
    path = module.get_config(size).model.path
    shapes = hf.parameter_shapes(architectures.load(path))
    count = sum(leaf.size for leaf in jax.tree.leaves(shapes)) / 1e9
    self.assertAlmostEqual(count, float(size[:-1]), delta=0.65)

  def test_the_one_that_is_not_published_here(self):
    shapes = hf.parameter_shapes(architectures.load("Qwen/Qwen2.5-1.5B"))
    count = sum(leaf.size for leaf in jax.tree.leaves(shapes))
    self.assertEqual(count, 1_543_714_304)

  def test_a_directory_or_its_file(self):
    directory = self.create_tempdir().full_path
    file = os.path.join(directory, "config.json")
    with open(file, "w", encoding="utf-8") as f:
      json.dump(hf_config.to_hf(MODEL), f)
    self.assertEqual(architectures.load(directory), MODEL)
    self.assertEqual(architectures.load(file), MODEL)

  def test_what_cannot_be_had(self):
    with self.assertRaisesRegex(ValueError, "no/model.* --architecture"):
      architectures.load("no/model")


class WireTest(parameterized.TestCase):
  """Eight v5e chips: 197e12 operations, 200e9 bytes sent in a second."""

  def _plan(self, name, *, seconds, sent):
    sends = Collective(
        kind="collective-permute",
        name="permute",
        op_name="",
        result_bytes=sent,
        group_size=8,
        loop_depth=1,
        trips=1,
        unknown_loops=int(name == "decode"),
    )
    program = Program(
        name,
        MatmulFlops(total=int(seconds * 8 * 197e12)),
        0.0,
        memory=Memory(0, 0, 0, 0, 0),
        collectives=None if sent is None else (sends,),
    )
    planned = job()
    where = topologies.parse("v5e:2x4")
    found = programs.residents(planned)
    return outcome.Plan(planned, where, found, (program,)), program

  @parameterized.parameters(
      # Work, bytes: wire, its share, efficiency.
      (1.0, 50 * 10**9, 0.25, 0.2, (0.8, 1.0)),
      (1.0, 400 * 10**9, 2.0, 2 / 3, (1 / 3, 0.5)),
      (1.0, 0, 0.0, 0.0, (1.0, 1.0)),
      (0.0, 50 * 10**9, 0.25, 1.0, (0.0, 0.0)),
  )
  def test_by_hand(self, seconds, sent, wire, share, efficiency):
    plan, update = self._plan("update", seconds=seconds, sent=sent)
    self.assertAlmostEqual(plan.wire_seconds(update), wire)
    self.assertAlmostEqual(plan.wire_share(update), share)
    for found, expected in zip(
        plan.efficiency(update), efficiency, strict=True
    ):
      self.assertAlmostEqual(found, expected)

  def test_decoding_works_as_fast_as_it_can_read(self):
    plan, decode = self._plan("decode", seconds=0.0, sent=200 * 10**9)
    read = plan.hbm_seconds_per_token()
    self.assertGreater(read, 0.0)
    self.assertAlmostEqual(plan.wire_share(decode), 1 / (1 + read))

  @parameterized.parameters((1.0, None), (0.0, 0))
  def test_unknown_or_nothing(self, seconds, sent):
    plan, update = self._plan("update", seconds=seconds, sent=sent)
    self.assertIsNone(plan.wire_share(update))
    self.assertIsNone(plan.efficiency(update))

  def test_is_in_table_and_json(self):
    plan, _ = self._plan("update", seconds=1.0, sent=400 * 10**9)
    with summary.console.capture() as captured:
      summary.print_plan(plan)
    self.assertRegex(
        captured.get(), r"update +400\.000 +2\.0000 +1\.0000 +67% +33% to 50%"
    )
    found = summary.to_json(plan)
    self.assertEqual(found["ici_bytes_per_s"], 200e9)
    self.assertEqual(found["programs"]["update"]["wire_floor_s"], 2.0)
    self.assertAlmostEqual(
        found["programs"]["update"]["wire_share_of_floors"], 2 / 3
    )


class ShippedConfigsTest(parameterized.TestCase):
  """Each on the slice that its docstring names, before anything is compiled."""

  @parameterized.parameters(
      ("gemma_math", "2b", "v5e:4x4"),
      ("gemma_math", "9b", "v5e:8x8"),
      ("gemma_math", "27b", "v6e:8x8"),
      ("gemma_code", None, "v5e:4x4"),
      ("qwen_math", "1.5b", "v5e:4x4"),
      ("qwen_math", "7b", "v5e:8x8"),
      ("llama_math", "3b", "v5e:4x4"),
      ("llama_math", "8b", "v5e:8x8"),
  )
  @pytest.mark.slow
  def test_goes_with_its_slice(self, name, size, topology):
    if not topologies.is_available():
      self.skipTest("libtpu is not installed")
    module = importlib.import_module(f"configs.{name}")
    config = module.get_config(*(() if size is None else (size,)))
    shipped = settings_lib.from_mapping(
        settings_lib.RunSettings, json.loads(config.to_json())
    )
    where = topologies.parse(topology)
    model = architectures.load(shipped.model.path)
    found = programs.residents(outcome.make_job(shipped, model, where))
    largest = max(found.total(program) for program in memory.ALIVE)
    self.assertLess(largest, 0.75 * where.chip.hbm_bytes)


class RefusalTest(parameterized.TestCase):

  @parameterized.parameters(
      (
          "RESOURCE_EXHAUSTED: E1000: CompileTimeHbmOom: Ran out of memory on"
          " HBM, the total memory required (22.46G) exceeds available HBM"
          " (15.75G). HLO module: x.\nSee https://example.org",
          "the compiler needs 22.46G of 15.75G HBM for it alone",
      ),
      (
          "RESOURCE_EXHAUSTED: vmem\n  is full",
          "RESOURCE_EXHAUSTED: vmem is full",
      ),
      ("INTERNAL: a bug", None),
  )
  def test_message_in_one_line(self, message, expected):
    self.assertEqual(compiled.out_of_memory(message), expected)


class VerdictTest(parameterized.TestCase):

  def _plan(self):
    if not topologies.is_available():
      self.skipTest("libtpu is not installed")
    where = topologies.parse("v5e:2x4")
    model = architectures.load("google/gemma-2-9b")
    changed = settings(
        rollout={"problems_per_step": 32, "problems_per_batch": 32},
        evaluation={"batch_size": 32},
        mesh=dataclasses.asdict(settings().mesh) | {"fsdp": -1},
    )
    return outcome.make_plan(changed, model, where)

  @pytest.mark.slow
  def test_residents_that_are_too_large_are_refused_by_arithmetic(self):
    plan = self._plan()
    self.assertFalse(plan.fits)
    self.assertEmpty(plan.programs)
    verdict = "\n".join(summary.verdict_lines(plan))
    # 9.24 billion parameters: 4 + 8 + 2 bytes over 8 chips.
    self.assertRegex(verdict, r"FIT: prefill needs 2\d\.\d\d GiB of 15")
    self.assertIn("parameters 4.31, moments 8.61, reference 2.15", verdict)
    self.assertIn("--config.train.reference=host: 2.15 GiB less", verdict)
    self.assertIn("--config.train.moment_dtype=bfloat16: 2.15 GiB", verdict)
    self.assertIn("--config.mesh.sampler_tensor=4: 4.30 GiB less", verdict)
    self.assertIn("--topology=v5e:4x8", verdict)
    found = json.loads(json.dumps(summary.to_json(plan)))
    self.assertFalse(found["fits"])
    self.assertEqual(found["programs"], {})

  @pytest.mark.slow
  def test_most_saving_advice_comes_first(self):
    lines = advice.advice(self._plan())
    self.assertStartsWith(lines[0], "--config.mesh.sampler_tensor=4")


@pytest.mark.slow
class TpuPlanTest(parameterized.TestCase):
  """A small model, through the compiler for TPUs."""

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    if topologies.is_available():
      cls.plan = outcome.make_plan(
          settings(attention="splash"),
          MODEL,
          topologies.parse("v5e:2x4"),
      )
      cls.programs = {p.name: p for p in cls.plan.programs}

  def setUp(self):
    super().setUp()
    if not topologies.is_available():
      self.skipTest("libtpu is not installed")

  def test_fits(self):
    self.assertTrue(self.plan.fits)
    self.assertLess(max(self.plan.peaks.values()), 2**30)
    (line,) = summary.verdict_lines(self.plan)
    self.assertStartsWith(line, "FITS: at most 0.")
    self.assertEmpty(advice.advice(self.plan))

  def test_cache_and_state_are_donated(self):
    sizes = self.plan.residents.bytes
    for name, donated in (
        ("decode", sizes["cache"]),
        ("turn", sizes["cache"]),
        ("update", sizes["parameters"] + sizes["moments"]),
    ):
      aliased = self.programs[name].memory.aliased
      self.assertBetween(aliased, donated, 1.05 * donated, name)

  def test_no_weights_move_while_decoding(self):
    moved = [c for c in self.programs["decode"].collectives if c.unknown_loops]
    self.assertNotEmpty(moved)
    # The hidden states of the 2 rows of a chip, and no matrix.
    self.assertLessEqual(max(c.result_bytes for c in moved), 4 * 2 * 256)

  def test_products_of_decoding_and_of_scores(self):
    # Two attention products over 128 columns, for each row, head and layer.
    attention = 2 * 2 * 128 * 128 * 4 * 2
    matrices = 2 * (TABLE + 2 * MATRICES)
    decode, reference = (
        self.programs[name].flops for name in ("decode", "reference")
    )
    self.assertEqual(decode.per_iteration, 8 * (matrices + attention))
    self.assertEqual(decode.total, 0)
    # 16 rows of 128 tokens; kernels are not counted, they are named.
    self.assertBetween(
        reference.total, 16 * 127 * matrices, 16 * 128 * matrices
    )
    self.assertNotEmpty(reference.uncounted)
    self.assertEmpty(decode.uncounted)

  def test_json_has_all_programs(self):
    found = json.loads(json.dumps(summary.to_json(self.plan), allow_nan=False))
    self.assertEqual(
        list(found["programs"]),
        [name for name in memory.ALIVE if name not in OF_CORRECTIONS],
    )
    self.assertEqual(found["rows"], 16)
    self.assertEqual(found["programs"]["decode"]["runs_per_step"], 2 * 2 * 4)
    self.assertEqual(found["chips"], 8)
    for name, program in found["programs"].items():
      self.assertGreater(program["floor_s_per_step"], -1e-12, name)

  def test_table_is_printed(self):
    with summary.console.capture() as captured:
      summary.print_plan(self.plan)
    text = captured.get()
    for part in ("sampler copy", "temporaries", "FITS", "lower bounds"):
      self.assertIn(part, text)

  def test_the_compiler_refuses(self):
    model = dataclasses.replace(MODEL, num_layers=4, d_ff=2**16, d_model=2**11)
    plan = outcome.make_plan(
        settings(rollout={"max_prompt_tokens": 700_000}),
        dataclasses.replace(model, max_positions=2**20),
        topologies.parse("v5e:2x4"),
    )
    self.assertFalse(plan.fits)
    self.assertNotEmpty(plan.programs)
    self.assertNotEmpty(plan.programs[-1].refusal)
    self.assertRegex(
        summary.verdict_lines(plan)[0],
        r"FIT: \w+: the compiler needs .* HBM",
    )


class CorrectionsTest(parameterized.TestCase):
  """Two corrections of each of two first attempts, of four problems at once."""

  ROLLOUT = {"samples_per_problem": 4, "corrections_per_attempt": 2}

  def _plan(self, **rollout):
    planned = job(rollout=self.ROLLOUT | rollout)
    where = topologies.parse("v5e:2x4")
    return outcome.Plan(planned, where, programs.residents(planned))

  def test_runs_per_step(self):
    expected = {
        "reshard": 1,
        "prefill": 2,
        "decode_first": 2 * 4,
        "decode": 2 * 4,
        "turn": 2,
        "repeat": 2,
        "reference": 1,
        "update": 1,
    }
    self.assertEqual(self._plan().runs_per_step, expected)
    self.assertEqual(
        self._plan(corrections_per_attempt=1).runs_per_step,
        expected | {"decode_first": 0, "decode": 2 * 2 * 4, "repeat": 0},
    )

  @parameterized.parameters(
      (2, (4, 9), 4, 9, 1, 1),
      (1, (4, 9), 4, 9, 1, 0),
      (1, (9, 9), 0, 9 + 9, 1, 0),
      (1, (4, 9, 7), 4, 9 + 7, 2, 0),
      (1, (4, 4, 9), 0, 4 + 4 + 9, 2, 0),
  )
  def test_runs_per_step_of_limits(
      self, corrections, limits, first, rest, turns, repeats
  ):
    plan = self._plan(
        corrections_per_attempt=corrections,
        num_attempts=len(limits),
        max_new_tokens=limits,
    )
    runs = plan.runs_per_step
    self.assertEqual(runs["decode_first"], 2 * first)
    self.assertEqual(runs["decode"], 2 * rest)
    self.assertEqual((runs["turn"], runs["repeat"]), (2 * turns, 2 * repeats))
    sizes = plan.residents.bytes
    self.assertAlmostEqual(
        plan.hbm_seconds_per_token("decode_first") * 819e9,
        sizes["sampler copy"] + sizes["cache"] / corrections,
        delta=1,
    )

  @pytest.mark.slow
  def test_programs_of_one_name_are_counted_once(self):
    """Later attempts of other limits; one that is refused is never lost."""
    if not topologies.is_available():
      self.skipTest("libtpu is not installed")
    told = [
        Program(name, MatmulFlops(total=i), 0.0, refusal=refusal)
        for i, (name, refusal) in enumerate(
            [("prefill", ""), ("decode", ""), ("decode", ""), ("decode", "big")]
        )
    ]
    with mock.patch.object(
        programs, "compile_programs", lambda _, keep: list(map(keep, told))
    ):
      plan = outcome.make_plan(
          settings(), MODEL, topologies.parse("v5e:2x4"), lambda _: None
      )
    self.assertEqual(plan.programs, (told[0], told[1], told[3]))
    self.assertEqual(plan.too_large, "decode")

  def test_first_attempts_read_the_weights_and_half_of_the_cache(self):
    plan = self._plan()
    sizes, bandwidth = plan.residents.bytes, 819e9
    # Of 16 rows, as of the conversations that do not share first attempts.
    self.assertEqual(
        sizes["cache"],
        self._plan(corrections_per_attempt=1).residents.bytes["cache"],
    )
    self.assertEqual(sizes["cache"], 2 * 2 * (16 // 4) * 1 * 128 * 128 * 2)
    self.assertAlmostEqual(
        plan.hbm_seconds_per_token("decode_first") * bandwidth,
        sizes["sampler copy"] + sizes["cache"] / 2,
        delta=1,
    )
    self.assertAlmostEqual(
        plan.hbm_seconds_per_token() * bandwidth,
        sizes["sampler copy"] + sizes["cache"],
        delta=1,
    )

  @pytest.mark.slow
  def test_programs_of_sampling_on_these_devices(self):
    found = []
    programs.sampling_programs(job(rollout=self.ROLLOUT), found.append)
    self.assertEqual(
        [program.name for program in found],
        ["reshard", "prefill", "decode_first", "turn", "repeat", "decode"],
    )
    self._check_rows({program.name: program for program in found})

  def _check_rows(self, found):
    for name, rows in (("decode_first", 8), ("decode", 16)):
      state, attempt = found[name].outputs
      self.assertEqual(attempt.tokens.shape, (rows, 4), name)
      self.assertEqual(state.pending.shape, (rows,), name)
    state, attempt = found["repeat"].outputs
    self.assertEqual(attempt.tokens.shape, (16, 4))
    self.assertEqual(state.pending.shape, (16,))
    self.assertEqual(found["turn"].outputs.pending.shape, (8,))
    # Two attention products over 128 columns, for each row, head and layer.
    attention = 2 * 2 * 128 * 128 * 4 * 2
    matrices = 2 * (TABLE + 2 * MATRICES)
    for name, rows in (("decode_first", 8), ("decode", 16)):
      flops = found[name].flops
      self.assertEqual(flops.per_iteration, rows * (matrices + attention))
      self.assertEqual(flops.total, 0)
    self.assertEqual(found["repeat"].flops.total, 0)

  @pytest.mark.slow
  def test_plan_on_a_slice(self):
    if not topologies.is_available():
      self.skipTest("libtpu is not installed")
    plan = outcome.make_plan(
        settings(rollout=self.ROLLOUT), MODEL, topologies.parse("v5e:2x4")
    )
    self.assertTrue(plan.fits)
    found = {program.name: program for program in plan.programs}
    self.assertCountEqual(found, memory.ALIVE)
    self._check_rows(found)
    # First attempts have the half of the cache, and keep it where it is.
    half = plan.residents.bytes["cache"] / 2
    aliased = found["decode_first"].memory.aliased
    self.assertBetween(aliased, half, 1.05 * half)
    first = found["decode_first"]
    self.assertAlmostEqual(
        plan.floor_seconds(first), 2 * 4 * plan.work_seconds(first)
    )
    with summary.console.capture() as captured:
      summary.print_plan(plan)
    for name in OF_CORRECTIONS:
      self.assertIn(name, captured.get())
    shown = summary.to_json(plan)["programs"]
    self.assertEqual(shown["decode_first"]["runs_per_step"], 2 * 4)
    self.assertEqual(shown["repeat"]["runs_per_step"], 2)


class CommandTest(parameterized.TestCase):

  def _run(self, *args, **environment):
    environment |= {
        k: v for k, v in os.environ.items() if not k.startswith(("XLA", "JAX"))
    }
    return subprocess.run(
        [sys.executable, "-m", "experiments.plan", *args],
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )

  @pytest.mark.slow
  def test_unknown_topology(self):
    done = self._run("--config=configs/gemma_math.py", "--topology=v5e-16")
    self.assertEqual(done.returncode, 1)
    self.assertIn("write v5e:4x4", done.stderr)

  @pytest.mark.slow
  def test_plan_that_does_not_fit(self):
    if not topologies.is_available():
      self.skipTest("libtpu is not installed")
    file = self.create_tempfile().full_path
    cache = self.create_tempdir().full_path
    done = self._run(
        "--config=configs/gemma_math.py",
        "--config.model.path=google/gemma-2-27b",
        "--topology=v5e:4x4",
        f"--json={file}",
        JAX_COMPILATION_CACHE_DIR=cache,
        JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS="0",
        JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES="-1",
    )
    self.assertEqual(done.returncode, 1, done.stderr)
    self.assertIn("DOES NOT FIT", done.stdout)
    self.assertNotIn("Traceback", done.stderr)
    with open(file, encoding="utf-8") as f:
      self.assertFalse(json.load(f)["fits"])
    # Programs for chips that are not here could not be read back.
    self.assertEmpty([n for n in os.listdir(cache) if n.endswith("-cache")])


if __name__ == "__main__":
  absltest.main()
