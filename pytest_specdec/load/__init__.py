"""The client that puts an endpoint under load."""
