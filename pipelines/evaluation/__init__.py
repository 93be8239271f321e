"""How good a trained network is on raw files."""
