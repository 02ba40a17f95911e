"""Prompts: words, files and tags that the load is made of."""
