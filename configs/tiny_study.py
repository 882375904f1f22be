"""Every method of the paper's comparison on the tiny model, on a CPU.

  python -m experiments.study --config=configs/tiny_study.py
      [--methods=base,single_turn,score] [--seeds=1]

The run is that of configs/tiny.py; the two stages of SCoRe set the number of
conversations that every method samples. Two cores: see README.md for the time
that it took and for the table.
"""

import ml_collections
from ml_collections.config_dict import create

from configs import tiny


def get_config() -> ml_collections.ConfigDict:
  config = ml_collections.ConfigDict()
  # What all methods share. The seed is replaced by that of each cell.
  config.run = tiny.get_config()
  config.methods = [
      "base",
      "self_refine",
      "star",
      "star_plus",
      "pair_sft",
      "pair_sft_plus",
      "single_turn",
      "multi_turn",
      "score",
      "score_no_stage1",
      "score_no_bonus",
      "score_star",
      "score_offline",
      "score_three_attempts",
      "score_k2",
  ]
  config.num_seeds = 3  # 0, 1, 2: base model, data order and samples

  config.method = create(
      sft=create(
          star_iterations=3,  # rounds of sampling and fine-tuning; the paper's
          steps=60,  # updates of a round; Pair-SFT takes one epoch
          batch_size=256,  # conversations
          optimizer=create(
              learning_rate=3e-4,
              warmup_steps=5,  # updates
              max_grad_norm=1.0,
          ),
      ),
      # The tiny model knows one instruction: its remarks are a sum again. See
      # score_jax/study/settings.py for texts that a language model understands.
      self_refine=create(feedback_prompt="?", refine_prompt="?"),
      corrections_per_attempt=2,  # K2 of score_k2, whose K1 is K / 2
      stage1b_steps=40,  # updates, out of Stage II's
      # Of methods against copying that are not in the list above and not the
      # paper's: score_corrections, score_entropy, score_scaled,
      # score_interleaved. See docs/copying.md.
      broken_coef=0.5,  # price of a broken answer; a corrected one earns 1
      entropy_coef=0.05,  # per nat of second attempts in Stage I
      interleaved_rounds=2,  # of Stage I and Stage II; the paper's, version 1
  )

  config.test_time = create(
      num_attempts=5,  # of a greedy conversation; trained on two
      samples=8,  # K: 2K parallel votes against K conversations
      temperature=0.7,  # the paper's
      problems=500,  # the first of the test split
  )

  config.workers = 0  # as many as cores and memory allow
  config.cell_memory_gb = 2.0
  return config.lock()
