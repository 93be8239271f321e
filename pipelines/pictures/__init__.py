"""What people would rather see than read."""
