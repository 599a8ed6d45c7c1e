"""Rasters, vectors and coordinates: everything that touches files; knows no torch."""
