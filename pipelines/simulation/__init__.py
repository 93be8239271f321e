"""Scans of a phantom, as a scanner would send them."""
