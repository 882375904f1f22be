"""The process of one solution: runs it, then answers the judge's calls.

A fork server starts the solvers. It is forked when its worker starts and only
receives one byte for every verdict, so the memory that a solver inherits holds
no test and no other solution. The solution itself comes from the judge, over
the only socket that the solver has.
"""

from collections.abc import Callable
import os
import signal
import socket
import sys
import types
from typing import Any

from score_jax.grading.sandbox import codec
from score_jax.grading.sandbox import confine
from score_jax.grading.sandbox import exceptions
from score_jax.grading.sandbox import frames
from score_jax.grading.sandbox import lending
from score_jax.grading.sandbox.tiers import Tier

START = b"s"
END = b"e"

# Made beforehand: once memory is used up, there is none left to make it.
_OUT_OF_MEMORY = frames.pack({"raised": ["MemoryError"], "args": []})


def serve_forks(
    control: socket.socket, tier: Tier, limits: confine.Limits
) -> None:
  """Starts a solver for every START and kills it at END, until the socket ends.

  Args:
    control: socket to the worker. START comes with the solver's end of a socket
      to the judge and is answered with the solver's process id; END is answered
      when the solver is gone.
    tier: the wall of this worker.
    limits: what one solver may use.
  """
  server = os.getpid()
  while True:
    message, fds, _, _ = socket.recv_fds(control, 1, 1)
    if message != START:
      return
    pid = os.fork()
    if pid == 0:
      _run(fds[0], tier, limits, server)
    os.close(fds[0])
    frames.send(control.fileno(), pid)
    if control.recv(1) != END:
      return
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    control.send(END)


def _run(fd: int, tier: Tier, limits: confine.Limits, server: int) -> None:
  """The whole life of a solver; never returns."""
  try:
    confine.confine(tier, limits, {fd}, parent=server)
    frames.send(fd, {"ready": True})
    request = frames.receive(fd)
    function = _load(fd, request["solution"], request["entry_point"])
    objects = [function]
    while function is not None:
      _answer(fd, objects, frames.receive(fd))
  finally:
    # Neither atexit nor the worker's code below on the stack may run.
    os._exit(0)


def _load(fd: int, solution: str, entry_point: str) -> Any:
  """Runs the solution and tells the judge; its function, or None."""
  module = types.ModuleType("solution")
  sys.modules["solution"] = module  # dataclasses look their module up
  try:
    code = compile(solution, "<solution>", "exec", dont_inherit=True)
  except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
    frames.send(fd, {"raised": [type(error).__name__], "is_source": True})
    return None
  reply = _OUT_OF_MEMORY
  function = None
  try:
    exec(code, module.__dict__)
    function = module.__dict__[entry_point]
    reply = frames.pack({"loaded": callable(function)})
  except MemoryError:
    pass
  # Whatever a solution raises, SystemExit included, is its own failure.
  except BaseException as error:
    reply = exceptions.describe(error)
  frames.write_all(fd, reply)
  return function


def _answer(fd: int, objects: list[Any], call: Any) -> None:
  """Runs one call and sends what came of it.

  Args:
    fd: the socket to the judge.
    objects: what may be called: the function, and what was returned that is no
      plain data, which grows by it.
    call: number of an object, its arguments, and the places of functions.
  """
  reply = _OUT_OF_MEMORY
  try:
    args, kwargs = lending.put_back(
        *codec.decode(call["call"]),
        call["places"],
        lambda number: _stand_in(fd, objects, number),
    )
    result = objects[call["of"]](*args, **kwargs)
    try:
      reply = {"returned": codec.encode(result)}
    except codec.NotPlainError:
      reply = {"object": len(objects), "is_true": bool(result)}
      objects.append(result)
    reply = frames.pack(reply)
  except MemoryError:
    pass
  except BaseException as error:
    reply = exceptions.describe(error)
  frames.write_all(fd, reply)


def _stand_in(fd: int, objects: list[Any], number: int) -> Callable:
  """What has the judge call the function of the tests with this number."""

  def function(*args: Any, **kwargs: Any) -> Any:
    call = codec.encode((args, kwargs))
    frames.send(fd, {"lent": number, "call": call})
    # It may call the solution in turn.
    while "of" in (reply := frames.receive(fd)):
      _answer(fd, objects, reply)
    if "returned" in reply:
      return codec.decode(reply["returned"])
    raise exceptions.rebuild(reply["raised"], codec.decode(reply["args"]))

  return function
