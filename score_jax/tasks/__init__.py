"""Tasks: problems, prompts and grades, one file each."""
