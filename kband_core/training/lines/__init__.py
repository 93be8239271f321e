"""Training of what chooses lines, on simulated scans that differ in where their energy lies."""
