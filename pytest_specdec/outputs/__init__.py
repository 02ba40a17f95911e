"""Checks that speculation does not change the model's answers."""
