"""Whether this installation is what it should be."""
