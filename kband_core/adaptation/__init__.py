"""A network that learns from the very scan it is for, as far as lines held out of it gain by that."""
