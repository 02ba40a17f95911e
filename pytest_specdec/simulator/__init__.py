"""The built-in engine: an event-driven core on an injected clock, and an HTTP shell around it in real time."""
