"""What a run needs of a TPU slice, found out by its compiler, without one."""
