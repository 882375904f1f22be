"""Script of a worker: python -s -S -P worker_main.py SETTINGS.

The packages above this folder are replaced by empty ones, since their __init__
files import JAX. A worker must not: it forks, has to start in a tenth of a
second, and must hold nothing that a solution should not see.
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
