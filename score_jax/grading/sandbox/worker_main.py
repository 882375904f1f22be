"""Script of a worker: python -s -S -P worker_main.py SETTINGS.

Stands in for the packages above this folder. Their __init__ files import JAX,
which a worker must not do: it forks, starts in a tenth of a second, and holds
nothing that a solution should see.
"""

import os
import sys
import types

_HERE = os.path.dirname(os.path.abspath(__file__))


def _stand_in(name: str, folder: str) -> None:
  module = types.ModuleType(name)
  module.__path__ = [folder]
  sys.modules[name] = module


if __name__ == "__main__":
  _stand_in("score_jax", os.path.dirname(os.path.dirname(_HERE)))
  _stand_in("score_jax.grading", os.path.dirname(_HERE))
  _stand_in("score_jax.grading.sandbox", _HERE)

  from score_jax.grading.sandbox import worker

  worker.main()
