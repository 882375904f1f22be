"""SCoRe on a CPU, from nothing, in minutes.

  python -m experiments.run --config=configs/tiny.py

Task: addition of five-digit numbers with long carries, written most significant
digit first and without scratch work. The base model (0.4 million parameters) is
taught in lessons that are designed for the purpose: it holds the skill to
correct itself and does not show it (score_jax/run/tiny_base.py).

Two cores: about 6.5 minutes, 1.8 GB. Expected, greedy, on 2,000 held-out
problems and for three seeds: see the table of README.md.
"""

import ml_collections
from ml_collections.config_dict import create
from ml_collections.config_dict import placeholder


def get_config() -> ml_collections.ConfigDict:
  config = ml_collections.ConfigDict()
  config.seed = 0  # of initialisation, data order and sampling
  config.model = None  # a base model is made, see tiny_model

  config.warmup = None  # the model is taken as it is

  config.mesh = None  # one device

  config.attention = "xla"  # or "splash", kernels for TPUs

  config.task = create(
      name="addition",
      num_digits=5,  # of each operand
      nine_probability=0.4,  # of a column that passes a carry on
      num_test=2000,  # problems, used for the reported numbers alone
      num_validation=1000,  # problems, for curves and to choose settings
      num_train=20_000,  # problems, of both stages
      num_base=150_000,  # problems, of the base model
      seed=11,  # of the problems; the same for every run
  )

  config.tiny_model = create(
      d_model=128,
      num_layers=3,
      num_heads=4,
      head_dim=32,
      d_ff=192,
      rope_theta=100.0,  # short wavelengths: a conversation has 27 tokens
      max_positions=96,  # tokens; the lessons have 28, two attempts
      batch_size=256,  # conversations per update
      max_grad_norm=1.0,
      # Lesson 1 ends at this greedy validation accuracy of first attempts. It
      # sets that of the base model.
      answer_accuracy=0.5,
      max_answer_steps=1000,  # updates within which it must be reached
      check_steps=10,  # updates between two looks at accuracies
      answer_learning_rate=3e-3,
      correction_fraction=0.5,  # of lesson 1: gold behind a gold with slips
      slip_rate=0.15,  # of digits that a slip moves by one
      self_temperature=0.5,  # of the first attempts that the model keeps
      # Lesson 2 ends at this greedy validation accuracy of second attempts.
      skill_accuracy=0.9,
      max_skill_steps=400,  # updates within which it must be reached
      skill_learning_rate=2e-3,
      # Lesson 3: second attempts that mostly repeat the first.
      habit_steps=70,  # updates
      habit_learning_rate=1.2e-3,
      copy_fraction=0.6,  # of second attempts: the first again
      retry_fraction=0.1,  # another sample of lesson 1's model
      slip_fraction=0.1,  # the first, with slips; the rest is right
  )

  config.rollout = create(
      problems_per_step=32,
      problems_per_batch=32,  # sampled at once
      samples_per_problem=8,  # K of the leave-one-out baseline
      num_attempts=2,
      corrections_per_attempt=1,  # K2: second attempts behind the same first
      offline_first_attempt_fraction=0.0,  # of problems: the base's, untrained
      max_prompt_tokens=12,
      num_prompt_buckets=1,
      long_prompts="error",  # or "drop": left out, and counted
      max_new_tokens=7,  # of one attempt, EOS included
      temperature=1.0,
      done_check_steps=7,  # decode steps between two checks for the end
  )

  config.train = create(
      # KL over the full vocabulary with the score-function term: unbiased, and
      # of less variance than the paper's k1 in the reward ("k1_in_reward").
      kl_estimator="exact",
      token_reduction="sum",  # over an attempt's tokens, as in the paper
      num_microbatches=1,
      logprob_chunk_tokens=8192,  # positions whose logits are alive
      remat="none",  # nothing is computed again
      moment_dtype="float32",
      reference="device",
      lora_rank=placeholder(int),  # of adapters; None trains all parameters
      lora_alpha=16.0,  # adapters are scaled by lora_alpha / lora_rank
      shared_prefix=False,  # the published table is of whole rows
  )

  config.stage1 = create(
      steps=60,  # updates
      objective=create(
          name="stage1",
          kl_coef=0.01,  # beta1, per nat; the paper's
          # beta2, per nat; the paper has 0.1 (MATH). An attempt has 7 tokens
          # here and hundreds there: its KL, a sum over tokens, is smaller by as
          # much.
          first_attempt_kl_coef=1.0,
          num_anchored=1,  # attempts held to the base model
      ),
      optimizer=create(
          learning_rate=5e-4,  # the paper has 5e-6, for a pretrained model
          warmup_steps=5,  # updates
          max_grad_norm=1.0,
      ),
  )

  config.stage2 = create(
      steps=100,  # updates
      objective=create(
          name="stage2",
          kl_coef=0.01,  # beta1, per nat; the paper's
          bonus_coef=10.0,  # alpha; the paper's
      ),
      optimizer=create(
          learning_rate=2e-4,
          warmup_steps=5,  # updates; the optimizer starts afresh here
          max_grad_norm=1.0,
      ),
  )

  config.evaluation = create(
      batch_size=500,  # problems
      every_steps=20,  # updates between two looks at validation problems
      validation_problems=500,
  )

  config.output = create(
      checkpoint_every_steps=40,  # updates
      rollouts_every_steps=40,  # updates
      rollouts_rows=64,  # conversations written each time
  )
  return config.lock()
