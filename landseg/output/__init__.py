"""Files of one run, complete or not there: rasters, vector files, their styles and their provenance."""
