"""Planes to train on: from raw files and from public data sets, through the gadgets that serve the scanner."""
