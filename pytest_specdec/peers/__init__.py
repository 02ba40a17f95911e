"""Results of other load generators: what their numbers mean, and which of them may be compared."""
