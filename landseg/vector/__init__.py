"""Class rasters as polygons, lines and points, and polygons as class rasters."""
