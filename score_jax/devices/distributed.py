"""Several processes, one per host, that train one policy.

Every process runs the same program and knows the whole step. On its own it
samples on its devices and grades its share of the attempts. What depends on
files or clocks is decided by process 0, and `agree` tells the others. With one
process all functions here return what they are given.
"""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import functools
import json
import os
import secrets
import socket
import subprocess
import sys
import threading
from typing import Any

import jax
from jax._src import distributed as jax_distributed
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec
from jax.sharding import Sharding
import numpy as np

from score_jax.devices import host_watch

LOST_AFTER_S = 60.0
# Gathered bytes are filled up to a power of two, and at least to this: each
# length is a program of its own.
_MIN_BYTES = 1024


@contextlib.contextmanager
def started(
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    *,
    is_automatic: bool = False,
    lost_after_s: float = LOST_AFTER_S,
) -> Iterator[None]:
  """Joins the other processes of a run, for the length of the block.

  Must be entered before JAX is asked for its devices. While it lasts, a process
  that dies, stops with an error or is silent for `lost_after_s` makes all the
  others print a line that names it and end with a status other than 0.

  Args:
    coordinator: HOST:PORT at which process 0 can be reached; its port is free.
    num_processes: number of processes of the run.
    process_id: number of this process, from 0.
    is_automatic: JAX finds out all three (TPU pods, Slurm, Open MPI).
    lost_after_s: silence after which a process counts as lost, in seconds.

  Raises:
    ValueError: some of the arguments without the others, or a wrong one.
  """
  given = (coordinator, num_processes, process_id)
  _check(given, is_automatic)
  if not is_automatic and num_processes in (None, 1):
    yield
    return
  _initialize(given, is_automatic)
  with _watched(lost_after_s):
    yield
    # A process that ends early would be taken for a lost one.
    barrier("end")


def _initialize(given: tuple[Any, Any, Any], is_automatic: bool) -> None:
  try:
    jax.distributed.initialize(*given)
  except ValueError as error:
    if not is_automatic:
      raise
    raise ValueError(
        "--distributed finds no other processes: this is no TPU pod, and no job"
        f" of Slurm or Open MPI ({error}) Leave it out for one process, or give"
        " --coordinator, --num_processes and --process_id"
    ) from error


def _check(given: tuple[Any, Any, Any], is_automatic: bool) -> None:
  coordinator, num_processes, process_id = given
  names = "--coordinator, --num_processes and --process_id"
  if is_automatic:
    if given != (None, None, None):
      raise ValueError(
          f"--distributed finds out {names} by itself: give it or them"
      )
    return
  if given == (None, None, None):
    return
  if None in given:
    raise ValueError(
        f"{names} belong together, found {coordinator!r}, {num_processes!r} and"
        f" {process_id!r}: give all three, or on a TPU pod --distributed alone"
    )
  host, colon, port = coordinator.rpartition(":")
  if not (host and colon and port.isdigit()):
    raise ValueError(f"--coordinator is {coordinator!r}, expected HOST:PORT")
  if not 0 <= process_id < num_processes:
    raise ValueError(
        f"--process_id is {process_id}, expected a number from 0 to"
        f" {num_processes - 1}, one less than --num_processes"
    )


def is_main() -> bool:
  """Whether this is process 0, the only one that writes."""
  return jax.process_index() == 0


def barrier(name: str) -> None:
  """Waits until all processes are here; errors name the barrier."""
  if jax.process_count() > 1:
    multihost_utils.sync_global_devices(name)


def gather_bytes(payload: bytes) -> list[bytes]:
  """Exchanges bytes: all processes get the payloads of all, in their order."""
  if jax.process_count() == 1:
    return [payload]
  sizes = multihost_utils.process_allgather(np.int32(len(payload)))
  padded = np.zeros(max(_MIN_BYTES, _power_of_two(sizes.max())), np.uint8)
  padded[: len(payload)] = np.frombuffer(payload, np.uint8)
  rows = multihost_utils.process_allgather(padded)
  return [row[:n].tobytes() for row, n in zip(rows, sizes, strict=True)]


def _power_of_two(n: int) -> int:
  """The smallest that is not less than n."""
  return 1 << (int(n) - 1).bit_length()


def gather_json(value: Any) -> list[Any]:
  """Exchanges JSON values: all processes get those of all, in their order."""
  if jax.process_count() == 1:
    return [value]
  return [json.loads(b) for b in gather_bytes(json.dumps(value).encode())]


def agree(value: Any) -> Any:
  """The JSON value that process 0 gave, on all processes."""
  return gather_json(value if is_main() else None)[0]


def on_main(action: Callable[[], None]) -> None:
  """Runs `action` on process 0 while the others wait.

  Raises:
    ValueError: `action` raised it on process 0; it is raised on all.
  """
  error = None
  if is_main():
    try:
      action()
    except ValueError as caught:
      error = caught
  message = agree(error and str(error))
  if message is not None:
    raise error or ValueError(message)


def share(
    n: int, index: int | None = None, num_processes: int | None = None
) -> slice:
  """Which of n items a process works on; together, in order, they are all.

  Args:
    n: number of items, not necessarily a multiple of that of processes.
    index: number of the process; this one by default.
    num_processes: number of processes; those of the run by default.
  """
  index = jax.process_index() if index is None else index
  count = jax.process_count() if num_processes is None else num_processes
  return slice(n * index // count, n * (index + 1) // count)


def place(array: Any, sharding: Sharding | None) -> jax.Array:
  """Divides an array that every process holds whole over their devices.

  Args:
    array: the same on all processes.
    sharding: where its parts go; None for the default device.
  """
  if sharding is None:
    return jax.numpy.asarray(array)
  array = np.asarray(array)
  return jax.make_array_from_callback(
      array.shape, sharding, lambda index: array[index]
  )


def to_host(tree: Any) -> Any:
  """The arrays of a tree as whole numpy arrays; all processes call it."""
  leaves, structure = jax.tree.flatten(tree)
  remote = [i for i, leaf in enumerate(leaves) if not _is_here(leaf)]
  if remote:
    whole = _replicate(leaves[remote[0]].sharding.mesh)(
        [leaves[i] for i in remote]
    )
    for i, leaf in zip(remote, whole, strict=True):
      leaves[i] = leaf.addressable_data(0)
  return jax.tree.unflatten(structure, jax.device_get(leaves))


def host_parts(array: jax.Array) -> Iterator[np.ndarray]:
  """The elements of an array in order, in parts that a device can hold.

  A stack of layers that lies on several hosts comes layer by layer; called by
  all processes.
  """
  if _is_here(array) or array.ndim < 3:
    yield to_host(array)
  else:
    for i in range(array.shape[0]):
      yield to_host(array[i])


def _is_here(leaf: Any) -> bool:
  return (
      not isinstance(leaf, jax.Array)
      or leaf.is_fully_addressable
      or leaf.is_fully_replicated
  )


@functools.cache
def _replicate(mesh: jax.sharding.Mesh) -> Any:
  everywhere = NamedSharding(mesh, PartitionSpec())
  return jax.jit(lambda arrays: arrays, out_shardings=everywhere)


@contextlib.contextmanager
def _watched(lost_after_s: float) -> Iterator[None]:
  """Has a watcher beside this process, see host_watch.py."""
  index = jax.process_index()
  names = gather_json(f"{socket.gethostname()}, process id {os.getpid()}")
  arguments = {
      "index": index,
      "names": names,
      "pid": os.getpid(),
      "token": agree(secrets.token_hex()),
      "timeout_s": lost_after_s,
  }
  if index == 0:
    watcher, port = _start_watcher(arguments | {"address": None})
    agree(port)
  else:
    host = jax_distributed.global_state.coordinator_address.rpartition(":")[0]
    watcher, _ = _start_watcher(
        arguments | {"address": (host.strip("[]"), agree(None))}
    )
  is_over = threading.Event()
  beats = threading.Thread(
      target=_beat, args=(watcher, is_over), name="beats", daemon=True
  )
  beats.start()
  try:
    yield
  except BaseException:
    is_over.set()
    beats.join()
    _tell(watcher, "failed")
    raise
  is_over.set()
  beats.join()
  _tell(watcher, "done")
  watcher.wait()


def _start_watcher(arguments: dict[str, Any]) -> tuple[Any, int | None]:
  """A watcher's process, and its port if it is that of process 0."""
  process = subprocess.Popen(
      [sys.executable, "-m", host_watch.__name__],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      bufsize=0,
      # Keeps the terminal's signals away.
      start_new_session=True,
  )
  process.stdin.write(f"{json.dumps(arguments)}\n".encode())
  port = None
  if arguments["address"] is None:
    line = process.stdout.readline()
    if not line:
      raise RuntimeError("the watcher of this process has not started")
    port = int(line)
  process.stdout.close()
  return process, port


def _beat(watcher: subprocess.Popen, is_over: threading.Event) -> None:
  """Tells the watcher every second that this process is alive."""
  while not is_over.wait(host_watch.BEAT_S):
    _tell(watcher, "beat")


def _tell(watcher: subprocess.Popen, line: str) -> None:
  # A watcher that has ended is found out by the others.
  with contextlib.suppress(BrokenPipeError):
    watcher.stdin.write(f"{line}\n".encode())
