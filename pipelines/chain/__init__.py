"""XML chains: read, checked, run."""
