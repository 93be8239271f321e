"""MRD 1 messages and what peers say by them."""
