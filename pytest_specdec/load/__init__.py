"""The load: prompts, transport, closed loop; produces facts, no statistics."""
