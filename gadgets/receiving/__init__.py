"""Lines become k-space, and what of a scan is missing."""
