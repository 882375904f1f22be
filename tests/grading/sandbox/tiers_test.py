"""Tests that the sandbox finds the wall of a machine, and tries it."""

import ast
import os
import signal
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import pytest

from score_jax.grading.sandbox import CodeGrader
from score_jax.grading.sandbox import Tier
from score_jax.grading.sandbox import probe
from score_jax.grading.sandbox import seccomp
from score_jax.grading.sandbox.process import WorkerProcess
from score_jax.grading.sandbox.tiers import Settings
from tests.helpers import sandbox_cases
from tests.helpers.sandbox_cases import TIERS
from tests.helpers.sandbox_cases import make_grader

# Forbids system calls to a program that then makes a grader of every tier.
_WITHOUT_CALLS = """
from score_jax.grading import sandbox
from score_jax.grading.sandbox import confine, seccomp
from tests.helpers import sandbox_cases

if {is_nobody}:
  sandbox_cases.become_nobody()
seccomp.install(confine.LIBC, sandbox_cases.deny_list({calls}))
try:
  with sandbox.CodeGrader(num_workers=1) as grader:
    print([grader.tier.value])
except ValueError as error:
  print([str(error)])
"""


def _need_root():
  if os.getuid() != 0:
    raise absltest.SkipTest("only root can become somebody else")


class ProbeTest(parameterized.TestCase):

  def test_escapes_succeed_where_there_is_no_wall(self):
    settings = Settings(Tier.NONE.value, 5.0, 512)
    worker = WorkerProcess(settings)
    found = " ".join(probe.escapes(worker.run))
    worker.close()
    # What is written is cut off at no bytes, but the file is there.
    for name in ("read_file", "connect", "a file", "a connection"):
      self.assertIn(name, found)
    # Root's canary is another user's; limits of processes hold everywhere.
    self.assertEqual("the canary process" in found, os.getuid() != 0)
    self.assertNotIn("fork", found)

  @parameterized.parameters(*probe.ESCAPES)
  @pytest.mark.slow
  def test_one_escape_is_enough_to_refuse_a_tier(self, name):
    solution = probe._SOLUTION + f"\ndef {name}(*args): return True"
    with mock.patch.object(probe, "_SOLUTION", solution):
      with self.assertRaisesRegex(ValueError, rf"seccomp: {name} \(fail\)\n"):
        CodeGrader(num_workers=1, tier=Tier.SECCOMP)

  def test_a_worker_that_dies_when_probed_is_a_refusal_too(self):
    def die(run):
      (session,) = sandbox_cases.worker_sessions()
      os.kill(session, signal.SIGKILL)
      run("", "", "f")

    with mock.patch.object(probe, "escapes", die):
      with self.assertRaisesRegex(ValueError, "seccomp: The worker has died"):
        CodeGrader(num_workers=1, tier=Tier.SECCOMP)

  def test_a_probe_that_cannot_run_is_a_refusal_too(self):
    with mock.patch.object(probe, "_SOLUTION", "1 / 0"):
      with self.assertRaisesRegex(ValueError, "kill_process .load_error."):
        CodeGrader(num_workers=1, tier=Tier.SECCOMP)


class ChoiceTest(parameterized.TestCase):

  @parameterized.parameters(
      ((), "namespaces"),
      (("unshare",), "seccomp"),
      (("mount",), "seccomp"),
  )
  @pytest.mark.slow
  def test_takes_the_strongest_tier_that_holds(self, calls, expected):
    for is_nobody in (False, True) if os.getuid() == 0 else (False,):
      code = _WITHOUT_CALLS.format(is_nobody=is_nobody, calls=calls)
      (tier,) = ast.literal_eval(sandbox_cases.output_of(code))
      self.assertEqual(tier, expected)

  @pytest.mark.slow
  def test_refuses_with_every_reason_and_the_remedies(self):
    code = _WITHOUT_CALLS.format(is_nobody=False, calls=("unshare", "prctl"))
    (message,) = ast.literal_eval(sandbox_cases.output_of(code))
    self.assertRegex(message, r"namespaces: .*Operation not permitted")
    self.assertRegex(message, r"seccomp: .*refused: Operation not permitted")
    self.assertIn("allow_unsandboxed=True", message)

  @pytest.mark.slow
  def test_namespaces_do_not_show_outside(self):
    # As on machines with systemd: what is mounted in one shows in all.
    _need_root()
    make_grader(Tier.NAMESPACES, num_workers=1).close()  # or skip
    code = """
import pathlib
from score_jax.grading.sandbox import CodeGrader, confine, namespaces, Tier
libc = confine.LIBC
assert libc.unshare(namespaces._CLONE_NEWNS) == 0
shared = (1 << 20) | namespaces._MS_REC
assert libc.mount(b"none", b"/", None, shared, None) == 0
mounts = pathlib.Path("/proc/self/mountinfo")
before = mounts.read_text()
assert " shared:" in before
with CodeGrader(tier=Tier.NAMESPACES, num_workers=1) as grader:
  during = mounts.read_text()
  (grade,) = grader.grade(["def f(): return 1"], ["assert f() == 1"], ["f"])
print([grade.status, before == during == mounts.read_text()])
"""
    seen = ast.literal_eval(sandbox_cases.output_of(code))
    self.assertEqual(seen, ["pass", True])

  def test_given_tier_is_taken_or_refused(self):
    for tier in TIERS:
      with mock.patch.object(probe, "escapes", return_value=["hole"]):
        with self.assertRaisesRegex(ValueError, f"{tier.value}: .+"):
          CodeGrader(num_workers=1, tier=tier)

  def test_only_who_asks_goes_without_a_wall(self):
    with mock.patch.object(probe, "escapes", return_value=["hole"]):
      with self.assertRaisesRegex(ValueError, "seccomp: hole"):
        CodeGrader(num_workers=1)
      with CodeGrader(num_workers=1, allow_unsandboxed=True) as grader:
        self.assertIs(grader.tier, Tier.NONE)

  def test_machine_without_a_list_of_calls_is_refused(self):
    with self.assertRaisesRegex(OSError, "'riscv64'"):
      seccomp.allow_list("riscv64")

  @parameterized.parameters("x86_64", "aarch64")
  def test_filter_has_one_way_for_every_call(self, machine):
    _, numbers = seccomp._MACHINES[machine]
    self.assertLen(set(numbers.values()), len(numbers))
    program = seccomp.allow_list(machine)
    for number in range(600):
      is_listed = number in numbers.values()
      expected = seccomp._ALLOW if is_listed else seccomp._FAIL_WITH_EPERM
      arch = seccomp._MACHINES[machine][0]
      self.assertEqual(_run_filter(program, arch, number), expected)
      self.assertEqual(
          _run_filter(program, arch ^ 1, number), seccomp._KILL_PROCESS
      )
      # The x32 calls of x86_64.
      self.assertEqual(
          _run_filter(program, arch, number | 0x40000000),
          seccomp._FAIL_WITH_EPERM,
      )


class UnprivilegedTest(absltest.TestCase):

  @pytest.mark.slow
  def test_human_eval_is_graded_alike_by_a_user_without_rights(self):
    _need_root()
    code = """
import collections, os
from experiments import bench_graders
from score_jax.grading.sandbox import CodeGrader, Tier
from tests.helpers import sandbox_cases
right = bench_graders.human_eval()
stubs = bench_graders.human_eval("\\n    pass\\n")
sandbox_cases.become_nobody()
assert os.getresuid() == (65534, 65534, 65534)
rows = []
for tier in (Tier.NAMESPACES, Tier.SECCOMP):
  with CodeGrader(tier=tier) as grader:
    for columns in (right, stubs):
      grades = grader.grade(*columns)
      rows.append(dict(collections.Counter(g.status for g in grades)))
print(rows)
"""
    rows = ast.literal_eval(sandbox_cases.output_of(code))
    self.assertEqual(rows, [{"pass": 164}, {"fail": 164}] * 2)


def _run_filter(program, arch, number):
  """What a filter returns for a call: its program, run step by step."""
  data = {0: number, 4: arch}
  steps = list(seccomp._FILTER.iter_unpack(program))
  index = value = 0
  while True:
    operation, if_true, if_false, operand = steps[index]
    index += 1
    if operation == seccomp._LOAD_WORD:
      value = data[operand]
    elif operation == seccomp._JUMP_IF_EQUAL:
      index += if_true if value == operand else if_false
    else:
      assert operation == seccomp._RETURN, operation
      return operand


if __name__ == "__main__":
  absltest.main()
