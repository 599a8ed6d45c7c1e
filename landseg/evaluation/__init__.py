"""Predictions against the truth: pairs that are read, counts, and the figures made of them."""
