"""Scan-specific networks: k-space interpolation learnt from the calibration lines of the very scan."""
