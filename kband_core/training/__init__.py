"""Training: planes in, weights and a model card out."""
