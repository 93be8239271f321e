"""Public data sets in the layouts they are published in: slices to train on, and the lines of a scan."""
