"""Fully connected conditional random fields: class probabilities drawn to the edges of the image."""
