"""What a run writes: files, metrics, progress, conversations, its directory."""
