"""SCoRe on MATH with Gemma 2 2B, at the paper's settings.

  python -m experiments.prepare_data --dataset=math --manual_dir=data/manual \
      --data_dir=data
  python -m experiments.run --config=configs/gemma_math.py

Problems: MATH in the paper's split, 12,000 for training (256 of them set aside
for validation) and MATH-500 for the test. The files are public and are not part
of this repository: the first command says which it needs and where to put them.

Paper (appendix A.1, Gemma 2 2B on MATH, attempt 1 / attempt 2): base 16.8 /
16.8, after Stage I 17.6 / 20.0, after Stage II 23.0 / 24.0 percent. This config
has not been run to its end.
"""

import ml_collections
from ml_collections.config_dict import create


def get_config() -> ml_collections.ConfigDict:
  config = ml_collections.ConfigDict()
  config.seed = 0  # of data order and sampling
  config.model = create(
      path="google/gemma-2-2b-it",  # Hugging Face directory, or a hub id
      dtype="float32",
      chat_template_options=create(),
  )
  config.tiny_model = None  # no model is made

  config.task = create(
      name="answers",
      train=create(dataset="math", split="train"),
      test=create(dataset="math", split="test"),  # MATH-500
      num_validation=256,  # problems taken from the training split
      exclude=[],  # names of problems that are left out
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
      samples_per_problem=4,  # K of the leave-one-out baseline; 512 a step
      num_attempts=2,
      max_prompt_tokens=1024,  # enough for all of MATH-500
      long_prompts="drop",  # or "error"; of training and validation problems
      max_new_tokens=1024,  # of one attempt, EOS included
      temperature=1.0,
      done_check_steps=8,  # decode steps between two checks for the end
  )

  config.train = create(
      kl_estimator="k1_in_reward",  # the paper's
      token_reduction="sum",  # over an attempt's tokens, as in the paper
      num_microbatches=32,
      logprob_chunk_tokens=512,  # positions whose logits are alive
  )

  config.stage1 = create(
      steps=1500,  # updates; the paper has 3000 in both stages together
      kl_coef=0.01,  # beta1, per nat; the paper's
      first_attempt_kl_coef=0.1,  # beta2, per nat; the paper's for MATH
      optimizer=create(
          learning_rate=5e-6,  # the paper's for MATH
          warmup_steps=0,
          max_grad_norm=1.0,
      ),
  )

  config.stage2 = create(
      steps=1500,  # updates
      kl_coef=0.01,  # beta1, per nat; the paper's
      bonus_coef=10.0,  # alpha; the paper's
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
