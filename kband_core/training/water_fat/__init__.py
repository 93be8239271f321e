"""Training of networks that map water and fat, on simulated scans of several echoes."""
