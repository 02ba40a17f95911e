"""Result files of others, read as points of curves."""
