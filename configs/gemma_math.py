"""SCoRe on MATH with Gemma 2, at the paper's settings.

  python -m experiments.prepare_data --dataset=math --manual_dir=data/manual \
      --data_dir=data
  python -m experiments.plan --config=configs/gemma_math.py --topology=v5e:4x4
  python -m experiments.run --config=configs/gemma_math.py

Problems: MATH in the paper's split, 12,000 for training (256 of them set aside
for validation) and MATH-500 for the test. The files are public and are not part
of this repository: the first command says which it needs and where to put them.
A few problems whose answers the grader cannot read are left out; the run names
them when it starts, and in its manifest.

The 2B model is the default; --config=configs/gemma_math.py:9b and :27b are the
others. Each is set for one slice; another takes other micro-batches and rows
to sample at once, which experiments.plan helps to find. Its figures, peak of a
chip's memory and a lower bound of the hours (matrix products at the chip's
peak, weights and cache read once a token, attempts at full length):

  size  slice      peak, GiB a chip  hours, more than
  2b    v5e:4x4          9.2 of 15.75              39
  9b    v5e:8x8          9.0 of 15.75              36
        v6e:4x4         19.0 of 31.24              53
  27b   v6e:8x8         17.8 of 31.24              22
        v5p:2x2x4       47.0 of 95.73              68

v6e:4x4 takes --config.train.num_microbatches=32 and
--config.rollout.problems_per_batch=32, v5p:2x2x4 the first of them. On each
chip lie its part of parameters, moments and reference, and while it samples
the sampler's copy and the cache; the plan lists them.

Paper (appendix A.1, Gemma 2 2B on MATH, attempt 1 / attempt 2): base 16.8 /
16.8, after Stage I 17.6 / 20.0, after Stage II 23.0 / 24.0 percent. This config
has not been run to its end: how many hours it takes is not known.
"""

import ml_collections
from ml_collections.config_dict import create
from ml_collections.config_dict import placeholder

# Settings that depend on the size of the model and on the slice.
_SIZES = {
    "2b": dict(
        path="google/gemma-2-2b-it",  # Hugging Face directory, or a hub id
        sampler_tensor=4,  # divides 4 key/value heads
        problems_per_batch=64,
        num_microbatches=32,  # one row for each of 16 chips
    ),
    "9b": dict(
        path="google/gemma-2-9b-it",
        sampler_tensor=8,
        problems_per_batch=64,
        num_microbatches=8,  # one row for each of 64 chips
    ),
    "27b": dict(
        path="google/gemma-2-27b-it",
        sampler_tensor=16,
        problems_per_batch=64,
        num_microbatches=8,
    ),
}


def get_config(size: str = "2b") -> ml_collections.ConfigDict:
  """The config of a size, a key of _SIZES."""
  if size not in _SIZES:
    raise ValueError(f"size is {size!r}, expected one of {', '.join(_SIZES)}")
  sized = _SIZES[size]
  config = ml_collections.ConfigDict()
  config.seed = 0  # of data order and sampling
  config.model = create(
      path=sized["path"],
      revision=None,  # commit, tag or branch on the hub; None for the newest
      compute_dtype="bfloat16",  # in use, sampling, and the reference
      chat_template_options=create(),
  )
  config.tiny_model = None  # no model is made

  config.warmup = None  # the model is taken as it is

  config.mesh = create(
      slice=1,  # TPU slices; data and rows are divided over them too
      data=1,  # copies of the training state
      fsdp=-1,  # parts of it: all other devices
      tensor=1,  # parts of a layer
      sampler_tensor=sized["sampler_tensor"],  # parts of a layer, sampling
  )

  config.attention = "splash"  # TPU kernels; "xla" elsewhere

  config.task = create(
      name="answers",
      train=create(dataset="math", split="train"),
      test=create(dataset="math", split="test"),  # MATH-500
      num_validation=256,  # problems taken from the training split
      exclude=(),  # names of other problems to leave out
      data_dir="data",  # prepared data, local or gs://
      manual_dir="data/manual",  # files that they are prepared from
      prompts="math",  # score_jax/tasks/prompts/math.toml, or a path
      grader=create(
          num_workers=8,  # processes for answers that need algebra
          timeout_s=2.0,  # seconds of one comparison
          memory_mb=1024,  # of one process
      ),
  )

  config.rollout = create(
      problems_per_step=128,
      problems_per_batch=sized["problems_per_batch"],  # sampled at once
      samples_per_problem=4,  # K of the leave-one-out baseline; 512 a step
      num_attempts=2,
      corrections_per_attempt=1,  # K2: second attempts behind the same first
      offline_first_attempt_fraction=0.0,  # of problems: the base's, untrained
      max_prompt_tokens=1024,  # enough for all of MATH-500
      num_prompt_buckets=3,  # padded to 1024, 512 or 256
      long_prompts="drop",  # or "error"; of training and validation problems
      max_new_tokens=1024,  # of one attempt, EOS included
      temperature=1.0,
      done_check_steps=8,  # decode steps between two checks for the end
  )

  config.train = create(
      kl_estimator="k1_in_reward",  # the paper's
      token_reduction="sum",  # over an attempt's tokens, as in the paper
      num_microbatches=sized["num_microbatches"],
      logprob_chunk_tokens=4096,  # positions whose logits are alive, all chips
      remat="full",  # of each layer, all is computed again
      moment_dtype="float32",  # of Adam's first moment
      reference="device",  # or "host": moved to the devices when needed
      lora_rank=placeholder(int),  # of adapters; None trains all parameters
      lora_alpha=16.0,  # adapters are scaled by lora_alpha / lora_rank
      shared_prefix=False,  # prompts of K rows once; for one device
  )

  config.stage1 = create(
      steps=1500,  # updates; the paper has 3000 in both stages together
      objective=create(
          name="stage1",
          kl_coef=0.01,  # beta1, per nat; the paper's
          first_attempt_kl_coef=0.1,  # beta2, per nat; the paper's for MATH
          num_anchored=1,  # attempts held to the base model
      ),
      optimizer=create(
          learning_rate=5e-6,  # the paper's for MATH
          warmup_steps=0,
          max_grad_norm=1.0,
      ),
  )

  config.stage2 = create(
      steps=1500,  # updates
      objective=create(
          name="stage2",
          kl_coef=0.01,  # beta1, per nat; the paper's
          bonus_coef=10.0,  # alpha; the paper's
      ),
      optimizer=create(
          learning_rate=5e-6,
          warmup_steps=0,
          max_grad_norm=1.0,
      ),
  )

  config.evaluation = create(
      batch_size=128,  # problems
      every_steps=100,  # updates between two looks at validation problems
      validation_problems=256,
  )

  config.output = create(
      checkpoint_every_steps=50,  # updates
      rollouts_every_steps=50,  # updates
      rollouts_rows=32,  # conversations written each time
  )
  return config.lock()
