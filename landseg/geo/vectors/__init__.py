"""Vector files read: their layers, their polygons, areas of interest."""
