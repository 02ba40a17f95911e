"""What the model says, with speculation and without: answers, signs in them, and verdicts."""
