"""SCoRe on MATH with Qwen 2.5: configs/gemma_math.py with another model.

  python -m experiments.plan --config=configs/qwen_math.py --topology=v5e:4x4
  python -m experiments.run --config=configs/qwen_math.py

Data, prompts, grader and hyper-parameters are those of configs/gemma_math.py,
the command that prepares the data too. `:1.5b` is the default size, `:7b` the
other. Each is set for one slice; figures are those of experiments.plan, memory
of a chip and a lower bound of the hours (matrix products at the chip's peak,
weights and cache read once a token, attempts at full length):

  size  slice     sampling, GiB   peak, GiB a chip      hours, more than
  1.5b  v5e:4x4             4.1   4.8 of 15.75 (31 %)                 19
  7b    v5e:8x8             5.8   not compiled                        26

"Sampling" is what lies on a chip meanwhile, by arithmetic: its part of
parameters, moments and reference, the sampler's copy and the cache; the peak
has what the compiled programs take beside that. The plan lists both.

The paper has no figures of these models. PAG (arXiv 2506.10406, MATH-500, mean
of 32 samples at temperature 0.6, attempt 1 / last attempt) has, by another
recipe that it calls SCoRe: PPO, no KL and so another Stage I, alpha 1, learning
rate 1e-6. Percent of Qwen2.5-1.5B-Instruct: base 53.2 / 52.4, that SCoRe 61.9 /
63.9, multi-turn RL without stages 62.1 / 64.0. Of Qwen2.5-7B, trained on
DAPO-17k and not on MATH: base 76.0 / 76.1, that SCoRe 79.5 / 81.5. Here
evaluations are greedy. This config has not been run to its end: how many hours
it takes is not known.
"""

import ml_collections

from configs import gemma_math

# Settings that depend on the size of the model and on the slice.
_SIZES = {
    "1.5b": dict(
        path="Qwen/Qwen2.5-1.5B-Instruct",
        sampler_tensor=2,  # divides 2 key/value heads
        problems_per_batch=64,
        num_microbatches=32,  # one row for each of 16 chips
    ),
    "7b": dict(
        path="Qwen/Qwen2.5-7B-Instruct",
        sampler_tensor=4,
        problems_per_batch=64,
        num_microbatches=8,  # one row for each of 64 chips
    ),
}


def get_config(size: str = "1.5b") -> ml_collections.ConfigDict:
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
