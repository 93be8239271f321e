"""A scanner that owns all lines, and measures those that it is asked for."""
