"""Engines behind HTTP: what each one tells, how it is launched, attached and supervised."""
