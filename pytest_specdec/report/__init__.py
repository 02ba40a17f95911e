"""Results to tables, Markdown, the page and trackers."""
