"""SCoRe on MATH with Llama 3: configs/gemma_math.py with another model.

  python -m experiments.plan --config=configs/llama_math.py --topology=v5e:4x4
  python -m experiments.run --config=configs/llama_math.py

Data, prompts, grader and hyper-parameters are those of configs/gemma_math.py,
the command that prepares the data too. `:3b` is the default size, `:8b` the
other. Each is set for one slice; figures are those of experiments.plan, memory
of a chip and a lower bound of the hours (matrix products at the chip's peak,
weights and cache read once a token, attempts at full length):

  size  slice     sampling, GiB   peak, GiB a chip      hours, more than
  3b    v5e:4x4             8.8   10.0 of 15.75 (64 %)                41
  8b    v5e:8x8             5.1   not compiled                        23

"Sampling" is what lies on a chip meanwhile, by arithmetic: its part of
parameters, moments and reference, the sampler's copy and the cache, of 15.75
GiB; the peak has what the compiled programs take beside that. The plan lists
both.

The paper has no figures of these models, and none of the 3B model are known.
PAG (arXiv 2506.10406, MATH-500, mean of 32 samples at temperature 0.6, attempt
1 / last attempt) has some of Llama-3-8B-Instruct, the 8B model's predecessor:
base 28.7 / 26.6, SCoRe 32.0 / 35.2, multi-turn RL without stages 33.3 / 35.4
percent. What it calls SCoRe is another recipe: PPO, no KL and so another Stage
I, alpha 1, learning rate 1e-6. This config has not been run to its end: how
many hours it takes is not known.
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
