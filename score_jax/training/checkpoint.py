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
  """The newest training states of one stage; a context manager.

  With several processes all of them call every method.

  Orbax writes to a temporary directory and renames it, so a step that can be
  seen is complete. Saves are synchronous: when `save` returns, the state is on
  disk, and an error is raised here and not steps later.
  """

  def __init__(self, directory: str | os.PathLike):
    """Opens, or makes, the directory of a stage."""
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
    """The newest state, with the shapes, types and places of `like`."""
    return self._manager.restore(
        self.latest_step(), args=ocp.args.StandardRestore(abstract(like))
    )

  def restore_params(self, like: Params) -> Params:
    """The newest parameters alone; the optimiser's state is not read."""
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
  """Shapes, types and places of arrays, which need not live on."""
  return jax.tree.map(ocp.utils.to_shape_dtype_struct, tree)


def newest(
    directories: Mapping[str, str | os.PathLike],
) -> tuple[str, int] | None:
  """Name and step of the newest checkpoint of several stages.

  Args:
    directories: of the stages, by name, in the order in which they run.

  Returns:
    The last stage that has a checkpoint, and its step; None when none has.
  """
  for name, directory in reversed(directories.items()):
    if distributed.agree(os.path.isdir(directory)):
      with Checkpointer(directory) as checkpointer:
        step = checkpointer.latest_step()
      if step is not None:
        return name, step
  return None
