"""Rollouts: the problems of a step, the sampler, conversations, protocols."""
