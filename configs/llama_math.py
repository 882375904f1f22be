"""SCoRe on MATH with Llama 3: configs/gemma_math.py with another model.

  python -m experiments.plan --config=configs/llama_math.py --topology=v5e:4x4
  python -m experiments.run --config=configs/llama_math.py

Data, prompts, grader and hyper-parameters are those of configs/gemma_math.py.
The paper has no figures of this model, and this config has not been run to its
end. `:3b` is the default size:

  size  slice
  3b    v5e:4x4
  8b    v5e:8x8
"""

import ml_collections

from configs import gemma_math

# Settings that depend on the size of the model and on the slice.
_SIZES = {
    "3b": dict(
        path="meta-llama/Llama-3.2-3B-Instruct",
        sampler_tensor=8,
        problems_per_batch=64,
        num_microbatches=32,  # one row for each of 16 chips
    ),
    "8b": dict(
        path="meta-llama/Llama-3.1-8B-Instruct",
        sampler_tensor=8,
        problems_per_batch=64,
        num_microbatches=8,  # one row for each of 64 chips
    ),
}


def get_config(size: str = "3b") -> ml_collections.ConfigDict:
  """The config of a size, a key of _SIZES."""
  if size not in _SIZES:
    raise ValueError(f"size is {size!r}, expected one of {', '.join(_SIZES)}")
  sized = _SIZES[size]
  config = gemma_math.get_config().unlock()
  config.model.path = sized["path"]
  config.mesh.sampler_tensor = sized["sampler_tensor"]
  config.rollout.problems_per_batch = sized["problems_per_batch"]
  config.train.num_microbatches = sized["num_microbatches"]
  return config.lock()
