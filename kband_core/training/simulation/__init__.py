"""What simulated scans are made of."""
