"""Class rasters as vector land cover: regions, the arcs between them, polygons, and the files that hold these."""
