"""Coarse labels: learning from a raster of larger classes."""
