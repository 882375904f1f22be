"""Training states on disk: whole steps or nothing, through Orbax."""

from collections.abc import Mapping
import os
from typing import Any

import jax
import orbax.checkpoint as ocp

from score_jax.devices import distributed
from score_jax.models.transformer import Params
from score_jax.training.train import TrainState


class Checkpointer:
  """The newest training states of one phase; a context manager.

  With several processes all of them call every method.

  Orbax writes to a temporary directory and renames it, so a step that can be
  seen is complete. Saves are synchronous: when `save` returns, the state is on
  disk, and an error is raised here and not steps later.
  """

  def __init__(self, directory: str | os.PathLike):
    """Opens, or makes, the directory of a phase's checkpoints."""
    self._manager = ocp.CheckpointManager(
        os.path.abspath(directory),
        options=ocp.CheckpointManagerOptions(
            max_to_keep=2, enable_async_checkpointing=False
        ),
    )

  def __enter__(self) -> "Checkpointer":
    return self

  def __exit__(self, *exc_info: object) -> None:
    self._manager.close()

  def latest_step(self) -> int | None:
    """Step of the newest complete checkpoint, None when there is none."""
    return self._manager.latest_step()

  def save(self, state: TrainState) -> None:
    """Saves a state under its own step, unless that step is there already."""
    step = int(state.step)
    if step != self.latest_step():
      self._manager.save(step, args=ocp.args.StandardSave(state))

  def restore(self, like: TrainState) -> TrainState:
    """The newest state, with the shapes, types and shardings of `like`."""
    return self._manager.restore(
        self.latest_step(), args=ocp.args.StandardRestore(abstract(like))
    )

  def restored(self, state: TrainState) -> TrainState:
    """The newest state, in place of one of its shapes, which is given up."""
    like = abstract(state)
    delete(state)  # or there would be two of them
    return self.restore(like)

  def restore_params(self, like: Params) -> Params:
    """The newest parameters alone; the optimizer's state is not read."""
    item = {"params": abstract(like)}
    restored = self._manager.restore(
        self.latest_step(),
        args=ocp.args.PyTreeRestore(
            item=item,
            restore_args=ocp.checkpoint_utils.construct_restore_args(item),
            partial_restore=True,
        ),
    )
    return restored["params"]


def abstract(tree: Any) -> Any:
  """Shapes, types and shardings of arrays, in place of the arrays."""
  return jax.tree.map(ocp.utils.to_shape_dtype_struct, tree)


def delete(arrays: Params | TrainState) -> None:
  """Frees the memory of arrays that are not read again."""
  jax.tree.map(lambda a: a.delete(), arrays)


def newest(
    directories: Mapping[str, str | os.PathLike],
) -> tuple[str, int] | None:
  """Name and step of the newest checkpoint of several phases.

  Args:
    directories: checkpoint directories by phase, in the order of the phases.

  Returns:
    Name of the last phase that has a checkpoint, and the checkpoint's step;
    None when no phase has one.
  """
  for name, directory in reversed(directories.items()):
    if distributed.agree(os.path.isdir(directory)):
      with Checkpointer(directory) as checkpointer:
        step = checkpointer.latest_step()
      if step is not None:
        return name, step
  return None
