"""Methods as others published them, which ours are measured against and nothing else needs."""
