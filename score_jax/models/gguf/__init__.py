"""Converts models in GGUF files to the layout of Hugging Face."""
