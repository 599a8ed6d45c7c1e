"""Regions of a class raster and the arcs between them: traced, simplified, joined to rings."""
