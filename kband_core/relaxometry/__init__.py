"""Quantities from the echoes of a gradient-echo train: water, fat, R2* and the field."""
