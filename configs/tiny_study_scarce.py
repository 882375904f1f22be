"""Where imitation should have it hard: a study decided before it was run.

  python -m experiments.study --config=configs/tiny_study_scarce.py

The paper finds that STaR and Pair-SFT learn to change nothing, or to correct
mistakes that are no longer their own. On configs/tiny_study.py they do well.
Four things differ there from the paper's setting, and are changed here at once:
training problems are few, second attempts of the base model are minimal edits,
corrections among them are scarce, and so the mistakes that are imitated are
those of the base model on problems that the trained one soon knows.
"""

import ml_collections

from configs import tiny_study


def get_config() -> ml_collections.ConfigDict:
  config = tiny_study.get_config().unlock()
  config.methods = [
      "base",
      "star",
      "star_plus",
      "pair_sft",
      "pair_sft_plus",
      "multi_turn",
      "score",
  ]
  config.run.task.num_train = 500  # problems; 20,000 in tiny.py
  # Second attempts of the habit; the rest, 5 %, is right (20 % in tiny.py).
  config.run.tiny_model.copy_fraction = 0.75
  config.run.tiny_model.retry_fraction = 0.0
  config.run.tiny_model.slip_fraction = 0.2  # minimal edits
  return config.lock()
