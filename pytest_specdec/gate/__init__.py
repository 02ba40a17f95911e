"""Results to verdicts: pure mathematics, no I/O."""
