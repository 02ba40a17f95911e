"""Health of speculation, and the causes of its changes."""
