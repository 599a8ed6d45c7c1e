"""Regions of a class raster and the arcs between them: traced, merged, simplified, and joined to polygons."""
