"""Grids and coordinates, and raster and vector files that are read. Knows no torch."""
