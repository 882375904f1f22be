"""Many runs: methods and seeds, compared."""
