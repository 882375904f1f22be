"""Text and token ids: tokenizers, chat turns."""
