"""Labels on a grid: rasters and polygons read as class indices, and what their values mean."""
