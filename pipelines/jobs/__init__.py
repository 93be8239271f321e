"""Many files: one job a file, here or on the workers of a cluster, and what was finished before is not made again."""
