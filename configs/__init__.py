"""Complete settings of experiments, one file each."""
