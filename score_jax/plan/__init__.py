"""Plans: what a run needs of a TPU slice, by its compiler and without a TPU."""
