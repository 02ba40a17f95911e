"""The field's nouns and formulas: cells, metrics, estimates, curves, facts. No I/O."""
