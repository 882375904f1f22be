"""Training: objectives, updates, phases of RL and of imitation, checkpoints."""
