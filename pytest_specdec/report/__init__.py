"""One tidy table -> terminal, Markdown, JSON, CSV; the plugin and the command line call the same functions."""
