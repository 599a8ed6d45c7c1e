"""The engine in one pass: rows of a raster streamed through a network, a few at a time."""
