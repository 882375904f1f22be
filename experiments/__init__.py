"""Entry points: flags and wiring only."""

import os

# transformers is used for tokenizers; that torch is absent needs no telling.
os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
