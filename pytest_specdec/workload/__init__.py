"""What is sent: arrivals, prompts, categories and regimes of text."""
