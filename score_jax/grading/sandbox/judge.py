"""The process that runs the tests of one problem and decides the verdict.

In the tests, the solution's function is replaced by one that sends its
arguments to the solver's process. The judge trusts the tests, and nothing that
comes from the solver.
"""

from collections.abc import Callable
from collections.abc import Sequence
import os
from typing import Any
from typing import NoReturn

from score_jax.grading.sandbox import codec
from score_jax.grading.sandbox import confine
from score_jax.grading.sandbox import exceptions
from score_jax.grading.sandbox import frames
from score_jax.grading.sandbox import lending
from score_jax.grading.sandbox.tiers import Tier

# Written once both processes are behind their wall. A failure before is not the
# solution's, and the time before does not count as the solution's.
READY = b"R"
UNJUDGEABLE = "unjudgeable: "
UNCALLED = "uncalled"

# What the messages of a solution that lies may lead to.
_MALFORMED = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
)


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
    self._lent: list[Callable] = []
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
    """Calls the solution's function with copies of plain arguments.

    Functions among them stay here, for the solution to call.
    """
    self.is_called = True
    args, kwargs, places = lending.take_out(args, kwargs, self._lent)
    return self.call(0, args, kwargs, places)

  def call(
      self, index: int, args: Any, kwargs: Any, places: Sequence[Any] = ()
  ) -> Any:
    """Calls the function, which is object 0, or an object that it returned."""
    try:
      call = {"call": codec.encode((args, kwargs)), "places": places}
      reply = self._ask({"of": index, **call})
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
      args = codec.decode(reply["args"])
      raised = exceptions.rebuild(reply["raised"], args)
    except _MALFORMED:
      self._end("crash")
    self.is_out_of_memory |= isinstance(raised, MemoryError)
    raise raised

  def _ask(self, message: Any) -> dict[str, Any]:
    reply = self._send(frames.pack(message))
    while "lent" in reply:
      reply = self._send(self._lend(reply))
    return reply

  def _lend(self, call: dict[str, Any]) -> bytes:
    """Calls a function of the tests for the solution."""
    try:
      function = self._lent[call["lent"]]
      args, kwargs = codec.decode(call["call"])
    except _MALFORMED:
      self._end("crash")
    try:
      return frames.pack({"returned": codec.encode(function(*args, **kwargs))})
    except AssertionError:  # the tests say no, and no solution may catch it
      self._end("fail")
    except Exception as error:
      return exceptions.describe(error)

  def _send(self, data: bytes) -> dict[str, Any]:
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
      "__name__": lending.TESTS_MODULE,
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
