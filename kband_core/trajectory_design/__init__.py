"""Trajectories designed together with the reconstruction, within what gradients can do."""
