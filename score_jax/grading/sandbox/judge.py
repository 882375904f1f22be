"""The process that runs the tests of one problem and decides the verdict.

In the tests, the solution's function is replaced by one that sends its
arguments to the solver's process. The judge trusts the tests, and nothing that
comes from the solver.
"""

import builtins
import os
from typing import Any
from typing import NoReturn

from score_jax.grading.sandbox import codec
from score_jax.grading.sandbox import confine
from score_jax.grading.sandbox import frames
from score_jax.grading.sandbox.tiers import Tier

# Written once both processes are behind their wall. A failure before is not the
# solution's, and the time before does not count as the solution's.
READY = b"R"
UNJUDGEABLE = "unjudgeable: "
UNCALLED = "uncalled"

# A solution must not raise exceptions in the tests that end a loop or a program
# quietly. They become RuntimeErrors. An AssertionError is no way out: tests
# that catch it let wrong answers pass as well.
_KEPT = (StopIteration, StopAsyncIteration, BaseExceptionGroup)
_PASSED_ON = {
    name: kind
    for name, kind in vars(builtins).items()
    if isinstance(kind, type)
    and issubclass(kind, Exception)
    and not issubclass(kind, _KEPT)
}


class _Over(BaseException):
  """Ends the tests with a status, whatever exceptions they catch."""

  def __init__(self, status: str):
    super().__init__(status)
    self.status = status


class _Solver:
  """The solver's process, seen from the judge.

  Attributes:
    verdict: the status once it is settled; later calls do not change it.
    is_out_of_memory: whether a call has failed for want of memory.
    is_called: whether the tests have called the function.
    has_objects: whether the tests have received objects of the solution.
  """

  def __init__(self, fd: int):
    self._fd = fd
    self.verdict: str | None = None
    self.is_out_of_memory = False
    self.is_called = False
    self.has_objects = False

  def load(self, solution: str, entry_point: str) -> None:
    """Has the solver run the solution; _Over when it defines no function."""
    reply = self._ask({"solution": solution, "entry_point": entry_point})
    if reply == {"loaded": True}:
      return
    is_memory = _first(reply.get("raised")) == "MemoryError"
    is_source = reply.get("is_source") is True
    self._end("memory" if is_memory and not is_source else "load_error")

  def __call__(self, *args: Any, **kwargs: Any) -> Any:
    """Calls the solution's function with copies of plain arguments."""
    self.is_called = True
    return self.call(0, args, kwargs)

  def call(self, index: int, args: Any, kwargs: Any) -> Any:
    """Calls the function, which is object 0, or an object that it returned."""
    try:
      reply = self._ask({"of": index, "call": codec.encode((args, kwargs))})
    except codec.NotPlainError as error:
      if self.has_objects:  # perhaps one of them: the solution's doing
        self._end("fail")
      # The tests' own doing: a solution's data can always cross back.
      self._end(f"{UNJUDGEABLE}they pass on a value, but {error}")
    except ValueError:  # a result of the solution that is too large to go back
      self._end("fail")
    try:
      if "returned" in reply:
        return codec.decode(reply["returned"])
      if "object" in reply:
        self.has_objects = True
        return _Object(self, int(reply["object"]), bool(reply["is_true"]))
      raised = _exception(reply["raised"], codec.decode(reply["args"]))
    except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError):
      self._end("crash")
    self.is_out_of_memory |= isinstance(raised, MemoryError)
    raise raised

  def _ask(self, message: Any) -> dict[str, Any]:
    data = frames.pack(message)
    try:
      frames.write_all(self._fd, data)
      reply = frames.receive(self._fd)
    except (EOFError, OSError, frames.FrameError):
      reply = None
    if not isinstance(reply, dict):
      self._end("crash")
    return reply

  def _end(self, status: str) -> NoReturn:
    self.verdict = status
    raise _Over(status)


class _Object:
  """What a solution returned instead of plain data.

  The tests may call it, and ask whether it is true. It is equal to nothing but
  itself: a comparison of the solution's own would say what it likes.
  """

  def __init__(self, solver: _Solver, index: int, is_true: bool):
    self._solver = solver
    self._index = index
    self._is_true = is_true

  def __bool__(self) -> bool:
    return self._is_true

  def __call__(self, *args: Any, **kwargs: Any) -> Any:
    return self._solver.call(self._index, args, kwargs)


def run(
    fd: int,
    verdict_fd: int,
    request: dict[str, str],
    tier: Tier,
    limits: confine.Limits,
    worker: int,
) -> NoReturn:
  """The whole life of a judge.

  Args:
    fd: the socket to the solver.
    verdict_fd: the pipe to the worker, which receives READY and then the
      status; neither, if the judge or its solver did not start.
    request: the texts `solution`, `tests` and `entry_point`.
    tier: the wall of this worker.
    limits: what the judge may use.
    worker: process id of the worker.
  """
  try:
    confine.confine(tier, limits, {fd, verdict_fd}, parent=worker)
    frames.receive(fd)  # the solver is ready, too; else this is the end
    frames.write_all(verdict_fd, READY)
    status = judge(fd, **request)
    frames.write_all(verdict_fd, status.encode("ascii", "replace"))
  finally:
    os._exit(0)


def judge(fd: int, solution: str, tests: str, entry_point: str) -> str:
  """The status of a solution; its solver listens on the socket `fd`."""
  try:
    code = compile(tests, "<tests>", "exec", dont_inherit=True)
  except (SyntaxError, ValueError) as error:
    return f"{UNJUDGEABLE}they do not compile: {error}"
  function = _Solver(fd)
  namespace = {
      "__name__": "tests",
      entry_point: function,
      "candidate": function,
  }
  try:
    function.load(solution, entry_point)
    exec(code, namespace)
    # Tests without a call would pass whatever loads.
    status = "pass" if function.is_called else UNCALLED
  except _Over as over:
    status = over.status
  # What the tests raise, SystemExit included, is how they say no.
  except BaseException:
    status = "memory" if function.is_out_of_memory else "fail"
  return function.verdict or status


def _first(items: Any) -> Any:
  return items[0] if isinstance(items, list) and items else None


def _exception(names: list[str], args: Any) -> Exception:
  """The exception that the tests see for one that the solution raised.

  Args:
    names: builtin classes of the solution's exception, the nearest first.
    args: its arguments.

  Returns:
    An exception of the nearest class that a solution may raise in the tests.
  """
  kinds = [_PASSED_ON[name] for name in names if name in _PASSED_ON]
  # Below Exception itself there is nothing to tell apart.
  if not kinds or kinds[0] is Exception and names[0] != "Exception":
    return RuntimeError(f"the solution raised {names[:1]}")
  try:
    return kinds[0](*args)
  except (TypeError, ValueError):  # a subclass with other arguments
    return RuntimeError(f"the solution raised {names[:1]}")
