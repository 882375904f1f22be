"""Graders as they are often written, to show that the forgeries are real.

Five protocols. All but the last run the tests in the process of the program
that they judge. None of them is a sandbox: only forgeries, which harm nothing,
are run on them.

  exit_code        the process ended with 0
  marker           it printed that all tests passed
  result_list      exec of program and tests, a list that the parent is sent
  verdict_pipe     exec of the program, then of the tests from a file; the
                   verdict is written to a pipe
  pickled_answers  the program runs in a child, its answers and exceptions come
                   back pickled; the exit code of the judge is the verdict
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
from typing import Any

from tests.helpers.attacks.attack import Attack

_BIND = "\ncandidate = {entry_point}\n"
_PRINT = "\nprint('all tests passed')\n"

_RESULT_LIST = """
import os
import sys

def grade(program, verdict):
  result = []
  try:
    exec(program, {"__name__": "__main__"})
    result.append("passed")
  except BaseException as error:
    result.append(f"failed: {error!r}")
  os.write(verdict, result[0].encode())

with open("program.py", encoding="utf-8") as file:
  text = file.read()
grade(text, int(sys.argv[1]))
"""

_VERDICT_PIPE = """
import os
import sys

scope = {"__name__": "__main__"}
try:
  exec(open("solution.py", encoding="utf-8").read(), scope)
  scope["candidate"] = scope[sys.argv[2]]
  with open("tests.py", encoding="utf-8") as file:
    source = file.read()
    exec(source, scope)
  verdict = b"passed"
except BaseException:
  verdict = b"failed"
os.write(int(sys.argv[1]), verdict)
"""

_PICKLED_ANSWERS = """
import multiprocessing
import sys

def solve(connection):
  here.close()
  scope = {}
  exec(open("solution.py", encoding="utf-8").read(), scope)
  while True:
    args = connection.recv()
    try:
      reply = "value", scope[sys.argv[2]](*args)
    except BaseException as error:
      reply = "error", error
    connection.send(reply)

context = multiprocessing.get_context("fork")
here, there = context.Pipe()
solver = context.Process(target=solve, args=(there,), daemon=True)
solver.start()
there.close()

def candidate(*args):
  here.send(args)
  kind, value = here.recv()
  if kind == "error":
    raise value
  return value

source = open("tests.py", encoding="utf-8").read()
exec(source, {"candidate": candidate})
"""

# Twice in one process: the second time finds what the first one left.
_PROBE = """
import json
import sys

scope = {"__name__": "solution"}
with open("solution.py", encoding="utf-8") as file:
  exec(file.read(), scope)
world = json.loads(sys.argv[1])
first = scope["probe"](world)
sys.stderr.write(json.dumps(first + scope["probe"](world)))
sys.stderr.flush()
"""

_ENDED_WELL = 0


def is_fooled(protocol: str, attack: Attack, timeout_s: float = 20) -> bool:
  """Whether one of the protocols counts the attack as right."""
  with tempfile.TemporaryDirectory() as folder:
    _write_programs(pathlib.Path(folder), attack)
    read_end, write_end = os.pipe()
    with open(read_end, "rb") as verdict:
      try:
        done = _run(protocol, attack, folder, write_end, timeout_s)
      finally:
        os.close(write_end)
      os.set_blocking(read_end, False)
      said = verdict.read() or b""
  if protocol == "marker":
    return b"all tests passed" in done.stdout
  if protocol in ("exit_code", "pickled_answers"):
    return done.returncode == _ENDED_WELL
  return said.startswith(b"passed")


def reached(attack: Attack, world: dict[str, Any]) -> bool | None:
  """Whether a probe reaches something where nothing is in its way.

  None where it could not be run: a signal ended it.
  """
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / "solution.py"
    path.write_text(attack.solution, encoding="utf-8")
    with path.open("rb") as some_file:
      done = subprocess.run(
          [sys.executable, "-I", "-c", _PROBE, json.dumps(world)],
          cwd=folder,
          stdin=some_file,
          stdout=subprocess.DEVNULL,
          stderr=subprocess.PIPE,
          text=True,
          timeout=60,
      )
  if done.returncode < 0:
    return None
  # One that became another program can say nothing any more.
  is_gone = done.returncode == _ENDED_WELL and not done.stderr
  return is_gone or bool(json.loads(done.stderr))


def _write_programs(folder, attack):
  bind = _BIND.format(entry_point=attack.entry_point)
  program = attack.solution + bind + attack.tests
  for name, text in (
      ("solution.py", attack.solution),
      ("tests.py", attack.tests),
      ("program.py", program),
      ("marked.py", program + _PRINT),
      ("result_list.py", _RESULT_LIST),
      ("verdict_pipe.py", _VERDICT_PIPE),
      ("pickled_answers.py", _PICKLED_ANSWERS),
  ):
    (folder / name).write_text(text, encoding="utf-8")


def _run(protocol, attack, folder, write_end, timeout_s):
  script = {"exit_code": "program", "marker": "marked"}.get(protocol, protocol)
  return subprocess.run(
      [
          sys.executable,
          "-I",
          f"{script}.py",
          str(write_end),
          attack.entry_point,
      ],
      cwd=folder,
      pass_fds=[write_end],
      stdin=subprocess.DEVNULL,
      stdout=subprocess.PIPE,
      stderr=subprocess.DEVNULL,
      timeout=timeout_s,
  )
