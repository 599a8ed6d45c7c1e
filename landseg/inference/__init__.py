"""A model on a raster: what matches, which way it goes, and one run from opening to renaming."""
