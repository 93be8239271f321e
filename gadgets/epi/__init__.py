"""Lines of echo trains become Cartesian ones."""
