"""The specdec command: one module per verb."""
