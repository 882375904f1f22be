"""Methods of the paper's comparison on a real language model, on a CPU.

  python -m experiments.study --config=configs/smollm2_passes_study.py
      [--methods=score] [--seeds=1]

The run is that of configs/smollm2_passes.py, which says what it needs. All
cells start from one base model: the warm-up has a seed of its own. The two
stages of SCoRe set the number of conversations that every method samples.
"""

import ml_collections
from ml_collections.config_dict import create

from configs import smollm2_passes


def get_config() -> ml_collections.ConfigDict:
  config = ml_collections.ConfigDict()
  # What all methods share. The seed is replaced by that of each cell.
  config.run = smollm2_passes.get_config()
  config.methods = [
      "base",
      "score",
      "single_turn",
      "multi_turn",
      "star",
      "pair_sft",
  ]
  config.num_seeds = 3  # 0, 1, 2: data order and samples

  config.method = create(
      sft=create(
          star_iterations=3,  # rounds of sampling and fine-tuning; the paper's
          steps=8,  # updates of a round; Pair-SFT takes one epoch
          batch_size=32,  # conversations
          optimizer=create(
              learning_rate=2e-5,
              warmup_steps=3,  # updates
              max_grad_norm=1.0,
          ),
      ),
      self_refine=create(
          feedback_prompt="Is this right? Say what is wrong.",
          refine_prompt="Look again.",
      ),
      corrections_per_attempt=2,  # K2 of score_k2, whose K1 is K / 2
      stage1b_steps=10,  # updates, out of Stage II's
      # Remedies against copying: score_corrections, score_entropy,
      # score_interleaved. See docs/copying.md.
      broken_coef=0.5,  # price of a broken answer; a corrected one earns 1
      entropy_coef=0.05,  # per nat of second attempts in Stage I
      interleaved_rounds=2,  # of Stage I and Stage II; the paper's, version 1
  )

  config.test_time = None

  config.workers = 1  # a cell uses all cores
  config.cell_memory_gb = 8.0
  return config.lock()
