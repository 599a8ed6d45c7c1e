"""Files of one run, complete or absent: rasters, vector files, their styles and their provenance."""
