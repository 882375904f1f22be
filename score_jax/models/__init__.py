"""The decoder, its configuration, and Hugging Face directories."""
