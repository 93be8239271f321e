"""Designed trajectories as files: tables, sequences, pictures."""
