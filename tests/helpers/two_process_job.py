"""One of several processes of a test; started by two_process_pair.py.

python -m tests.helpers.two_process_job PROGRAM HOST:PORT NUM_PROCESSES
    PROCESS_ID ARGUMENT
"""

import sys
import time

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec
import numpy as np

from score_jax.devices import distributed

LOST_AFTER_S = 4.0


def _rows():
  """float32[8] of which each device holds two, and its sharding."""
  mesh = jax.make_mesh((4,), ("d",), axis_types=(jax.sharding.AxisType.Auto,))
  sharding = NamedSharding(mesh, PartitionSpec("d"))
  return distributed.place(np.arange(8, dtype=np.float32), sharding), sharding


def tools(argument):
  """Every function of distributed.py."""
  del argument
  me, other = jax.process_index(), 1 - jax.process_index()
  array, sharding = _rows()
  assert not array.is_fully_addressable
  np.testing.assert_array_equal(distributed.to_host(array), np.arange(8.0))
  mask = distributed.place(np.arange(8) % 3 == 0, sharding)
  tree = {"a": [array * 2, np.int32(3)], "mask": mask, "here": jnp.ones(2)}
  host = distributed.to_host(tree)
  np.testing.assert_array_equal(host["a"][0], 2 * np.arange(8.0))
  np.testing.assert_array_equal(host["mask"], np.arange(8) % 3 == 0)
  assert all(
      isinstance(x, np.ndarray | np.generic) for x in jax.tree.leaves(host)
  )
  # Lengths that differ, one of them 0; then 10 MB that no text codec knows.
  assert distributed.gather_bytes(b"ab" * me) == [b"", b"ab"]
  large = np.random.default_rng(me).bytes(10_000_000 + me)
  start = time.perf_counter()
  gathered = distributed.gather_bytes(large)
  print(f"10 MB in {time.perf_counter() - start:.2f} s")
  assert gathered[me] == large and len(gathered[other]) == 10_000_000 + other
  assert distributed.gather_json({"é": me}) == [{"é": 0}, {"é": 1}]
  assert distributed.agree([me, None]) == [0, None]
  assert distributed.is_main() == (me == 0)
  assert [*range(5)][distributed.share(5)] == [[0, 1], [2, 3, 4]][me]


def collective(argument):
  """Reductions over both hosts, until something ends the process."""
  del argument
  array, _ = _rows()
  reduce = jax.jit(
      lambda x: jax.lax.fori_loop(
          0, 1000, lambda i, v: x * jnp.sum(v) * 1e-3, x
      )
  )
  reduce(array).block_until_ready()
  print("ready", flush=True)
  while True:
    reduce(array).block_until_ready()


def python(argument):
  """Pure Python, which never lets go of the interpreter by itself."""
  del argument
  distributed.barrier("start")
  print("ready", flush=True)
  while True:
    sum(range(10_000))


def fail(argument):
  """The process with this index fails, the other one waits for it."""
  print("ready", flush=True)
  if jax.process_index() == int(argument):
    raise ValueError("wrong on this host alone")
  distributed.barrier("never")


def main(programs, lost_after_s) -> None:
  """Runs the program that the command line names, among the others' ones."""
  name, coordinator, num_processes, process_id, argument = sys.argv[1:]
  with distributed.started(
      coordinator,
      int(num_processes),
      int(process_id),
      lost_after_s=lost_after_s,
  ):
    programs[name](argument)
  print("over", flush=True)


if __name__ == "__main__":
  main(
      {f.__name__: f for f in (tools, collective, python, fail)},
      LOST_AFTER_S,
  )
