"""Active acquisition: which line of k-space to measure next, and when there are enough."""
