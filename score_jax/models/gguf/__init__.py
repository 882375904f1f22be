"""GGUF files as Hugging Face directories."""
