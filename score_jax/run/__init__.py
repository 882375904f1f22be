"""One run: its preparation, its phases, its evaluations, its export."""
